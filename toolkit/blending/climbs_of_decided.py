"""Climbs by metrics of what is decided first: grades by their cuts, labels and masks by thresholds, lists.

On drawn samples, cuts and thresholds that move with every candidate were worth .012 of kappa and .07 of F1 on others
over rounded grades and a threshold of a half (`python -m benchmarks.ensemble --only metrics`).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.blending.climb import Climb
from toolkit.blending.kernels import binned, likeliest_labels, mask_tables, places
from toolkit.decisions.decide import HALF
from toolkit.metrics.confusion import ConfusionMetric, Sums
from toolkit.metrics.lists import MAP
from toolkit.task import IGNORED, MISSING

BINS = 256  # of a probability, for thresholds
GRADE_BINS = 512  # of an expected grade, for cuts
LOOKED_AT = 32  # places of a cut that are tried


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
        self.truth = self.valued.slots(self.rows)
        self.decisions, self.length = self.of_mean(), int(getattr(self.metric, "length", 5))
        self.unknown = -1.0 if self.decisions.unknown is None else self.decisions.unknown

    def merits(self) -> np.ndarray:
        most = min(self.length, self.task.channels + (self.unknown >= 0))
        unknown = float(np.float32(self.unknown * (self.count + 1)))
        found = places(self.total, self.parts, self.truth, unknown, most)
        worth = np.append(1 / np.arange(1, most + 1), 0)
        counts = np.stack([found @ worth, found.sum(1)], axis=-1)
        merits: np.ndarray = self.metric.sign * self.metric.of_counts(counts, self.valued.competition.scored)
        return merits


class ByClass(Climb):
    """The likeliest of many classes: which are right and which are said is all that is counted."""

    metric: ConfusionMetric

    def prepare(self) -> None:
        self.parts = np.ascontiguousarray(self.valued.values[:, self.rows], np.float32)
        self.classes, self.truth = self.valued.classes_of(self.rows), self.truth.astype(np.int64)
        self.true = np.bincount(self.truth, minlength=len(self.task.classes))

    def merits(self) -> np.ndarray:
        labels = np.empty(self.parts.shape[:2], np.int64)
        likeliest_labels(self.total, self.parts, self.classes, labels)
        right = [np.bincount(self.truth[each == self.truth], minlength=len(self.true)) for each in labels]
        said = [np.bincount(each, minlength=len(self.true)) for each in labels]
        sums = Sums(np.stack(right), self.true, np.stack(said))
        merits: np.ndarray = self.metric.sign * self.metric.of_sums(sums, self.valued.competition.scored)
        return merits
