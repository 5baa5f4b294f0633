"""Targets and predictions as the tables that organisers' functions take."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from toolkit.metrics.columns import binary
from toolkit.metrics.metric import Needs
from toolkit.task import MISSING, Classification, Grades, Heads, Labels, Numbers, Task

if TYPE_CHECKING:
    import pandas as pd

# of a task's targets (True) or predictions, one row per sample
Frame = Callable[[Task, np.ndarray, bool], "pd.DataFrame"]


def default_columns(task: Task, needs: Needs) -> tuple[str, ...]:
    """Names of a table's columns; ValueError for what has no usual form."""
    if isinstance(task, Labels | Numbers):
        return task.classes
    if isinstance(task, Heads) and needs == "labels":
        return tuple(name for name, _ in task.heads)
    if isinstance(task, Classification):
        return task.classes if needs == "values" else ("label",)
    if isinstance(task, Grades):
        return ("grade",)
    raise ValueError(f"{type(task).__name__} has no usual table; pass frame=, which makes it (docs/metrics.md)")


def frame_of(
    task: Task, needs: Needs, array: np.ndarray, is_truth: bool, columns: tuple[str, ...] = ()
) -> "pd.DataFrame":
    """A table of targets (is_truth) or predictions, one row per sample, a missing one as a gap.

    Labels and numbers: a column each. Classes: one of their names, or as values one column per class (in the truth 1
    or 0; of two classes under one name in `columns`, the second's). Grades: one of places, of values the expected one.
    Heads: a column each, of names. Lists: one of names, blanks between them.
    """
    import pandas as pd

    names = columns or default_columns(task, needs)
    array = np.asarray(array)
    # as they would be read from a file
    cells = _cells(task, needs, array.astype(np.float64) if array.dtype.kind == "f" else array, is_truth)
    if binary(task) and needs == "values" and len(names) == 1:
        cells = cells[1:]
    if len(names) != len(cells):
        raise ValueError(f"{len(names)} columns are named {names}, there are {len(cells)}")
    return pd.DataFrame(dict(zip(names, cells, strict=True)))


def _cells(task: Task, needs: Needs, array: np.ndarray, is_truth: bool) -> list[np.ndarray]:
    """Of each column."""
    if isinstance(task, Heads):
        return [_named(classes, array[:, i], None) for i, (_, classes) in enumerate(task.heads)]
    if isinstance(task, Classification):
        if needs == "lists" and not is_truth:
            named = np.stack([_named(task.classes, column, task.unknown) for column in array.T], axis=1)
            return [np.array([" ".join(str(one) for one in row if one is not None) for row in named], object)]
        if needs == "values":
            return list((array[:, None] == np.arange(len(task.classes))).astype(np.int64).T if is_truth else array.T)
        return [_named(task.classes, array, task.unknown)]
    if isinstance(task, Grades):
        return [array]
    if isinstance(task, Labels) and (array == MISSING).any() and is_truth:
        return list(np.where(array == MISSING, np.nan, array).T)
    return list(array.T)


def _named(classes: tuple[str, ...], places: np.ndarray, unknown: str | None) -> np.ndarray:
    """Names of places; what is in none is unknown (UNKNOWN), or a gap."""
    known = np.array([*classes, unknown, None], object)
    return known[np.where(places >= 0, places, np.where(places == MISSING, len(classes), len(classes) + 1))]
