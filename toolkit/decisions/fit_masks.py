"""From which probability on a pixel belongs to a mask, and below how many pixels a mask is left empty."""

from dataclasses import dataclass

import numpy as np

from toolkit.decisions.decide import HALF, PLAIN, Decisions, above, packed
from toolkit.decisions.fit_labels import some
from toolkit.decisions.sweep import SAME, climbed_by_merit, merit_of, merits_of, middle_of_best, sweep, thinned
from toolkit.metrics.labels import TableMetric
from toolkit.metrics.metric import Metric
from toolkit.task import IGNORED, Task

STEPS = 64  # thresholds are its fractions, exact in float32: a pixel's place among them is a product rounded down
VALUES = 1 << 28  # looked at, at most
SCORED = 1 << 24  # of a metric of which nothing is known
FEWEST = 64  # images, however large they are
TRIED = 12
ROUNDS = 3
TOGETHER = 1 << 22  # cells of contingencies in memory at a time


def looked_at(metric: Metric, samples: int, size: int) -> np.ndarray:
    """Places int64 of the samples, each so many values, that decisions are fitted on."""
    most = max((VALUES if isinstance(metric, TableMetric) else SCORED) // max(size, 1), FEWEST)
    return some(samples, most)


def fit_masks(task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]) -> Decisions:
    """Thresholds and smallest regions for masks as bits (n, H, W) and probabilities (n, L, H, W)."""
    chosen = looked_at(metric, len(truth), values[0].size)
    if not isinstance(metric, TableMetric):
        return _by_score(task, metric, truth[chosen], values[chosen], scored)
    areas = _areas(truth, values, chosen)
    labels, pixels = values.shape[1], float(values[0, 0].size)
    steps, smallest = np.full(labels, STEPS // 2), np.zeros(labels, np.int64)
    plain = _merit(metric, areas.tables(steps, smallest), scored)
    for _ in range(ROUNDS):
        before = (steps.copy(), smallest.copy())
        for label in scored:
            steps[label], smallest[label] = _best(metric, areas, steps, smallest, label, scored, pixels)
        if np.array_equal(before, (steps, smallest)):
            break
    if _merit(metric, areas.tables(steps, smallest), scored) < plain:
        return PLAIN
    return Decisions(thresholds=tuple(int(one) / STEPS for one in steps), smallest=tuple(int(one) for one in smallest))


@dataclass(frozen=True)
class _Areas:
    """Pixels at or above each step, int64 (n, L, STEPS + 1): where the label is, isn't, and where truth is IGNORED."""

    yes: np.ndarray
    no: np.ndarray
    ignored: np.ndarray

    def table(self, label: int, step: int, smallest: int) -> np.ndarray:
        """Contingencies (n, 2, 2) of one label."""
        yes, no = self.yes[:, label], self.no[:, label]
        kept = self.size(label, step) >= smallest
        right, wrong = yes[:, step] * kept, no[:, step] * kept
        cells = np.stack([no[:, 0] - wrong, wrong, yes[:, 0] - right, right], axis=1)
        return cells.reshape(-1, 2, 2)

    def tables(self, steps: np.ndarray, smallest: np.ndarray) -> np.ndarray:
        labels = range(self.yes.shape[1])
        return np.stack([self.table(one, steps[one], smallest[one]) for one in labels], axis=1)

    def full(self, label: int, steps: np.ndarray) -> np.ndarray:
        """Contingencies (s, n, 2, 2) of one label at each step, none left empty."""
        yes, no = self.yes[:, label].T, self.no[:, label].T
        cells = [no[:1] - no[steps], no[steps], yes[:1] - yes[steps], yes[steps]]
        return np.stack(cells, axis=-1).reshape(len(steps), -1, 2, 2)

    def size(self, label: int, step: "int | np.ndarray") -> np.ndarray:
        """Pixels (n,), or of each step (s, n)."""
        every = self.yes[:, label] + self.no[:, label] + self.ignored[:, label]
        return every[:, step].T


def _areas(truth: np.ndarray, values: np.ndarray, chosen: np.ndarray) -> _Areas:
    labels = values.shape[1]
    found = np.empty((len(chosen), labels, 3, STEPS + 1), np.int64)
    for row, image in enumerate(chosen):
        steps = np.clip(np.asarray(values[image], np.float32) * STEPS, 0, STEPS).astype(np.intp)
        nowhere = truth[image] == IGNORED
        for label in range(labels):
            kind = np.where(nowhere, 2, (truth[image] >> label) & 1).astype(np.intp)
            cells = np.bincount((steps[label] + kind * (STEPS + 1)).ravel(), minlength=3 * (STEPS + 1))
            found[row, label] = cells.reshape(3, STEPS + 1)
    found = found[..., ::-1].cumsum(-1)[..., ::-1]
    return _Areas(yes=found[:, :, 1], no=found[:, :, 0], ignored=found[:, :, 2])


def _merit(metric: TableMetric, tables: np.ndarray, scored: tuple[int, ...]) -> float:
    return float(merits_of(metric, metric.of_tables(tables, scored).sum(0), scored))


def _best(
    metric: TableMetric,
    areas: _Areas,
    steps: np.ndarray,
    smallest: np.ndarray,
    label: int,
    scored: tuple[int, ...],
    pixels: float,
) -> tuple[int, int]:
    """A label's step and smallest region, those of the others as they are: every smallest region of every step."""
    tables = areas.tables(steps, smallest)
    tables[:, label] = areas.table(label, 0, int(pixels) + 1)
    empty = metric.of_tables(tables, scored).astype(np.float64)

    def changes(tried: np.ndarray) -> np.ndarray:
        """What counts become more by, (s, n, ...), once a mask of each step isn't left empty."""
        every = np.repeat(tables[None], len(tried), axis=0)
        every[:, :, label] = areas.full(label, tried)
        counts = metric.of_tables(every.reshape(-1, *tables.shape[1:]), scored)
        return counts.reshape(len(tried), *empty.shape) - empty

    merits = np.full(STEPS + 1, -np.inf)
    at_a_time = max(TOGETHER // max(tables.size, 1), 1)
    for first in range(1, STEPS + 1, at_a_time):
        tried = np.arange(first, min(first + at_a_time, STEPS + 1))
        merits[tried] = _highest(metric, areas.size(label, tried), changes(tried), empty.sum(0), scored)
    best = merits >= merits.max() - SAME
    edges = np.diff(np.concatenate([[0], best.astype(np.int8), [0]]))
    starts, after = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    widest = int(np.argmax(after - starts))
    step = np.array([int(starts[widest] + after[widest] - 1) // 2])
    sums, falling = sweep(areas.size(label, step)[0], changes(step)[0], empty.sum(0))
    return int(step[0]), int(np.ceil(middle_of_best(merits_of(metric, sums, scored), falling, 0.0, pixels)))


def _highest(
    metric: TableMetric, sizes: np.ndarray, changes: np.ndarray, start: np.ndarray, scored: tuple[int, ...]
) -> np.ndarray:
    """Of each step (s,) the highest merit of all smallest regions: sizes (s, n), changes (s, n, ...)."""
    order = np.argsort(-sizes, axis=1, kind="stable")
    falling = np.take_along_axis(sizes, order, axis=1)
    sums = np.cumsum(changes[np.arange(len(sizes))[:, None], order], axis=1)
    last = np.append(falling[:, 1:] != falling[:, :-1], np.ones((len(sizes), 1), bool), axis=1)
    found = merits_of(metric, start + sums, scored)
    none = float(merits_of(metric, start, scored))
    highest: np.ndarray = np.maximum(np.where(last, found, -np.inf).max(1), none)
    return highest


def _by_score(task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]) -> Decisions:
    """For a metric of which nothing is known: a few thresholds, then a few smallest regions a label."""
    labels, pixels = values.shape[1], float(values[0, 0].size)

    def merit(thresholds: np.ndarray, smallest: np.ndarray) -> float:
        masks = packed(above(values, tuple(thresholds)), tuple(int(np.ceil(one)) for one in smallest))
        return merit_of(task, metric, truth, masks, scored)

    grid, none = np.arange(TRIED, 0, -1) / (TRIED + 1), np.zeros(labels)
    starts = [np.full(labels, one) for one in (HALF, 0.3, 0.4, 0.6, 0.7)]
    thresholds = climbed_by_merit(lambda one: merit(one, none), starts, lambda cuts, i: grid, (0.0, 1.0), 2)
    sizes = above(values, tuple(thresholds)).sum((2, 3))
    sized = [thinned(np.unique(np.append(column, 0))[::-1].astype(float), TRIED) for column in sizes.T]
    smallest = climbed_by_merit(lambda one: merit(thresholds, one), [none], lambda cuts, i: sized[i], (0.0, pixels), 2)
    return Decisions(
        thresholds=tuple(float(one) for one in thresholds), smallest=tuple(int(np.ceil(one)) for one in smallest)
    )
