"""Metrics of several labels an image, each one of its own classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.metrics.columns import ColumnMetric, check_weights, weighted_mean
from toolkit.metrics.metric import Metric, WeighedMetric, ratio
from toolkit.task import MISSING, Heads, Task


def _names(task: Task) -> tuple[str, ...]:
    assert isinstance(task, Heads)
    return tuple(name for name, _ in task.heads)


@dataclass(frozen=True)
class WeightedMacroRecall(WeighedMetric):
    """Mean over heads of each one's macro recall, as scikit-learn's recall_score(average="macro").

    weights: of the heads, such as (2, 1, 1). A class that is predicted, but true nowhere, counts with a recall of 0,
    also under a weighting that doesn't predict it; one that a weighting lacks has the recall of the whole.
    """

    weights: tuple[float, ...] | None = None
    name: str = "weighted macro recall"
    tasks = (Heads,)

    def of(self, task: Task) -> Metric:
        super().of(task)
        check_weights(self, self.weights, len(_names(task)))
        return self

    def classes(self, task: Task, scored: tuple[int, ...]) -> tuple[str, ...]:
        return _names(task)

    def by_class(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Macro recall of each head (D, H)."""
        return np.stack([_recalls(truth[:, i], predicted[:, i], weights) for i in range(truth.shape[1])], axis=1)

    def weighted(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        heads = range(truth.shape[1])
        return weighted_mean(self.by_class(truth, predicted, weights), self.weights, heads)

    def said_of_held(self, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        columns = zip(truth.T, predicted.T, strict=True)
        return np.stack([np.where(np.isin(said, true), said, MISSING) for true, said in columns], axis=1)

    def holds(self, truth: np.ndarray) -> np.ndarray:
        found: np.ndarray = truth != MISSING
        return found


def _recalls(truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Macro recall (D,) of one head under weights (D, N)."""
    known = truth != MISSING
    if not known.all():
        truth, predicted, weights = truth[known], predicted[known], weights[:, known]
    if not len(truth):
        return np.full(len(weights), np.nan)
    classes, right = int(max(truth.max(), predicted.max())) + 1, truth == predicted

    def summed(labels: np.ndarray, counted: np.ndarray) -> np.ndarray:
        """Weights (D, classes) of the samples with each label that are `counted`."""
        return np.stack([np.bincount(labels, row * counted, classes) for row in weights])

    whole = ratio(np.bincount(truth[right], minlength=classes), np.bincount(truth, minlength=classes))
    true = summed(truth, np.ones(1))
    recalls = np.where(true > 0, summed(truth, right) / np.where(true > 0, true, 1), whole)
    recalls[:, np.isnan(whole) & (np.bincount(predicted[predicted != MISSING], minlength=classes) > 0)] = 0
    kept = ~np.isnan(recalls)
    return ratio(np.where(kept, recalls, 0).sum(1), kept.sum(1))


@dataclass(frozen=True)
class HeadAccuracy(ColumnMetric):
    """Mean over heads of the share of right labels."""

    weights: tuple[float, ...] | None = None
    name: str = "accuracy of heads"
    tasks = (Heads,)

    def classes(self, task: Task, scored: tuple[int, ...]) -> tuple[str, ...]:
        return _names(task)

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(N, H, 2): is the label known, is it right."""
        known = np.asarray(truth) != MISSING
        return np.stack([known, known & (truth == predicted)], axis=-1).astype(np.int8)

    def each(self, counts: np.ndarray) -> np.ndarray:
        return ratio(counts[..., 1], counts[..., 0])

    def together(self, each: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return weighted_mean(each, self.weights, range(each.shape[-1]))
