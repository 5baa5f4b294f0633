"""The map: who is on it, that it is kept, and that those who look alike lie together."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.auditing.appearance import gradient_histograms
from toolkit.auditing.picture_map import LEAST, on_a_plane, picture_map

ALL = np.arange(60)
NONE = np.zeros((0, 32, 32, 1), np.uint8)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    """30 pictures of upright and 30 of level stripes."""
    rng = np.random.default_rng(0)
    stripes = np.where(np.arange(32) // 4 % 2, 200, 50) + rng.normal(0, 9, (60, 32, 32))
    stripes[30:] = stripes[30:].transpose(0, 2, 1)
    return stripes.clip(0, 255).astype(np.uint8)[..., None]


def test_those_that_look_alike_lie_together_and_the_map_is_kept(images: np.ndarray, tmp_path: Path) -> None:
    distinct = np.arange(4, 60)  # the others are repeated, and on the map all the same
    np.save(tmp_path / "appearance.npy", gradient_histograms(images[distinct]))
    made = picture_map(images, images[:12], distinct, ALL, np.array([2, 1]), tmp_path, True)
    assert made is not None and made.points.shape == (72, 2) and made.seen == "edges and grey values"
    upright = np.r_[np.arange(60) < 30, np.ones(12, bool)]
    one, other = made.points[upright], made.points[~upright]
    between = float(np.linalg.norm(one.mean(0) - other.mean(0)))
    assert between > 2 * max(one.std(0).max(), other.std(0).max())
    (tmp_path / "appearance.npy").unlink()
    again = picture_map(images, images[:12], distinct, ALL, np.array([2, 1]), tmp_path, True)
    assert again is not None
    assert np.array_equal(again.points, made.points)


def test_marked_pictures_are_on_it_whatever_is_drawn(
    images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.auditing.picture_map.TRAIN", 20)
    made = picture_map(images, NONE, np.arange(0), ALL, np.array([59, 58, 58]), tmp_path, False)
    assert made is not None and len(made.rows) == 20 and {58, 59} <= set(made.rows.tolist())


def test_few_or_equal_pictures_are_no_fault(images: np.ndarray, tmp_path: Path) -> None:
    few = images[: LEAST - 1]
    assert picture_map(few, NONE, np.arange(0), np.arange(len(few)), np.arange(0), tmp_path, False) is None
    assert np.array_equal(on_a_plane(np.ones((12, 5), np.float32)), np.zeros((12, 2)))
