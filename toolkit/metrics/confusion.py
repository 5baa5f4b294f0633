"""Metrics of one confusion matrix over the whole set: accuracy, F1, intersection over union.

A confusion matrix here is int64 (C, C): rows are the truth, columns the prediction. Averaging per-image
scores instead, as some libraries do, gives other numbers than the leaderboards show.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from toolkit.metrics.metric import CountedMetric, Metric, mean_of_known, ratio
from toolkit.task import IGNORED, UNKNOWN, Classification, Grades, Segmentation, Task


def confusion_matrix(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Counts (C, C) of integer labels or masks of equal shape; truth equal to IGNORED is left out."""
    return confusion_by_sample(truth[None], predicted[None], classes)[0]


def confusion_by_sample(truth: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """One confusion matrix a sample, int64 (N, C, C), of labels (N,) or masks (N, H, W).

    Truth equal to IGNORED or UNKNOWN is left out.
    """
    if truth.shape != predicted.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {predicted.shape}")
    if predicted.size and predicted.max() >= classes:
        raise ValueError(f"prediction has class {predicted.max()}, there are {classes}")
    samples = len(truth)
    truth = truth.reshape(samples, -1).astype(np.int64)
    cell = truth * classes + predicted.reshape(samples, -1)
    cell += np.arange(samples)[:, None] * classes**2
    counts = np.bincount(cell[(truth != IGNORED) & (truth != UNKNOWN)], minlength=samples * classes**2)
    return counts.reshape(samples, classes, classes)


class ConfusionMetric(CountedMetric):
    """Of one of several classes, an image or a pixel: a sample's counts are its confusion matrix, int64 (C, C)."""

    tasks: ClassVar[tuple[type[Task], ...]] = (Classification, Segmentation, Grades)

    def of(self, task: Task) -> Metric:
        super().of(task)
        if isinstance(task, Classification) and task.unknown is not None:
            raise ValueError(
                f"{self.name} has no place for images that show {task.unknown!r}: take MAP, a metric of values, or "
                "leave out unknown="
            )
        return self

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return confusion_by_sample(np.asarray(truth), predicted, len(task.classes))

    def as_in(self, whole: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """A class that a part lacks is predicted as in the whole; one that the whole lacks too doesn't count, as
        nothing is known of it.
        """
        known = [i for i in scored if whole[i].sum() > 0]
        return self.of_counts(fill_classes(counts, whole / max(whole.sum(), 1e-12)), known)

    def holds(self, counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = counts.sum(-1) > 0
        return found


def fill_classes(matrices: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Confusion matrices (..., C, C), whose rows without a sample are filled with `shares` of the matrix' sum."""
    empty, sums = matrices.sum(-1, keepdims=True) == 0, matrices.sum((-2, -1), keepdims=True)
    return np.where(empty, shares * sums, matrices)


@dataclass(frozen=True)
class Accuracy(ConfusionMetric):
    """Share of correct samples."""

    name: str = "accuracy"
    ignore: tuple[str, ...] = ()

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Scores (...) of confusion matrices (..., C, C); truth outside `scored` is left out."""
        rows = confusion[..., list(scored), :]
        right = confusion[..., list(scored), list(scored)].sum(-1)
        return np.nan_to_num(ratio(right, rows.sum((-2, -1))))

    def as_in(self, whole: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """It is a mean over samples, whatever their classes."""
        return self.of_counts(counts, [i for i in scored if whole[i].sum() > 0])

    def by_class(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Recall of every class (..., C)."""
        return ratio(np.diagonal(confusion, axis1=-2, axis2=-1).astype(float), confusion.sum(-1))


@dataclass(frozen=True)
class MacroF1(ConfusionMetric):
    """Unweighted mean of the classes' F1, as scikit-learn's f1_score(average="macro")."""

    name: str = "macro F1"
    ignore: tuple[str, ...] = ()

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return mean_of_known(self.by_class(confusion, scored)[..., list(scored)])

    def by_class(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """F1 of every class (..., C)."""
        right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
        return ratio(2 * right, confusion.sum(-1) + confusion.sum(-2))


@dataclass(frozen=True)
class MeanIoU(ConfusionMetric):
    """Mean intersection over union of the classes that are not in `ignore`.

    "Background is not scored" is read in three ways (`readings`); the score is the strict one: pixels whose
    truth is an ignored class are dropped, and the mean runs over the other classes.
    """

    ignore: tuple[str, ...] = ()
    name: str = "mean IoU"

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return mean_of_known(self.by_class(confusion, scored)[..., list(scored)])

    def by_class(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """IoU of every class (..., C) in the strict reading: the score is their mean over `scored`."""
        return _iou(_only_rows(confusion, scored))

    def readings(self, confusion: np.ndarray, scored: Sequence[int]) -> dict[str, float]:
        """The score of one matrix in each reading of "not scored".

        strict: as it is scored. keras: as keras.metrics.MeanIoU(num_classes=C, ignore_class=…), where one
        predicted pixel of an ignored class makes that class count with an IoU of 0. kept: pixels of
        ignored classes stay and can be false positives of the others.
        """
        return {
            "strict": float(self.of_counts(confusion, scored)),
            "keras": float(mean_of_known(self.by_class(confusion, scored))),
            "kept": float(mean_of_known(_iou(confusion)[list(scored)])),
        }


def _iou(confusion: np.ndarray) -> np.ndarray:
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    return ratio(right, confusion.sum(-1) + confusion.sum(-2) - right)


def _only_rows(confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
    dropped = np.zeros_like(confusion)
    dropped[..., list(scored), :] = confusion[..., list(scored), :]
    return dropped


def decode(probabilities: np.ndarray, scored: Sequence[int]) -> np.ndarray:
    """Class of highest probability among the scored ones, uint8 (N, ...) from (N, C, ...).

    A class that is not scored is never right: pixels of that class are not counted, and for any other pixel
    it is wrong. On mars, teams gained 11 to 18 points of mean IoU by never predicting it.
    """
    labels = np.asarray(scored, dtype=np.uint8)
    if len(scored) == probabilities.shape[1]:
        return probabilities.argmax(1).astype(np.uint8)
    return labels[probabilities[:, list(scored)].argmax(1)]
