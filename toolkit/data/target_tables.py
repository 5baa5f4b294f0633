"""Targets from the organisers' tables, in the form that the task says, or from the names of files."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.data.image_files import ImageFiles
from toolkit.errors import UserError
from toolkit.outcome import counted
from toolkit.task import MISSING, UNKNOWN, Classification, Grades, Heads, Labels, Numbers, Task

SHOWN = 8  # names in a message


def target_table(path: Path, task: Task, columns: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names of images, and targets (N, ...) of the task, from a CSV or Parquet file with a row an image.

    columns: of the names ("": there are none, rows are counted from 0), then of the targets: of `Classification` and
    `Grades` the class; of `Labels` one a label (0, 1, blank: nobody looked), or one that lists labels, separated by
    blanks; of `Numbers` one a number, of `Heads` one a head. None: the first column, then those named after the
    task's labels, numbers or heads. Classes may be given by name or, throughout a column, by place. UserError names
    the line of what doesn't fit.
    """
    titles = titles_of(path)
    given = list(columns or [*titles[:1], *_own_columns(titles, task)])
    table = read_table(path, [name for name in given if name])
    cells = table[given[1:]]
    names = table[given[0]] if given[0] else pd.Series([str(row) for row in range(len(table))])
    twice = names.duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        first = int((names == names[row]).to_numpy().argmax())
        raise UserError(f"{path} line {row + 2}: {names[row]!r} stands in line {first + 2} already")
    return names.tolist(), _targets(path, task, cells)


def titles_of(path: Path) -> list[str]:
    """The names of a CSV or Parquet file's columns; UserError where it isn't one."""
    if not path.is_file():
        raise UserError(f"{path} does not exist; put the organisers' file there or point --data at its folder")
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as parquet

            return list(parquet.read_schema(path).names)
        return [str(name) for name in pd.read_csv(path, nrows=0, dtype=str).columns]
    except (ValueError, OSError) as error:
        raise UserError(f"{path} can't be read: {str(error).strip().splitlines()[0]}") from None


def read_table(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The cells of some columns as text, so that `007` stays what it is; blank where there is nothing."""
    titles = titles_of(path)
    missing = [name for name in columns if name not in titles]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}, it has {_shown(titles)}")
    wanted = list(dict.fromkeys(columns))
    try:
        if path.suffix == ".parquet":
            found = pd.read_parquet(path, columns=wanted).astype(object)
            return found.map(lambda cell: "" if pd.isna(cell) else str(cell))
        return pd.read_csv(path, usecols=wanted, dtype=str, keep_default_na=False, na_filter=False)
    except ValueError as error:
        raise UserError(f"{path} can't be read: {str(error).strip().splitlines()[0]}") from None


def labels_in_names(images: ImageFiles, pattern: str, classes: Sequence[str]) -> np.ndarray:
    """int64 (N,): the class that each file's name says; pattern: a regular expression whose group is the class.

    UserError where a name doesn't match, or says another class.
    """
    expression, place = re.compile(pattern), {name: at for at, name in enumerate(classes)}
    labels = np.empty(len(images), np.int64)
    for row, name in enumerate(images.file_names.tolist()):
        match = expression.search(name)
        said = match.group(1) if match and match.groups() else None
        if said not in place:
            what = "doesn't match" if match is None else f"says {said!r}, expected {_shown(list(classes))}:"
            raise UserError(f"{images.paths[row]} {what} {pattern!r}")
        labels[row] = place[said]
    return labels


def _own_columns(titles: list[str], task: Task) -> list[str]:
    if isinstance(task, Labels) and not set(task.labels) & set(titles):
        return titles[1:2]
    if isinstance(task, Labels | Numbers):
        return list(task.classes)
    return [name for name, _ in task.heads] if isinstance(task, Heads) else titles[1:2]


def _targets(path: Path, task: Task, cells: pd.DataFrame) -> np.ndarray:
    if isinstance(task, Labels) and cells.shape[1] == 1 and len(task.labels) > 1:
        return _lists(path, cells.iloc[:, 0], task.labels)
    wanted = {Labels: len(task.classes), Numbers: len(task.classes), Heads: len(task.outputs)}.get(type(task), 1)
    if cells.shape[1] != wanted:
        raise UserError(f"{path}: expected {counted(wanted, 'column')} of targets to be named, found {cells.shape[1]}")
    if isinstance(task, Labels):
        return _numbers(path, cells, MISSING, "0, 1 or a blank", (0, 1)).astype(np.int8)
    if isinstance(task, Numbers):
        return _numbers(path, cells, np.nan, "a number or a blank").astype(np.float32)
    if isinstance(task, Heads):
        columns = zip(cells, task.heads, strict=True)
        return np.stack([_places(path, cells[name], classes, "") for name, (_, classes) in columns], axis=1)
    if isinstance(task, Classification | Grades):
        return _places(path, cells.iloc[:, 0], task.classes, getattr(task, "unknown", None))
    raise UserError(f"{path}: a table has no masks; run_length_masks reads those that are written as text")


def _places(path: Path, cells: pd.Series, classes: Sequence[str], unknown: str | None) -> np.ndarray:
    """int64 (N,): of the classes by their names or, where all cells are whole numbers, by their places; MISSING or
    UNKNOWN, which are the same, where a cell is `unknown`.
    """
    found = pd.Index(classes).get_indexer(pd.Index(cells)).astype(np.int64)
    other = (cells == unknown).to_numpy() if unknown is not None else np.zeros(len(cells), bool)
    wrong = (found < 0) & ~other
    if wrong.any() and not set(classes) & set(cells):
        numbers = pd.to_numeric(cells.where(~other, "0"), errors="coerce").to_numpy(np.float64)
        if ((numbers >= 0) & (numbers < len(classes)) & (numbers == np.rint(numbers))).all():
            found, wrong = numbers.astype(np.int64), np.zeros(len(cells), bool)
    if wrong.any():
        row = int(wrong.argmax())
        expected = _shown([*classes, *([unknown] if unknown else [])])
        raise UserError(f"{path} line {row + 2}: {cells.name} is {cells.iloc[row]!r}, expected {expected}")
    return np.where(other, UNKNOWN, found)


def _lists(path: Path, cells: pd.Series, labels: Sequence[str]) -> np.ndarray:
    """int8 (N, L) of cells that name the labels they have, separated by blanks."""
    place = {name: at for at, name in enumerate(labels)}
    made = np.zeros((len(cells), len(labels)), np.int8)
    for row, text in enumerate(cells):
        for name in text.split():
            if name not in place:
                raise UserError(f"{path} line {row + 2}: {cells.name} has {name!r}, expected {_shown(list(labels))}")
            made[row, place[name]] = 1
    return made


def _numbers(
    path: Path, cells: pd.DataFrame, blank: float, expected: str, allowed: tuple[float, ...] = ()
) -> np.ndarray:
    """float64 (N, columns); `blank` where a cell is."""
    found = cells.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    empty = cells.apply(lambda column: column.str.strip() == "").to_numpy()
    wrong = ~empty & ~np.isfinite(found)
    if allowed:
        wrong |= ~empty & ~np.isin(found, allowed)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        cell = cells.iloc[row, column]
        raise UserError(f"{path} line {row + 2}: {cells.columns[column]} is {cell!r}, expected {expected}")
    return np.where(empty, blank, found)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:4])}, …, {names[-1]} ({len(names):,})"
