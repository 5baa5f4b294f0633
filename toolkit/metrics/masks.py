"""Metrics of masks that are a mean over images: Dice, and precision over thresholds of IoU."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from toolkit.metrics.confusion import confusion_by_sample
from toolkit.metrics.labels import TableMetric
from toolkit.metrics.metric import ratio, scored_of
from toolkit.task import OverlappingMasks, Segmentation, Task

BothEmpty = Literal[1, 0, "skip"]  # the score of a mask that is empty in truth and in the prediction
IOU_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


class MeanOverMasks(TableMetric):
    """Mean over pairs of an image and a label: a sample's counts (L, 2) are the label's score and 1, or 0 and 0."""

    tasks: ClassVar[tuple[type[Task], ...]] = (OverlappingMasks, Segmentation)
    both_empty: BothEmpty = 1

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        if task.exclusive:
            confusions = confusion_by_sample(np.asarray(truth), predicted, len(task.classes))
            return self.of_tables(one_against_rest(confusions), scored_of(self, task))
        return super().counts(task, truth, predicted)

    def counts_in_parts(self, task: Task, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        if task.exclusive:
            confusions = np.sum([confusion_by_sample(*part, len(task.classes)) for part in parts], axis=0)
            return self.of_tables(one_against_rest(confusions), scored_of(self, task))
        return super().counts_in_parts(task, parts)

    def of_mask(self, both: np.ndarray, either: np.ndarray) -> np.ndarray:
        """Scores (...) of masks, from the pixels in truth and prediction and in one of them, which aren't 0."""
        raise NotImplementedError

    def of_tables(self, tables: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        both = tables[..., 1, 1].astype(np.float64)
        either = both + tables[..., 0, 1] + tables[..., 1, 0]
        empty = either == 0
        of_empty = 0.0 if self.both_empty == "skip" else float(self.both_empty)
        each = np.where(empty, of_empty, self.of_mask(both, np.maximum(either, 1)))
        known = (tables.sum((-2, -1)) > 0) & ~(empty & (self.both_empty == "skip"))
        return np.stack([each * known, known], axis=-1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        together = counts[..., list(scored), :].sum(-2)
        return np.nan_to_num(ratio(together[..., 0], together[..., 1]))

    def by_class(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return ratio(counts[..., 0], counts[..., 1])

    def holds(self, counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = counts[..., 1] > 0
        return found


def one_against_rest(confusions: np.ndarray) -> np.ndarray:
    """Contingencies (..., C, 2, 2) of confusion matrices (..., C, C), truth in rows, no and yes."""
    right = np.diagonal(confusions, axis1=-2, axis2=-1)
    missed, wrong = confusions.sum(-1) - right, confusions.sum(-2) - right
    rest = confusions.sum((-2, -1))[..., None] - right - missed - wrong
    return np.stack([rest, wrong, missed, right], axis=-1).reshape(*right.shape, 2, 2)


@dataclass(frozen=True)
class MeanDice(MeanOverMasks):
    """Mean over images and labels of the Dice coefficient; both_empty: what a mask rightly left empty counts."""

    both_empty: BothEmpty = 1
    name: str = "mean Dice"
    ignore: tuple[str, ...] = ()

    def of_mask(self, both: np.ndarray, either: np.ndarray) -> np.ndarray:
        return 2 * both / (both + either)


@dataclass(frozen=True)
class MeanIoUPrecision(MeanOverMasks):
    """Mean over images, labels and thresholds of whether a mask's intersection over union is above the threshold.

    One mask an image and label, as in the salt competition; objects aren't told apart.
    """

    thresholds: tuple[float, ...] = IOU_THRESHOLDS
    both_empty: BothEmpty = 1
    name: str = "mean precision over IoU thresholds"
    ignore: tuple[str, ...] = ()

    def of_mask(self, both: np.ndarray, either: np.ndarray) -> np.ndarray:
        above: np.ndarray = (both / either)[..., None] > np.asarray(self.thresholds)
        return above.mean(-1)
