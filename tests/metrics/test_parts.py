"""What a part or a draw of the samples lacks: it moves no score by itself, and never the score of one alone."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, jaccard_score, recall_score

from tests.metrics.cases import CLASSES, HEADS, LABELS
from toolkit.metrics.confusion import Accuracy, ConfusionMetric, MacroF1, MeanIoU
from toolkit.metrics.heads import WeightedMacroRecall
from toolkit.metrics.labels import LabelF1
from toolkit.metrics.metric import Metric, scored_of
from toolkit.metrics.probabilistic import ProbabilisticF1
from toolkit.metrics.single_label import F1, BalancedAccuracy, QuadraticKappa
from toolkit.metrics.tally import Tally
from toolkit.scoring.bootstrap import score_draws, score_interval
from toolkit.task import MISSING, Classification, Labels, Task

TRUTH = np.array([0, 0, 0, 1, 1, 1, 1, 0])
SAID = np.array([0, 3, 0, 1, 1, 0, 2, 0])  # two that no sample is of
HELD = [0, 1]


def tally(metric: Metric, task: Task, truth: np.ndarray, said: np.ndarray) -> Tally:
    return metric.tally(task, truth, said, scored_of(metric, task))


@pytest.mark.parametrize(
    ("metric", "expected"),
    [
        (MacroF1(), f1_score(TRUTH, SAID, labels=HELD, average="macro")),
        (F1(), f1_score(TRUTH, SAID, labels=HELD, average="macro")),
        (F1("weighted"), f1_score(TRUTH, SAID, average="weighted")),
        (F1("micro"), f1_score(TRUTH, SAID, average="micro")),
        (MeanIoU(), jaccard_score(TRUTH, SAID, labels=HELD, average="macro")),
        (BalancedAccuracy(), recall_score(TRUTH, SAID, labels=HELD, average="macro")),
        (Accuracy(), 5 / 8),
    ],
    ids=repr,
)
def test_a_class_that_no_sample_of_a_part_is_of_does_not_count_there(metric: ConfusionMetric, expected: float) -> None:
    made = tally(metric, CLASSES, TRUTH, SAID)
    assert made.by_held().score() == pytest.approx(expected)
    assert made.by_held().scores(np.ones((1, 8))) == pytest.approx([expected])
    assert len(made.by_held()[:3]) == 3


def test_kappa_is_of_all_decisions_together() -> None:
    made = tally(QuadraticKappa(), CLASSES, TRUTH, SAID)
    assert made.by_held().score() == made.score()


def test_a_label_that_is_true_nowhere_in_a_part_does_not_count_there() -> None:
    truth = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], np.int8)
    given = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1]], np.int8)
    expected = f1_score(truth, given, labels=[0, 1], average="macro")
    assert tally(LabelF1(), LABELS, truth, given).by_held().score() == pytest.approx(expected)
    weighted, micro = (tally(LabelF1(average), LABELS, truth, given) for average in ("weighted", "micro"))
    assert weighted.by_held().score() == pytest.approx(weighted.score())
    assert micro.by_held().score() == micro.score() == pytest.approx(f1_score(truth, given, average="micro"))
    said = np.where(given, 0.8, 0.1)
    of_two = tally(ProbabilisticF1(), Labels(("x", "y"), (4, 4, 3)), truth[:, :2], said[:, :2])
    assert tally(ProbabilisticF1(), LABELS, truth, said).by_held().score() == pytest.approx(of_two.score())


def test_a_class_of_a_head_that_no_sample_of_a_part_is_of_does_not_count_there() -> None:
    truth, said = np.stack([TRUTH, TRUTH], axis=1), np.stack([SAID, np.minimum(SAID, 1)], axis=1)
    made = tally(WeightedMacroRecall(), HEADS, truth, said)
    in_heads = np.where(SAID > 1, 1 - TRUTH, SAID), said[:, 1]
    expected = [balanced_accuracy_score(TRUTH, one) for one in in_heads]
    assert made.by_held().score() == pytest.approx(np.mean(expected)) and made.score() < np.mean(expected) - 0.1
    without = np.ones((1, 8))
    without[0, [1, 6]] = 0  # what no sample is of is not said there, and counts as in all
    assert made.scores(without)[0] < 0.8 < made.by_held().scores(without)[0]


@pytest.mark.parametrize("classes", [3, 30])
@pytest.mark.parametrize("metric", [MacroF1(), F1(), F1("macro", 2)], ids=repr)
def test_an_interval_is_that_of_the_score_where_a_class_is_said_that_no_sample_is_of(
    metric: ConfusionMetric, classes: int
) -> None:
    task, rng = Classification(tuple(map(str, range(classes))), (4, 4, 3)), np.random.default_rng(0)
    truth = rng.integers(0, classes - 1, 1000)
    said = np.where(rng.random(1000) < 0.9, truth, rng.integers(0, classes - 1, 1000))
    said[:2] = classes - 1  # in 14 % of the draws it isn't said
    made, other = tally(metric, task, truth, said), said.copy()
    other[:2] = (truth[:2] + 1) % (classes - 1)
    low, high = score_interval(made, np.arange(1000))
    among = tally(metric, task, truth, other)
    of_others = score_interval(among, np.arange(1000))
    assert low == pytest.approx(of_others[0] * (classes - 1) / classes, abs=0.01) and low < made.score() < high
    assert high == pytest.approx(of_others[1], abs=0.01), "how well it would be found isn't known"
    assert made.score() == pytest.approx(among.score() * (classes - 1) / classes, abs=0.01)
    draws, expected = score_draws([made, among])
    assert draws == pytest.approx(expected * (classes - 1) / classes, abs=0.01)


def fourteen(values: bool) -> tuple[Labels, np.ndarray, np.ndarray]:
    """300 samples of 14 labels, of which 7 are true of a single one."""
    rng, task = np.random.default_rng(0), Labels(tuple(map(str, range(14))), (4, 4, 3))
    truth = (rng.random((300, 14)) < np.repeat([0.3, 0], 7)).astype(np.int8)
    truth[np.arange(7), 7 + np.arange(7)] = 1
    given = np.where(rng.random((300, 14)) < 0.02, 1 - truth, truth)
    given[np.arange(7), 7 + np.arange(7)] = 1
    return task, truth, np.where(given, 0.9, 0.002) if values else given.astype(np.int8)


@pytest.mark.parametrize("metric", [LabelF1(), LabelF1("weighted"), ProbabilisticF1()], ids=repr)
def test_a_label_that_a_draw_lacks_counts_as_in_all_samples(metric: LabelF1 | ProbabilisticF1) -> None:
    task, truth, said = fourteen(values=metric.needs == "values")
    made = tally(metric, task, truth, said)
    without = np.ones((7, 300))
    without[np.arange(7), np.arange(7)] = 0
    assert made.scores(without) == pytest.approx(np.full(7, made.score()), abs=0.01)
    low, high = score_interval(made, np.arange(300))
    assert low < made.score() < high < low + 0.15
    nowhere = truth.copy()
    nowhere[:, 7:] = 0
    of_none = tally(metric, task, nowhere, said)  # given and true nowhere: 0, in draws too
    draws = score_draws([of_none])[0]
    assert draws.mean() == pytest.approx(of_none.score(), abs=0.01) and draws.std() < 0.02
    low, high = score_interval(of_none, np.arange(300))
    assert low < of_none.score() <= of_none.by_held().score() < high


def test_a_label_of_which_a_draw_says_nothing_has_the_score_of_all() -> None:
    truth = np.array([[1, 1, MISSING], [0, 1, 1], [1, 0, 0]], np.int8)
    given = np.array([[1, 1, 1], [0, 0, 1], [0, 0, 1]], np.int8)
    made = tally(LabelF1(), LABELS, truth, given)
    assert made.scores(np.array([[1.0, 0, 0]]))[0] == pytest.approx((1 + 1 + 2 / 3) / 3)
