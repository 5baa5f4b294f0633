"""The leak report: copies divided by a split are found, whatever the cleaning list says."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.auditing.test_duplicates import copy, texture
from toolkit.auditing.findings import find_links
from toolkit.auditing.leaks import Divided, closest_pairs, count_divided, picture_of_pairs
from toolkit.data.balance import HELD_OUT
from toolkit.data.dataset import Dataset
from toolkit.data.folds import ALWAYS, LEFT_OUT

TRAINED = np.ones(21, bool)


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
    pairs = closest_pairs(data, fold, TRAINED, evidence)
    assert [(pair.fold, pair.validated, pair.trained_on, pair.leak) for pair in pairs] == [
        (0, 20, 3, True),
        (1, 3, 20, True),
    ]
    assert count_divided(fold, TRAINED, pairs, evidence) == count_divided(fold, TRAINED, [], evidence) == Divided(1)


def test_copies_on_one_side_are_none(pictures: tuple[Dataset, Path]) -> None:
    data, evidence = pictures
    pairs = closest_pairs(data, split(), TRAINED, evidence)
    assert len(pairs) == 2 and not any(pair.leak for pair in pairs)
    assert count_divided(split(), TRAINED, pairs, evidence).total == 0
    assert picture_of_pairs(data, pairs).shape[2] == 3


def test_a_sample_that_is_left_out_can_not_leak(pictures: tuple[Dataset, Path]) -> None:
    data, evidence = pictures
    fold = split(r20=LEFT_OUT)
    assert not any(pair.leak for pair in closest_pairs(data, fold, TRAINED, evidence))
    assert count_divided(fold, TRAINED, [], evidence).total == 0


@pytest.mark.parametrize(
    ("sides", "leaks", "divided"),
    [
        ({"r3": HELD_OUT}, [(HELD_OUT, 3, 20)], Divided(held_out=1)),
        ({"r20": HELD_OUT, "r3": ALWAYS}, [(HELD_OUT, 20, 3)], Divided(held_out=1)),
        ({"r3": ALWAYS}, [(1, 20, 3)], Divided(always=1)),
        ({"r20": HELD_OUT, "r3": HELD_OUT}, [], Divided()),
        ({"r20": ALWAYS, "r3": ALWAYS}, [], Divided()),
        ({"r20": HELD_OUT, "r3": LEFT_OUT}, [], Divided()),
    ],
)
def test_what_is_held_out_or_always_trained_on_leaks_too(
    sides: dict[str, int], leaks: list[tuple[int, int, int]], divided: Divided, pictures: tuple[Dataset, Path]
) -> None:
    data, evidence = pictures
    fold = split(**sides)
    pairs = closest_pairs(data, fold, TRAINED, evidence)
    assert [(pair.fold, pair.validated, pair.trained_on) for pair in pairs if pair.leak] == leaks
    assert count_divided(fold, TRAINED, pairs, evidence) == divided == count_divided(fold, TRAINED, [], evidence)
    assert {pair.part for pair in pairs} == {"fold 0", "fold 1"} | ({"holdout"} if HELD_OUT in fold else set())


def test_what_is_only_scored_teaches_nothing(pictures: tuple[Dataset, Path]) -> None:
    data, evidence = pictures
    fold, trained = split(r20=0), TRAINED.copy()
    trained[20] = False
    pairs = closest_pairs(data, fold, trained, evidence)
    assert [(pair.validated, pair.trained_on) for pair in pairs if pair.leak] == [(20, 3)]
    assert count_divided(fold, trained, pairs, evidence) == Divided(1)
    trained[3] = False
    assert not any(pair.leak for pair in closest_pairs(data, fold, trained, evidence))
    assert count_divided(fold, trained, [], evidence) == Divided()


def test_without_an_audit_there_is_no_report(pictures: tuple[Dataset, Path], tmp_path: Path) -> None:
    assert closest_pairs(pictures[0], split(), TRAINED, tmp_path) == []
