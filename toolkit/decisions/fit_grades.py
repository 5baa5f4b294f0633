"""Where the expected grade is cut into grades."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from toolkit.decisions.decide import HALF, grades
from toolkit.decisions.fit_labels import SCORED, TRIED, some
from toolkit.decisions.sweep import GRID, SAME, between, climbed_by_merit, merit_of, merits_of, thinned
from toolkit.metrics.confusion import ConfusionMetric
from toolkit.metrics.metric import Metric
from toolkit.task import Task

MOVES = 50
STARTS = 6  # drawn, beside the plain cuts and those that give each grade as often as it is true


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
        return merit_of(task, metric, truth, grades(expected, tuple(cuts), number), scored)

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
    """Cuts are moved one by one between the distinct expected grades.

    On a grid from several starts at once, the best then on all places near it.
    """
    levels, inverse = np.unique(expected, return_inverse=True)
    seen = np.zeros((len(levels), number))
    np.add.at(seen, (inverse, truth), 1)
    below = np.concatenate([np.zeros((1, number)), np.cumsum(seen, axis=0)])
    cuts = _Cuts(metric, scored, below)

    grid = thinned(np.arange(len(levels) + 1), GRID)
    rng = np.random.default_rng(0)
    plain = np.searchsorted(levels, np.arange(number - 1) + HALF)
    often = np.searchsorted(levels, _as_often(truth, np.sort(expected), number))
    starts = np.sort([plain, often, *(rng.choice(grid, number - 1) for _ in range(STARTS))], axis=1)
    climbed = cuts.climbed(starts, lambda places: np.append(np.tile(grid, (len(places), 1)), places[:, None], axis=1))
    best = climbed[[int(np.argmax(cuts.merits(climbed)))]]
    step = 2 * (-(-len(levels) // GRID)) + 1
    best = cuts.climbed(best, lambda places: places[:, None] + np.arange(-step, step + 1))
    return cuts.in_the_middle(best[0], levels)


@dataclass(frozen=True, eq=False)
class _Cuts:
    """Places of cuts between distinct expected grades: how many of these are below each.

    below: (m + 1, grades), how often each grade is true below each place; a confusion matrix is their differences.
    """

    metric: ConfusionMetric
    scored: tuple[int, ...]
    below: np.ndarray

    def merits(self, places: np.ndarray) -> np.ndarray:
        """Of places int64 (..., cuts)."""
        ends = np.zeros((*places.shape[:-1], 1), np.int64)
        sums = self.below[np.concatenate([ends, places, ends + len(self.below) - 1], axis=-1)]
        confusions = np.swapaxes(np.diff(sums, axis=-2), -1, -2)
        return merits_of(self.metric, confusions, self.scored)

    def tried(self, places: np.ndarray, i: int, at: np.ndarray) -> np.ndarray:
        """Merits (s, k) of places (s, cuts) with the i-th at each of `at` (s, k); -inf where it would pass another."""
        low = places[:, [i - 1]] if i else 0
        high = places[:, [i + 1]] if i + 1 < places.shape[1] else len(self.below) - 1
        every = np.repeat(places[:, None], at.shape[1], axis=1)
        every[:, :, i] = np.clip(at, low, high)
        return np.where((at < low) | (at > high), -np.inf, self.merits(every))

    def climbed(self, places: np.ndarray, around: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Places (s, cuts) after each cut was moved to its best in turn, until none moves.

        around(the i-th places (s,)): where it may move, (s, k), itself among them.
        """
        places = places.astype(np.int64)
        for _ in range(MOVES):
            before = places.copy()
            for i in range(places.shape[1]):
                at = around(places[:, i])
                merits, rows = self.tried(places, i, at), np.arange(len(places))
                now = merits[rows, np.argmax(at == places[:, [i]], axis=1)]
                best = np.argmax(merits, axis=1)
                places[:, i] = np.where(merits[rows, best] > now + SAME, at[rows, best], places[:, i])
            if (places == before).all():
                break
        return places

    def in_the_middle(self, places: np.ndarray, levels: np.ndarray) -> tuple[float, ...]:
        """Each of the cuts (cuts,) in the middle of the places that score as well, the others as they are."""
        above_all = float(np.nextafter(max(np.float32(len(places)), levels[-1]), np.float32(np.inf)))
        rising = np.concatenate([[min(0.0, float(levels[0]))], levels, [above_all]])  # place p is in (p, p + 1]
        found: list[float] = []
        for i, place in enumerate(places):
            merits = self.tried(places[None], i, np.arange(len(rising) - 1)[None])[0]
            worse = np.flatnonzero(merits < merits[place] - SAME)
            first = int(worse[worse < place].max(initial=-1)) + 1
            last = int(worse[worse > place].min(initial=len(merits))) - 1
            found.append(between(float(rising[first]), float(rising[last + 1])))
            places = places.copy()
            places[i] = np.searchsorted(levels, found[-1])
        return tuple(float(one) for one in np.maximum.accumulate(found))
