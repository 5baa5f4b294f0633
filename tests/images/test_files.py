"""Images in folders: found, named, chosen by the names in a table, and each fault a sentence."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from toolkit.errors import UserError
from toolkit.images.files import ImageFiles, class_folders, image_folder


def drawn(folder: Path, names: Sequence[str]) -> Path:
    """Files, each a picture of one grey: its place in the list."""
    for at, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(cv2.imencode(".png", np.full((4, 5), at, np.uint8))[1].tobytes())
    return folder


def greys(images: ImageFiles) -> list[int]:
    return [int(images.stored(at).mean()) for at in range(len(images))]


def test_a_folder_gives_its_images_in_their_names_order_and_nothing_else(tmp_path: Path) -> None:
    folder = drawn(tmp_path, ["b.png", "a b.jpg", "deeper/ü.PNG", "c"])
    for name in (".hidden.png", "labels.csv", "Thumbs.db", "README.md"):
        (folder / name).write_text("")
    images = image_folder(folder)
    assert images.named(folder).tolist() == ["a b.jpg", "b.png", "c", "deeper/ü.PNG"] and greys(images) == [1, 0, 3, 2]
    assert images.file_names.tolist() == ["a b.jpg", "b.png", "c", "ü.PNG"]
    assert images.stems.tolist() == ["a b", "b", "c", "ü"]
    assert image_folder(folder, "b*.png").named(folder).tolist() == ["b.png"]
    assert image_folder(folder, values=(0, 9)).values == (0, 9)
    for given, said in (
        (folder / "x", "x does not exist: a folder"),
        (folder / "c", "c is a file, expected a folder"),
    ):
        with pytest.raises(UserError, match=said):
            image_folder(given)
    with pytest.raises(UserError, match=r"holds no image called \*\.tif"):
        image_folder(folder, "*.tif")


def test_images_are_chosen_by_what_a_table_calls_them(tmp_path: Path) -> None:
    images = image_folder(drawn(tmp_path, ["cat/1.png", "dog/1.png", "dog/2.v1.png", "007.png"]))
    assert greys(images.chosen(["007", "2.v1", "dog/1"])) == [3, 2, 1]
    assert greys(images.chosen(["cat/1.png", "2.v1.png", "cat/1.png"])) == [0, 2, 0]
    assert len(images.chosen([])) == 0
    with pytest.raises(UserError, match=r"^2 images are called '1'; call them by their folders as well$"):
        images.chosen(["2.v1", "1"])
    with pytest.raises(UserError, match=r"^2 of 3 images are not there: 7, 8\.png \(.* holds 007\.png, …\)$"):
        images.chosen(["007", "7", "8.png"])
    for numbers in (pd.Series([7]), np.array([7])):
        with pytest.raises(UserError, match=r"^the name 7 of an image is a \w+, no text: .*dtype=str"):
            images.chosen(numbers)  # type: ignore[arg-type]


def test_folders_of_classes_give_images_and_labels(tmp_path: Path) -> None:
    folder = drawn(tmp_path / "train", ["cat/1.png", "dog/1.png", "dog/a/2.png"])
    images, labels = class_folders(folder, ("dog", "cat"))
    assert labels.tolist() == [1, 0, 0] and labels.dtype == np.int64 and greys(images) == [0, 1, 2]
    assert images.named(tmp_path).tolist() == ["train/cat/1.png", "train/dog/1.png", "train/dog/a/2.png"]
    for classes, said in (
        (("dog",), r"cat/1.png lies in 'cat', expected dog$"),
        (("cat", "dog", "cow"), r"has no images in a folder 'cow'; it has cat, dog$"),
    ):
        with pytest.raises(UserError, match=said):
            class_folders(folder, classes)
    drawn(folder, ["3.png"])
    with pytest.raises(UserError, match=r"3.png lies in no folder of a class, expected cat, dog$"):
        class_folders(folder, ("cat", "dog"))


def test_what_doesnt_fit_together_is_refused() -> None:
    paths = [Path("a"), Path("b")]
    with pytest.raises(UserError, match="2 paths and 1 rows; need as many"):
        ImageFiles(paths, rows=np.zeros(1, np.int64))
    for values in ((3, 3), (0, np.nan)):
        with pytest.raises(UserError, match="expected two different numbers"):
            ImageFiles(paths, values=values)
    with pytest.raises(UserError, match="differ in values"):
        ImageFiles(paths) + ImageFiles(paths, values=(0, 9))
    joined = ImageFiles(paths) + ImageFiles(paths, rows=np.array([4, 5]))
    assert joined.named(Path()).tolist() == ["a", "b", "a:4", "b:5"]
    images = ImageFiles(paths, rows=np.array([4, 5]), names=np.array(["x", "y"]))
    assert images[np.array([1])].rows == [5] and images[1:].names == ["y"] and images.dtype == np.uint8
    assert ImageFiles(paths, rows=np.array([4, 5])).named(Path()).tolist() == ["a:4", "b:5"]


def test_accents_of_a_table_and_of_a_folder_may_be_coded_otherwise(tmp_path: Path) -> None:
    one, two = "B\u00e4r", "Ba\u0308r"
    for name in (one, two):
        for other in (one, two):
            images = ImageFiles([tmp_path / "a" / f"{name}.png", tmp_path / "b.png"])
            assert images.chosen(["b", f"a/{other}.png", other]).stems.tolist() == ["b", name, name]
    with pytest.raises(UserError, match="1 of 1 images are not there: Bor"):
        images.chosen(["Bor"])
