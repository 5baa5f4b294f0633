"""Organisers' functions become metrics as they are; what goes wrong in them is one sentence."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from tests.metrics.cases import CLASSES, GRADES, HEADS, LABELS, MASKS, NUMBERS, PEOPLE, PIXELS, TWO
from toolkit.errors import UserError
from toolkit.metrics.frames import frame_of
from toolkit.metrics.metric import Needs, metric_of, score
from toolkit.metrics.organisers import from_function, from_grade, from_score, repeated
from toolkit.metrics.ranks import RocAuc
from toolkit.scoring.bootstrap import score_interval
from toolkit.scoring.comparison import compare
from toolkit.task import MISSING, UNKNOWN, Task


def kaggle(solution: pd.DataFrame, submission: pd.DataFrame, row_id_column_name: str) -> float:
    """A mean of columns' AUC, as Kaggle publishes such."""
    del solution[row_id_column_name]
    del submission[row_id_column_name]
    if solution.isna().any(axis=None):
        raise ValueError("the solution\nhas gaps")
    return float(np.mean([roc_auc_score(solution[name], submission[name]) for name in solution]))


def grade(submission: pd.DataFrame, answers: pd.DataFrame) -> float:
    merged = answers.merge(submission, on="id", suffixes=("_true", "_said"))
    return float((merged["label_true"] == merged["label_said"]).mean())


def weighted(truth: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None = None) -> float:
    return float(np.average(truth == prediction, weights=weight))


def plain(truth: np.ndarray, prediction: np.ndarray) -> float:
    return float((truth == prediction).mean())


