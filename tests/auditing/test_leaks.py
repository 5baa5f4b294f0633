"""The leak report: copies divided by a split are found, whatever the cleaning list says."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.auditing.test_duplicates import copy, texture
from toolkit.auditing.findings import find_links
from toolkit.auditing.leaks import closest_pairs, count_divided, picture_of_pairs
from toolkit.data.dataset import Dataset


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Path]:
    """Rows 0 to 19 are different; row 20 is a copy of row 3."""
    images = [texture(seed) for seed in range(20)]
    images.append(copy(images[3], 70, 0.9, True, cv2.BORDER_CONSTANT))
    rows = np.arange(len(images))
    data = Dataset(np.stack(images), rows % 2, rows + 100, rows, np.stack(images)[:0])
    evidence = tmp_path_factory.mktemp("evidence")
    np.save(evidence / "rows.npy", rows)
    find_links(data.images, rows, evidence, jobs=1)
    return data, evidence


def split(**other: int) -> np.ndarray:
    fold = np.arange(21) % 2
    fold[20] = fold[3]
    for row, number in other.items():
        fold[int(row[1:])] = number
    return fold


def test_copies_on_two_sides_are_a_leak(pictures: tuple[Dataset, Path]) -> None:
    data, evidence = pictures
    fold = split(r20=0)
    pairs = closest_pairs(data, fold, evidence)
    assert [(pair.fold, pair.validated, pair.trained_on, pair.leak) for pair in pairs] == [
        (0, 20, 3, True),
        (1, 3, 20, True),
    ]
    assert count_divided(fold, pairs, evidence) == count_divided(fold, [], evidence) == 1


def test_copies_on_one_side_are_none(pictures: tuple[Dataset, Path]) -> None:
    data, evidence = pictures
    pairs = closest_pairs(data, split(), evidence)
    assert len(pairs) == 2 and not any(pair.leak for pair in pairs)
    assert count_divided(split(), pairs, evidence) == 0
    assert picture_of_pairs(data, pairs).shape[2] == 3


def test_a_sample_in_no_fold_can_not_leak(pictures: tuple[Dataset, Path]) -> None:
    data, evidence = pictures
    for left_out in (-1, -2):
        fold = split(r20=left_out)
        assert not any(pair.leak for pair in closest_pairs(data, fold, evidence))
        assert count_divided(fold, [], evidence) == 0


def test_without_an_audit_there_is_no_report(pictures: tuple[Dataset, Path], tmp_path: Path) -> None:
    assert closest_pairs(pictures[0], split(), tmp_path) == []
