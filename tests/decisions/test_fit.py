"""Decisions are the best there are on what they are fitted on, in the middle of a plateau, never worse than none."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit.decisions.decide import PLAIN, Decisions, decide
from toolkit.decisions.fit import fit_decisions, fit_stored
from toolkit.decisions.sweep import middle_of_best
from toolkit.metrics.confusion import Accuracy, MacroF1
from toolkit.metrics.labels import LabelAccuracy, LabelF1, SamplesF1
from toolkit.metrics.lists import MAP
from toolkit.metrics.masks import MeanDice, MeanIoUPrecision
from toolkit.metrics.metric import CountedMetric, Metric, ratio, score
from toolkit.metrics.organisers import from_function
from toolkit.probabilities import probabilities
from toolkit.task import Classification, Grades, Labels, OverlappingMasks, Segmentation, Task

SHAPE = (4, 4, 3)
LABELS = Labels(("cat", "dog"), SHAPE)
GRADES = Grades(("none", "some", "much"), SHAPE)
MASKS = OverlappingMasks(("cat", "dog"), SHAPE)
PEOPLE = Classification(("ann", "bob", "eve"), SHAPE, unknown="somebody")
TENTHS = st.integers(0, 10).map(lambda one: np.float32(one / 10))
ONE_BY_ONE = [LabelF1(), LabelF1("weighted", 2), LabelAccuracy(), LabelF1(ignore=("dog",))]
TOGETHER = [LabelF1("micro"), SamplesF1(), SamplesF1(2, empty=0)]


def merit(task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, decisions: Decisions) -> float:
    scored = tuple(i for i, name in enumerate(task.classes) if name not in metric.ignore)
    return metric.sign * score(metric, task, truth, decide(task, metric, values, scored, decisions))


def fitted(task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray) -> Decisions:
    scored = tuple(i for i, name in enumerate(task.classes) if name not in metric.ignore)
    found = fit_decisions(task, metric, truth, values, scored)
    order = np.random.default_rng(1).permutation(len(truth))
    assert fit_decisions(task, metric, truth[order], values[order], scored) == found
    return found


@st.composite
def labelled(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 12))
    return (
        draw(arrays(np.int8, (n, 2), elements=st.integers(-1, 1))),
        draw(arrays(np.float32, (n, 2), elements=TENTHS)),
    )


EVERY_CUT = [one / 10 - 0.05 for one in range(12)]


@pytest.mark.parametrize("metric", ONE_BY_ONE, ids=repr)
@settings(deadline=None, max_examples=20)
@given(labelled())
def test_no_thresholds_score_better_than_the_fitted(metric: Metric, drawn: tuple[np.ndarray, np.ndarray]) -> None:
    found = merit(LABELS, metric, *drawn, fitted(LABELS, metric, *drawn))
    best = max(merit(LABELS, metric, *drawn, Decisions(thresholds=one)) for one in product(EVERY_CUT, repeat=2))
    # a label without truth is best never given, where it has no score; so it may cost a mean of what is left
    assert found == pytest.approx(best, abs=1e-9) or (drawn[0] == 1).any(0).sum() < 2


@pytest.mark.parametrize("metric", TOGETHER, ids=repr)
@settings(deadline=None, max_examples=20)
@given(labelled())
def test_no_other_threshold_of_one_label_scores_better_where_labels_are_scored_together(
    metric: Metric, drawn: tuple[np.ndarray, np.ndarray]
) -> None:
    decisions = fitted(LABELS, metric, *drawn)
    found = merit(LABELS, metric, *drawn, decisions)
    assert found >= merit(LABELS, metric, *drawn, PLAIN)
    for label, cut in product(range(2), EVERY_CUT):
        moved = list(decisions.thresholds or (0.5, 0.5))
        moved[label] = cut
        assert merit(LABELS, metric, *drawn, Decisions(thresholds=tuple(moved))) <= found + 1e-9


@st.composite
def graded(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 14))
    return (
        draw(arrays(np.int64, n, elements=st.integers(0, 2))),
        draw(arrays(np.float32, (n, 2), elements=TENTHS)),
    )


@pytest.mark.parametrize("metric", [Accuracy(), MacroF1()], ids=repr)
@settings(deadline=None, max_examples=20)
@given(graded())
def test_no_cuts_score_better_than_the_fitted(metric: Metric, drawn: tuple[np.ndarray, np.ndarray]) -> None:
    decisions = fitted(GRADES, metric, *drawn)
    cuts = combinations_with_replacement([one / 10 - 0.05 for one in range(22)], 2)
    best = max(merit(GRADES, metric, *drawn, Decisions(cuts=one)) for one in cuts)
    assert merit(GRADES, metric, *drawn, decisions) == pytest.approx(best, abs=1e-9)
    assert decisions.cuts is None or list(decisions.cuts) == sorted(decisions.cuts)


@st.composite
def masked(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 4))
    return (
        draw(arrays(np.uint8, (n, 2, 3), elements=st.sampled_from([0, 1, 2, 3, 255]))),
        draw(arrays(np.float32, (n, 2, 2, 3), elements=st.integers(0, 4).map(lambda one: np.float32(one / 4)))),
    )


@pytest.mark.parametrize("metric", [MeanDice(), MeanDice(0), MeanIoUPrecision(), LabelF1()], ids=repr)
@settings(deadline=None, max_examples=6)
@given(masked())
def test_no_threshold_with_a_smallest_region_scores_better_than_the_fitted(
    metric: Metric, drawn: tuple[np.ndarray, np.ndarray]
) -> None:
    found = merit(MASKS, metric, *drawn, fitted(MASKS, metric, *drawn))
    for label in range(2):  # each alone: the other's is at its best
        only = OverlappingMasks(("cat",), SHAPE)
        part = (np.where(drawn[0] == 255, 255, drawn[0] >> label & 1).astype(np.uint8), drawn[1][:, [label]])
        best = max(
            merit(only, metric, *part, Decisions(thresholds=(cut,), smallest=(region,)))
            for cut, region in product((0.2, 0.4, 0.7, 0.9), range(8))
        )
        assert merit(only, metric, *part, fitted(only, metric, *part)) == pytest.approx(best, abs=1e-9)
    assert found >= merit(MASKS, metric, *drawn, PLAIN)


def test_masks_of_another_label_s_scores_come_together_in_one_score() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (30, 6, 6)).astype(np.uint8) * (rng.random((30, 1, 1)) < 0.6)
    values = np.stack([(truth >> label & 1) * 0.25 + rng.random(truth.shape) * 0.3 for label in range(2)], axis=1)
    drawn = (truth.astype(np.uint8), values.astype(np.float32))
    for metric in (MeanDice(), MeanDice("skip"), LabelF1("micro")):
        decisions = fitted(MASKS, metric, *drawn)
        assert merit(MASKS, metric, *drawn, decisions) > merit(MASKS, metric, *drawn, PLAIN) + 0.1


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 10).flatmap(
        lambda n: st.tuples(
            arrays(np.int64, n, elements=st.integers(-1, 2)), arrays(np.float32, (n, 3), elements=TENTHS)
        )
    ),
    st.integers(1, 5),
)
def test_no_probability_of_somebody_new_scores_better(drawn: tuple[np.ndarray, np.ndarray], length: int) -> None:
    found = merit(PEOPLE, MAP(length), *drawn, fitted(PEOPLE, MAP(length), *drawn))
    tried = [None, *(float(np.float32(one / 10 + shift)) for one in range(11) for shift in (-0.05, 0, 0.05))]
    best = max(merit(PEOPLE, MAP(length), *drawn, Decisions(unknown=one)) for one in tried)
    assert found == pytest.approx(best, abs=1e-9)


def wrong(truth: np.ndarray, said: np.ndarray) -> float:
    return float((truth != said).mean())


FOREIGN = from_function(wrong, needs="labels", lower_is_better=True)  # of which nothing is known but what it scores


@pytest.mark.parametrize("task", [LABELS, GRADES, MASKS], ids=lambda task: type(task).__name__)
def test_a_metric_that_is_only_a_score_is_decided_too(task: Task) -> None:
    rng = np.random.default_rng(0)
    truth: np.ndarray
    if task is LABELS:
        truth = (rng.random((300, 2)) < 0.3).astype(np.int8)
        values = truth * 0.2 + rng.random((300, 2)) * 0.25
    elif task is GRADES:
        truth = rng.integers(0, 3, 300)
        values = np.stack([(truth > 0) * 0.4, (truth > 1) * 0.2], axis=1) + rng.random((300, 2)) * 0.1
    else:
        truth = rng.integers(0, 4, (20, 6, 6)).astype(np.uint8)
        values = np.stack([(truth >> one & 1) * 0.25 + rng.random(truth.shape) * 0.2 for one in range(2)], axis=1)
    drawn = (truth, values.astype(np.float32))
    decisions = fit_decisions(task, FOREIGN, *drawn, (0, 1))
    assert merit(task, FOREIGN, *drawn, decisions) > merit(task, FOREIGN, *drawn, PLAIN) + 0.2


def test_a_plateau_s_middle_is_taken() -> None:
    truth = np.array([[0], [0], [1], [1]], np.int8)
    values = np.array([[0.1], [0.2], [0.6], [0.8]], np.float32)
    found = fitted(Labels(("cat",), SHAPE), LabelF1(), truth, values)
    assert found.thresholds == pytest.approx((0.4,))
    grades = fitted(Grades(("no", "yes"), SHAPE), Accuracy(), truth[:, 0].astype(np.int64), values)
    assert grades.cuts == pytest.approx((0.4,))


def test_the_widest_of_several_plateaus_is_taken_and_ends_are_open() -> None:
    falling = np.array([0.9, 0.8, 0.3])
    assert middle_of_best(np.array([0, 1, 0, 1.0]), falling, 0, 1) == pytest.approx(0.15)
    assert middle_of_best(np.array([0, 1, 1, 0.0]), falling, 0, 1) == pytest.approx(0.6)
    assert middle_of_best(np.array([2, 1, 1, 0.0]), falling, 0, 1) == pytest.approx(0.95)


def test_a_label_that_nobody_has_is_given_to_nobody() -> None:
    truth, values = np.zeros((4, 2), np.int8), np.full((4, 2), 0.7, np.float32)
    truth[0, 1] = 1
    values[0, 1] = 0.9
    found = fitted(LABELS, LabelF1(), truth, values)
    assert found.thresholds == pytest.approx((0.85, 0.8))


def test_nothing_is_decided_where_one_of_several_classes_is_predicted() -> None:
    for task in (Classification(("cat", "dog"), SHAPE), Segmentation(("cat", "dog"), SHAPE)):
        assert fit_decisions(task, Accuracy(), np.array([0]), np.array([[0.2, 0.8]]), (0, 1)) == PLAIN


def test_many_samples_are_decided_on_all_of_them() -> None:
    rng = np.random.default_rng(0)
    truth = (rng.random((30_000, 3)) < (0.05, 0.2, 0.5)).astype(np.int8)
    values = (truth * 0.2 + rng.random(truth.shape) * 0.4).astype(np.float32)
    task = Labels(("a", "b", "c"), SHAPE)
    for metric in (LabelF1("micro"), SamplesF1()):
        found = merit(task, metric, truth, values, fit_decisions(task, metric, truth, values, (0, 1, 2)))
        grid = product(np.arange(0.2, 0.45, 0.05), repeat=3)
        assert found >= max(merit(task, metric, truth, values, Decisions(thresholds=one)) for one in grid)


@pytest.mark.parametrize("fails", [ZeroDivisionError, None])
def test_a_score_that_is_not_defined_where_nothing_is_given_is_no_best_one(fails: type[Exception] | None) -> None:
    def precision(truth: np.ndarray, given: np.ndarray) -> float:
        right, all_given = int((truth & given).sum()), int(given.sum())
        if fails is not None:
            return right / all_given
        return right / all_given if all_given else float("nan")

    rng = np.random.default_rng(0)
    truth = (rng.random((60, 2)) < 0.3).astype(np.int8)
    values = (0.3 * truth + 0.1 * rng.random((60, 2))).astype(np.float32)  # none is above a half
    metric = from_function(precision, needs="labels", lower_is_better=False).of(LABELS)
    found = fit_decisions(LABELS, metric, truth, values, (0, 1))
    assert merit(LABELS, metric, truth, values, found) == 1


@dataclass(frozen=True)
class Precision(CountedMetric):
    """NaN where nothing is given."""

    name: str = "precision"

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return np.stack([(truth & predicted).sum(1), predicted.sum(1)], axis=1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return ratio(counts[..., 0], counts[..., 1])


def test_neither_is_it_where_counts_are_summed() -> None:
    truth, values = np.array([[1, 0], [0, 1]], np.int8), np.array([[0.4, 0.1], [0.1, 0.3]], np.float32)
    found = fit_decisions(LABELS, Precision(), truth, values, (0, 1))
    assert merit(LABELS, Precision(), truth, values, found) == 1


def test_of_stored_masks_no_more_are_read_than_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.decisions.fit_masks.VALUES", 1)
    monkeypatch.setattr("toolkit.decisions.fit_masks.FEWEST", 4)
    read: list[int] = []

    def counted(stored: np.ndarray) -> np.ndarray:
        read.append(len(stored))
        return probabilities(stored)

    monkeypatch.setattr("toolkit.decisions.fit.decidable", counted)
    rng, rows = np.random.default_rng(0), np.arange(1, 12)
    truth = rng.integers(4, size=(12, 4, 4), dtype=np.uint8)
    stored = rng.integers(256, size=(12, 2, 4, 4)).astype(np.uint8)
    found = fit_stored(MASKS, MeanDice(), truth, stored, rows, (0, 1))
    assert found == fit_decisions(MASKS, MeanDice(), truth[1:], probabilities(stored[1:]), (0, 1))
    assert read == [4]
