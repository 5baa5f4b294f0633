"""What a `load` of one's own may return by mistake: each is taken rightly, or named in one sentence."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from toolkit.data.data_folder import open_dataset
from toolkit.data.dataset import Dataset
from toolkit.data.loading import load
from toolkit.errors import UserError
from toolkit.store import Workspace

Returned = Callable[[Dataset], Any]


def load_as(root: Path, returned: Returned) -> Dataset:
    """What is stored of the practice data after `load` returned this of them."""
    tiny.practice(root, 0, 24)
    of = replace(tiny.competition, load=lambda folder: returned(tiny.arrays(tiny.competition, folder)))
    workspace = Workspace(root / "workspace", "tiny")
    load(of, workspace, root / "raw")
    return open_dataset(workspace.data)


def changed(name: str, change: Callable[[np.ndarray], Any]) -> Returned:
    return lambda data: replace(data, **{name: change(getattr(data, name))})


def given(name: str, make: Callable[[Dataset], Any]) -> Returned:
    return lambda data: replace(data, **{name: make(data)})


WRONG: dict[str, tuple[Returned, str]] = {
    "nothing": (lambda data: None, "load of tiny returned nothing, expected a toolkit.Dataset"),
    "a tuple": (lambda data: (data.images, data.targets), "an object of type tuple, expected a toolkit.Dataset"),
    "the class": (type, "an object of type type, expected"),
    "lists of labels": (changed("targets", np.ndarray.tolist), "targets are of type list, expected a numpy array"),
    "a list of images": (changed("images", list), "images are of type list, expected a numpy array"),
    "a series": (changed("targets", pd.Series), "targets are of type Series, expected a numpy array"),
    "no tests": (given("test_images", lambda data: None), "test_images are of type NoneType, expected a numpy array"),
    "grey tests": (changed("test_images", lambda a: a[..., 0]), "test_images have shape (6, 8, 8), expected"),
    "small tests": (changed("test_images", lambda a: a[:, :6]), "test_images have shape (6, 6, 8, 3), expected"),
    "float images": (changed("images", lambda a: a / 255), "images are of type float64, expected uint8"),
    "int64 images": (changed("images", lambda a: a.astype(np.int64)), "images are of type int64, expected uint8"),
    "16 bits": (changed("images", lambda a: a.astype(np.uint16)), "images are of type uint16, expected uint8"),
    "no channels": (changed("images", lambda a: a[..., 0]), "images have shape (24, 8, 8), expected (n, 8, 8, 3)"),
    "channels first": (changed("images", lambda a: a.transpose(0, 3, 1, 2)), "images have shape (24, 3, 8, 8)"),
    "one image less": (changed("images", lambda a: a[1:]), "23 images and 24 targets"),
    "float labels": (changed("targets", lambda a: a.astype(float)), "targets are of type float64, expected whole"),
    "text labels": (changed("targets", lambda a: a.astype(str)), "targets are of type <U21, expected whole"),
    "one-hot": (changed("targets", lambda a: np.eye(3, dtype=int)[a]), "targets have shape (24, 3), expected (n,)"),
    "a column": (changed("targets", lambda a: a[:, None]), "targets have shape (24, 1), expected (n,)"),
    "-1": (changed("targets", lambda a: np.where(a == 1, -1, a)), "the target of row 1 is -1, expected 0 to 2"),
    "300": (changed("targets", lambda a: np.where(a == 1, 300, a)), "the target of row 1 is 300, expected 0 to 2"),
    "from 1": (changed("targets", lambda a: a + 1), "the target of row 2 is 3, expected 0 to 2"),
    "one class": (changed("targets", lambda a: a * 0), "class 'green' has no image"),
    "text ids": (changed("ids", lambda a: a.astype(str)), "ids are of type <U21, expected whole numbers"),
    "float ids": (changed("ids", lambda a: a.astype(float)), "ids are of type float64, expected whole numbers"),
    "ids twice": (changed("ids", lambda a: a // 2), "12 ids are not unique, the first 0"),
    "an id less": (changed("ids", lambda a: a[1:]), "ids have shape (23,), expected (24,)"),
    "a group less": (changed("groups", lambda a: a[1:]), "groups have shape (23,), expected (24,)"),
    "groups of columns": (changed("groups", lambda a: a[:, None]), "groups have shape (24, 1), expected (24,)"),
    "NaN groups": (changed("groups", lambda a: np.where(a == 1, np.nan, a)), "float64, and row 3 has none"),
    "None groups": (changed("groups", lambda a: np.array([None, *a[1:]])), "groups are of type object, expected"),
    "one group": (changed("groups", lambda a: a * 0), "all 24 samples are of one group, 0"),
    "a name less": (given("names", lambda data: data.ids.astype(str)[1:]), "names have shape (23,), expected (24,)"),
    "names by number": (given("names", lambda data: data.ids), "names are of type int64, expected text"),
    "an empty id": (given("test_ids", lambda data: np.array(["", *"bcdef"])), "the id of test image 0 is empty"),
    "ids of columns": (given("test_ids", lambda data: np.zeros((6, 2), int)), "test_ids are of type int64, of shape"),
    "hashes": (given("pictures", lambda data: np.zeros(3, np.uint64)), "pictures are hashes that the toolkit makes"),
}
RIGHT: dict[str, Returned] = {
    "int8 labels": changed("targets", lambda a: a.astype(np.int8)),
    "uint8 labels": changed("targets", lambda a: a.astype(np.uint8)),
    "text groups": changed("groups", lambda a: a.astype(str)),
    "groups as pandas has them": changed("groups", lambda a: a.astype(str).astype(object)),
    "names as pandas has them": given("names", lambda data: data.ids.astype(str).astype(object)),
    "test ids as pandas has them": given("test_ids", lambda data: np.array(list("abcdef"), object)),
    "float16 tests": changed("test_images", lambda a: a.astype(np.float16)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_named_in_one_sentence(name: str, tmp_path: Path) -> None:
    returned, said = WRONG[name]
    with pytest.raises(UserError) as caught:
        load_as(tmp_path, returned)
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "workspace" / "tiny" / "data").exists()


@pytest.mark.parametrize("name", RIGHT)
def test_what_can_be_taken_is_taken(name: str, tmp_path: Path) -> None:
    stored, plain = load_as(tmp_path / "a", RIGHT[name]), load_as(tmp_path / "b", lambda data: data)
    assert (stored.targets == plain.targets).all() and (stored.images == plain.images).all()
    assert len(np.unique(stored.groups)) == len(np.unique(plain.groups))
    for array in (stored.names, stored.test_ids):
        assert array is None or array.dtype.kind == "U"
