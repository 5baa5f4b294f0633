"""Rows of images from memory, from the disk and from files are the same, and hold no memory."""

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import UserError
from toolkit.images.cache import fill
from toolkit.images.files import ImageFiles
from toolkit.images.rows import LEAST, Chosen, Undecoded, picked

IMAGES = np.random.default_rng(0).integers(256, size=(9, 40, 40, 3), dtype=np.uint8)
assert IMAGES[0].nbytes > LEAST > IMAGES[0, :2].nbytes


def stored(folder: Path, array: np.ndarray) -> np.ndarray:
    np.save(folder / "array.npy", array)
    mapped: np.ndarray = np.load(folder / "array.npy", mmap_mode="r")
    return mapped


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {
        "bytes": IMAGES,
        "halves": IMAGES.astype(np.float16),
        "small": IMAGES[:, :2],
        "labels": np.arange(9) * 7,
    }
    return {name: stored(tmp_path_factory.mktemp(name), array) for name, array in arrays.items()}


ROWS = st.lists(st.integers(-9, 8), max_size=12).map(lambda rows: np.array(rows, np.int64))


@settings(max_examples=30)
@given(st.sampled_from(["bytes", "halves", "small", "labels"]), ROWS | st.slices(9))
def test_picked_rows_are_those_of_the_array(
    on_disk: dict[str, np.ndarray], name: str, rows: np.ndarray | slice
) -> None:
    array = on_disk[name]
    found, wanted = picked(array, rows), np.array(array)[rows]
    assert found.shape == wanted.shape and found.dtype == wanted.dtype and (found == wanted).all()
    assert not isinstance(found, np.memmap)
    part = Chosen(array, np.arange(9)[::-1])
    assert (picked(part, rows) == np.array(array)[::-1][rows]).all() and part.shape == array.shape
    assert (part[-1] == array[0]).all() and (np.asarray(part) == array[::-1]).all() and part.dtype == array.dtype


def test_a_disk_is_read_from_front_to_back(on_disk: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    places, read = [], os.preadv

    def reading(file: int, buffers: Any, place: int) -> int:
        places.append(place // IMAGES[0].nbytes)
        return read(file, buffers, place)

    monkeypatch.setattr(os, "preadv", reading)
    assert (picked(on_disk["bytes"], np.array([7, 3, 8, 3, 0])) == IMAGES[[7, 3, 8, 3, 0]]).all()
    assert places == [0, 3, 3, 7, 8]


def test_a_part_of_a_map_is_not_taken_for_the_file(on_disk: dict[str, np.ndarray]) -> None:
    assert (picked(on_disk["bytes"][3:], np.array([0, 2])) == IMAGES[[3, 5]]).all()
    assert (picked(on_disk["bytes"].view(), np.array([4])) == IMAGES[[4]]).all()


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    mapped = stored(tmp_path, IMAGES)
    with open(tmp_path / "array.npy", "r+b") as file:
        file.truncate(1000)
    with pytest.raises(UserError, match=r"array\.npy is cut short"):
        picked(mapped, np.array([8]))


def mapped_bytes() -> int:
    """Of files, in the memory that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssFile")) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells")
def test_rows_that_were_read_hold_no_memory(tmp_path: Path) -> None:
    np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, (1000, 256, 256, 3)).flush()  # takes no disk
    large = np.load(tmp_path / "large.npy", mmap_mode="r")
    before = mapped_bytes()
    for begin in range(0, 1000, 100):
        assert not picked(large, np.arange(begin, begin + 100)).any()
    assert mapped_bytes() - before < 0.1 * large.nbytes


def test_images_that_are_decoded_when_asked_for_are_those_of_the_cache(tmp_path: Path) -> None:
    paths = [tmp_path / f"{row}.png" for row in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        cv2.imwrite(str(path), image)
    files = ImageFiles(paths)
    fill(files, (20, 30, 3), tmp_path / "images.npy")
    cached = np.load(tmp_path / "images.npy")
    live = Undecoded(files, cached.shape, "letterbox", np.array([2]))
    cached[2] = 0
    assert (live[:] == cached).all() and (live[4] == cached[4]).all() and (live[-1] == cached[-1]).all()
    assert (picked(Chosen(live, np.array([7, 2, 5])), np.s_[:2]) == cached[[7, 2]]).all()
    assert (np.asarray(live) == cached).all() and live.nbytes == cached.nbytes and live.dtype == cached.dtype
    with pytest.raises(IndexError):
        live[9]
