"""The scores of corrupted samples by any metric, from a tally with a row a triple.

A corruption is scored on its own triples, in which its five severities weigh the same; what these lack (a class, a
value) is taken as in all triples, and where the metric isn't defined on them, as AUC on one class, all triples' score
stands for them. A draw of the triples in which it isn't defined says nothing of the corruption.
"""

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from toolkit.metrics.metric import ratio
from toolkit.metrics.organisers import Called
from toolkit.metrics.tally import Counts, Tally
from toolkit.scoring.bootstrap import drawn_times, jackknife_variance
from toolkit.scoring.corruption_suite import SEVERITIES

BLOCKS = 100  # of groups, for the jackknife
PARTS = 20  # of the triples, for the error from taking a share of them
AT_ONCE = 50  # draws: they bound the memory
LONG = 2e8  # weighted samples of a metric without counts, of which draws are made at most: about a minute
DRAWS = 1000
FEW = 100


class TalliedTriples:
    """A tally of T triples. members: how many corruptions there are; cell: int64 (T,), corruption and severity."""

    def __init__(self, tally: Tally, members: int, cell: np.ndarray) -> None:
        self.tally, self.members, self.cell = tally, members, cell
        self.rows = [np.flatnonzero(cell // SEVERITIES == member) for member in range(members)]
        self.pooled = tally.score()

    def scores(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of corruptions (parts, S) and of cells (parts, S, 5); NaN where there is no triple."""
        weights = (part == np.arange(int(part.max()) + 1)[:, None]).astype(float)
        cells = np.stack([self._of(np.flatnonzero(self.cell == c), weights) for c in range(self.members * SEVERITIES)])
        return self._corruptions(weights), cells.T.reshape(len(weights), self.members, SEVERITIES)

    def _corruptions(self, weights: np.ndarray, drawn: bool = False) -> np.ndarray:
        """Scores (D, S) with triples counted so often, weights (D, T); drawn: NaN also where the metric has none."""
        found = []
        for rows in self.rows:
            severity = self.cell[rows] % SEVERITIES == np.arange(SEVERITIES)[:, None]  # (5, t)
            own = weights[:, rows]
            numbers = own @ severity.T.astype(float)  # (D, 5)
            seen = np.maximum((numbers > 0).sum(1, keepdims=True), 1)
            evenly = numbers.sum(1, keepdims=True) / np.maximum(numbers, 1e-12) / seen
            factor = np.where(numbers > 0, evenly, 0) @ severity.astype(float)
            found.append(self._of(rows, own * factor, chosen=True, drawn=drawn))
        return np.stack(found, axis=1)

    def _of(self, rows: np.ndarray, weights: np.ndarray, chosen: bool = False, drawn: bool = False) -> np.ndarray:
        """Scores (D,) of some triples; chosen: the weights (D, ...) are of these alone; drawn: as `_corruptions`."""
        own = weights if chosen else weights[:, rows]
        if not len(rows):
            return np.full(len(own), np.nan)
        if isinstance(self.tally, Counts):
            counts = self.tally.counts[rows]
            summed = (own @ counts.reshape(len(rows), -1)).reshape(len(own), *counts.shape[1:])
            made = self.tally.metric.as_in(self.tally.whole, summed, self.tally.scored)
        else:
            part = self.tally[rows]
            made = part.scores(own)
            if not drawn and np.isnan(made).any():  # what it needs may be in rows that don't count here
                made = np.where(np.isnan(made), part.score(), made)
        if not drawn:
            made = np.where(np.isnan(made), self.pooled, made)
        return np.asarray(np.where(own.sum(1) > 0, made, np.nan))

    @cached_property
    def _whole(self) -> np.ndarray:
        """Scores (S,) of corruptions with all triples."""
        return self._corruptions(np.ones((1, len(self.cell))))[0]

    def _means(self, weights: np.ndarray) -> np.ndarray:
        """Stress scores (D,) with triples counted so often; NaN where the metric has none under any corruption."""
        if isinstance(self.tally, Counts):
            return np.asarray(np.nanmean(self._corruptions(weights), axis=1))
        # by how much those are moved that have a score: were it the mean of them, it would move by which they are
        moved = self._corruptions(weights, drawn=True) - self._whole
        known = ~np.isnan(moved)
        return np.asarray(np.nanmean(self._whole) + ratio(np.where(known, moved, 0).sum(1), known.sum(1)))

    def draws(self, group: np.ndarray, draws: int = DRAWS) -> np.ndarray:
        """Stress scores (draws,) under resampling of groups; the same groups make the same draws.

        Spread to the jackknife's standard error, as few triples a cell are resampled too closely.
        """
        if not isinstance(self.tally, Counts):
            draws = int(np.clip(LONG / len(self.cell), FEW, draws))
        if isinstance(self.tally, Called):  # a table's score takes milliseconds, and each draw one of every corruption
            draws = FEW
        drawn = np.concatenate(
            [self._means(times[:, group].astype(float)) for times in drawn_times(int(group.max()) + 1, draws=draws)]
        )
        if np.isnan(drawn).all():
            return drawn
        error, middle = np.sqrt(jackknife_variance(self.without(group))), np.nanmean(drawn)
        return middle + (drawn - middle) * max(1.0, error / max(np.nanstd(drawn), 1e-12))

    def without(self, group: np.ndarray) -> np.ndarray:
        """Stress scores without each group in turn, or each of BLOCKS blocks of many groups."""
        block = np.random.default_rng(0).permutation(int(group.max()) + 1) % BLOCKS
        return self._without(block[group])

    def _without(self, part: np.ndarray) -> np.ndarray:
        parts = int(part.max()) + 1
        made = [self._means((part != np.arange(parts)[at, None]).astype(float)) for at in _some(parts)]
        return np.concatenate(made)

    def error(self, left_out: float) -> float:
        """Standard error of the score for a share of triples: a jackknife over random parts of them."""
        part = np.random.default_rng(0).permutation(len(self.cell)) % PARTS
        return float(np.sqrt(jackknife_variance(self._without(part)) * left_out))


def _some(number: int) -> Iterator[slice]:
    for start in range(0, number, AT_ONCE):
        yield slice(start, min(start + AT_ONCE, number))
