"""The kernels choose what a plain reading of the method chooses, and score what the official metric scores."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.blending.greedy import Contested, Part, Search, confusions, gather, greedy, polish, read, thinned
from toolkit.metrics import IGNORED, Accuracy, MacroF1, MeanIoU, Metric, confusion_matrix, decode

METRICS = (Accuracy(), MacroF1(), MeanIoU(ignore=("a",)), Accuracy(ignore=("a",)))
SAMPLES, CLASSES = 24, 4


def drawn(
    seed: int, metric: Metric, models: int = 4, pixels: tuple[int, ...] = (), levels: int = 255
) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]:
    """Whole-number probabilities (M, N, C, ...), targets, folds and scored classes; few levels make many ties."""
    random = np.random.default_rng(seed)
    targets = random.integers(CLASSES, size=(SAMPLES, *pixels))
    hint = (targets[:, None] == np.arange(CLASSES).reshape(-1, *[1] * len(pixels))) * levels // 6
    values = random.integers(levels + 1, size=(models, SAMPLES, CLASSES, *pixels)) + hint
    targets[random.random(targets.shape) < 0.1] = IGNORED if pixels else 1
    return (
        values.astype(np.uint16),
        targets,
        np.arange(SAMPLES) % 3,
        [c for c in range(CLASSES) if c or not metric.ignore],
    )


def gathered(
    values: np.ndarray, targets: np.ndarray, fold: np.ndarray, metric: Metric, scored: Sequence[int], size: int = 5
) -> Contested:
    def parts() -> Iterator[Part]:
        for k in range(3):
            rows = np.flatnonzero(fold == k)
            for at in np.split(rows, range(size, len(rows), size)):
                yield k, at, values[:, at][:, :, list(scored)], targets[at]

    return gather(parts(), fold, CLASSES, metric, scored)


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
    values, targets, fold, scored = drawn(seed, metric, pixels=pixels, levels=levels)
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
    values, targets, fold, scored = drawn(seed, metric, pixels=(2, 2), levels=9)
    contested = gathered(values, targets, fold, metric, scored)
    found = Search(contested, [0, 1], start).scores(step)
    each = [start + step * one for one in np.eye(4, dtype=np.int64)]
    assert found == pytest.approx([plain_score(values, targets, fold != 2, w, metric, scored) for w in each])
    matrices = confusions(contested, start, 2)
    assert float(metric.score(matrices.sum(0), scored)) == pytest.approx(
        plain_score(values, targets, fold == 2, start, metric, scored)
    )


def test_what_all_agree_on_is_settled_and_the_rest_contested() -> None:
    values = np.zeros((2, 3, CLASSES), np.uint16)
    values[:, 0, 2] = 9  # both say 2
    values[0, 1, 1] = values[1, 1, 3] = 9  # 1 and 3
    values[:, 2, 0] = 9
    contested = gathered(values, np.array([2, 1, 3]), np.zeros(3, int), Accuracy(), range(CLASSES))
    assert contested.settled[0, 2, 2] == contested.settled[2, 3, 0] == 1 and contested.settled.sum() == 2
    assert [block.row.tolist() for block in contested.blocks if len(block.row)] == [[1]]


def test_more_paths_are_never_worse_and_further_steps_neither() -> None:
    for seed in range(10):
        values, targets, fold, scored = drawn(seed, Accuracy(), models=6)
        contested = gathered(values, targets, fold, Accuracy(), scored)
        scores = [
            Search(contested, [0, 1, 2], greedy(contested, [0, 1, 2], steps, paths=paths)).scores(0)[0]
            for steps, paths in ((3, 1), (20, 1), (20, 4))
        ]
        assert scores == sorted(scores)


def test_polishing_gains_and_brings_nobody_in() -> None:
    gained = 0.0
    for seed in range(10):
        values, targets, fold, scored = drawn(seed, MacroF1(), models=6)
        contested = gathered(values, targets, fold, MacroF1(), scored)
        start = np.array([5, 5, 5, 5, 0, 0])
        found = polish(contested, [0, 1, 2], start, (1, -1, 2, -2))
        before, after = (Search(contested, [0, 1, 2], w).scores(0)[0] for w in (start, found))
        assert after >= before and not found[4:].any() and (found >= 0).all()
        gained += after - before
    assert gained > 0


def test_limits_are_kept_and_only_those_allowed_are_taken() -> None:
    values, targets, fold, scored = drawn(1, Accuracy(), models=6)
    contested = gathered(values, targets, fold, Accuracy(), scored)
    costs = np.array([[1, 1, 1, 1, 1, 1], [5, 1, 3, 2, 9, 4]])
    taken = greedy(contested, [0, 1, 2], 30, costs=costs, limits=np.array([2, 6])) > 0
    assert taken.sum() <= 2 and costs[1, taken].sum() <= 6 and taken.any()
    only = np.arange(6) == 4
    assert (greedy(contested, [0], 5, allowed=only) > 0).tolist() == only.tolist()


def test_what_does_not_fit_in_memory_lies_on_disk_and_changes_nothing(tmp_path: Path) -> None:
    values, targets, fold, scored = drawn(0, MeanIoU(), pixels=(4, 4))
    rows = np.arange(SAMPLES)
    held, filed = (
        gather([(0, rows, values, targets)], fold * 0, CLASSES, MeanIoU(), scored, tmp_path, limit)
        for limit in (2**30, 100)
    )
    assert isinstance(filed.blocks[0].values, np.memmap) and not isinstance(held.blocks[0].values, np.memmap)
    assert not isinstance(read(filed.blocks[0].values), np.memmap)
    assert greedy(filed, [0]).tolist() == greedy(held, [0]).tolist()


def test_thinning_keeps_rare_classes_whole_and_totals_nearly() -> None:
    random = np.random.default_rng(0)
    targets = np.where(random.random((SAMPLES, 20, 20)) < 0.01, 3, random.integers(3, size=(SAMPLES, 20, 20)))
    values = random.integers(255, size=(4, SAMPLES, CLASSES, 20, 20)).astype(np.uint16)
    contested = gathered(values, targets, np.arange(SAMPLES) % 3, MeanIoU(), range(CLASSES))
    few = thinned(contested, 300)
    truth = [np.concatenate([block.truth for block in one.blocks]) for one in (contested, few)]
    assert (truth[1] == 3).sum() == (truth[0] == 3).sum() and (truth[1] == 0).sum() <= 300
    assert few.every is not None and few.every[3] == 1 and few.every[0] > 1
    exact, near = (Search(one, [0, 1, 2], np.ones(4, np.int64)).scores(1) for one in (contested, few))
    assert np.abs(exact - near).max() < 0.03
    with pytest.raises(ValueError, match="can't tell the confusion of a sample"):
        confusions(few, np.ones(4), 0)
