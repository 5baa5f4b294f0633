"""What every next step of greedy selection would score, for metrics that no confusion matrix of classes describes.

A climb keeps the sum S of the candidates taken so far; the next one, P, makes it (S + P) / (k + 1). Squared errors
follow from products of the candidates' residuals alone; the others are one compiled pass over the samples. A metric
that none of them knows is asked for its score, a candidate at a time.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.blending.kernels import absolute_sums, binned, log_sums, mask_tables, places, ranked_scores
from toolkit.competition import Competition
from toolkit.decisions.decide import HALF, Decisions
from toolkit.task import IGNORED, MISSING

if TYPE_CHECKING:
    from toolkit.blending.valued import Valued

BINS = 256  # of a probability, for thresholds
GRADE_BINS = 512  # of an expected grade, for cuts
LOOKED_AT = 32  # places of a cut that are tried at first


class Climb:
    """Base: the metric asked for each candidate. values: (M, n, channels, ...), truth: (n, ...)."""

    def __init__(self, valued: "Valued", folds: Sequence[int]) -> None:
        self.valued, self.candidates = valued, valued.candidates
        self.rows = np.flatnonzero(np.isin(valued.fold, folds))
        self.metric, self.task = valued.competition.metric, valued.competition.task
        self.truth = np.asarray(valued.truth[self.rows])
        self.prepare()
        self.reset()

    def prepare(self) -> None:
        """Whatever stays the same in all steps."""
        self.parts: Any = [self.valued.values[m][self.rows] for m in range(self.candidates)]
        self.decisions = self.of_mean()

    def of_mean(self) -> Decisions:
        """Decisions that are best for the mean of all candidates: refitted in each step they gained nothing."""
        return self.valued.decisions(np.ones(self.candidates), self.rows)

    def reset(self) -> None:
        self.count, self.total = 0, np.zeros_like(self.parts[0], self.valued.sums)

    def add(self, taken: int) -> None:
        self.total = self.total + self.parts[taken]

    def merits(self) -> np.ndarray:
        """(M,): of every candidate taken next; more is better, NaN where there is no score."""
        scale, found = self.valued.scale / (self.count + 1), []
        for part in self.parts:
            mixture = ((self.total + part) * scale).astype(np.float32)
            tally = self.valued.competition.tally(self.truth, mixture, self.decisions)
            found.append(self.metric.sign * tally.score())
        return np.array(found)

    def scores(self, taken: int = -1) -> np.ndarray:
        """Merits (M,) with one added to each candidate's weight in turn, once that of `taken` was for good."""
        if taken >= 0:
            self.add(taken)
            self.count += 1
        return np.nan_to_num(self.merits(), nan=-np.inf, posinf=np.inf, neginf=-np.inf)


class ByColumn(Climb):
    """Metrics of a column's order: the mean over columns that have a score. truth of a column: 1, 0, or MISSING."""

    precision = False

    def columns(self) -> list[tuple[int, np.ndarray]]:
        """Of each that is scored, its channel and its truth (n,)."""
        raise NotImplementedError

    def prepare(self) -> None:
        self.parts, self.labels = [], []
        for channel, truth in self.columns():
            known = np.flatnonzero(truth != MISSING)
            part = self.valued.values[:, self.rows[known], channel].astype(np.float32)
            # bits of floats are in their order where none is negative
            self.parts.append(np.abs(part - min(0, part.min(initial=0))))
            self.labels.append((truth[known] > 0).astype(np.uint32))

    def reset(self) -> None:
        self.count, self.total = 0, [np.zeros(part.shape[1:], np.float32) for part in self.parts]  # type: ignore[assignment]

    def add(self, taken: int) -> None:
        for total, part in zip(self.total, self.parts, strict=True):
            total += part[taken]

    def merits(self) -> np.ndarray:
        found = np.full((len(self.parts), self.candidates), np.nan)
        for at, (total, part, label) in enumerate(zip(self.total, self.parts, self.labels, strict=True)):
            for m in range(self.candidates):
                keys = ((total + part[m]).view(np.uint32) << 1) | label
                keys.sort()
                found[at, m] = ranked_scores(keys, self.precision)
        return self.metric.sign * self.over_columns(found)

    def over_columns(self, found: np.ndarray) -> np.ndarray:
        """Scores (M,) from those of each column (columns, M), NaN where a column has none."""
        known = ~np.isnan(found)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: np.ndarray = np.where(known, found, 0).sum(0) / known.sum(0)
        return mean


class ByLogarithm(Climb):
    """Log losses: what each says of the truth is all that is looked at.

    parts: (M, n), the probability of what is true, those of one weight together, up to `ends` (E,).
    """

    def cells(self) -> list[tuple[np.ndarray, float]]:
        """Probabilities (M, n) of the truth, and the weight that each has in the score."""
        raise NotImplementedError

    def prepare(self) -> None:
        cells = self.cells()
        self.parts = np.concatenate([part for part, _ in cells], axis=1).astype(np.float32)
        self.ends = np.cumsum([part.shape[1] for part, _ in cells])
        self.weights = np.array([weight for _, weight in cells])

    def merits(self) -> np.ndarray:
        sums = np.empty((self.candidates, len(self.ends)))
        log_sums(self.total, self.parts, self.ends, 1 / (self.count + 1), sums)
        found: np.ndarray = -self.metric.sign * (sums @ self.weights)
        return found


