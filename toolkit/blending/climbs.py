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
from toolkit.metrics.columns import binary, weighted_mean, yes_and_said
from toolkit.metrics.confusion import ConfusionMetric
from toolkit.metrics.labels import SummedTables, TableMetric
from toolkit.metrics.lists import MAP
from toolkit.metrics.metric import Metric
from toolkit.metrics.numbers import R2, Mae, Rmse
from toolkit.metrics.probabilistic import LogLoss
from toolkit.metrics.ranks import AveragePrecision, RocAuc
from toolkit.task import IGNORED, MISSING, Classification, Grades, Labels, Numbers, OverlappingMasks, Task

if TYPE_CHECKING:
    from toolkit.blending.valued import Valued

BINS = 256  # of a probability, for thresholds
GRADE_BINS = 512  # of an expected grade, for cuts
LOOKED_AT = 32  # places of a cut that are tried
LEAST_POWER = -250  # of ten, that a product of probabilities may have


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
    """Metrics of a column's order, a label or a class each: the mean over columns that have a score."""

    metric: RocAuc | AveragePrecision

    def prepare(self) -> None:
        values = self.valued.values[:, self.rows]
        yes, _ = yes_and_said(self.task, self.truth, values[0])
        columns = values[:, :, -yes.shape[1] :]  # of two classes the second alone
        self.scored = [0] if binary(self.task) else list(self.valued.competition.scored)
        self.precision = isinstance(self.metric, AveragePrecision)
        self.parts, self.labels = [], []
        for column in self.scored:
            known = np.flatnonzero(yes[:, column] != MISSING)
            # bits of floats are in their order where none is negative
            self.parts.append(np.abs(columns[:, known, column].astype(np.float32)))
            self.labels.append((yes[known, column] > 0).astype(np.uint32))

    def reset(self) -> None:
        self.count, self.total = 0, [np.zeros(part.shape[1:], np.float32) for part in self.parts]  # type: ignore[assignment]

    def add(self, taken: int) -> None:
        for total, part in zip(self.total, self.parts, strict=True):
            total += part[taken]

    def merits(self) -> np.ndarray:
        found = np.full((self.candidates, len(self.parts)), np.nan)
        for at, (total, part, label) in enumerate(zip(self.total, self.parts, self.labels, strict=True)):
            for m in range(self.candidates):
                keys = ((total + part[m]).view(np.uint32) << 1) | label
                keys.sort()
                found[m, at] = ranked_scores(keys, self.precision)
        return self.metric.sign * weighted_mean(found, self.metric.weights, range(len(self.scored)))


class ByLogarithm(Climb):
    """Log losses: what each says of the truth is all that is looked at.

    parts: (M, n), the probability of what is true, those of one class or label together, up to `ends` (K,).
    """

    metric: LogLoss

    def prepare(self) -> None:
        values, truth, found = self.valued.values, self.truth, []
        for column in range(self.task.channels):
            own = values[:, self.rows, column]
            if isinstance(self.task, Labels):
                known = truth[:, column] != MISSING
                found.append(np.where(truth[known, column] > 0, own[:, known], 1 - own[:, known]))
            else:
                found.append(own[:, truth == column])
        self.parts = np.concatenate(found, axis=1).astype(np.float32)
        self.ends = np.cumsum([part.shape[1] for part in found])
        # of so many the product is still a normal number
        self.multiplied = int(np.clip(-LEAST_POWER / max(-np.log10(max(self.metric.clip, 1e-300)), 1), 1, 16))

    def merits(self) -> np.ndarray:
        sums = np.empty((self.candidates, len(self.ends)))
        log_sums(self.total, self.parts, self.ends, 1 / (self.count + 1), self.metric.clip, self.multiplied, sums)
        numbers = np.broadcast_to(np.diff(self.ends, prepend=0), sums.shape)
        counts = np.stack([numbers, -sums], axis=-1)
        found: np.ndarray = self.metric.sign * self.metric.of_counts(counts, self.valued.competition.scored)
        return found

    def weights(self) -> np.ndarray:
        """float64 (n,) that sum to 1: of each logarithm in the score, by what the loss does where it is doubled."""
        numbers = np.diff(self.ends, prepend=0)
        kept = np.flatnonzero(numbers)
        of_column = np.zeros(len(numbers))
        for column in kept:
            counts = np.stack([numbers, np.arange(len(numbers)) == column], axis=-1)
            doubled = self.metric.of_counts(counts, self.valued.competition.scored)
            of_column[column] = abs(np.nan_to_num(float(doubled)))
        found = np.repeat(of_column, numbers)
        return found / max(found.sum(), 1e-300)


