"""Scores of all cuts through sorted values at once, and the cut in the middle of the best."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from toolkit.errors import UserError
from toolkit.metrics.metric import CountedMetric, Metric
from toolkit.task import Task

SAME = 1e-12  # scores that differ by less are equal: sums round
GRID = 256  # cuts that are tried at first where decisions depend on each other


def merit_of(task: Task, metric: Metric, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> float:
    """Of what is decided; more is better, -inf where there is no score, as a precision where nothing is given."""
    try:
        found = metric.sign * metric.tally(task, truth, predicted, scored).score()
    except UserError:  # an organisers' function fails on what is only tried; where it always does, scoring says so
        return -np.inf
    return -np.inf if np.isnan(found) else found


def merits_of(metric: CountedMetric, counts: np.ndarray, scored: tuple[int, ...]) -> np.ndarray:
    """As `merit_of`, (...) of summed counts."""
    found = metric.sign * np.asarray(metric.of_counts(counts, scored), np.float64)
    return np.where(np.isnan(found), -np.inf, found)


def sweep(values: np.ndarray, changes: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts (K + 1, ...) where nothing, the highest, ... all of the distinct values are above the cut.

    values: (m,); changes: (m, ...), what the counts `start` (...) become more by once a value is above it. Returned
    with the distinct values, falling (K,).
    """
    order = np.argsort(-values, kind="stable")
    falling = values[order]
    last = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)) if len(falling) else np.empty(0, np.intp)
    sums = np.cumsum(changes[order], axis=0, dtype=np.float64)[last]
    return np.concatenate([start[None], start + sums]), falling[last]


def middle_of_best(merits: np.ndarray, falling: np.ndarray, low: float, high: float) -> float:
    """The cut in the middle of the widest range of the highest merit: values from it on are above.

    merits: (K + 1,) with none, the highest, ... all of the values `falling` (K,) above; low, high: where the last and
    the first range end. A plateau's edge rests on one sample, its middle on none.
    """
    best = merits >= merits.max() - SAME
    steps = np.diff(np.concatenate([[0], best.astype(np.int8), [0]]))
    first, after = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    if len(falling):  # nothing is above the first cut, everything above the last
        high = max(high, float(np.nextafter(falling[0], np.float32(np.inf))))
        low = min(low, float(falling[-1]))
    tops, bottoms = np.append(high, falling)[first], np.append(falling, low)[after - 1]
    widest = int(np.argmax(tops - bottoms))
    return between(float(bottoms[widest]), float(tops[widest]))


def between(bottom: float, top: float) -> float:
    """Half-way, above `bottom` also once it is rounded to float32, in which values are compared."""
    middle = float(np.float32((bottom + top) / 2))
    return middle if bottom < middle <= top else top


def climbed(cuts: np.ndarray, best_cut: Callable[[np.ndarray, int], float], rounds: int = 10) -> np.ndarray:
    """Cuts (d,) after each was moved to its best place beside the others in turn, until none moves."""
    cuts = cuts.copy()
    for _ in range(rounds):
        before = cuts.copy()
        for i in range(len(cuts)):
            cuts[i] = best_cut(cuts, i)
        if np.array_equal(cuts, before):
            break
    return cuts


def thinned(falling: np.ndarray, most: int) -> np.ndarray:
    """At most so many of distinct values, evenly by their ranks."""
    if len(falling) <= most:
        return falling
    kept: np.ndarray = falling[np.linspace(0, len(falling) - 1, most).astype(np.intp)]
    return kept


def climbed_by_merit(
    merit: Callable[[np.ndarray], float],
    starts: Sequence[np.ndarray],
    candidates: Callable[[np.ndarray, int], np.ndarray],
    ends: tuple[float, float],
    rounds: int = 3,
) -> np.ndarray:
    """Cuts (d,) for a metric of which nothing is known but the merit of some cuts: the best start, climbed.

    candidates(cuts, i): distinct values, falling, between which the i-th may lie.
    """
    start = max(starts, key=merit)

    def best_cut(cuts: np.ndarray, i: int) -> float:
        falling = candidates(cuts, i)
        tried = np.concatenate([[ends[1]], [between(low, high) for high, low in pairwise(falling)]])
        tried = np.append(tried, between(min(ends[0], falling[-1]), falling[-1]))
        merits = np.array([merit(np.concatenate([cuts[:i], [cut], cuts[i + 1 :]])) for cut in tried])
        if merits.max() <= merit(cuts) + SAME:
            return float(cuts[i])
        return middle_of_best(merits, falling, *ends)

    return climbed(start, best_cut, rounds)
