"""The organisers' files become the arrays on disk once; what can't be read ends in one sentence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from tests import tiny
from toolkit.competition import Competition
from toolkit.data.data_folder import data_hash
from toolkit.data.dataset import Dataset, Samples
from toolkit.data.loading import draw_practice, load
from toolkit.data.masks import mask_files
from toolkit.errors import UserError
from toolkit.images.files import image_folder
from toolkit.metrics.organisers import from_function
from toolkit.progress import SILENT, Progress
from toolkit.store import Workspace
from toolkit.task import Segmentation

FILES = {"mars": "mars_for_students.npz", "blood_cells": "training_set.npz"}
RNG = np.random.default_rng(0)
CELLS = {
    "images": RNG.integers(256, size=(8, 96, 96, 3), dtype=np.uint8),
    "labels": np.arange(8, dtype=np.uint8)[:, None],
}
PAIRS = RNG.integers(256, size=(2, 2, 64, 128)).astype(np.float64)
PAIRS[:, 1] %= 5
GOOD: dict[str, dict[str, np.ndarray]] = {
    "blood_cells": CELLS,
    "mars": {"training_set": PAIRS, "test_set": RNG.integers(256, size=(3, 64, 128)).astype(np.float64)},
}


def write(folder: Path, name: str, **changed: np.ndarray) -> Path:
    folder.mkdir(exist_ok=True)
    np.savez(folder / FILES[name], allow_pickle=False, **(GOOD[name] | changed))
    return folder


def refused(competition: Competition, folder: Path, *parts: str) -> None:
    """Loading `folder` ends in one sentence that holds all of `parts`, and leaves nothing behind."""
    workspace = Workspace(folder.parent / "workspace", competition.name)
    with pytest.raises(UserError) as caught:
        load(competition, workspace, folder)
    message = str(caught.value)
    assert [part for part in parts if part not in message] == [], message
    assert "\n" not in message and not workspace.data.exists()


def test_a_missing_file_is_named_with_its_source_and_what_is_there(competition: Competition, tmp_path: Path) -> None:
    folder, file = tmp_path / "raw", FILES[competition.name]
    asked = (f"put `{file}` (from the ", " page of AN2DL's ", "there, say where it is with --data", "--practice")
    refused(competition, folder, f"there is no folder {folder} yet: ", *asked)
    folder.mkdir()
    (folder / ".DS_Store").write_text("what a file manager leaves")
    refused(competition, folder, f"{folder} is empty: ", *asked)
    (folder / "renamed.npz").write_text("")
    refused(competition, folder, f"{folder / file} does not exist (the folder holds renamed.npz)")


@pytest.mark.parametrize(
    ("name", "key", "changed", "fault"),
    [
        ("blood_cells", "images", CELLS["images"][..., 0], "has shape (8, 96, 96), expected (n, 96, 96, 3)"),
        ("blood_cells", "images", CELLS["images"][:7], "7 images and 8 targets; need"),
        ("blood_cells", "labels", CELLS["labels"] + 1, "label in row 7 has 8, expected values from 0 to 7"),
        ("mars", "training_set", PAIRS[:, 0], "has shape (2, 64, 128), expected (n, 2, 64, 128)"),
        ("mars", "training_set", PAIRS.swapaxes(2, 3), "has shape (2, 2, 128, 64), expected (n, 2, 64, 128)"),
        ("mars", "training_set", PAIRS[:0], "mars_for_students.npz: training_set holds no image"),
        ("mars", "training_set", PAIRS * 2, "expected values from 0 to"),
        ("mars", "test_set", PAIRS[:, :1], "has shape (2, 1, 64, 128), expected (n, 64, 128, 1)"),
    ],
)
def test_bad_arrays_and_those_that_dont_fit_are_refused(
    name: str, key: str, changed: np.ndarray, fault: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    folder = write(tmp_path / "raw", name, **{key: changed})
    refused(request.getfixturevalue(name), folder, f"{folder}", fault)


def test_the_arrays_are_the_organisers_own(mars: Competition, blood_cells: Competition, tmp_path: Path) -> None:
    loaded = tiny.arrays(mars, write(tmp_path / "mars", "mars"))
    assert (loaded.images[..., 0] == PAIRS[:, 0]).all() and (loaded.targets == PAIRS[:, 1]).all()
    assert (loaded.test_images[..., 0] == GOOD["mars"]["test_set"]).all()
    assert loaded.images.dtype == loaded.test_images.dtype == loaded.targets.dtype == np.uint8
    loaded = tiny.arrays(blood_cells, write(tmp_path / "blood_cells", "blood_cells"))
    assert (loaded.images == CELLS["images"]).all() and len(loaded.test_images) == 0
    assert loaded.targets.tolist() == loaded.ids.tolist() == list(range(8)) and loaded.targets.dtype == np.int64


def test_the_same_files_are_loaded_once_and_other_files_refused(competition: Competition, tmp_path: Path) -> None:
    folder = write(tmp_path / "raw", competition.name)
    workspace = Workspace(tmp_path / "workspace", competition.name)
    load(competition, workspace, folder)
    before = (workspace.data / "manifest.json").read_bytes()
    load(competition, workspace, folder)
    (folder / ".DS_Store").write_text("what a file manager leaves")
    load(competition, workspace, folder)
    assert (workspace.data / "manifest.json").read_bytes() == before
    (folder / "deeper").mkdir()
    (folder / "deeper" / "more.txt").write_text("a file that nobody reads")
    load(competition, workspace, folder)
    assert (workspace.data / "manifest.json").read_bytes() == before
    write(folder, competition.name, **{name: array[::-1] for name, array in GOOD[competition.name].items()})
    with pytest.raises(UserError, match=r"made from other files than those in .* \(1 changed: "):
        load(competition, workspace, folder)


def test_a_competition_that_reads_otherwise_is_refused_and_one_that_only_says_it_otherwise_is_not(
    mars: Competition, tmp_path: Path
) -> None:
    raw, workspace = write(tmp_path / "raw", "mars"), Workspace(tmp_path, "mars")

    def load_otherwise(folder: Path) -> Dataset:
        found = tiny.arrays(mars, folder)
        return replace(found, targets=found.targets[::-1])

    load(mars, workspace, raw)
    before = data_hash(workspace.data)
    load(replace(mars, load=lambda folder: tiny.arrays(mars, folder)), workspace, raw)
    assert data_hash(workspace.data) == before
    other = Segmentation(mars.task.classes[::-1], mars.task.image_shape)
    turned = replace(mars, task=other, load=load_otherwise)
    with pytest.raises(UserError, match="mars reads the files otherwise than when"):
        load(turned, workspace, raw)
    assert data_hash(workspace.data) == before


def test_practice_data_are_drawn_once(mars: Competition, tmp_path: Path) -> None:
    workspace, drawn = Workspace(tmp_path, "mars"), []

    class Listening(Progress):
        def say(self, text: str) -> None:
            drawn.append(text)

    folders = [draw_practice(mars, workspace, 0, 24, Listening()) for _ in range(2)]
    assert folders == [workspace.practice / "raw"] * 2 and (folders[0] / FILES["mars"]).exists()
    assert drawn == [f"made synthetic practice data in {workspace.practice}"]


def test_a_load_that_fails_is_named_with_its_line(mars: Competition, tmp_path: Path) -> None:
    def of_the_wrong_column(folder: Path) -> Dataset:
        raise KeyError("level")

    wrong = replace(mars, load=of_the_wrong_column)
    refused(wrong, write(tmp_path / "raw", "mars"), "can't load", "test_loading.py, line ", ": KeyError: 'level'")


def test_arrays_where_files_belong_are_told_the_way_on(mars: Competition, tmp_path: Path) -> None:
    arrays: Any = np.zeros((3, 64, 128, 1), np.uint8)
    wrong = replace(mars, load=lambda folder: Samples(arrays, np.zeros((3, 64, 128), np.uint8)))
    refused(wrong, write(tmp_path / "raw", "mars"), "returns arrays as Dataset(…), not as Samples")


def test_an_organisers_function_that_fails_is_found_when_the_files_are_read(
    blood_cells: Competition, tmp_path: Path
) -> None:
    def score(truth: np.ndarray, prediction: np.ndarray) -> float:
        raise KeyError("label")

    wrong = replace(blood_cells, metric=from_function(score, needs="labels", lower_is_better=False))
    refused(
        wrong,
        write(tmp_path / "raw", "blood_cells"),
        "the metric's function",
        "test_loading.py, line",
        "in score: KeyError: 'label'",
    )


def test_images_of_other_channels_are_refused_before_anything_is_made_of_them(
    blood_cells: Competition, tmp_path: Path
) -> None:
    def load_otherwise(folder: Path) -> Dataset:
        found = tiny.arrays(blood_cells, folder)
        return replace(found, images=found.images.repeat(2, 3))

    raw = write(tmp_path / "raw", "blood_cells")
    refused(
        replace(blood_cells, load=load_otherwise),
        raw,
        "raw: images have shape (8, 96, 96, 6), expected (n, 96, 96, 3)",
    )


def test_code_is_given_bytes(blood_cells: Competition, tmp_path: Path) -> None:
    def load_otherwise(folder: Path) -> Dataset:
        found = tiny.arrays(blood_cells, folder)
        half = [images.astype(np.float16) for images in (found.images, found.test_images)]
        return replace(found, images=half[0], test_images=half[1])

    raw = write(tmp_path / "raw", "blood_cells")
    refused(replace(blood_cells, load=load_otherwise), raw, "images are float16", "a code submission is given what")


def test_practice_data_of_another_size_are_not_passed_off_as_these(mars: Competition, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "mars-practice")
    for size in (24, 24, None):
        draw_practice(mars, workspace, 0, size, SILENT)
    with pytest.raises(UserError, match="was made with --practice-size 24; leave 48 out, choose another"):
        draw_practice(mars, workspace, 0, 48, SILENT)


def test_pictures_that_a_tag_turns_are_told_where_they_have_masks(mars: Competition, tmp_path: Path) -> None:
    raw, heard = tmp_path / "raw", tiny.Heard()
    raw.mkdir()
    task = mars.task
    assert isinstance(task, Segmentation)
    size = task.image_shape[1], task.image_shape[0]
    tag = Image.Exif()
    tag[ExifTags.Base.Orientation] = 3
    for row in range(5):
        Image.new("L", size, 40 * row).save(raw / f"{row}.jpg", exif=tag)
        Image.new("L", size, row).save(raw / f"{row}.png")

    def read(folder: Path) -> Samples:
        images = image_folder(folder, "*.jpg")
        return Samples(images, mask_files(sorted(folder.glob("*.png")), task).fitted(task.image_shape))

    load(replace(mars, load=read), Workspace(tmp_path / "work", "mars"), raw, heard)
    assert "5 of 5 pictures that were looked at have an EXIF tag, by which they are turned" in str(heard)