class ByNumber(Climb):
    """Metrics of a sum of errors over each target: the last of what they count."""

    def columns(self) -> tuple[np.ndarray, np.ndarray]:
        """Residuals float64 (M, T, n), 0 where the truth is missing. Grades are one column."""
        values, truth = self.valued.values[:, self.rows].astype(np.float64), np.asarray(self.truth, np.float64)
        values, truth = (values.sum(2, keepdims=True), truth[:, None]) if truth.ndim == 1 else (values, truth)
        predicted = values[0, :, 0] if self.truth.ndim == 1 else values[0]
        metric: Any = self.metric
        self.base = metric.counts(self.task, self.truth, predicted).sum(0)
        return np.nan_to_num(np.moveaxis(values - truth, 1, 2), nan=0.0)

    def of_sums(self, sums: np.ndarray) -> np.ndarray:
        """Merits (M,) of each target's sum of errors (M, T)."""
        metric: Any = self.metric
        counts = np.repeat(self.base[None].astype(np.float64), len(sums), axis=0)
        counts[..., -1] = sums
        found: np.ndarray = metric.sign * metric.of_counts(counts, self.valued.competition.scored)
        return found


class BySquare(ByNumber):
    """Squared errors are (w'RR'w) / (sum of w)² with the candidates' residuals R (M, n): no step looks at samples."""

    def prepare(self) -> None:
        self.products = np.stack([part @ part.T for part in self.columns().swapaxes(0, 1)])  # (T, M, M)

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
        return self.of_sums(np.maximum(sums, 0).T)


class ByDistance(ByNumber):
    """Absolute errors."""

    def prepare(self) -> None:
        self.parts = np.ascontiguousarray(self.columns(), np.float32)

    def merits(self) -> np.ndarray:
        sums = np.empty(self.parts.shape[:2])
        absolute_sums(self.total, self.parts, sums)
        return self.of_sums(sums / (self.count + 1))


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
        metric: Any = self.metric
        scored = self.valued.competition.scored
        tables = np.zeros((self.candidates, BINS + 1, self.task.channels, 2, 2), np.int64)  # from none to all given
        counts = np.empty((self.candidates, BINS, 2), np.int64)
        for at, total, part, label in zip(scored, self.total, self.parts, self.labels, strict=True):
            binned(total, part, label, BINS / (self.count + 1), counts)
            tables[:, 1:, at, :, 1] = counts[:, ::-1].cumsum(1)
            tables[:, :, at, :, 0] = tables[:, -1:, at, :, 1] - tables[:, :, at, :, 1]
        if metric.apart:
            each = metric.sign * metric.by_class(tables, scored)
            # a label that is nowhere is best given nowhere, where it has no score
            chosen = np.nan_to_num(each, nan=np.inf).argmax(1)
        else:  # where a label given rightly is worth the same for all, so is the best threshold
            together = metric.sign * np.asarray(metric.of_counts(tables, scored))
            chosen = np.repeat(together.argmax(1)[:, None], self.task.channels, axis=1)
        self.thresholds = 1 - chosen / BINS  # of none: above all
        own = tables[np.arange(self.candidates)[:, None], chosen, np.arange(self.task.channels)]
        found: np.ndarray = metric.sign * np.asarray(metric.of_counts(own, scored))
        return found


