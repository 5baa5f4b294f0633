"""What is said where a metric doesn't fit its task, and rules that no other library has."""

from dataclasses import replace

import numpy as np
import pytest

from tests import tiny
from tests.metrics.cases import CLASSES, GRADES, HEADS, LABELS, MASKS, NUMBERS, PEOPLE, TWO
from toolkit.metrics.confusion import Accuracy, MacroF1
from toolkit.metrics.heads import WeightedMacroRecall
from toolkit.metrics.labels import LabelF1, SamplesF1
from toolkit.metrics.lists import MAP, PAD
from toolkit.metrics.masks import MeanDice
from toolkit.metrics.metric import metric_of, score
from toolkit.metrics.numbers import R2, Pearson, Rmse, Rmsle
from toolkit.metrics.organisers import Function, from_function
from toolkit.metrics.probabilistic import LogLoss
from toolkit.metrics.ranks import RocAuc
from toolkit.metrics.single_label import F1
from toolkit.task import UNKNOWN, Task


@pytest.mark.parametrize(
    ("metric", "task", "sentence"),
    [
        (Accuracy(), LABELS, "Accuracy scores Classification or Segmentation or Grades, the task is Labels"),
        (LabelF1(), CLASSES, "LabelF1 scores Labels or OverlappingMasks, the task is Classification"),
        (SamplesF1(), MASKS, "SamplesF1 scores Labels, the task is OverlappingMasks"),
        (RocAuc((1, 2)), LABELS, "ROC AUC has 2 weights for 3 columns"),
        (LogLoss((1, 1)), CLASSES, "log loss has 2 weights for 4 columns"),
        (LogLoss((-1, 1, 1)), LABELS, "expected positive numbers"),
        (Rmse(weights=(1, 1)), NUMBERS, "RMSE has 2 weights for 3 columns"),
        (WeightedMacroRecall((1, 1, 1)), HEADS, "weighted macro recall has 3 weights for 2 columns"),
        (F1("binary"), CLASSES, "binary F1 is of two classes, the task has 4"),
        (Accuracy(), PEOPLE, "accuracy has no place for images that show 'new'"),
        (Accuracy(ignore=("e",)), CLASSES, "the metric ignores 'e', which is not among"),
    ],
)
def test_a_metric_that_does_not_fit_its_task_says_so(metric: object, task: Task, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        metric_of(metric, task)


class Old:
    """What an earlier version took as a metric."""

    def score(self, confusion: np.ndarray, scored: tuple[int, ...]) -> float:
        return 0.0


def test_what_is_no_metric_is_told_how_to_become_one() -> None:
    with pytest.raises(ValueError, match=r"is not a metric: make it a CountedMetric or ConfusionMetric"):
        metric_of(Old(), CLASSES)
    with pytest.raises(ValueError, match=r"is not a metric: make it a CountedMetric"):
        metric_of(Accuracy, CLASSES)
    with pytest.raises(ValueError, match=r"pass from_function\(log_loss, needs=…, lower_is_better=…\)"):
        metric_of(log_loss, CLASSES)


def log_loss(truth: np.ndarray, said: np.ndarray) -> float:
    return 0.0


def test_a_competition_is_not_made_with_a_metric_that_does_not_fit() -> None:
    for metric in (Old(), RocAuc((1, 2, 3, 4)), LabelF1()):
        with pytest.raises(ValueError, match=r"is not a metric|has 4 weights|scores Labels"):
            replace(tiny.competition, metric=metric)  # type: ignore[arg-type]
    bound = replace(tiny.competition, metric=from_function(log_loss, needs="labels", lower_is_better=True)).metric
    assert isinstance(bound, Function) and bound.task == tiny.competition.task


def test_regions_of_the_roc_curve_are_shares() -> None:
    with pytest.raises(ValueError, match=r"a region of ROC AUC is \(0.5, 0.2, 1\)"):
        RocAuc(regions=((0.5, 0.2, 1),))
    with pytest.raises(ValueError, match="most_false is 0"):
        RocAuc(most_false=0)


def test_log_loss_divides_by_the_row_s_sum_and_then_clips() -> None:
    truth, said = np.array([1, 0]), np.array([[2.0, 2.0], [0.0, 3.0]], np.float32)
    assert score(LogLoss(), TWO, truth, said) == pytest.approx((np.log(2) - np.log(1e-15)) / 2, rel=1e-12)
    assert score(LogLoss(clip=0.01), TWO, truth, said) == pytest.approx((np.log(2) - np.log(0.01)) / 2, rel=1e-12)
    nothing = np.zeros((1, 2), np.float32)
    assert score(LogLoss(), TWO, truth[:1], nothing) == pytest.approx(np.log(2))


def test_what_is_predicted_below_zero_counts_as_zero_in_rmsle() -> None:
    truth = np.array([[0.0]], np.float32)
    assert score(Rmsle(), NUMBERS, np.repeat(truth, 3, 1), np.full((1, 3), -7, np.float32)) == 0


def test_numbers_without_spread_have_no_r2() -> None:
    truth = np.full((4, 3), 5.0, np.float32)
    assert np.isnan(score(R2(), NUMBERS, truth, truth + 1))


def test_a_number_that_is_predicted_alike_for_all_counts_as_no_correlation() -> None:
    truth = np.arange(12, dtype=np.float32).reshape(4, 3)
    said = truth.copy()
    said[:, 1] = 7
    assert score(Pearson(), NUMBERS, truth, said) == pytest.approx(2 / 3)


def test_an_ignored_class_or_label_does_not_count() -> None:
    truth, said = np.array([0, 1, 2]), np.array([0, 0, 2])
    assert score(MacroF1(ignore=("b", "d")), CLASSES, truth, said) == pytest.approx((2 / 3 + 1) / 2)
    yes, given = np.array([[1, 1, 0]], np.int8), np.array([[1, 0, 1]], np.int8)
    assert score(LabelF1("micro", ignore=("y",)), LABELS, yes, given) == pytest.approx(2 / 3)
    assert score(SamplesF1(ignore=("y", "z")), LABELS, yes, given) == 1
    assert RocAuc(ignore=("y",)).classes(LABELS, (0, 2)) == ("x", "z")


def test_a_list_s_padding_is_never_right() -> None:
    truth, said = np.array([2, UNKNOWN]), np.array([[2, PAD, PAD], [PAD, PAD, UNKNOWN]])
    assert score(MAP(3), PEOPLE, truth, said) == pytest.approx((1 + 1 / 3) / 2)
    assert score(MAP(2), PEOPLE, truth, said) == pytest.approx(1 / 2)


def test_grades_count_by_how_far_they_are_apart() -> None:
    truth = np.array([0, 1, 2, 3])
    assert score(Rmse(), GRADES, truth, truth + np.float32(0.5)) == pytest.approx(0.5)


def test_lower_is_better_turns_the_sign() -> None:
    assert (LogLoss().sign, Rmse().sign, RocAuc().sign) == (-1, -1, 1)


@pytest.mark.parametrize(
    ("metric", "task", "said"),
    [
        (F1("maco"), CLASSES, "F1 has average='maco', expected one of 'macro', 'micro', 'weighted', 'binary'"),  # type: ignore[arg-type]
        (R2("columnwise"), NUMBERS, "R2 has average='columnwise'"),  # type: ignore[arg-type]
        (MeanDice(both_empty=2), MASKS, "MeanDice has both_empty=2, expected one of 1, 0, 'skip'"),  # type: ignore[arg-type]
    ],
)
def test_a_word_that_a_metric_does_not_know_is_not_taken_for_another(metric: object, task: Task, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        metric_of(metric, task)


def test_a_list_of_no_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one class"):
        MAP(0)
