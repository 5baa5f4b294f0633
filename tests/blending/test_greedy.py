"""The kernels choose what a plain reading of the method chooses, and score what the official metric scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blending.conftest import CLASSES, Whole, drawn_whole
from toolkit.blending.greedy import HillClimb, greedy
from toolkit.metrics.confusion import Accuracy, ConfusionMetric, MacroF1, MeanIoU, confusion_matrix, decode

METRICS = pytest.mark.parametrize(
    "metric",
    [Accuracy(), MacroF1(), MeanIoU(ignore=("a",)), Accuracy(ignore=("a",))],
    ids=lambda metric: metric.name + str(metric.ignore),
)
ALL = [0, 1, 2]


def plain_score(whole: Whole, folds: list[int], weights: np.ndarray) -> float:
    rows = np.isin(np.arange(len(whole.targets)) % 3, folds)
    mixed = np.tensordot(weights, whole.values.astype(np.int64), 1)[rows]
    matrix = confusion_matrix(whole.targets[rows], decode(mixed, whole.scored), CLASSES)
    return float(whole.metric.of_counts(matrix, whole.scored))


def plain_greedy(whole: Whole, folds: list[int], steps: int) -> np.ndarray:
    single = np.eye(len(whole.values), dtype=np.int64)
    weights, alone = 0 * single[0], [plain_score(whole, folds, one) for one in single]
    best, taken = -1.0, weights
    for _ in range(steps):
        scores = [plain_score(whole, folds, weights + one) for one in single]
        equal = [m for m, score in enumerate(scores) if score == max(scores)]
        equal = [m for m in equal if weights[m]] or equal
        weights = weights + single[max(equal, key=lambda m: alone[m])]
        if max(scores) > best:
            best, taken = max(scores), weights
    return taken


@METRICS
@given(seed=st.integers(0, 999), pixels=st.sampled_from([(), (3, 2)]), levels=st.sampled_from([2, 9, 255]))
@settings(max_examples=15)
def test_selection_equals_a_plain_one_to_the_last_choice(
    metric: ConfusionMetric, seed: int, pixels: tuple[int, ...], levels: int
) -> None:
    whole = drawn_whole(seed, metric, pixels=pixels, levels=levels)
    found = greedy(whole.contested(), [0, 2], 8, paths=1)
    assert found.tolist() == plain_greedy(whole, [0, 2], 8).tolist()


@METRICS
@given(seed=st.integers(0, 999), taken=st.lists(st.integers(0, 3), max_size=9))
@settings(max_examples=15)
def test_every_step_scores_as_the_official_metric_does(metric: ConfusionMetric, seed: int, taken: list[int]) -> None:
    whole = drawn_whole(seed, metric, pixels=(2, 2), levels=9)
    contested, one = whole.contested(), np.eye(4, dtype=np.int64)
    climb, weights = HillClimb(contested, [0, 1]), 0 * one[0]
    for candidate in [-1, *taken]:
        weights = weights + one[candidate] * (candidate >= 0)
        expected = [plain_score(whole, [0, 1], each) for each in weights + one]
        assert climb.scores(candidate) == pytest.approx(expected)
    score = metric.of_counts(contested.confusions(weights + 1, 2).sum(0), whole.scored)
    assert float(score) == pytest.approx(plain_score(whole, [2], weights + 1))


def test_more_paths_are_never_worse_and_further_steps_neither() -> None:
    for seed in range(10):
        whole = drawn_whole(seed, Accuracy(), models=6)
        scores = [
            plain_score(whole, ALL, greedy(whole.contested(), ALL, steps, paths=paths))
            for steps, paths in ((3, 1), (20, 1), (20, 4))
        ]
        assert scores == sorted(scores)


def test_limits_are_kept_and_only_those_allowed_are_taken() -> None:
    contested = drawn_whole(1, Accuracy(), models=6).contested()
    costs = np.array([[1, 1, 1, 1, 1, 1], [5, 1, 3, 2, 9, 4]])
    taken = greedy(contested, ALL, 30, costs=costs, limits=np.array([2, 6])) > 0
    assert taken.sum() <= 2 and costs[1, taken].sum() <= 6 and taken.any()
    only = np.arange(6) == 4
    assert (greedy(contested, [0], 5, allowed=only) > 0).tolist() == only.tolist()
