"""Two metrics of the kinds that no confusion matrix has, and any metric with its sign turned."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np

from toolkit.metrics.metric import CountedMetric, Metric, Needs, WeighedMetric
from toolkit.task import Task

M = TypeVar("M", bound=Metric)


@dataclass(frozen=True)
class RootMeanSquare(CountedMetric):
    """Of numbers, all targets together: the lower the better, without an end."""

    name: str = "RMSE"
    needs: ClassVar[Needs] = "values"
    lower_is_better = True
    high = np.inf

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        squares = (np.asarray(predicted, float) - truth) ** 2
        return np.stack([np.nansum(squares, axis=1), (~np.isnan(squares)).sum(1)], axis=1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return np.sqrt(counts[..., 0] / np.maximum(counts[..., 1], 1e-12))


@dataclass(frozen=True)
class Area(WeighedMetric):
    """Under the receiver operating characteristic, of the first label."""

    name: str = "AUC"
    needs: ClassVar[Needs] = "values"

    def weighted(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        values, place = np.unique(predicted[:, 0], return_inverse=True)
        at, positive = np.eye(len(values))[place], truth[:, 0] == 1
        of, against = (weights * positive) @ at, (weights * ~positive) @ at  # (D, values)
        below = np.cumsum(against, axis=1) - against / 2
        with np.errstate(invalid="ignore", divide="ignore"):
            found: np.ndarray = (of * below).sum(1) / (of.sum(1) * against.sum(1))
        return found


def flipped(metric: M) -> M:
    """The same metric with its sign turned, so that the other direction is better."""

    class Flipped(type(metric)):  # type: ignore[misc]
        lower_is_better = not metric.lower_is_better
        low, high = -metric.high, -metric.low

        def of_counts(self, *given: Any) -> Any:
            return -metric.of_counts(*given)  # type: ignore[attr-defined]

        def weighted(self, *given: Any) -> Any:
            return -metric.weighted(*given)  # type: ignore[attr-defined]

        def by_class(self, *given: Any) -> Any:
            found = metric.by_class(*given)  # type: ignore[attr-defined]
            return None if found is None else -found

    made: M = Flipped(**{field.name: getattr(metric, field.name) for field in fields(metric)})  # type: ignore[arg-type]
    return made