class BySquare(Climb):
    """Squared errors: (w'R'Rw) / (sum of w)² with the candidates' residuals R (n, M), so no step looks at samples."""

    def prepare(self) -> None:
        values, known = self.valued.values, ~np.isnan(self.truth)
        self.known, products = known, []
        for column in range(self.truth.shape[1]):
            rows = known[:, column]
            part = values[:, self.rows[rows], column].astype(np.float64) - self.truth[rows, column]
            products.append(part @ part.T)
        self.products = np.stack(products)  # (T, M, M)

    def reset(self) -> None:
        self.count = 0
        self.square = np.zeros(len(self.products))
        self.total = np.zeros(self.products.shape[:2])  # products of each with the sum of those taken

    def add(self, taken: int) -> None:
        self.square = self.square + 2 * self.total[:, taken] + self.products[:, taken, taken]
        self.total = self.total + self.products[:, :, taken]

    def merits(self) -> np.ndarray:
        own = np.diagonal(self.products, axis1=1, axis2=2)
        sums = (self.square[:, None] + 2 * self.total + own) / (self.count + 1) ** 2
        return self.metric.sign * self.of_sums(np.maximum(sums, 0).T)

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        """Scores (M,) of each target's sum of errors (M, T)."""
        raise NotImplementedError


class ByDistance(Climb):
    """Absolute errors."""

    def prepare(self) -> None:
        self.known = ~np.isnan(self.truth)
        values = np.moveaxis(self.valued.values[:, self.rows], 1, 2).astype(np.float32)
        target = np.where(self.known, self.truth, 0).T.astype(np.float32)
        self.parts = np.ascontiguousarray(np.where(self.known.T, values - target, 0))

    def merits(self) -> np.ndarray:
        sums = np.empty(self.parts.shape[:2])
        absolute_sums(self.total, self.parts, sums)
        return self.metric.sign * self.of_sums(sums / (self.count + 1))

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        """Scores (M,) of each target's sum of errors (M, T)."""
        raise NotImplementedError


class ByGrade(Climb):
    """Confusions of grades, whose cuts are moved to their best places for the sum so far, then for every candidate."""

    def prepare(self) -> None:
        self.parts = self.valued.values[:, self.rows].sum(2, dtype=np.float32)
        self.grades = len(self.task.classes)
        self.truth = self.truth.astype(np.int64)
        self.start = np.rint((np.arange(self.grades - 1) + HALF) * (GRADE_BINS / (self.grades - 1))).astype(np.int64)

    def reset(self) -> None:
        super().reset()
        self.cuts = np.repeat(self.start[None], self.candidates, axis=0)

    def add(self, taken: int) -> None:
        super().add(taken)
        self.cuts[:] = self.cuts[taken]

    def merits(self) -> np.ndarray:
        counts = np.empty((self.candidates, GRADE_BINS, self.grades), np.int64)
        scale = GRADE_BINS / (self.grades - 1) / (self.count + 1)
        binned(self.total, self.parts, self.truth, scale, counts)
        below = np.concatenate([np.zeros_like(counts[:, :1]), counts.cumsum(1)], axis=1)
        merits, self.cuts = moved_cuts(self.metric, below, self.cuts, self.valued.competition.scored)
        return merits


