"""Metrics of numbers, from sums over samples: squared and absolute errors, R2, correlation.

Of grades they take the expected one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from toolkit.metrics.columns import ColumnMetric
from toolkit.metrics.metric import ratio
from toolkit.task import Grades, Numbers, Task

INFINITE = float("inf")


def _known(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Known (N, T), truth and prediction as float64, 0 where the truth isn't known; grades are one column."""
    truth, said = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    truth, said = truth.reshape(len(truth), -1), said.reshape(len(said), -1)
    if truth.shape != said.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {said.shape}")
    known = ~np.isnan(truth)
    if known.all():
        return known, truth, said
    return known, np.where(known, truth, 0), np.where(known, said, 0)


class NumberMetric(ColumnMetric):
    """A column a target; grades are one."""

    needs = "values"
    tasks: ClassVar[tuple[type[Task], ...]] = (Numbers, Grades)

    def classes(self, task: Task, scored: tuple[int, ...]) -> tuple[str, ...]:
        return ("grade",) if isinstance(task, Grades) else task.classes


class MeanError(NumberMetric):
    """Of errors an entry: counts (T, 2) are 1 and the error.

    pooled: of all entries of all targets together, each weighted by its target, not the mean of the targets' own.
    """

    pooled: bool = False

    def error(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def of_mean(self, mean: np.ndarray) -> np.ndarray:
        return mean

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        known, numbers, said = _known(truth, predicted)
        return np.stack([known, self.error(numbers, said)], axis=-1)

    def each(self, counts: np.ndarray) -> np.ndarray:
        return self.of_mean(ratio(counts[..., 1], counts[..., 0]))

    def together(self, each: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        if not self.pooled:
            return super().together(each, counts, scored)
        chosen = [0] if each.shape[-1] == 1 else list(scored)
        shares = np.ones(len(chosen)) if self.weights is None else np.asarray(self.weights, np.float64)[chosen]
        sums = (counts[..., chosen, :] * shares[:, None]).sum(-2)
        return self.of_mean(ratio(sums[..., 1], sums[..., 0]))


@dataclass(frozen=True)
class Rmse(MeanError):
    """Root mean squared error: the mean of the targets' own (MCRMSE), or of all of them pooled."""

    pooled: bool = False
    weights: tuple[float, ...] | None = None
    name: str = "RMSE"
    ignore: tuple[str, ...] = ()
    lower_is_better: bool = True
    high: float = INFINITE

    def error(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        squared: np.ndarray = (truth - predicted) ** 2
        return squared

    def of_mean(self, mean: np.ndarray) -> np.ndarray:
        return np.sqrt(mean)


@dataclass(frozen=True)
class Mae(MeanError):
    """Mean absolute error."""

    pooled: bool = False
    weights: tuple[float, ...] | None = None
    name: str = "MAE"
    ignore: tuple[str, ...] = ()
    lower_is_better: bool = True
    high: float = INFINITE

    def error(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return np.abs(truth - predicted)


@dataclass(frozen=True)
class Rmsle(Rmse):
    """Root mean squared error of log(1 + number); what is predicted below 0 counts as 0."""

    name: str = "RMSLE"

    def error(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        squared: np.ndarray = (np.log1p(truth) - np.log1p(np.maximum(predicted, 0))) ** 2
        return squared


@dataclass(frozen=True)
class R2(NumberMetric):
    """Coefficient of determination, as scikit-learn's r2_score.

    average: columns: the mean of the targets' own, by their weights; variance: by their variances; pooled: one over
    all entries, each weighted by its target, about their one weighted mean.
    """

    average: Literal["columns", "variance", "pooled"] = "columns"
    weights: tuple[float, ...] | None = None
    name: str = "R2"
    ignore: tuple[str, ...] = ()
    low: float = -INFINITE

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(N, T, 4): 1, the truth, its square, and the squared error."""
        known, numbers, said = _known(truth, predicted)
        return np.stack([known, numbers, numbers**2, (numbers - said) ** 2], axis=-1)

    def each(self, counts: np.ndarray) -> np.ndarray:
        return 1 - ratio(counts[..., 3], _spread(counts))

    def together(self, each: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        if self.average == "columns":
            return super().together(each, counts, scored)
        chosen = [0] if each.shape[-1] == 1 else list(scored)
        shares = np.ones(len(chosen)) if self.weights is None else np.asarray(self.weights, np.float64)[chosen]
        part = counts[..., chosen, :] * shares[:, None]
        if self.average == "pooled":
            sums = part.sum(-2)
            return 1 - ratio(sums[..., 3], _spread(sums))
        return 1 - ratio(part[..., 3].sum(-1), _spread(part).sum(-1))


def _spread(counts: np.ndarray) -> np.ndarray:
    """Sum of squared deviations from the mean; 0 where it is nothing but rounding."""
    deviation = counts[..., 2] - np.nan_to_num(ratio(counts[..., 1] ** 2, counts[..., 0]))
    return np.where(deviation > 1e-12 * counts[..., 2], deviation, 0)


@dataclass(frozen=True)
class Pearson(NumberMetric):
    """Pearson's correlation, the mean over targets; of what is predicted alike for all it is 0.

    NaN there, as in scipy, would leave the target out of the mean.
    """

    weights: tuple[float, ...] | None = None
    name: str = "Pearson correlation"
    ignore: tuple[str, ...] = ()
    low: float = -1.0

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(N, T, 6): 1, truth, prediction, their squares and their product."""
        known, numbers, said = _known(truth, predicted)
        return np.stack([known, numbers, said, numbers**2, said**2, numbers * said], axis=-1)

    def each(self, counts: np.ndarray) -> np.ndarray:
        number, first, second, squared, other, product = (counts[..., i] for i in range(6))
        spreads = [_spread(np.stack([number, *pair], axis=-1)) for pair in ((first, squared), (second, other))]
        together = product - np.nan_to_num(ratio(first * second, number))
        found = np.clip(np.nan_to_num(ratio(together, np.sqrt(spreads[0] * spreads[1]))), -1, 1)
        return np.where(spreads[0] > 0, found, np.nan)
