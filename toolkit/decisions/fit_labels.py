"""From which probability on each label is given."""

import numpy as np

from toolkit.decisions.decide import HALF, above
from toolkit.decisions.sweep import (
    GRID,
    climbed,
    climbed_by_merit,
    merit_of,
    merits_of,
    middle_of_best,
    sweep,
    thinned,
)
from toolkit.metrics.labels import SamplesF1, SummedTables
from toolkit.metrics.metric import CountedMetric, Metric
from toolkit.task import MISSING, Task

ENDS = (0.0, 1.0)
SEARCHED = 20_000  # samples on which labels that depend on each other are moved to and fro
SCORED = 5_000  # samples for a metric of which nothing is known
TRIED = 16  # cuts a label of such a metric
EVERYWHERE = (HALF, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)


def fit_thresholds(
    task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]
) -> tuple[float, ...]:
    """Of each label, for targets (n, L) and probabilities (n, L)."""
    values = np.asarray(values, np.float32)
    if isinstance(metric, SummedTables):
        found = _by_tables(metric, truth, values, scored)
    elif isinstance(metric, CountedMetric):
        found = _by_samples(task, metric, truth, values, scored)
    else:
        found = _by_score(task, metric, truth, values, scored)
    return tuple(float(one) for one in found)


def some(samples: int, most: int) -> np.ndarray:
    """Places int64 of at most so many samples, the same each time."""
    if samples <= most:
        return np.arange(samples)
    return np.sort(np.random.default_rng(0).choice(samples, most, replace=False))


def _by_tables(metric: SummedTables, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]) -> np.ndarray:
    """Each label's tables of all cuts; alone where the score is a mean of the labels' own."""
    thresholds = np.full(values.shape[1], HALF)
    curves = {}
    for label in scored:
        known = truth[:, label] != MISSING
        yes = truth[known, label] > 0
        moves = np.zeros((len(yes), 2, 2), np.int8)
        moves[:, 0, 0], moves[:, 0, 1], moves[:, 1, 0], moves[:, 1, 1] = yes - 1, ~yes, -yes.astype(np.int8), yes
        none_given = np.array([[(~yes).sum(), 0], [yes.sum(), 0]], np.float64)
        curves[label] = sweep(values[known, label], moves, none_given)
    if metric.apart:
        for label, (tables, falling) in curves.items():
            each = metric.sign * metric.of_label(tables)
            # a label that is nowhere is best given nowhere, where it has no score
            thresholds[label] = middle_of_best(np.nan_to_num(each, nan=np.inf), falling, *ENDS)
        return thresholds
    return _together(metric, curves, thresholds, scored)


def _together(
    metric: SummedTables,
    curves: dict[int, tuple[np.ndarray, np.ndarray]],
    thresholds: np.ndarray,
    scored: tuple[int, ...],
) -> np.ndarray:
    def place(label: int, threshold: float) -> int:
        """How many of the distinct values are above."""
        return int(np.searchsorted(-curves[label][1], -np.float32(threshold), side="right"))

    def tables(cuts: np.ndarray) -> np.ndarray:
        made = np.zeros((len(cuts), 2, 2))
        for label in scored:
            made[label] = curves[label][0][place(label, cuts[label])]
        return made

    def merits(cuts: np.ndarray, label: int, places: np.ndarray) -> np.ndarray:
        every = np.repeat(tables(cuts)[None], len(places), axis=0)
        every[:, label] = curves[label][0][places]
        return merits_of(metric, every, scored)

    def best_cut(cuts: np.ndarray, label: int) -> float:
        """The best of an even grid, then of all that are as near to it as its neighbours."""
        if label not in scored:
            return float(cuts[label])
        found, falling = curves[label]
        grid = thinned(np.arange(len(found)), GRID)
        at = int(grid[np.argmax(merits(cuts, label, grid))])
        step = -(-len(found) // (GRID - 1)) + 1 if len(grid) < len(found) else len(found)
        first, last = max(at - step, 0), min(at + step, len(found) - 1)
        near = merits(cuts, label, np.arange(first, last + 1))
        high = ENDS[1] if first == 0 else float(falling[first - 1])
        low = ENDS[0] if last == len(falling) else float(falling[last])
        return middle_of_best(near, falling[first:last], low, high)

    starts = [np.where(np.isin(np.arange(len(thresholds)), scored), one, HALF) for one in EVERYWHERE]
    start = max(starts, key=lambda cuts: float(merits_of(metric, tables(cuts), scored)))
    return climbed(start, best_cut)


def _by_samples(
    task: Task, metric: CountedMetric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]
) -> np.ndarray:
    """For counts of any kind: what each sample's become with a label given and not, summed in the order of its values.

    Labels are moved on some of the samples until none moves, then once on all.
    """

    def merit(chosen: np.ndarray, cuts: np.ndarray) -> float:
        counts = metric.counts(task, truth[chosen], above(values[chosen], tuple(cuts)).astype(np.int8))
        return float(merits_of(metric, counts.sum(0), scored))

    def switched(part: np.ndarray, said: np.ndarray, cuts: np.ndarray, label: int) -> tuple[np.ndarray, np.ndarray]:
        """Counts of samples without a label and with it."""
        given = above(said, tuple(cuts)).astype(np.int8)
        if isinstance(metric, SamplesF1):
            others = [one for one in scored if one != label]
            sums = _summed(part[:, others], given[:, others])
            own = part[:, [label]]
            return (
                metric.of_sums(sums + _summed(own, np.zeros_like(own))),
                metric.of_sums(sums + _summed(own, np.ones_like(own))),
            )
        given[:, label] = 0
        without = metric.counts(task, part, given)
        given[:, label] = 1
        return without, metric.counts(task, part, given)

    def moved(chosen: np.ndarray, cuts: np.ndarray, rounds: int) -> np.ndarray:
        part, said = truth[chosen], values[chosen]

        def best_cut(cuts: np.ndarray, label: int) -> float:
            if label not in scored:
                return float(cuts[label])
            without, given = switched(part, said, cuts, label)
            sums, falling = sweep(said[:, label], given - without, without.sum(0).astype(np.float64))
            return middle_of_best(merits_of(metric, sums, scored), falling, *ENDS)

        return climbed(cuts, best_cut, rounds)

    chosen = some(len(truth), SEARCHED)
    start = max((np.full(values.shape[1], one) for one in EVERYWHERE), key=lambda cuts: merit(chosen, cuts))
    found = moved(chosen, start, 4)
    return found if len(chosen) == len(truth) else moved(np.arange(len(truth)), found, 1)


def _summed(truth: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Contingencies float64 (n, 2, 2) of all labels together, of labels (n, L)."""
    known, yes, said = truth != MISSING, truth == 1, given == 1
    right, given_in_all, true = (yes & said).sum(1), (known & said).sum(1), yes.sum(1)
    cells = [known.sum(1) - true - given_in_all + right, given_in_all - right, true - right, right]
    return np.stack(cells, axis=1).reshape(-1, 2, 2).astype(np.float64)


def _by_score(
    task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]
) -> np.ndarray:
    chosen = some(len(truth), SCORED)
    truth, values = truth[chosen], values[chosen]

    def merit(cuts: np.ndarray) -> float:
        return merit_of(task, metric, truth, above(values, tuple(cuts)).astype(np.int8), scored)

    grids = [thinned(np.unique(column)[::-1], TRIED) for column in values.T]
    starts = [np.full(values.shape[1], one) for one in EVERYWHERE]
    return climbed_by_merit(merit, starts, lambda cuts, label: grids[label], ENDS)
