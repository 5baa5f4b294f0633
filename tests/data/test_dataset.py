"""Arrays are checked, and the same from disk, memory-mapped."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from toolkit.data.data_folder import data_hash, open_dataset, save_dataset
from toolkit.data.dataset import ARRAYS, Dataset, check_dataset, check_images, hash_sample, relabel
from toolkit.data.masks import Masks
from toolkit.data.targets import class_counts
from toolkit.errors import UserError
from toolkit.images.files import ImageFiles
from toolkit.probabilities import CHUNK
from toolkit.task import Classification, Segmentation

LABELS = Classification(("a", "b", "c"), (2, 2, 1))
MASKS = Segmentation(("a", "b", "c"), (2, 2, 1))
ROWS = np.arange(6)
IMAGES = np.arange(24, dtype=np.uint8).reshape(6, 2, 2, 1)
LABELLED = Dataset(IMAGES, ROWS % 3, ROWS, ROWS // 2, IMAGES[:2])
MASKED = replace(LABELLED, targets=IMAGES[..., 0] % 3)


def test_good_data_pass_the_check() -> None:
    check_dataset(LABELLED, LABELS, "there")
    check_dataset(MASKED, MASKS, "there")


def test_as_many_targets_as_images_and_some_of_each_class_are_needed() -> None:
    with pytest.raises(UserError, match=r"^there has 5 images and 6 targets; need as many"):
        check_dataset(replace(LABELLED, images=IMAGES[:5]), LABELS, "there")
    with pytest.raises(UserError, match=r"^there: class 'c' has no image"):
        check_dataset(replace(LABELLED, targets=ROWS % 2), LABELS, "there")
    with pytest.raises(UserError, match=r"^there: class 'b' has no pixel"):
        check_dataset(replace(MASKED, targets=MASKED.targets // 2 * 2), MASKS, "there")


def test_images_are_bytes_or_floats_of_the_size_that_the_task_says() -> None:
    for images in (IMAGES, IMAGES.astype(np.float16), IMAGES[:0]):
        check_images(images, (2, 2, 1), "there: images")
    nan = IMAGES.astype(np.float16)
    nan[3, 1, 1] = np.nan
    refused: list[tuple[np.ndarray, str]] = [
        (IMAGES[..., 0], r"^there: images have shape \(6, 2, 2\), expected \(n, 2, 2, 1\) as the task says"),
        (IMAGES.repeat(6, 3), r"have shape \(6, 2, 2, 6\), expected"),
        (IMAGES.astype(np.uint16), r"are of type uint16, expected uint8, or float16 on the scale 0..255"),
        (IMAGES.astype(np.float32), r"are of type float32, expected"),
        (nan, r"image 3 has values from nan to nan, expected the scale 0..255"),
        (20 * IMAGES.astype(np.float16), r"image 3 has values from 240 to 300, expected the scale 0..255"),
        (IMAGES.astype(np.float16) - 1, r"image 0 has values from -1 to 2, expected the scale 0..255"),
        (IMAGES.astype(np.float16) / 255, r"no value is above 1, expected the scale 0..255; multiply by 255"),
    ]
    for images, said in refused:
        with pytest.raises(UserError, match=said):
            check_images(images, (2, 2, 1), "there: images")


def test_test_images_are_told_apart_by_their_ids() -> None:
    check_dataset(replace(LABELLED, test_ids=np.array(["a.png", "b.png"])), LABELS, "there")
    for ids, said in (
        (["a"], "has 2 test images and 1 ids; need as many"),
        (["a", "a"], "two test images have the same id"),
        ([0.5, 1.5], "test_ids are of type float64, expected text or whole numbers"),
    ):
        with pytest.raises(UserError, match=said):
            check_dataset(replace(LABELLED, test_ids=np.array(ids)), LABELS, "there")


def test_ids_are_kept_and_are_part_of_the_hash(tmp_path: Path) -> None:
    named = replace(LABELLED, test_ids=np.array(["a.png", "bc.png"]))
    for folder, dataset in (("named", named), ("plain", LABELLED)):
        save_dataset(dataset, tmp_path / folder, "")
    kept = open_dataset(tmp_path / "named").test_ids
    assert kept is not None and list(kept) == ["a.png", "bc.png"]
    assert open_dataset(tmp_path / "plain").test_ids is None
    assert data_hash(tmp_path / "named") != data_hash(tmp_path / "plain")


def test_classes_are_counted_in_images_or_in_pixels() -> None:
    assert class_counts(np.array([0, 2, 2]), LABELS).tolist() == [1, 0, 2]
    masks = np.zeros((CHUNK + 1, 2, 2), np.uint8)
    masks[CHUNK, 0] = 2
    assert class_counts(masks, MASKS).tolist() == [4 * CHUNK + 2, 0, 2]


def test_relabelling_leaves_the_given_targets_alone() -> None:
    targets = np.zeros(5, np.int64)
    assert relabel(targets, np.array([[1, 2], [4, 1]])).tolist() == [0, 2, 0, 0, 1]
    assert not targets.any() and relabel(targets, np.zeros((0, 2), np.int64)) is targets


def test_a_sample_is_named_by_its_pixels_alone() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    assert hash_sample(image) == hash_sample(image[::-1][::-1]) != hash_sample(image + 1)


@pytest.mark.parametrize("dataset", [LABELLED, MASKED], ids=["labels", "masks"])
def test_saved_arrays_come_back_memory_mapped_and_read_only(dataset: Dataset, tmp_path: Path) -> None:
    save_dataset(dataset, tmp_path / "data", "abc")
    opened = open_dataset(tmp_path / "data")
    for field in ARRAYS:
        array, saved = getattr(opened, field), getattr(dataset, field)
        assert isinstance(array, np.memmap) and not array.flags.writeable
        assert array.dtype == saved.dtype and array.shape == saved.shape and (array == saved).all()


def test_data_that_are_missing_or_damaged_are_a_clear_error(tmp_path: Path) -> None:
    for reader in (open_dataset, data_hash):
        with pytest.raises(UserError, match="there is no data in"):
            reader(tmp_path / "data")
    save_dataset(LABELLED, tmp_path / "data", "abc")
    images = tmp_path / "data" / "images.npy"
    images.write_bytes(images.read_bytes()[:140])
    with pytest.raises(UserError, match=r"images\.npy is damaged: .*; remove"):
        open_dataset(tmp_path / "data")
    images.unlink()
    with pytest.raises(UserError, match=r"images\.npy is gone; remove"):
        open_dataset(tmp_path / "data")


@pytest.mark.parametrize("field", ARRAYS)
def test_one_changed_value_changes_the_hash_of_the_data(field: str, tmp_path: Path) -> None:
    changed = getattr(LABELLED, field).copy()
    changed.flat[-1] ^= 1
    other: Dataset = replace(LABELLED, **{field: changed})
    for folder, which in (("a", LABELLED), ("b", LABELLED), ("c", other)):
        save_dataset(which, tmp_path / folder, "abc")
    a, b, c = (data_hash(tmp_path / folder) for folder in "abc")
    assert a == b != c


@pytest.mark.parametrize("kind", [list, pd.Series])
def test_what_is_no_array_is_named(kind: Callable[..., Any]) -> None:
    with pytest.raises(UserError, match=r"^there: targets are of type \w+, expected a numpy array"):
        check_dataset(replace(LABELLED, targets=kind(LABELLED.targets)), LABELS, "there")


def test_masks_and_files_that_are_no_arrays_yet_are_told_the_way_on() -> None:
    masks: Any = Masks(6, lambda row: np.zeros((5, 7), np.uint8))
    images: Any = ImageFiles([])
    with pytest.raises(UserError, match=r"^there: targets are of type Masks, .*: masks\.fitted\(TASK\.image_shape\)"):
        check_dataset(replace(MASKED, targets=masks), MASKS, "there")
    with pytest.raises(UserError, match=r"^there: images are of type ImageFiles, .*as Samples\(…\)"):
        check_dataset(replace(MASKED, images=images), MASKS, "there")
