"""What lies beside the images, column by column: what is missing, and how the test images' rows differ."""

from dataclasses import dataclass

import numpy as np

from toolkit.auditing.train_vs_test import MOST, tell_apart
from toolkit.data.dataset import Dataset
from toolkit.data.labelled import enough_to_compare
from toolkit.data.tables import Column, columns_of
from toolkit.pages.html import Table

HEAD = ("column", "is", "lacks", "test lacks", "typical", "in test", "apart")


@dataclass(frozen=True)
class ColumnFindings:
    """rows: of a table with HEAD. auc: how surely a classifier tells rows of test from training images by all columns,
    up to 0.5: not at all; None where there are none, or they may not be looked at. unknown: names of columns that are
    known of training images, but of no test image.
    """

    rows: list[list[str]]
    auc: float | None
    unknown: list[str]

    @property
    def words(self) -> list[str]:
        """Sentences of what asks for a hand."""
        told = [f"column {name} is known of no test image: leave it out of the table" for name in self.unknown]
        if self.auc is not None:
            most = max(self.rows, key=lambda row: float(row[-1]))
            telling = f"; most apart: {most[0]} ({most[-1]})" if self.auc > 0.5 else ""
            told.append(f"the table of train against test images: AUC {self.auc:.2f} (up to 0.5: alike){telling}")
        return told

    @property
    def table(self) -> Table:
        """Of the page."""
        note = (
            "Lacks: the share that isn't known, as is a category that training never has. Typical: the median, or the "
            "commonest and its share. Apart: the share of rows that differ, of numbers at the worst threshold."
        )
        if self.auc is not None:
            note += (
                f" A classifier tells test from training rows with an AUC of {self.auc:.2f} (up to 0.5: not at all)."
            )
        return Table("Beside the images", HEAD, self.rows, note, text=(0, 1))


def find_columns(dataset: Dataset, groups: np.ndarray, look_at_tests: bool, seed: int = 0) -> ColumnFindings | None:
    """groups: int64 (N,), of one origin, which a classifier doesn't learn and judge; None where there is no table."""
    if dataset.table is None:
        return None
    train, columns = np.asarray(dataset.table), columns_of(dataset.columns)
    test = np.asarray(dataset.test_table) if look_at_tests and dataset.test_table is not None else None
    rows = [_row(column, train[:, at], None if test is None else test[:, at]) for at, column in enumerate(columns)]
    if test is None or not enough_to_compare(len(train), len(test)):
        return ColumnFindings(rows, None, [])
    rng = np.random.default_rng(seed)
    ours, theirs = (np.sort(rng.permutation(len(part))[:MOST]) for part in (train, test))
    auc, _ = tell_apart(train[ours], test[theirs], groups[ours], rng)
    never = np.isnan(test).all(0)
    return ColumnFindings(rows, auc, [column.name for column, lacks in zip(columns, never, strict=True) if lacks])


def _row(column: Column, train: np.ndarray, test: np.ndarray | None) -> list[str]:
    kind = "number" if column.categories is None else f"{len(column.categories):,} categories"
    both = [train] if test is None else [train, test]
    lacking = [f"{np.isnan(part).mean():.1%}" for part in both]
    typical = [_typical(column, part[~np.isnan(part)]) for part in both]
    apart = "-" if test is None else f"{_apart(column, train, test):.2f}"
    return [column.name, kind, lacking[0], ([*lacking, "-"])[1], typical[0], ([*typical, "-"])[1], apart]


def _typical(column: Column, known: np.ndarray) -> str:
    if not len(known):
        return "-"
    if column.categories is None:
        return f"{np.median(known):.4g}"
    counts = np.bincount(known.astype(np.int64))
    return f"{column.categories[int(counts.argmax())]} {counts.max() / len(known):.0%}"


def _apart(column: Column, train: np.ndarray, test: np.ndarray) -> float:
    """0 where both sides are alike, 1 where no value is on both; what isn't known is a value."""
    values = np.unique(np.concatenate([train, test]))  # of NaN there is one, the last
    shares = []
    for part in (train, test):
        place = np.searchsorted(values[~np.isnan(values)], part)
        place[np.isnan(part)] = len(values) - 1
        shares.append(np.bincount(place, minlength=len(values)) / max(len(part), 1))
    difference = shares[0] - shares[1]
    if column.categories is not None:
        return float(abs(difference).sum() / 2)
    known = ~np.isnan(values)
    return float(max(abs(difference[known].cumsum()).max(initial=0), abs(difference[~known]).sum()))
