"""Targets of every kind of task: faults are one sentence, and folds keep even what they hold."""

from dataclasses import dataclass

import numpy as np
import pytest

from toolkit import Classification, Grades, Heads, Labels, Numbers, OverlappingMasks, Segmentation, UserError
from toolkit.data.targets import BINS, check_targets, class_counts, describe, holds, names_of
from toolkit.task import IGNORED, Task

SHAPE = (2, 2, 1)
NAN = np.nan


@dataclass(frozen=True)
class Case:
    task: Task
    good: np.ndarray
    counts: list[int]
    described: list[list[int]]


MASKS = np.zeros((3, 2, 2), np.uint8)
MASKS[0], MASKS[1, 0], MASKS[2] = 3, 2, IGNORED
CASES = {
    "classes": Case(Classification(("a", "b"), SHAPE), np.array([0, 1, 1]), [1, 2], [[1, 0], [0, 1], [0, 1]]),
    "identities": Case(
        Classification(("a", "b"), SHAPE, "new"), np.array([0, 1, -1]), [1, 1], [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    ),
    "grades": Case(Grades(("a", "b"), SHAPE), np.array([0, 1, 1]), [1, 2], [[1, 0], [0, 1], [0, 1]]),
    "labels": Case(
        Labels(("a", "b"), SHAPE),
        np.array([[0, 1], [1, -1], [0, 0]], np.int8),
        [1, 1],
        [[0, 1, 0], [1, 0, 1], [0, 0, 0]],
    ),
    "heads": Case(
        Heads((("x", ("a", "b")), ("y", ("c", "d"))), SHAPE),
        np.array([[0, 1], [1, -1], [1, 0]]),
        [1, 2, 1, 1],
        [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1], [0, 1, 1, 0, 0]],
    ),
    "overlapping": Case(
        OverlappingMasks(("a", "b"), SHAPE), MASKS, [4, 6], [[1, 1, 4, 4], [0, 1, 0, 2], [0, 0, 0, 0]]
    ),
}
NUMBERS = Numbers(("speed",), SHAPE, low=0)


@pytest.mark.parametrize("name", CASES)
def test_good_targets_are_counted_and_described(name: str) -> None:
    case = CASES[name]
    check_targets(case.good, case.task, "there", np.arange(3))
    assert class_counts(case.good, case.task).tolist() == case.counts
    assert describe(case.good, case.task).tolist() == case.described
    held = holds(case.good, case.task)
    assert held.shape[1] == len(names_of(case.task))
    assert held.tolist() == (describe(case.good, case.task)[:, : held.shape[1]] > 0).tolist()


def test_numbers_are_kept_even_by_their_quantiles() -> None:
    values = np.array([[10.0], [1], [NAN], [7], [3], [100]], np.float32)
    check_targets(values, NUMBERS, "there", np.arange(6))
    assert class_counts(values, NUMBERS).tolist() == [5]
    found = describe(values, NUMBERS)
    assert found.shape == (6, BINS + 1) and found[2].tolist() == [0] * BINS + [1]
    assert found[:, :BINS].argmax(1)[[1, 4, 3, 0, 5]].tolist() == list(range(BINS))
    assert names_of(NUMBERS)[0] == "speed, fifth 1"


def test_of_many_classes_some_may_lack_images() -> None:
    task = Classification(tuple(map(str, range(21))), SHAPE)
    check_targets(np.array([20, 3, 3]), task, "there", np.arange(3))
    with pytest.raises(UserError, match="class '0' has no image"):
        check_targets(np.array([3, 3, 3]), task, "there", np.arange(3))
    heads = Heads((("many", task.classes), ("few", ("a", "b"))), SHAPE)
    check_targets(np.array([[20, 0], [3, 1], [3, 1]]), heads, "there", np.arange(3))
    with pytest.raises(UserError, match="class 'few b' has no image"):
        check_targets(np.array([[20, 0], [3, 0], [3, 0]]), heads, "there", np.arange(3))


@pytest.mark.parametrize(
    ("task", "targets", "said"),
    [
        (CASES["classes"].task, np.array([0, 1, 2]), "the target of row 12 is 2, expected 0 to 1"),
        (CASES["classes"].task, np.array([0, 1, -1]), "the target of row 12 is -1, expected 0 to 1"),
        (CASES["identities"].task, np.array([0, 1, -2]), "row 12 is -2, expected 0 to 1, or -1 for 'new'"),
        (CASES["classes"].task, np.array([0, NAN, 1]), "type float64, as row 1 is NaN, expected whole numbers"),
        (CASES["grades"].task, np.array([0, 0, 0]), "grade 'b' has no image; every grade needs some"),
        (CASES["labels"].task, np.array([[0, 1], [1, 3], [0, 0]], np.int8), "of 'b', row 11 is 3, expected 0, 1, or"),
        (CASES["labels"].task, np.array([[0, 1], [0, 0]], np.int8), "label 'a' has no image"),
        (CASES["labels"].task, np.array([[1, 1], [0, 1]], np.int8), "label 'b' is never 0"),
        (CASES["labels"].task, np.array([[1, 1], [0, NAN]]), "type float64, as row 1, column 1 is NaN"),
        (CASES["labels"].task, np.zeros((3, 4), np.int8), r"shape \(3, 4\), expected \(n, 2\)"),
        (CASES["heads"].task, np.array([[0, 1], [1, 2]]), "of 'y', row 11 is 2, expected a class from 0 to 1"),
        (CASES["heads"].task, np.array([[0, 1], [1, 1]]), "class 'y c' has no image"),
        (CASES["overlapping"].task, MASKS + 1, "of pixel 0, 0, row 10 is 4, expected 0 to 3, or 255"),
        (CASES["overlapping"].task, MASKS & 2, "label 'a' has no pixel"),
        (CASES["overlapping"].task, MASKS.astype(int), "type int64, expected masks of type uint8"),
        (Segmentation(("a", "b"), SHAPE), MASKS, "of pixel 0, 0, row 10 is 3, expected 0 to 1"),
        (NUMBERS, np.array([[1], [-2]], np.float32), "of 'speed', row 11 is -2, expected a number from 0 to inf"),
        (NUMBERS, np.array([[1], [np.inf]], np.float32), "of 'speed', row 11 is inf, expected a number"),
        (NUMBERS, np.array([[1], [1], [NAN]], np.float32), "number 'speed' is always 1; there is nothing to be"),
        (NUMBERS, np.array([[NAN], [NAN]], np.float32), "number 'speed' has no value"),
        (NUMBERS, np.array([1.0, 2], np.float32), r"shape \(2,\), expected \(n, 1\)"),
    ],
)
def test_what_cannot_be_learnt_from_is_one_sentence(task: Task, targets: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        check_targets(targets, task, "there", 10 + np.arange(len(targets)))
    assert str(caught.value).startswith("there: ") and "\n" not in str(caught.value)
