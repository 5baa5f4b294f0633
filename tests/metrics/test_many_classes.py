"""Where classes are many, scores without matrices are those with them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from toolkit import (
    F1,
    MAP,
    Accuracy,
    BalancedAccuracy,
    Classification,
    LogLoss,
    MacroF1,
    MeanIoU,
    QuadraticKappa,
    RocAuc,
)
from toolkit.metrics.confusion import ConfusionMetric, confusion_matrix, decode
from toolkit.metrics.many_classes import ManyClasses
from toolkit.metrics.metric import CountedMetric, Metric, scored_of
from toolkit.metrics.tally import Counts, Tally, joined
from toolkit.scoring.bootstrap import class_intervals, score_interval
from toolkit.scoring.weighted import weigh
from toolkit.top_k import record_type, top

CLASSES = 25
TASK = Classification(tuple(f"c{at}" for at in range(CLASSES)), (8, 8, 3))
LABELS = [
    Accuracy(),
    Accuracy(ignore=("c3",)),
    MacroF1(),
    MacroF1(ignore=("c0", "c7")),
    BalancedAccuracy(),
    F1("micro"),
    F1("weighted"),
    F1("macro", beta=2.0),
]
LOSSES = [LogLoss(), LogLoss(balanced=True), LogLoss(weights=tuple(range(1, CLASSES + 1)))]
METRICS = [*LABELS, *LOSSES]
each = pytest.mark.parametrize("metric", METRICS, ids=repr)


def sample(metric: CountedMetric, seed: int = 0, n: int = 120) -> tuple[np.ndarray, np.ndarray]:
    """Truth, in which a class is missing and others are rare, and what is said."""
    rng = np.random.default_rng(seed)
    truth = np.minimum(rng.integers(0, CLASSES - 1, n), rng.integers(0, CLASSES, n))
    said = np.where(rng.random(n) < 0.4, rng.integers(0, CLASSES, n), truth)
    if metric.needs == "labels":
        return truth, said
    values = rng.dirichlet(np.ones(CLASSES), n) + np.eye(CLASSES)[said]
    return truth, (values / values.sum(1, keepdims=True)).astype(np.float32)


def both(metric: CountedMetric, seed: int = 0) -> tuple[ManyClasses, Counts]:
    truth, said = sample(metric, seed)
    scored = scored_of(metric, TASK)
    many = metric.tally(TASK, truth, said, scored)
    assert isinstance(many, ManyClasses)
    return many, Counts(metric, metric.counts(TASK, truth, said), scored)


def alike(one: Tally, other: Tally) -> None:
    assert one.score() == pytest.approx(other.score(), abs=1e-6)
    weights = np.random.default_rng(5).multinomial(len(one), np.full(len(one), 1 / len(one)), 20).astype(float)
    weights[0, len(one) // 3 :] = 0  # classes are missing
    assert one.scores(weights) == pytest.approx(other.scores(weights), abs=1e-6)
    assert one.by_class() == pytest.approx(other.by_class(), abs=1e-6, nan_ok=True)
    assert one.by_class(weights) == pytest.approx(other.by_class(weights), abs=1e-6, nan_ok=True)


@each
def test_scores_are_those_of_matrices(metric: CountedMetric) -> None:
    many, counts = both(metric)
    alike(many, counts)
    group = np.arange(len(many)) // 3
    alike(many.by_group(group), counts.by_group(group))
    assert many.by_group(group).without_each() == pytest.approx(counts.by_group(group).without_each(), abs=1e-6)
    rows = np.arange(0, len(many), 2)
    alike(joined([many[rows], many[1::2]]), joined([counts[rows], counts[1::2]]))
    alike(metric.tally_of(many.arrays(), many.scored), counts)
    assert (many.held(np.array([3, 0])) == counts.holds()[:, [3, 0]]).all()  # type: ignore[index]


@each
def test_parts_score_as_in_matrices(metric: CountedMetric) -> None:
    many, counts = both(metric, 4)
    for rows in (slice(0, 20), slice(20, None), slice(None)):
        one, other = many[rows].by_held(), counts[rows].by_held()
        assert one.score() == pytest.approx(other.score(), abs=1e-6)
    few = many[:20]
    assert few.by_held().score() >= few.score() - 1e-12 or metric.lower_is_better
    if metric in (MacroF1(), F1("macro", beta=2.0)):
        assert few.by_held().score() > few.score() + 0.05, "classes without a sample there are said"


def test_an_interval_of_classes_with_a_sample_or_two_holds_the_score() -> None:
    task, rng = Classification(tuple(map(str, range(400))), (8, 8, 3)), np.random.default_rng(0)
    truth = rng.integers(0, 400, 800)
    said = np.where(rng.random(800) < 0.7, rng.integers(0, 400, 800), truth)
    made = MacroF1().tally(task, truth, said, tuple(range(400)))
    low, high = score_interval(made, np.arange(800))
    assert low < made.score() < high and high - low < 0.1


@each
def test_weighted_samples_score_as_in_matrices(metric: CountedMetric) -> None:
    many, counts = both(metric, 3)
    weights = np.random.default_rng(1).random(len(many))
    assert weigh(many, weights).score() == pytest.approx(
        float(metric.of_counts(counts.weighted(weights[None])[0], counts.scored)), abs=1e-6
    )


@pytest.mark.parametrize("metric", [MacroF1(), LogLoss()], ids=repr)
def test_intervals_of_some_classes_are_those_of_all(metric: CountedMetric) -> None:
    many, counts = both(metric, 2)
    group, some = np.arange(len(many)) // 2, np.array([4, 1, 24])
    every = class_intervals(counts, group)
    for one, at in zip(class_intervals(many, group, some), some, strict=True):
        assert one == (every[at] and pytest.approx(every[at], abs=1e-6))


def test_a_loss_follows_from_what_is_stored_of_many_classes() -> None:
    classes = 1200
    task, rng = Classification(tuple(map(str, range(classes))), (8, 8, 3)), np.random.default_rng(0)
    values = rng.dirichlet(np.full(classes, 0.05), 50).astype(np.float32)
    truth, stored = values.argmax(1), top(values, record_type(classes))
    truth[:20] = rng.integers(0, classes, 20)
    exact = np.take_along_axis(stored.dense(), truth[:, None], 1)[:, 0]
    made = LogLoss().tally(task, truth, stored, tuple(range(classes)))  # type: ignore[arg-type]
    assert made.score() == pytest.approx(-np.log(np.maximum(exact, 1e-15)).mean(), rel=1e-6)


def test_the_two_hundred_and_fifty_sixth_class_is_one_as_any_other() -> None:
    task = Classification(tuple(map(str, range(300))), (8, 8, 3))
    truth = np.array([255, 255, 299, 0])
    values = np.eye(300, dtype=np.float32)[[255, 299, 299, 0]]
    said = decode(values, range(300))
    assert said.tolist() == [255, 299, 299, 0]
    assert Accuracy().tally(task, truth, said, tuple(range(300))).score() == 0.75


@dataclass(frozen=True)
class FirstHalf(MacroF1):
    """A score of one's own of matrices."""

    name: str = "first half"

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return super().of_counts(confusion, scored) / 2


