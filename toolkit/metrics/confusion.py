"""Metrics of one confusion matrix over the whole set: accuracy, F1, intersection over union.

A confusion matrix here is int64 (C, C): rows are the truth, columns the prediction. Averaging per-image
scores instead, as some libraries do, gives other numbers than the leaderboards show.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from toolkit.metrics.many_classes import ManyClasses
from toolkit.metrics.metric import CountedMetric, Metric, mean_of_known, ratio
from toolkit.metrics.tally import Tally
from toolkit.task import IGNORED, MATRICES, UNKNOWN, Classification, Grades, Segmentation, Task
from toolkit.top_k import TopK

MOST_IN_MATRICES = 255  # classes of a metric that asks for whole matrices
TRACE = 1e-9  # of what a class is said in the whole: enough to count, too little to move anything


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


@dataclass(frozen=True)
class Sums:
    """How often each class is right, is true and is said, (..., C) each: all that most metrics ask of a matrix."""

    right: np.ndarray
    true: np.ndarray
    said: np.ndarray


def sums_of(confusion: np.ndarray) -> Sums:
    """Of confusion matrices (..., C, C)."""
    return Sums(np.diagonal(confusion, axis1=-2, axis2=-1), confusion.sum(-1), confusion.sum(-2))


def sums_of_labels(truth: np.ndarray, said: np.ndarray, weights: np.ndarray, classes: int) -> Sums:
    """Of labels (n,) under weights (D, n), (D, classes) each: no matrix is made."""
    hit = truth == said

    def counted(labels: np.ndarray, of: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(labels, each, classes) for each in of])

    return Sums(counted(truth[hit], weights[:, hit]), counted(truth, weights), counted(said, weights))


class ConfusionMetric(CountedMetric):
    """Of one of several classes, an image or a pixel: a sample's counts are its confusion matrix, int64 (C, C).

    It defines `of_counts` and `by_class` of matrices, or `of_sums` and `by_class_of_sums` in their place: then images
    of more than MATRICES classes are scored without matrices, which would not fit in memory.
    """

    tasks: ClassVar[tuple[type[Task], ...]] = (Classification, Segmentation, Grades)

    @property
    def fills(self) -> bool:
        """Is a class that a part lacks predicted as in the whole? It is where classes are scored one by one."""
        return True

    def of_sums(self, sums: Sums, scored: Sequence[int]) -> np.ndarray:
        """Scores (...) of what is counted of each class."""
        raise NotImplementedError

    def by_class_of_sums(self, sums: Sums) -> np.ndarray | None:
        """Scores (..., C)."""
        return None

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return self.of_sums(sums_of(confusion), scored)

    def by_class(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray | None:
        return self.by_class_of_sums(sums_of(confusion))

    @property
    def has_sums(self) -> bool:
        """Does its score follow from `of_sums`, and not from what a class derived from it does with matrices?"""
        defines = {"of_sums", "of_counts", "by_class", "counts"}
        last = next(kind for kind in type(self).__mro__ if defines & vars(kind).keys())
        return last is not ConfusionMetric and "of_sums" in vars(last)

    def without_matrices(self, task: Task) -> bool:
        """Is a sample's label kept in place of its matrix?"""
        return isinstance(task, Classification) and len(task.classes) > MATRICES and self.has_sums

    def tally(self, task: Task, truth: np.ndarray, predicted: np.ndarray, scored: tuple[int, ...]) -> Tally:
        if self.without_matrices(task):
            return ManyClasses.of(self, truth, predicted, len(task.classes), scored)
        return super().tally(task, truth, predicted, scored)

    def of_all(self, many: ManyClasses, weights: np.ndarray) -> float:
        sums = sums_of_labels(many.truth, many.predicted, weights[None], many.classes)
        return float(self.of_sums(sums, many.scored)[0])

    def of_many(self, many: ManyClasses, weights: np.ndarray) -> np.ndarray:
        """Scores (D,) under weights (D, s), of a class that lacks there as `as_in`."""
        many = many.of_those_there() if self.fills else many
        sums = sums_of_labels(many.truth, many.predicted, weights, many.classes)
        if not self.fills:
            return self.of_sums(sums, many.scored)
        held, said = (np.bincount(labels, minlength=many.classes) > 0 for labels in (many.truth, many.predicted))
        lacking, total = (sums.true == 0) & held, weights.sum(1, keepdims=True)
        if lacking.any():
            weights = np.where(lacking[:, many.truth], total / max(len(many.truth), 1), weights)
            sums = sums_of_labels(many.truth, many.predicted, weights, many.classes)
        false = said & ~held & (sums.said == 0)
        return self.of_sums(replace(sums, said=np.where(false, TRACE * total, sums.said)), many.scored)

    def by_class_of_many(self, many: ManyClasses, weights: np.ndarray) -> np.ndarray | None:
        return self.by_class_of_sums(sums_of_labels(many.truth, many.predicted, weights, many.classes))

    def of(self, task: Task) -> Metric:
        super().of(task)
        if isinstance(task, Classification) and task.unknown is not None:
            raise ValueError(
                f"{self.name} has no place for images that show {task.unknown!r}: take MAP, a metric of values, or "
                "leave out unknown="
            )
        if len(task.classes) > MOST_IN_MATRICES and not self.without_matrices(task):
            raise ValueError(
                f"{self.name} needs a confusion matrix an image, which {len(task.classes):,} classes have no room "
                f"for: at most {MOST_IN_MATRICES} are supported, or define of_sums in its class (docs/metrics.md)"
            )
        return self

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return confusion_by_sample(np.asarray(truth), predicted, len(task.classes))

    def counts_in_parts(self, task: Task, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        return np.sum([self.counts(task, *part) for part in parts], axis=0)

    def as_in(self, whole: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """A class that a part lacks is predicted as in the whole. One that the whole lacks too counts as it does
        there, once it is said: also in parts that don't say it. Where it doesn't fill no class can be left out.
        """
        if not self.fills:
            return self.of_counts(counts, scored)
        shares = whole / max(whole.sum(), 1e-12)
        return self.of_counts(_said_as_in(fill_classes(counts, shares), shares), scored)

    def of_held(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        if not self.fills:
            return self.of_counts(counts, scored)
        held = self.holds(counts)[..., list(scored)]
        found = np.empty(held.shape[:-1])
        for there in np.unique(held.reshape(-1, len(scored)), axis=0):
            at = (held == there).all(-1)
            found[at] = self.of_counts(counts[at], [i for i, known in zip(scored, there, strict=True) if known])
        return found

    def holds(self, counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = counts.sum(-1) > 0
        return found


def fill_classes(matrices: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Confusion matrices (..., C, C), whose rows without a sample are filled with `shares` of the matrix' sum."""
    empty, sums = matrices.sum(-1, keepdims=True) == 0, matrices.sum((-2, -1), keepdims=True)
    return np.where(empty, shares * sums, matrices)


def _said_as_in(matrices: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Confusion matrices (..., C, C) in which a class that is never true is said by a trace wherever a whole says it.

    shares: (C, C), of the whole.
    """
    never = shares.sum(-1) == 0
    if not shares[:, never].any():
        return matrices
    return np.where(never & (matrices == 0), TRACE * shares * matrices.sum((-2, -1), keepdims=True), matrices)


@dataclass(frozen=True)
class Accuracy(ConfusionMetric):
    """Share of correct samples."""

    name: str = "accuracy"
    ignore: tuple[str, ...] = ()
    fills: ClassVar[bool] = False

    def of_sums(self, sums: Sums, scored: Sequence[int]) -> np.ndarray:
        chosen = list(scored)
        return np.nan_to_num(ratio(sums.right[..., chosen].sum(-1), sums.true[..., chosen].sum(-1)))

    def by_class_of_sums(self, sums: Sums) -> np.ndarray:
        """Recall of every class (..., C)."""
        return ratio(sums.right.astype(float), sums.true)

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Scores (...) of confusion matrices (..., C, C); truth outside `scored` is left out."""
        rows = confusion[..., list(scored), :]
        right = confusion[..., list(scored), list(scored)].sum(-1)
        return np.nan_to_num(ratio(right, rows.sum((-2, -1))))

    def as_in(self, whole: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """It is a mean over samples, whatever their classes."""
        return self.of_counts(counts, [i for i in scored if whole[i].sum() > 0])


@dataclass(frozen=True)
class MacroF1(ConfusionMetric):
    """Unweighted mean of the classes' F1, as scikit-learn's f1_score(average="macro")."""

    name: str = "macro F1"
    ignore: tuple[str, ...] = ()

    def of_sums(self, sums: Sums, scored: Sequence[int]) -> np.ndarray:
        return mean_of_known(self.by_class_of_sums(sums)[..., list(scored)])

    def by_class_of_sums(self, sums: Sums) -> np.ndarray:
        """F1 of every class (..., C)."""
        return ratio(2 * sums.right.astype(float), sums.true + sums.said)


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
    """Class of highest probability among the scored ones, uint8 (N, ...) from (N, C, ...); int32 of more than 256.

    A class that is not scored is never right: pixels of that class are not counted, and for any other pixel
    it is wrong. On mars, teams gained 11 to 18 points of mean IoU by never predicting it.
    """
    kind = np.uint8 if probabilities.shape[1] <= 256 else np.int32
    labels = np.asarray(scored, dtype=kind)
    if isinstance(probabilities, TopK):
        return probabilities.best(labels)
    if probabilities.ndim > 2:
        return _of_pixels(probabilities, labels)
    if len(scored) == probabilities.shape[1]:
        return probabilities.argmax(1).astype(kind)
    return labels[probabilities[:, list(scored)].argmax(1)]


def _of_pixels(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """As argmax over the channels `labels` of (N, C, H, W), several times as fast; the first of equal ones."""
    highest, found = (
        probabilities[:, labels[0]].copy(),
        np.full_like(probabilities[:, 0], labels[0], dtype=labels.dtype),
    )
    for label in labels[1:]:
        np.putmask(found, probabilities[:, label] > highest, label)
        np.maximum(highest, probabilities[:, label], out=highest)
    return found
