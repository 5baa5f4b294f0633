"""Climbs by metrics of what is predicted as it is: ranks, log losses, errors of numbers.

Squared errors follow from products of the residuals alone; the others are one compiled pass over the samples.
"""

from typing import Any

import numpy as np

from toolkit.blending.climb import Climb
from toolkit.blending.kernels import absolute_sums, log_sums, ranked_scores
from toolkit.metrics.columns import binary, weighted_mean, yes_and_said
from toolkit.metrics.probabilistic import LogLoss
from toolkit.metrics.ranks import AveragePrecision, RocAuc
from toolkit.task import MISSING, Labels

LEAST_POWER = -250  # of ten, that a product of probabilities may have


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
        for column in range(self.task.channels if isinstance(self.task, Labels) else 0):
            own = values[:, self.rows, column]
            known = truth[:, column] != MISSING
            found.append(np.where(truth[known, column] > 0, own[:, known], 1 - own[:, known]))
        if isinstance(self.task, Labels):
            self.parts = np.concatenate(found, axis=1).astype(np.float32)
            self.ends = np.cumsum([part.shape[1] for part in found])
        else:
            order = np.argsort(truth, kind="stable")
            order = order[truth[order] >= 0]  # those of one class together
            self.parts = values[:, self.rows[order], self.valued.slots(self.rows[order])].astype(np.float32)
            self.ends = np.cumsum(np.bincount(truth[order], minlength=self.task.channels))
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

    def residuals(self) -> np.ndarray:
        """Of the targets, float64 (M, T, n), 0 where the truth is missing. Grades are one target."""
        values, truth = self.valued.values[:, self.rows].astype(np.float64), np.asarray(self.truth, np.float64)
        values, truth = (values.sum(2, keepdims=True), truth[:, None]) if truth.ndim == 1 else (values, truth)
        predicted = values[0, :, 0] if self.truth.ndim == 1 else values[0]
        metric: Any = self.metric
        self.base = metric.counts(self.task, self.truth, predicted).sum(0)
        found: np.ndarray = np.nan_to_num(np.moveaxis(values - truth, 1, 2), nan=0.0)
        return found

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
        self.products = np.stack([part @ part.T for part in self.residuals().swapaxes(0, 1)])  # (T, M, M)

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
        self.parts = np.ascontiguousarray(self.residuals(), np.float32)

    def merits(self) -> np.ndarray:
        sums = np.empty(self.parts.shape[:2])
        absolute_sums(self.total, self.parts, sums)
        return self.of_sums(sums / (self.count + 1))
