"""Metrics of yes/no labels, and of overlapping masks' pixels, that follow from a table of two by two a label."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from toolkit.metrics.confusion import fill_classes
from toolkit.metrics.metric import CountedMetric, mean_of_known, ratio, scored_of
from toolkit.task import IGNORED, MISSING, Labels, OverlappingMasks, Task


def label_tables(truth: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Contingencies int8 (N, L, 2, 2) of labels (N, L): truth no and yes in rows, given no and yes in columns.

    A label whose truth is MISSING is in none.
    """
    if truth.shape != given.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {given.shape}")
    found = np.zeros((*truth.shape, 4), np.int8)
    cell = np.where(truth == MISSING, 0, 2 * (truth > 0) + (given > 0))
    np.put_along_axis(found, cell[..., None], (truth != MISSING)[..., None].astype(np.int8), axis=-1)
    return found.reshape(*truth.shape, 2, 2)


def pixel_tables(truth: np.ndarray, given: np.ndarray, labels: int) -> np.ndarray:
    """Contingencies int64 (N, L, 2, 2) of the pixels of overlapping masks as bits, uint8 (N, H, W)."""
    if truth.shape != given.shape:
        raise ValueError(f"truth has shape {truth.shape}, prediction {given.shape}")
    sets = 1 << labels
    bits = (np.arange(sets)[:, None] >> np.arange(labels)) & 1  # (sets, L)
    cell = 2 * bits[:, None] + bits  # of each set in truth and each one given
    cells = (cell[..., None] == np.arange(4)).reshape(sets * sets, -1).astype(np.float64)
    pairs = np.empty((len(truth), sets * sets))
    for row, (mask, other) in enumerate(zip(truth, given, strict=True)):
        known = mask != IGNORED
        pairs[row] = np.bincount(mask[known].astype(np.intp) * sets + other[known], minlength=sets * sets)
    return (pairs @ cells).astype(np.int64).reshape(len(truth), labels, 2, 2)


class TableMetric(CountedMetric):
    """Of yes/no labels, an image or a pixel: a sample's counts follow from a contingency a label."""

    tasks: ClassVar[tuple[type[Task], ...]] = (Labels, OverlappingMasks)

    def of_tables(self, tables: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """Counts (N, ...) of samples' contingencies (N, L, 2, 2), truth in rows, no and yes."""
        raise NotImplementedError

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        return self.of_tables(tables(task, np.asarray(truth), predicted), scored_of(self, task))

    def counts_in_parts(self, task: Task, parts: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        return self.of_tables(np.sum([tables(task, *part) for part in parts], axis=0), scored_of(self, task))


def tables(task: Task, truth: np.ndarray, given: np.ndarray) -> np.ndarray:
    """Contingencies (N, L, 2, 2) of labels or overlapping masks."""
    return pixel_tables(truth, given, len(task.classes)) if task.masks else label_tables(truth, given)


class SummedTables(TableMetric):
    """Of the whole set's contingencies: a sample's counts are its own."""

    @property
    def apart(self) -> bool:
        """Is the score a mean of the labels' own, with weights that no prediction changes?"""
        return True

    def of_label(self, tables: np.ndarray) -> np.ndarray:
        """Scores (...) of one label's contingencies (..., 2, 2); NaN where it has none."""
        raise NotImplementedError

    def by_class(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return self.of_label(counts)

    def of_tables(self, tables: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return tables

    def holds(self, counts: np.ndarray) -> np.ndarray:
        found: np.ndarray = counts[..., 1, :].sum(-1) > 0
        return found


@dataclass(frozen=True)
class LabelAccuracy(SummedTables):
    """Share of labels that are right, of all that are known."""

    name: str = "label accuracy"
    ignore: tuple[str, ...] = ()

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return np.nan_to_num(self.of_label(counts[..., list(scored), :, :].sum(-3)))

    def of_label(self, tables: np.ndarray) -> np.ndarray:
        return ratio(tables[..., 0, 0] + tables[..., 1, 1], tables.sum((-2, -1)))


@dataclass(frozen=True)
class LabelF1(SummedTables):
    """F-beta of labels, as scikit-learn's fbeta_score: a mean over labels, or of all decisions together (micro).

    A label that is true nowhere and given nowhere is left out of the mean, where scikit-learn counts it 0.
    """

    average: Literal["macro", "micro", "weighted"] = "macro"
    beta: float = 1.0
    name: str = ""
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"{self.average} F{self.beta:g}")

    @property
    def apart(self) -> bool:
        return self.average != "micro"

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        tables = counts[..., list(scored), :, :]
        if self.average == "micro":
            return np.nan_to_num(f_beta(tables.sum(-3), self.beta))
        return self._mean(f_beta(tables, self.beta), tables)

    def _mean(self, each: np.ndarray, tables: np.ndarray) -> np.ndarray:
        """Of labels' scores (..., L), NaN where there is none, with their contingencies (..., L, 2, 2)."""
        if self.average == "macro":
            return mean_of_known(each)
        support = tables[..., 1, :].sum(-1)
        return np.nan_to_num(ratio((np.nan_to_num(each) * support).sum(-1), support.sum(-1)))

    def as_in(self, whole: np.ndarray, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        """A label that is true nowhere in a part, or everywhere, is given to what is missing as in the whole; one of
        which a part says nothing has the score of the whole. Of all decisions together none can be left out.
        """
        if self.average == "micro":
            return self.of_counts(counts, scored)
        of_all = whole[..., list(scored), :, :]
        shares = of_all / np.maximum(of_all.sum((-2, -1), keepdims=True), 1e-12)
        tables = fill_classes(counts[..., list(scored), :, :], shares)
        each = f_beta(tables, self.beta)
        return self._mean(np.where(np.isnan(each), f_beta(of_all, self.beta), each), tables)

    def of_held(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        if self.average == "micro":
            return self.of_counts(counts, scored)
        tables = counts[..., list(scored), :, :]
        return self._mean(np.where(self.holds(tables), f_beta(tables, self.beta), np.nan), tables)

    def of_label(self, tables: np.ndarray) -> np.ndarray:
        return f_beta(tables, self.beta)


@dataclass(frozen=True)
class SamplesF1(TableMetric):
    """Mean over samples of the F-beta of their labels, as scikit-learn's fbeta_score(average="samples").

    empty: of a sample that has no label and is given none: 1 or 0 in competitions, 0 in scikit-learn.
    """

    beta: float = 1.0
    empty: float = 1.0
    name: str = ""
    ignore: tuple[str, ...] = ()
    tasks = (Labels,)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or f"samples F{self.beta:g}")

    def of_tables(self, tables: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return self.of_sums(tables[:, list(scored)].sum(1, dtype=np.float64))

    def of_sums(self, together: np.ndarray) -> np.ndarray:
        """(N, 2) of samples' contingencies (N, 2, 2) of all labels: F-beta and 1; both 0 where no label is known."""
        each = f_beta(together, self.beta)
        known = together.sum((1, 2)) > 0
        return np.stack([np.where(known, np.where(np.isnan(each), self.empty, each), 0), known], axis=1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return np.nan_to_num(ratio(counts[..., 0], counts[..., 1]))


def f_beta(tables: np.ndarray, beta: float) -> np.ndarray:
    """(...) of contingencies (..., 2, 2); NaN where there is neither truth nor prediction."""
    right = (1 + beta**2) * tables[..., 1, 1]
    return ratio(right, right + beta**2 * tables[..., 1, 0] + tables[..., 0, 1])