def labels(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = (rng.random((n, 3)) < 0.5).astype(np.int8)
    return truth, (truth * 0.3 + rng.random((n, 3))).astype(np.float32)


def test_kaggle_s_score_is_taken_as_it_is() -> None:
    metric = from_score(kaggle, "image", needs="values", lower_is_better=False, high=1)
    assert (metric.name, metric.sign, metric.needs, metric.high) == ("kaggle", 1, "values", 1)
    assert score(metric, LABELS, *labels()) == pytest.approx(score(RocAuc(), LABELS, *labels()))
    times = np.random.default_rng(1).integers(0, 3, 40).astype(float)
    ours = score(RocAuc(), LABELS, *labels(), weight=times)
    assert score(metric, LABELS, *labels(), weight=times) == pytest.approx(ours)


def test_grade_is_taken_as_it_is() -> None:
    metric = from_grade(grade, needs="labels", lower_is_better=False)
    assert score(metric, CLASSES, np.array([0, 1, 2, 3]), np.array([0, 1, 3, 3])) == 0.75


def test_a_function_with_weights_is_given_them_and_one_without_repeated_rows() -> None:
    truth, said, weight = np.array([0, 1, 2]), np.array([0, 1, 1]), np.array([0.5, 0.25, 1.25])
    knows = from_function(weighted, needs="labels", lower_is_better=False)
    assert score(knows, CLASSES, truth, said, weight) == pytest.approx(0.375)
    does_not = from_function(plain, needs="labels", lower_is_better=False)
    assert score(does_not, CLASSES, truth, said, np.array([1.0, 2, 3])) == 0.5
    many = np.repeat(weight, 1000)
    found = score(does_not, CLASSES, np.repeat(truth, 1000), np.repeat(said, 1000), many)
    assert found == pytest.approx(0.375, abs=1e-3)


def test_rows_are_repeated_as_often_as_they_weigh() -> None:
    assert repeated(np.array([0.0, 2, 1])).tolist() == [1, 1, 2]
    assert repeated(np.array([0.5, 0, 1.5, 0])).tolist() == [0, 2, 2, 2]
    counts = np.bincount(repeated(np.linspace(0, 1.7, 50)), minlength=50)
    assert counts.sum() == 50 and np.abs(counts - np.linspace(0, 1.7, 50) / 0.85).max() <= 1


def test_what_goes_wrong_is_one_sentence_with_the_function_and_the_reason() -> None:
    metric = from_score(kaggle, needs="values", lower_is_better=False)
    truth, said = labels()
    truth[0, 0] = MISSING
    with pytest.raises(
        UserError, match=r"function tests\.metrics\.test_organisers\.kaggle fails: .*in kaggle: ValueError: .*has gaps"
    ):
        score(metric, LABELS, truth, said)
    with pytest.raises(UserError, match=r"_nothing gives no number \(nan\)"):
        score(from_function(_nothing, needs="labels", lower_is_better=False), CLASSES, truth[:, 0], truth[:, 0])


def _nothing(truth: np.ndarray, prediction: np.ndarray) -> float:
    return float("nan")


def _both(truth: np.ndarray, prediction: np.ndarray) -> float:
    if len(set(truth)) < 2:
        raise ValueError("needs both classes")
    return plain(truth, prediction)


def test_a_part_or_a_draw_without_what_it_needs_has_no_score_and_stops_nothing() -> None:
    truth, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    metric = from_function(_both, needs="labels", lower_is_better=False)
    made = metric.tally(TWO, truth, said, (0, 1))
    assert np.isnan(made[:2].score()) and made[1:].score() == pytest.approx(2 / 3)
    assert made.scores(np.array([[1.0, 1, 0, 0], [0, 1, 1, 0]])) == pytest.approx([np.nan, 0.5], nan_ok=True)
    assert np.isnan(made.by_group(np.array([0, 0, 0, 1])).scores(np.array([[0.0, 1]]))).all()


def test_an_interval_rests_on_the_draws_that_have_a_score() -> None:
    truth = np.arange(200) % 2
    said = np.where(np.arange(200) % 5 == 0, 1 - truth, truth)
    metric = from_function(_both, needs="labels", lower_is_better=False, low=0, high=1)
    every = metric.tally(TWO, truth, said, (0, 1))
    two = np.flatnonzero((truth == 0) | (np.arange(200) < 4))  # of the second class, which 13 % of the draws lack
    always = from_function(plain, needs="labels", lower_is_better=False, low=0, high=1)
    expected = score_interval(always.tally(TWO, truth[two], said[two], (0, 1)), np.arange(102))
    assert score_interval(every[two], np.arange(102)) == pytest.approx(expected, abs=0.01)
    one = np.flatnonzero((truth == 0) | (np.arange(200) < 2))  # whatever the score is, it hangs on that group
    assert score_interval(every[one], np.arange(101)) == (0, 1)
    assert score_interval(every[one], np.arange(101) // 3) == (0, 1), "few groups"
    endless = replace(metric, low=-np.inf, high=np.inf).tally(TWO, truth[one], said[one], (0, 1))
    assert score_interval(endless, np.arange(101)) == (-np.inf, np.inf)


def test_runs_are_compared_in_draws_in_which_both_have_a_score() -> None:
    truth = np.arange(200) % 2
    worse, better = (np.where(np.arange(200) % share == 0, 1 - truth, truth) for share in (3, 51))
    metric, found = from_function(_both, needs="labels", lower_is_better=False, low=0, high=1), []
    for of_second in (2, 1):
        rows = np.flatnonzero((truth == 0) | (np.arange(200) < 2 * of_second))
        one, other = (metric.tally(TWO, truth[rows], said[rows], (0, 1)) for said in (better, worse))
        found += compare([one], other, np.arange(len(rows)), draws=400)
    two, alone = found
    assert two.words == "better" and 0 < two.low < two.difference < two.high < 1
    assert alone.words == "not distinguishable" and alone.high - alone.low == pytest.approx(2)


@pytest.mark.parametrize("make", [from_score, from_grade, from_function])
def test_direction_and_needs_are_the_user_s_to_say(make: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="lower_is_better"):
        make(plain, needs="labels")
    with pytest.raises(ValueError, match="needs is 'ranks', expected labels, values or lists"):
        make(plain, needs="ranks", lower_is_better=False)
    with pytest.raises(ValueError, match=r"0\.5 is no function"):
        make(0.5, needs="labels", lower_is_better=False)


@pytest.mark.parametrize(
    ("task", "needs", "truth", "said", "expected"),
    [
        (CLASSES, "labels", [1, 3], [0, 3], {"label": (["b", "d"], ["a", "d"])}),
        (TWO, "values", [1], [[0.25, 0.75]], {"no": ([0], [0.25]), "yes": ([1], [0.75])}),
        (NUMBERS, "values", [[1.0, 2.0, 3.0]], [[1.5, 2.5, 3.5]], {"width": ([1.0], [1.5])}),
        (GRADES, "labels", [2], [3], {"grade": ([2], [3])}),
        (HEADS, "labels", [[2, 1]], [[3, 0]], {"root": (["c"], ["d"]), "vowel": (["i"], ["e"])}),
        (PEOPLE, "lists", [UNKNOWN], [[0, UNKNOWN, -2]], {"label": (["new"], ["a new"])}),
    ],
)
def test_tables_have_the_usual_form(
    task: Task, needs: Needs, truth: list[Any], said: list[Any], expected: dict[str, tuple[list[Any], list[Any]]]
) -> None:
    made = [frame_of(task, needs, np.array(array), first) for array, first in ((truth, True), (said, False))]
    for name, columns in expected.items():
        assert [table[name].tolist() for table in made] == list(columns)


def test_missing_labels_are_gaps_and_two_classes_may_be_one_column() -> None:
    assert frame_of(LABELS, "values", np.array([[1, MISSING, 0]], np.int8), True)["y"].isna().all()
    one = frame_of(TWO, "values", np.array([[0.25, 0.75]]), False, ("target",))
    assert one.to_dict("list") == {"target": [0.75]}
    with pytest.raises(ValueError, match="2 columns are named"):
        frame_of(LABELS, "values", np.zeros((1, 3)), True, ("x", "y"))


def test_a_table_of_another_form_is_made_by_a_function() -> None:
    with pytest.raises(ValueError, match=r"Segmentation has no usual table; pass frame="):
        metric_of(from_score(kaggle, needs="labels", lower_is_better=False), PIXELS)

    def counted(task: Task, array: np.ndarray, is_truth: bool) -> pd.DataFrame:
        return pd.DataFrame({"label": (array > 0).sum((1, 2))})

    metric = from_grade(grade, needs="labels", lower_is_better=False, frame=counted)
    masks = np.zeros((2, 2, 2), np.uint8)
    masks[0, 0, 0] = 1
    assert score(metric, MASKS, masks, masks) == 1 and score(metric, MASKS, masks, masks[::-1]) == 0


def test_a_function_is_not_called_for_no_sample() -> None:
    sizes = []

    def counting(truth: np.ndarray, prediction: np.ndarray) -> float:
        sizes.append(len(truth))
        return 1.0

    truth = np.array([0, 1, 1])
    made = from_function(counting, needs="labels", lower_is_better=False).tally(TWO, truth, truth, (0, 1))
    assert np.isnan(made[:0].score()) and np.isnan(made.scores(np.zeros((2, 3)))).all() and not sizes
    assert made.score() == 1 and sizes == [3]


def test_what_a_function_warns_of_in_a_draw_is_not_told(recwarn: pytest.WarningsRecorder) -> None:
    def warning(truth: np.ndarray, prediction: np.ndarray) -> float:
        warnings.warn("one class alone", stacklevel=1)
        return 1.0

    truth = np.array([0, 1, 1])
    metric = from_function(warning, needs="labels", lower_is_better=False)
    assert metric.weighted(truth, truth, np.ones((3, 3))).tolist() == [1, 1, 1] and not len(recwarn)
