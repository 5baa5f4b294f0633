"""Neighbouring tiles are found by their edges; in pictures that are no tiles, nothing is."""

import cv2
import numpy as np

from toolkit.auditing.tiles import find_seams

ROWS, COLUMNS = 3, 6


def panorama(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    noise = sum(
        cv2.resize(rng.normal(size=(192 // s, 384 // s)).astype(np.float32), (384, 192), interpolation=cv2.INTER_CUBIC)
        for s in (4, 12, 40)
    )
    return np.clip(128 + 30 * noise, 10, 250).astype(np.uint8)


def tiles(number: int) -> tuple[np.ndarray, dict[int, tuple[int, int, int]]]:
    """Tiles (N, 64, 64, 1) of some panoramas in random order, and where each comes from."""
    order = np.random.default_rng(0).permutation(number * ROWS * COLUMNS)
    pictures, place = [], {}
    for at, source in enumerate(order):
        scene, cell = divmod(int(source), ROWS * COLUMNS)
        row, column = divmod(cell, COLUMNS)
        pictures.append(panorama(scene)[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64])
        place[at] = (scene, row, column)
    return np.stack(pictures)[..., None], place


def test_neighbours_are_found_on_the_right_side() -> None:
    images, place = tiles(8)
    seams = find_seams(images)
    right = 0
    for seam in seams:
        scene, row, column = place[seam.left]
        expected = (scene, row, column + 1) if seam.side == "right" else (scene, row + 1, column)
        right += place[seam.right] == expected
    possible = 8 * (ROWS * (COLUMNS - 1) + (ROWS - 1) * COLUMNS)
    assert right >= 0.98 * len(seams) and right > 0.8 * possible


def test_neighbours_across_two_sets_are_found_and_separate_panoramas_have_none() -> None:
    images, place = tiles(8)
    seams = find_seams(images[:100], images[100:])
    assert len(seams) > 30 and all(seam.left < 100 <= seam.right or seam.right < 100 <= seam.left for seam in seams)
    assert sum(place[seam.left][0] == place[seam.right][0] for seam in seams) >= 0.98 * len(seams)
    scenes = np.array([place[row][0] for row in range(len(images))])
    assert find_seams(images[scenes < 4], images[scenes >= 4]) == []


def test_separate_pictures_have_no_neighbours() -> None:
    images = np.stack([panorama(seed)[:64, :64] for seed in range(60)])[..., None]
    assert find_seams(images) == []


def test_black_borders_and_flat_edges_continue_nowhere() -> None:
    images, _ = tiles(8)
    images[:, :, :2] = images[:, :, -2:] = 0
    images[:, :2] = images[:, -2:] = 77
    assert find_seams(images) == []


def test_few_or_tiny_sets_are_no_trouble() -> None:
    for number in (1, 2, 3):
        assert find_seams(np.zeros((number, 8, 8, 3), np.uint8)) == []
        assert find_seams(np.random.default_rng(0).integers(0, 255, (number, 8, 8, 3)).astype(np.uint8)) == []
