"""Where the expected grade is cut into grades."""

from collections.abc import Callable

import numpy as np

from toolkit.decisions.decide import HALF, grades
from toolkit.decisions.fit_labels import SCORED, TRIED, some
from toolkit.decisions.sweep import GRID, SAME, between, climbed_by_merit, thinned
from toolkit.metrics.confusion import ConfusionMetric
from toolkit.metrics.metric import Metric
from toolkit.task import Task

STARTS = 12  # drawn, beside the plain cuts and those that give each grade as often as it is true


def fit_cuts(
    task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]
) -> tuple[float, ...]:
    """Rising, one fewer than grades, for targets (n,) and the probabilities of being above each grade (n, K - 1)."""
    number = len(task.classes)
    expected = np.asarray(values, np.float32).sum(1)
    if isinstance(metric, ConfusionMetric):
        return _by_confusion(metric, truth, expected, number, scored)
    chosen = some(len(truth), SCORED)
    truth, expected = truth[chosen], expected[chosen]
    falling = thinned(np.unique(expected)[::-1], 4 * TRIED)

    def merit(cuts: np.ndarray) -> float:
        return metric.sign * metric.tally(task, truth, grades(expected, tuple(cuts), number), scored).score()

    def candidates(cuts: np.ndarray, i: int) -> np.ndarray:
        low, high = (cuts[i - 1] if i else -np.inf), (cuts[i + 1] if i + 1 < len(cuts) else np.inf)
        inside: np.ndarray = falling[(falling >= low) & (falling < high)]
        return inside if len(inside) else np.array([cuts[i]])

    starts = [np.arange(number - 1) + HALF, _as_often(truth, np.sort(expected), number)]
    found = climbed_by_merit(merit, starts, candidates, (0.0, float(number - 1)))
    return tuple(float(one) for one in np.maximum.accumulate(found))


def _as_often(truth: np.ndarray, rising: np.ndarray, number: int) -> np.ndarray:
    """Cuts that give each grade as often as it is true."""
    places = np.cumsum(np.bincount(truth, minlength=number))[:-1]
    return rising[np.minimum(places, len(rising) - 1)].astype(np.float64)


def _by_confusion(
    metric: ConfusionMetric, truth: np.ndarray, expected: np.ndarray, number: int, scored: tuple[int, ...]
) -> tuple[float, ...]:
    """Cuts are moved one by one between the distinct expected grades; each place's confusion is a difference of sums.

    On a grid from several starts, the best then on all places near it.
    """
    levels, inverse = np.unique(expected, return_inverse=True)
    seen = np.zeros((len(levels), number))
    np.add.at(seen, (inverse, truth), 1)
    below = np.concatenate([np.zeros((1, number)), np.cumsum(seen, axis=0)])  # (m + 1, grades), below each place
    last = len(levels)

    def merits(places: np.ndarray) -> np.ndarray:
        """Of places int64 (..., number - 1)."""
        ends = np.zeros((*places.shape[:-1], 1), np.int64)
        sums = below[np.concatenate([ends, places, ends + last], axis=-1)]
        return metric.sign * np.asarray(metric.of_counts(np.swapaxes(np.diff(sums, axis=-2), -1, -2), scored))

    def bounds(places: np.ndarray, i: int) -> tuple[int, int]:
        return (int(places[i - 1]) if i else 0), (int(places[i + 1]) if i + 1 < len(places) else last)

    def tried(places: np.ndarray, i: int, at: np.ndarray) -> np.ndarray:
        every = np.repeat(places[None], len(at), axis=0)
        every[:, i] = at
        return merits(every)

    def climb(places: np.ndarray, step: int) -> np.ndarray:
        """step: how far a cut looks; 0: at the grid, all over."""
        for _ in range(50):
            before = places.copy()
            for i in range(len(places)):
                low, high = bounds(places, i)
                if step:
                    at = np.arange(max(low, places[i] - step), min(high, places[i] + step) + 1)
                else:
                    at = np.append(grid[(grid >= low) & (grid <= high)], places[i])
                found = tried(places, i, at)
                if found.max() > merits(places) + SAME:
                    places[i] = at[np.argmax(found)]
            if (places == before).all():
                break
        return places

    grid = thinned(np.arange(last + 1), GRID)
    rng = np.random.default_rng(0)
    plain = np.searchsorted(levels, np.arange(number - 1) + HALF)
    starts = [plain, np.searchsorted(levels, _as_often(truth, np.sort(expected), number))]
    starts += [np.sort(rng.choice(grid, number - 1)) for _ in range(STARTS)]
    best = max((climb(np.sort(start).astype(np.int64), 0) for start in starts), key=lambda found: float(merits(found)))
    best = climb(best, 2 * (-(-last // GRID)) + 1)
    return _in_the_middle(best, levels, number, bounds, tried)


def _in_the_middle(
    places: np.ndarray,
    levels: np.ndarray,
    number: int,
    bounds: Callable[[np.ndarray, int], tuple[int, int]],
    tried: Callable[[np.ndarray, int, np.ndarray], np.ndarray],
) -> tuple[float, ...]:
    """Each cut in the middle of the places around it that score as well, the others as they are."""
    above_all = float(np.nextafter(max(np.float32(number - 1), levels[-1]), np.float32(np.inf)))
    rising = np.concatenate([[min(0.0, float(levels[0]))], levels, [above_all]])  # a cut at place p is in (p, p + 1]
    cuts: list[float] = []
    for i, place in enumerate(places):
        low, high = bounds(places, i)
        merits = tried(places, i, np.arange(low, high + 1))
        worse = np.flatnonzero(merits < merits[place - low] - SAME) + low
        first = int(worse[worse < place].max(initial=low - 1)) + 1
        last = int(worse[worse > place].min(initial=high + 1)) - 1
        cuts.append(between(float(rising[first]), float(rising[last + 1])))
        places = places.copy()
        places[i] = np.searchsorted(levels, cuts[-1])
    return tuple(float(one) for one in np.maximum.accumulate(cuts))
