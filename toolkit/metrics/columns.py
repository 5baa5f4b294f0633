"""Metrics that are a mean over columns (labels, classes, targets) of what is counted of each."""

from collections.abc import Sequence

import numpy as np

from toolkit.metrics.metric import CountedMetric, Metric, ratio
from toolkit.outcome import counted
from toolkit.task import Classification, Task


def weighted_mean(values: np.ndarray, weights: Sequence[float] | None, scored: Sequence[int]) -> np.ndarray:
    """Over the last axis, of what is not NaN; weights: of all columns, values (..., K) of the scored ones or of all.

    NaN where nothing is left.
    """
    chosen = list(scored)
    values = values[..., chosen]
    shares = np.ones(len(chosen)) if weights is None else np.asarray(weights, np.float64)[chosen]
    kept = ~np.isnan(values)
    return ratio((np.where(kept, values, 0) * shares).sum(-1), (kept * shares).sum(-1))


def check_weights(metric: Metric, weights: Sequence[float] | None, columns: int) -> None:
    """ValueError where there are as many weights as columns, or one is negative, or all are 0."""
    if weights is None:
        return
    if len(weights) != columns:
        raise ValueError(f"{metric.name} has {counted(len(weights), 'weight')} for {counted(columns, 'column')}")
    if min(weights) < 0 or max(weights) == 0:
        raise ValueError(f"the weights of {metric.name} are {tuple(weights)}; expected positive numbers")


class ColumnMetric(CountedMetric):
    """A sample's counts are (K, k), those of each column.

    Two classes of which one is scored have one column, that of the second.
    """

    weights: tuple[float, ...] | None = None

    def of(self, task: Task) -> Metric:
        super().of(task)
        check_weights(self, self.weights, len(self.classes(task, ())))
        return self

    def each(self, counts: np.ndarray) -> np.ndarray:
        """Scores (..., K) of counts (..., K, k); NaN where there is none."""
        raise NotImplementedError

    def each_held(self, counts: np.ndarray) -> np.ndarray:
        """The same of parts: NaN also for a column of which a part shows nothing, whatever is said there."""
        return self.each(counts)

    def together(self, each: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """The score of the columns' (..., K), NaN where there is none."""
        return weighted_mean(each, self.weights, columns_of(each, scored))

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return self.together(self.each(counts), counts, scored)

    def as_in(self, whole: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """A column that has no score in a part has that of the whole."""
        each = self.each_held(counts)
        found = self.together(np.where(np.isnan(each), self.each(whole), each), counts, scored)
        return np.where(np.isnan(found), self.of_counts(whole, scored), found)

    def of_held(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return self.together(self.each_held(counts), counts, scored)

    def by_class(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return self.each(counts)

    def holds(self, counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = counts[..., 0] > 0
        return found


def columns_of(each: np.ndarray, scored: Sequence[int]) -> list[int]:
    """Places of the columns (..., K) that count: the only one, or the scored ones."""
    return [0] if each.shape[-1] == 1 else list(scored)


def binary(task: Task) -> bool:
    """Is it one of two classes, so that the second's probability says all?"""
    return isinstance(task, Classification) and len(task.classes) == 2


def yes_and_said(task: Task, truth: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns (N, K) of yes (1), no (0) and unknown (-1) as int8, and what is said of each.

    Of labels (N, L) themselves; of classes (N,) one against the rest, of two the second alone.
    """
    if not isinstance(task, Classification):
        return np.asarray(truth, np.int8), values
    if binary(task):
        return (truth == 1).astype(np.int8)[:, None], values[:, 1:]
    return (truth[:, None] == np.arange(len(task.classes))).astype(np.int8), values
