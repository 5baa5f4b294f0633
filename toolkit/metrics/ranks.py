"""Metrics of the order of probabilities: ROC AUC and average precision, the mean over labels or classes."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.metrics.columns import binary, check_weights, weighted_mean, yes_and_said
from toolkit.metrics.metric import Metric, WeighedMetric, scored_of
from toolkit.metrics.tally import Samples, Tally
from toolkit.task import MISSING, Classification, Labels, Task


class RankMetric(WeighedMetric):
    """Of two classes the second's probabilities, of more each against the rest, of labels each, skipping missing ones.

    Its tally holds the scored columns alone: yes (1), no (0) and unknown (-1), int8 (s, K), and what is said of them.
    """

    needs = "values"
    tasks: ClassVar[tuple[type[Task], ...]] = (Classification, Labels)
    weights: tuple[float, ...] | None = None

    def of(self, task: Task) -> Metric:
        super().of(task)
        check_weights(self, self.weights, len(self.classes(task, scored_of(self, task))))
        return self

    def classes(self, task: Task, scored: tuple[int, ...]) -> tuple[str, ...]:
        return task.classes[1:] if binary(task) else tuple(task.classes[i] for i in scored)

    def tally(self, task: Task, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> Tally:
        yes, said = yes_and_said(task, np.asarray(truth), np.asarray(predicted))
        if yes.shape != said.shape:
            raise ValueError(f"truth has shape {yes.shape}, prediction {said.shape}")
        columns = [0] if binary(task) else list(scored)
        return Samples(self, yes[:, columns], said[:, columns], np.arange(len(yes)), len(yes))

    @abstractmethod
    def column(self, weights: np.ndarray, order: np.ndarray, yes: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Scores (D,) of one column under weights (N, D), as in `rank_sums`."""

    def by_class(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        by_sample = np.ascontiguousarray(weights.T, np.float64)
        found = np.empty((len(weights), truth.shape[1]))
        for k in range(truth.shape[1]):
            known = np.flatnonzero(truth[:, k] != MISSING)
            order = known[np.argsort(-predicted[known, k], kind="stable")]
            falling = predicted[order, k]
            last = np.append(falling[1:] != falling[:-1], True) if len(order) else np.empty(0, bool)
            found[:, k] = self.column(by_sample, order, truth[order, k] == 1, last)
        return found

    def weighted(self, truth: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """A column that isn't defined under some weights counts as under equal ones, or is left out."""
        each = self.by_class(truth, predicted, weights)
        if np.isnan(each).any():
            each = np.where(np.isnan(each), self.by_class(truth, predicted, np.ones((1, len(truth)))), each)
        return weighted_mean(each, self.weights, range(each.shape[1]))

    def holds(self, truth: np.ndarray) -> np.ndarray:
        found: np.ndarray = truth == 1
        return found


@dataclass(frozen=True)
class RocAuc(RankMetric):
    """Area under the ROC curve, as scikit-learn's roc_auc_score: equal probabilities count a half.

    weights: of each scored label or class in the mean. regions: (from, to, how much it counts) of the true positive
    rate, such as ((0, 0.4, 2), (0.4, 1, 1)): the area there, divided by the most that it can be. most_false: the area
    up to this false positive rate alone, divided likewise (not McClish's correction).
    """

    weights: tuple[float, ...] | None = None
    regions: tuple[tuple[float, float, float], ...] = ()
    most_false: float = 1.0
    name: str = "ROC AUC"
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for low, high, weight in self.regions:
            if not (0 <= low < high <= 1 and weight >= 0):
                raise ValueError(f"a region of ROC AUC is {(low, high, weight)}; expected 0 <= from < to <= 1")
        if not 0 < self.most_false <= 1:
            raise ValueError(f"most_false is {self.most_false}, expected above 0, at most 1")

    def column(self, weights: np.ndarray, order: np.ndarray, yes: np.ndarray, last: np.ndarray) -> np.ndarray:
        from toolkit.metrics import rank_sums  # numba takes half a second, which `--help` does without

        if not self.regions and self.most_false == 1:
            return rank_sums.areas(weights, order, yes, last)
        regions = np.array(self.regions or ((0.0, 1.0, 1.0),), np.float64)
        return rank_sums.areas_in_regions(weights, order, yes, last, regions, self.most_false)


@dataclass(frozen=True)
class AveragePrecision(RankMetric):
    """Mean precision at each positive in the order of probabilities, as scikit-learn's average_precision_score."""

    weights: tuple[float, ...] | None = None
    name: str = "average precision"
    ignore: tuple[str, ...] = ()

    def column(self, weights: np.ndarray, order: np.ndarray, yes: np.ndarray, last: np.ndarray) -> np.ndarray:
        from toolkit.metrics import rank_sums

        return rank_sums.average_precisions(weights, order, yes, last)