def moved_cuts(
    metric: Any, below: np.ndarray, cuts: np.ndarray, scored: Sequence[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Merits (M,) and cuts int64 (M, K - 1), each moved once to its best place beside the others.

    below: int64 (M, bins + 1, K), how often each truth has a value under each bin.
    """
    many, bins, _ = below.shape
    every = np.arange(many)[:, None]

    def merits(tried: np.ndarray) -> np.ndarray:
        """Of cuts (M, p, K - 1)."""
        ends = np.zeros((*tried.shape[:2], 1), np.int64)
        places = np.concatenate([ends, tried, ends + bins - 1], axis=2)
        confusion = np.diff(below[every[:, :, None], places], axis=2).swapaxes(2, 3)
        found: np.ndarray = metric.sign * np.asarray(metric.of_counts(confusion, scored))
        return found

    cuts = cuts.copy()
    best = merits(cuts[:, None])[:, 0]
    for c in range(cuts.shape[1]):
        low = cuts[:, c - 1] if c else np.zeros(many, np.int64)
        high = cuts[:, c + 1] if c + 1 < cuts.shape[1] else np.full(many, bins - 1)
        reach = np.unique(np.rint(np.geomspace(1, bins / 4, LOOKED_AT // 2)).astype(np.int64))
        steps = np.concatenate([-reach[::-1], reach])
        tried = np.repeat(cuts[:, None], len(steps), axis=1)
        tried[:, :, c] = np.clip(cuts[:, [c]] + steps, low[:, None], high[:, None])
        found = merits(tried)
        at = found.argmax(1)
        gains = found[every[:, 0], at] > best
        best = np.where(gains, found[every[:, 0], at], best)
        cuts[gains] = tried[every[:, 0], at][gains]
    return best, cuts


class ByThreshold(Climb):
    """Tables of labels, each of which gets its best threshold under every candidate."""

    def prepare(self) -> None:
        scored = self.valued.competition.scored
        self.known = [np.flatnonzero(self.truth[:, label] != MISSING) for label in scored]
        pairs, values = [*zip(self.known, scored, strict=True)], self.valued.values
        self.labels = [self.truth[rows, label].astype(np.int64) for rows, label in pairs]
        self.parts = [np.ascontiguousarray(values[:, self.rows[rows], label], np.float32) for rows, label in pairs]

    def reset(self) -> None:
        self.count, self.total = 0, [np.zeros(part.shape[1:], np.float32) for part in self.parts]  # type: ignore[assignment]

    def add(self, taken: int) -> None:
        for total, part in zip(self.total, self.parts, strict=True):
            total += part[taken]

    def merits(self) -> np.ndarray:
        tables = np.empty((self.candidates, len(self.parts), BINS + 1, 2, 2), np.int64)
        counts = np.empty((self.candidates, BINS, 2), np.int64)
        for at, (total, part, label) in enumerate(zip(self.total, self.parts, self.labels, strict=True)):
            binned(total, part, label, BINS / (self.count + 1), counts)
            tables[:, at, 0, :, 1] = 0
            tables[:, at, 1:, :, 1] = counts[:, ::-1].cumsum(1)
            tables[:, at, :, :, 0] = tables[:, at, -1:, :, 1] - tables[:, at, :, :, 1]
        metric: Any = self.metric
        labels = range(len(self.parts))
        if not metric.apart:  # one threshold for all: where a decision's worth is the same for all, so is the best one
            found = metric.of_counts(tables.swapaxes(1, 2), labels)
            best: np.ndarray = (metric.sign * np.asarray(found)).max(1)
            return best
        each = metric.by_class(tables.swapaxes(1, 2), labels)  # (M, bins + 1, L)
        chosen = np.nan_to_num(metric.sign * each, nan=-np.inf).argmax(1)
        own = tables[np.arange(self.candidates)[:, None], np.arange(len(self.parts)), chosen]
        whole: np.ndarray = metric.sign * np.asarray(metric.of_counts(own, labels))
        return whole


class ByMask(Climb):
    """Tables of overlapping masks, with thresholds and smallest regions that are the best for the candidates' mean."""

    def prepare(self) -> None:
        self.decisions, labels = self.of_mean(), self.task.channels
        values = self.valued.values[:, self.rows]
        self.parts = values.reshape(*values.shape[:3], -1)
        self.pixels = self.truth.reshape(len(self.truth), -1)
        given = self.decisions
        self.thresholds = np.full(labels, HALF) if given.thresholds is None else np.array(given.thresholds)
        self.smallest = np.zeros(labels, np.int64) if given.smallest is None else np.array(given.smallest, np.int64)

    def merits(self) -> np.ndarray:
        least = np.ceil(self.thresholds / self.valued.scale * (self.count + 1) - 1e-6)
        found = mask_tables(self.total, self.parts, self.pixels, least, self.smallest, IGNORED)
        metric: Any = self.metric
        scored = self.valued.competition.scored
        sums = [metric.of_tables(tables, scored).sum(0) for tables in found]
        whole: np.ndarray = metric.sign * np.asarray(metric.of_counts(np.stack(sums), scored))
        return whole


class ByPlace(Climb):
    """Lists of the likeliest classes, of which one is right."""

    def prepare(self) -> None:
        self.parts = np.ascontiguousarray(self.valued.values[:, self.rows], np.float32)
        self.truth = self.truth.astype(np.int64)
        decided = self.of_mean().unknown
        self.unknown, self.length = -1.0 if decided is None else float(decided), int(getattr(self.metric, "length", 5))

    def merits(self) -> np.ndarray:
        most = min(self.length, self.task.channels + (self.unknown >= 0))
        unknown = np.float32(self.unknown * (self.count + 1))
        found = places(self.total, self.parts, self.truth, unknown, most)
        worth = np.append(1 / np.arange(1, most + 1), 0)
        mean: np.ndarray = self.metric.sign * (found @ worth) / max(len(self.truth), 1)
        return mean


OF_ORDER, OF_LOGARITHMS, OF_SQUARES = ByColumn, ByLogarithm, BySquare


def climb_of(competition: Competition) -> type[Climb]:
    """The quickest that the metric allows."""
    return Climb
