"""Relatives of test images: exact copies, copies and neighbouring tiles are found, and only those."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tests.auditing.test_duplicates import copy, texture
from tests.auditing.test_tiles import tiles
from tests.conftest import RGB
from toolkit.auditing.relatives import COLUMNS, find_relatives
from toolkit.data.dataset import Dataset
from toolkit.images.pictures import READ


def data(images: np.ndarray, test_images: np.ndarray) -> Dataset:
    rows = np.arange(len(images))
    return Dataset(images, rows % 2, rows + 100, rows, test_images)


def test_copies_are_found_whole_or_turned_and_test_images_that_are_equal_share_them(tmp_path: Path) -> None:
    images = np.stack([texture(seed) for seed in range(24)])
    turned = copy(images[5], 70, 0.9, True, cv2.BORDER_CONSTANT)
    tests = np.stack([images[3], turned, texture(99), turned])
    found = find_relatives(data(images, tests), np.arange(24), tmp_path, 1, RGB)
    assert list(found.columns) == list(COLUMNS)
    assert found[["test", "train", "kind"]].to_numpy().tolist() == [[0, 3, "exact"], [1, 5, "copy"], [3, 5, "copy"]]
    assert found["similarity"].between(0.2, 1).all()


def test_a_killed_audit_goes_on_and_finds_the_same(tmp_path: Path) -> None:
    images = np.stack([texture(seed) for seed in range(24)])
    tests = np.stack([copy(images[seed], 30, 1.1, False, cv2.BORDER_REFLECT_101) for seed in range(4)])
    found = find_relatives(data(images, tests), np.arange(24), tmp_path, 1, RGB)
    made = (tmp_path / "test_keypoints" / "points.npy").stat().st_mtime_ns
    for name in ("relatives.parquet", "test_vectors.npy"):
        (tmp_path / name).unlink()
    again = find_relatives(data(images, tests), np.arange(24), tmp_path, 1, RGB)
    assert len(found) == 4 and again.equals(found)
    assert (tmp_path / "test_keypoints" / "points.npy").stat().st_mtime_ns == made


def test_one_line_says_enough_of_an_intruder(tmp_path: Path) -> None:
    images = np.stack([*[texture(0)] * 9, texture(1), texture(2), texture(2)])
    found = find_relatives(data(images, images[[0, 10]]), np.array([9, 10]), tmp_path, 1, RGB)
    assert found[["test", "train"]].to_numpy().tolist() == [[0, 0], [1, 10], [1, 11]]


def test_a_tile_is_related_to_the_training_tile_that_it_continues(tmp_path: Path) -> None:
    images, place = tiles(8)
    known = 124  # the others are so few that fewer than 50 seams a side can be found
    found = find_relatives(data(images[:known], images[known:]), np.arange(known), tmp_path, 1, ())
    seams = found[found["kind"] != "copy"]
    step = {"right": (0, 1), "left": (0, -1), "bottom": (1, 0), "top": (-1, 0)}
    right = 0
    for test, train, kind in seams[["test", "train", "kind"]].to_numpy().tolist():
        (scene, row, column), (down, across) = place[train], step[kind]
        right += place[known + test] == (scene, row + down, column + across)
    assert set(seams["kind"]) == set(step) and right >= 0.97 * len(seams)
    assert seams["test"].nunique() > 0.6 * (len(images) - known)


def test_pictures_without_keypoints_and_few_of_them_are_no_trouble(tmp_path: Path) -> None:
    flat = np.full((3, 32, 32, 1), 90, np.uint8)
    assert find_relatives(data(flat + 1, flat), np.arange(3), tmp_path / "flat", 1, ()).empty
    assert len(find_relatives(data(flat, flat), np.arange(0), tmp_path / "none", 1, ())) == 9


def test_what_cannot_be_read_has_no_relatives(tmp_path: Path) -> None:
    images, tests = np.stack([texture(0), np.zeros((96, 96, 3), np.uint8)]), np.zeros((2, 96, 96, 3), np.uint8)
    marks = np.array([READ + 1, 0], np.uint64), np.zeros(2, np.uint64)
    unread = replace(data(images, tests), pictures=marks[0], test_pictures=marks[1])
    assert find_relatives(unread, np.arange(1), tmp_path, 1, RGB).empty
