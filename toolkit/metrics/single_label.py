"""More metrics of one confusion matrix over the whole set: balanced accuracy, F-beta, quadratic kappa."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from toolkit.metrics.confusion import ConfusionMetric, Sums
from toolkit.metrics.labels import f_beta
from toolkit.metrics.metric import Metric, mean_of_known, ratio
from toolkit.task import Task


@dataclass(frozen=True)
class BalancedAccuracy(ConfusionMetric):
    """Mean recall of the classes that occur in the truth, as scikit-learn's balanced_accuracy_score."""

    name: str = "balanced accuracy"
    ignore: tuple[str, ...] = ()

    def of_sums(self, sums: Sums, scored: Sequence[int]) -> np.ndarray:
        return mean_of_known(self.by_class_of_sums(sums)[..., list(scored)])

    def by_class_of_sums(self, sums: Sums) -> np.ndarray:
        """Recall of every class (..., C)."""
        return ratio(sums.right, sums.true)


@dataclass(frozen=True)
class F1(ConfusionMetric):
    """F-beta of one label an image or a pixel, as scikit-learn's fbeta_score.

    average: over classes (macro), over classes by how often they are true (weighted), of all decisions together
    (micro), or of the second of two classes alone (binary). A class that occurs nowhere is left out of the mean.
    """

    average: Literal["macro", "micro", "weighted", "binary"] = "macro"
    beta: float = 1.0
    name: str = ""
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"{self.average} F{self.beta:g}")

    def of(self, task: Task) -> Metric:
        super().of(task)
        if self.average == "binary" and len(task.classes) != 2:
            raise ValueError(f"{self.name} is of two classes, the task has {len(task.classes)}")
        return self

    @property
    def fills(self) -> bool:
        return self.average != "micro"  # that is of all decisions together

    def of_sums(self, sums: Sums, scored: Sequence[int]) -> np.ndarray:
        tables = _against_rest(sums)
        if self.average == "binary":
            return np.nan_to_num(f_beta(tables[..., 1, :, :], self.beta))
        tables = tables[..., list(scored), :, :]
        if self.average == "micro":
            return np.nan_to_num(f_beta(tables.sum(-3), self.beta))
        each = f_beta(tables, self.beta)
        if self.average == "macro":
            return mean_of_known(each)
        support = tables[..., 1, :].sum(-1)
        return np.nan_to_num(ratio((np.nan_to_num(each) * support).sum(-1), support.sum(-1)))

    def by_class_of_sums(self, sums: Sums) -> np.ndarray:
        """F-beta of every class (..., C)."""
        return f_beta(_against_rest(sums), self.beta)


def _against_rest(sums: Sums) -> np.ndarray:
    """Contingencies (..., C, 2, 2) of each class against the rest, without what is neither: F-beta ignores it."""
    wrong, missed = sums.said - sums.right, sums.true - sums.right
    return np.stack([np.zeros_like(wrong), wrong, missed, sums.right], axis=-1).reshape(*wrong.shape, 2, 2)


@dataclass(frozen=True)
class QuadraticKappa(ConfusionMetric):
    """Cohen's kappa with quadratic weights, as scikit-learn's cohen_kappa_score(weights="quadratic").

    0 where truth and prediction have a single class, the same: there is no agreement beyond chance.
    """

    name: str = "quadratic kappa"
    ignore: tuple[str, ...] = ()
    low: float = -1.0
    fills: ClassVar[bool] = False  # it is a ratio of sums over samples, whatever their classes

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        part = np.asarray(confusion, np.float64)[..., list(scored), :][..., list(scored)]
        apart = np.subtract.outer(np.asarray(scored), np.asarray(scored)).astype(np.float64) ** 2
        rows, columns = part.sum(-1), part.sum(-2)
        by_chance = ((rows @ apart) * columns).sum(-1)
        observed = (part * apart).sum((-2, -1)) * part.sum((-2, -1))
        return np.nan_to_num(1 - ratio(observed, by_chance))

    def by_class(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Recall of every grade (..., C)."""
        return ratio(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1))
