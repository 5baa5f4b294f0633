"""The kernels choose what a plain reading of the method chooses, and score what the official metric scores."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.blending.conftest import CLASSES, drawn_whole, gathered
from toolkit.blending.greedy import HillClimb, greedy, polish
from toolkit.metrics import Accuracy, MacroF1, MeanIoU, Metric, confusion_matrix, decode

METRICS = (Accuracy(), MacroF1(), MeanIoU(ignore=("a",)), Accuracy(ignore=("a",)))


def plain_score(
    values: np.ndarray,
    targets: np.ndarray,
    rows: np.ndarray,
    weights: np.ndarray,
    metric: Metric,
    scored: Sequence[int],
) -> float:
    mixed = np.tensordot(weights, values.astype(np.int64), 1)[rows]
    return float(metric.score(confusion_matrix(targets[rows], decode(mixed, scored), CLASSES), scored))


def plain_greedy(
    values: np.ndarray, targets: np.ndarray, rows: np.ndarray, metric: Metric, scored: Sequence[int], steps: int
) -> np.ndarray:
    weights = np.zeros(len(values), np.int64)
    alone = [plain_score(values, targets, rows, one, metric, scored) for one in np.eye(len(values), dtype=np.int64)]
    best, taken = -1.0, weights.copy()
    for _ in range(steps):
        tried = [weights + one for one in np.eye(len(values), dtype=np.int64)]
        scores = [plain_score(values, targets, rows, one, metric, scored) for one in tried]
        equal = [m for m, score in enumerate(scores) if score == max(scores)]
        equal = [m for m in equal if weights[m]] or equal
        weights = tried[max(equal, key=lambda m: alone[m])]
        if max(scores) > best:
            best, taken = max(scores), weights.copy()
    return taken


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name + str(metric.ignore))
@given(seed=st.integers(0, 999), pixels=st.sampled_from([(), (3, 2)]), levels=st.sampled_from([2, 9, 255]))
@settings(max_examples=15, deadline=None)
def test_selection_equals_a_plain_one_to_the_last_choice(
    metric: Metric, seed: int, pixels: tuple[int, ...], levels: int
) -> None:
    values, targets, fold, scored = drawn_whole(seed, metric, pixels=pixels, levels=levels)
    contested = gathered(values, targets, fold, metric, scored)
    expected = plain_greedy(values, targets, fold != 1, metric, scored, 8)
    assert greedy(contested, [0, 2], 8, paths=1).tolist() == expected.tolist()


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name + str(metric.ignore))
@given(seed=st.integers(0, 999), weights=st.lists(st.integers(0, 9), min_size=4, max_size=4), step=st.integers(-3, 9))
@settings(max_examples=15, deadline=None)
def test_every_step_scores_as_the_official_metric_does(
    metric: Metric, seed: int, weights: list[int], step: int
) -> None:
    start = np.array(weights) + 3  # stays positive: what all agree on is settled for such weights alone
    values, targets, fold, scored = drawn_whole(seed, metric, pixels=(2, 2), levels=9)
    contested = gathered(values, targets, fold, metric, scored)
    found = HillClimb(contested, [0, 1], start).scores(step)
    each = [start + step * one for one in np.eye(4, dtype=np.int64)]
    assert found == pytest.approx([plain_score(values, targets, fold != 2, w, metric, scored) for w in each])
    matrices = contested.confusions(start, 2)
    assert float(metric.score(matrices.sum(0), scored)) == pytest.approx(
        plain_score(values, targets, fold == 2, start, metric, scored)
    )


def test_more_paths_are_never_worse_and_further_steps_neither() -> None:
    for seed in range(10):
        values, targets, fold, scored = drawn_whole(seed, Accuracy(), models=6)
        contested = gathered(values, targets, fold, Accuracy(), scored)
        scores = [
            HillClimb(contested, [0, 1, 2], greedy(contested, [0, 1, 2], steps, paths=paths)).scores(0)[0]
            for steps, paths in ((3, 1), (20, 1), (20, 4))
        ]
        assert scores == sorted(scores)


def test_polishing_gains_and_brings_nobody_in() -> None:
    gained = 0.0
    for seed in range(10):
        values, targets, fold, scored = drawn_whole(seed, MacroF1(), models=6)
        contested = gathered(values, targets, fold, MacroF1(), scored)
        start = np.array([5, 5, 5, 5, 0, 0])
        found = polish(contested, [0, 1, 2], start, (1, -1, 2, -2))
        before, after = (HillClimb(contested, [0, 1, 2], w).scores(0)[0] for w in (start, found))
        assert after >= before and not found[4:].any() and (found >= 0).all()
        gained += after - before
    assert gained > 0


def test_limits_are_kept_and_only_those_allowed_are_taken() -> None:
    values, targets, fold, scored = drawn_whole(1, Accuracy(), models=6)
    contested = gathered(values, targets, fold, Accuracy(), scored)
    costs = np.array([[1, 1, 1, 1, 1, 1], [5, 1, 3, 2, 9, 4]])
    taken = greedy(contested, [0, 1, 2], 30, costs=costs, limits=np.array([2, 6])) > 0
    assert taken.sum() <= 2 and costs[1, taken].sum() <= 6 and taken.any()
    only = np.arange(6) == 4
    assert (greedy(contested, [0], 5, allowed=only) > 0).tolist() == only.tolist()