@pytest.mark.parametrize(
    "metric", [MeanIoU(), QuadraticKappa(), FirstHalf()], ids=lambda metric: type(metric).__name__
)
def test_what_needs_matrices_is_refused_in_a_sentence(metric: ConfusionMetric) -> None:
    many = Classification(tuple(map(str, range(300))), (8, 8, 3))
    with pytest.raises(ValueError, match="a confusion matrix an image, which 300 classes"):
        metric.of(many)
    truth = np.arange(25)
    assert isinstance(metric.of(TASK), ConfusionMetric) and isinstance(
        metric.tally(TASK, truth, truth[::-1].copy(), tuple(range(25))), Counts
    )
    assert confusion_matrix(truth, truth, 25).trace() == 25


@pytest.mark.parametrize("metric", [RocAuc(), MAP(), LogLoss(), MacroF1()], ids=repr)
def test_what_needs_all_probabilities_is_refused_in_a_sentence(metric: Metric) -> None:
    many = Classification(tuple(map(str, range(1200))), (8, 8, 3))
    if isinstance(metric, RocAuc):
        with pytest.raises(ValueError, match="all probabilities of all images, which 1,200 classes"):
            metric.of(many)
    else:
        assert metric.of(many) is metric


def test_classes_that_occur_nowhere_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice([3, 70, 400], 50)
    said = np.where(rng.random(50) < 0.5, truth, rng.integers(0, 500, 50))
    weights = rng.integers(0, 2, (20, 50)).astype(float)
    weights[0, truth == 3] = 0
    for scored in (tuple(range(500)), tuple(range(4, 500))):
        many = ManyClasses.of(MacroF1(), truth, said, 500, scored)
        assert len(many.of_those_there().scored) < 60
        found = MacroF1().of_many(many, weights)
        with monkeypatch.context() as patched:
            patched.setattr(ManyClasses, "of_those_there", lambda whole: whole)
            np.testing.assert_allclose(found, MacroF1().of_many(many, weights), rtol=1e-12)
