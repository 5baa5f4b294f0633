"""Metrics of probabilities that are sums over samples: log loss and the probabilistic F1."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.metrics.columns import ColumnMetric, binary, yes_and_said
from toolkit.metrics.many_classes import ManyClasses
from toolkit.metrics.metric import ratio
from toolkit.metrics.tally import Tally
from toolkit.task import MATRICES, MISSING, Classification, Labels, Task
from toolkit.top_k import TopK


@dataclass(frozen=True)
class LogLoss(ColumnMetric):
    """Mean of -log(probability of the truth), of one of several classes or of yes/no labels, a row a label.

    As on Kaggle: the probabilities of classes are divided by their sum, then all are clipped to `clip` and 1 - clip.
    weights: of each class or label. balanced: the mean of the classes' or labels' own means (otherwise each class
    counts by how often it is true, each label by how often it is known).
    """

    weights: tuple[float, ...] | None = None
    balanced: bool = False
    clip: float = 1e-15
    name: str = "log loss"
    ignore: tuple[str, ...] = ()
    lower_is_better: bool = True
    high: float = float("inf")
    needs = "values"
    tasks = (Classification, Labels)

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(N, K, 2): 1 and the loss, of the true class or of each known label."""
        truth, said = np.asarray(truth), np.asarray(predicted, np.float64)
        if isinstance(task, Classification):
            sums = said.sum(1, keepdims=True)
            said = np.divide(said, sums, out=np.full_like(said, 1 / said.shape[1]), where=sums > 0)
            known = truth[:, None] == np.arange(said.shape[1])
            right = said
        else:
            known = truth != MISSING
            right = np.where(truth == 1, said, 1 - said)
        losses = -np.log(np.clip(right, self.clip, 1 - self.clip))
        return np.stack([known, np.where(known, losses, 0)], axis=-1)

    def tally(self, task: Task, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> Tally:
        if not isinstance(task, Classification) or len(task.classes) <= MATRICES:
            return super().tally(task, truth, predicted, scored)
        truth = np.asarray(truth)
        losses = -np.log(np.clip(_of_truth(truth, predicted), self.clip, 1 - self.clip))
        return ManyClasses.of(self, truth, losses, len(task.classes), scored)

    def of_all(self, many: ManyClasses, weights: np.ndarray) -> float:
        return float(self.of_counts(_summed(many, weights[None])[0], many.scored))

    def of_many(self, many: ManyClasses, weights: np.ndarray) -> np.ndarray:
        whole = _summed(many, np.ones((1, len(many.truth))))[0]
        return self.as_in(whole, _summed(many, weights), many.scored)

    def by_class_of_many(self, many: ManyClasses, weights: np.ndarray) -> np.ndarray:
        return self.each(_summed(many, weights))

    def each(self, counts: np.ndarray) -> np.ndarray:
        return ratio(counts[..., 1], counts[..., 0])

    def together(self, each: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        if self.balanced:
            return super().together(each, counts, scored)
        chosen = list(scored)
        shares = np.ones(len(chosen)) if self.weights is None else np.asarray(self.weights, np.float64)[chosen]
        part = counts[..., chosen, :]
        return ratio((part[..., 1] * shares).sum(-1), (part[..., 0] * shares).sum(-1))


def _of_truth(truth: np.ndarray, said: np.ndarray) -> np.ndarray:
    """float64 (n,): what is said of the true class, of probabilities (n, C) that are divided by their sum."""
    if isinstance(said, TopK):
        found: np.ndarray = said.at(truth[:, None])[:, 0].astype(np.float64)
        return found
    right = np.take_along_axis(said, np.maximum(truth, 0)[:, None], axis=1)[:, 0].astype(np.float64)
    sums = said.sum(1, dtype=np.float64)
    return np.divide(right, sums, out=np.full_like(right, 1 / said.shape[1]), where=sums > 0)


def _summed(many: ManyClasses, weights: np.ndarray) -> np.ndarray:
    """(D, C, 2): how often each class is true, and its losses, under weights (D, s), without the unknown."""
    known = many.truth >= 0
    truth, losses = many.truth[known], many.predicted[known]
    sums = [[np.bincount(truth, each * by, many.classes) for by in (1, losses)] for each in weights[:, known]]
    return np.moveaxis(np.array(sums), 1, 2)


@dataclass(frozen=True)
class ProbabilisticF1(ColumnMetric):
    """F-beta with probabilities counted as shares of a yes; 0 where nothing is true. Mean over labels or classes.

    Yacouby & Axman 2020, as the mammography competition of 2023 computed it.
    """

    beta: float = 1.0
    weights: tuple[float, ...] | None = None
    name: str = ""
    ignore: tuple[str, ...] = ()
    needs = "values"
    tasks = (Classification, Labels)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"probabilistic F{self.beta:g}")

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(N, K, 3): is it true, the probability where it is, and where it isn't."""
        yes, said = yes_and_said(task, np.asarray(truth), np.clip(np.asarray(predicted, np.float64), 0, 1))
        return np.stack([yes == 1, said * (yes == 1), said * (yes == 0)], axis=-1)

    def each(self, counts: np.ndarray) -> np.ndarray:
        true, right, wrong = (counts[..., i] for i in range(3))
        squared = self.beta**2
        precision, recall = ratio(right, right + wrong), ratio(right, true)
        found = ratio((1 + squared) * precision * recall, squared * precision + recall)
        return np.where(true + right + wrong > 0, np.nan_to_num(found), np.nan)

    def each_held(self, counts: np.ndarray) -> np.ndarray:
        return np.where(counts[..., 0] > 0, self.each(counts), np.nan)

    def classes(self, task: Task, scored: tuple[int, ...]) -> tuple[str, ...]:
        return task.classes[1:] if binary(task) else task.classes

    def holds(self, counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = counts[..., 0] > 0
        return found