class ByMask(Climb):
    """Tables of overlapping masks, with thresholds and smallest regions that are the best for the candidates' mean."""

    def prepare(self) -> None:
        self.decisions, labels = self.of_mean(), self.task.channels
        values = self.valued.values[:, self.rows]
        self.parts = np.ascontiguousarray(np.moveaxis(values.reshape(*values.shape[:3], -1), 0, -1))
        self.pixels = self.truth.reshape(len(self.truth), -1)
        given = self.decisions
        self.thresholds = np.full(labels, HALF) if given.thresholds is None else np.array(given.thresholds)
        self.smallest = np.zeros(labels, np.int64) if given.smallest is None else np.array(given.smallest, np.int64)

    def reset(self) -> None:
        self.count, self.total = 0, np.zeros(self.parts.shape[:3], np.int32)

    def add(self, taken: int) -> None:
        self.total = self.total + self.parts[..., taken]

    def merits(self) -> np.ndarray:
        least = np.ceil(self.thresholds / self.valued.scale * (self.count + 1) - 1e-6).astype(np.int64)
        found = mask_tables(self.total, self.parts, self.pixels, least, self.smallest, IGNORED)
        metric: Any = self.metric
        scored = self.valued.competition.scored
        sums = [metric.of_tables(tables, scored).sum(0) for tables in found]
        whole: np.ndarray = metric.sign * np.asarray(metric.of_counts(np.stack(sums), scored))
        return whole


class ByPlace(Climb):
    """Lists of the likeliest classes, of which one is right."""

    metric: MAP

    def prepare(self) -> None:
        self.parts = np.ascontiguousarray(self.valued.values[:, self.rows], np.float32)
        self.truth = self.truth.astype(np.int64)
        self.decisions, self.length = self.of_mean(), int(getattr(self.metric, "length", 5))
        self.unknown = -1.0 if self.decisions.unknown is None else self.decisions.unknown

    def merits(self) -> np.ndarray:
        most = min(self.length, self.task.channels + (self.unknown >= 0))
        unknown = np.float32(self.unknown * (self.count + 1))
        found = places(self.total, self.parts, self.truth, unknown, most)
        worth = np.append(1 / np.arange(1, most + 1), 0)
        counts = np.stack([found @ worth, found.sum(1)], axis=-1)
        merits: np.ndarray = self.metric.sign * self.metric.of_counts(counts, self.valued.competition.scored)
        return merits


OF_ORDER, OF_LOGARITHMS, OF_SQUARES = ByColumn, ByLogarithm, BySquare
# by what is computed: a metric that computes a part of it in its own way is asked for its score
KNOWN: tuple[tuple[type[Climb], type[Metric], tuple[type[Task], ...], tuple[str, ...]], ...] = (
    (ByMask, TableMetric, (OverlappingMasks,), ()),
    (ByThreshold, SummedTables, (Labels,), ("of_tables",)),
    (ByGrade, ConfusionMetric, (Grades,), ("counts",)),
    (ByPlace, MAP, (Classification,), ("counts",)),
    (ByLogarithm, LogLoss, (Classification, Labels), ("counts",)),
    (BySquare, Rmse, (Numbers, Grades), ("counts", "error")),
    (BySquare, R2, (Numbers, Grades), ("counts",)),
    (ByDistance, Mae, (Numbers, Grades), ("counts", "error")),
    (ByColumn, RocAuc, (Classification, Labels), ("weighted", "by_class", "column")),
    (ByColumn, AveragePrecision, (Classification, Labels), ("weighted", "by_class", "column")),
)


def climb_of(competition: Competition) -> type[Climb]:
    """The quickest that the metric allows."""
    task, metric = competition.task, competition.metric
    part = isinstance(metric, RocAuc) and (metric.regions or metric.most_false < 1)  # of the curve
    for climb, kind, tasks, names in KNOWN:
        own = all(getattr(type(metric), name) is getattr(kind, name) for name in names if isinstance(metric, kind))
        if isinstance(metric, kind) and isinstance(task, tasks) and own and not part:
            return climb
    return Climb
