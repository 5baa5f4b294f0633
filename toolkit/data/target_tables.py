"""Targets from the organisers' tables, in the form that the task says, or from the names of files."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.checked import DOWNLOAD, check_last_line
from toolkit.errors import UserError
from toolkit.images.files import ImageFiles
from toolkit.outcome import counted
from toolkit.task import MISSING, UNKNOWN, Classification, Grades, Heads, Labels, Numbers, Task

SHOWN = 8  # names in a message


Table = Path | pd.DataFrame  # a CSV or Parquet file, or what pandas read: of a form of its own, or some of the rows


def target_table(path: Table, task: Task, columns: Sequence[str] | None = None) -> tuple[list[str], np.ndarray]:
    """Names of images, and targets (N, ...) of the task, from a table with a row an image.

    columns: of the names ("": there are none, rows are counted from 0), then of the targets: of `Classification` and
    `Grades` the class, or of the former one a class, of which one is 1; of `Labels` one a label (0, 1, blank: nobody
    looked), or one that lists labels, separated by blanks; of `Numbers` one a number, of `Heads` one a head. None: the
    first column, then those named after the task's labels, numbers or heads. Classes may be given by name or,
    throughout a column, by place. UserError names the line of what doesn't fit.
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
        line, before = (line_of(_called(path), at) for at in (row, first))
        raise UserError(f"{_called(path)} line {line}: {names[row]!r} stands in line {before} already")
    _check_names(_called(path), names)
    return names.tolist(), _targets(_called(path), task, cells)


def set_table(path: Table, task: Task, columns: Sequence[str]) -> tuple[list[str], list[str], np.ndarray, np.ndarray]:
    """Names of images (F,), names of the sets that they are of (N,), the set of each image, int64 (F,), and the sets'
    targets (N, ...), from a CSV or Parquet file with a row an image.

    columns: of the images' names, of the sets' names, then of the targets as for `target_table`. UserError names the
    line of what doesn't fit, or says another target than the lines of its set before.
    """
    table = read_table(path, list(columns))
    images, each = table[columns[0]], table[columns[1]]
    targets = _targets(_called(path), task, table[list(columns[2:])])
    twice = images.duplicated()
    if twice.any():
        row = int(twice.to_numpy().argmax())
        line = line_of(_called(path), row)
        raise UserError(f"{_called(path)} line {line}: the image {images[row]!r} stands in a line before already")
    sets, names = pd.factorize(each)
    first = np.unique(sets, return_index=True)[1]
    unlike = ~((targets == targets[first][sets]) | ((targets != targets) & pd.isna(targets[first][sets])))
    wrong = unlike.reshape(len(unlike), -1).any(1)
    if wrong.any():
        row = int(wrong.argmax())
        before = int(first[sets[row]])
        line, other = (line_of(_called(path), at) for at in (row, before))
        raise UserError(
            f"{_called(path)} line {line}: {each[row]!r} has another target than in line {other}; all images of a set "
            "have its target"
        )
    return images.tolist(), names.tolist(), sets.astype(np.int64), targets[first]


BEYOND = "beyond the head"  # the column of cells that have no title


def titles_of(path: Table) -> list[str]:
    """The names of a table's columns; UserError where it isn't one."""
    if isinstance(path, pd.DataFrame):
        return [str(name) for name in path.columns]
    if not path.is_file():
        raise UserError(f"{path} does not exist; put the organisers' file there or point --data at its folder")
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as parquet

            return list(parquet.read_schema(path).names)
        return [str(name) for name in pd.read_csv(path, nrows=0, dtype=str).columns]
    except (ValueError, OSError) as error:
        raise UserError(f"{path} can't be read: {str(error).strip().splitlines()[0]}") from None


def read_table(path: Table, columns: Sequence[str]) -> pd.DataFrame:
    """The cells of some columns as text, so that `007` stays what it is; blank where there is nothing."""
    titles = titles_of(path)
    missing = [name for name in columns if name not in titles]
    if missing:
        raise UserError(f"{_called(path)} has no column {missing[0]!r}, it has {_shown(titles)}")
    wanted = list(dict.fromkeys(columns))
    try:
        if isinstance(path, pd.DataFrame) or path.suffix == ".parquet":
            found = path[wanted] if isinstance(path, pd.DataFrame) else pd.read_parquet(path, columns=wanted)
            cells = found.astype(object).map(lambda cell: "" if pd.isna(cell) else str(cell))
            return cells.reset_index(drop=True)
        check_last_line(path, DOWNLOAD)
        how: dict[str, Any] = {"dtype": str, "keep_default_na": False, "na_filter": False}
        head = pd.read_csv(path, header=None, nrows=1, **how).iloc[0].tolist()
        twice = [name for name in wanted if head.count(name) > 1]
        if twice:
            raise UserError(f"{path} has two columns called {twice[0]!r}; which is meant?")
        made, beyond = _read(path, titles, wanted, how)
        if beyond.any():
            raise UserError(
                f"{path} line {line_of(str(path), int(beyond.argmax()))} has more cells than the head has columns; is "
                "there a comma in a text that isn't quoted?"
            )
        if not len(made):
            raise UserError(f"{path} has a head and no rows")
        return made[wanted]
    except ValueError as error:
        raise UserError(f"{path} can't be read: {str(error).strip().splitlines()[0]}") from None


def _read(path: Path, titles: list[str], wanted: list[str], how: dict[str, Any]) -> tuple[pd.DataFrame, np.ndarray]:
    """The wanted columns; bool (N,): has a row something in cells beyond those of the head?"""
    try:
        names: dict[str, Any] = {"names": [*titles, BEYOND], "usecols": [*wanted, BEYOND]}
        made = pd.read_csv(path, header=0, index_col=False, **names, **how)
    except ValueError as error:
        if "Too many columns" not in str(error):  # no row has one
            raise
        made = pd.read_csv(path, usecols=wanted, **how)
        return made, np.zeros(len(made), bool)
    return made, made.pop(BEYOND).fillna("").str.strip().to_numpy() != ""


def line_of(path: str, row: int) -> int:
    """The line of a CSV in which a row begins: some lines are blank, and quoted texts run over several."""
    count, start = -1, 1
    if path.endswith((".csv", ".txt", ".tsv")):
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            lines = csv.reader(file)
            for cells in lines:
                if cells and count == row:
                    return start
                count, start = count + bool(cells), lines.line_num + 1
    return row + 2


def _check_names(path: str, names: pd.Series) -> None:
    empty = (names.str.strip() == "").to_numpy()
    if empty.any():
        raise UserError(f"{path} line {line_of(path, int(empty.argmax()))}: the name is empty")


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


def _called(path: Table) -> str:
    return "the table" if isinstance(path, pd.DataFrame) else str(path)


def _own_columns(titles: list[str], task: Task) -> list[str]:
    if isinstance(task, Labels) and not set(task.labels) & set(titles):
        return titles[1:2]
    if isinstance(task, Labels | Numbers):
        return list(task.classes)
    return [name for name, _ in task.heads] if isinstance(task, Heads) else titles[1:2]


def _targets(path: str, task: Task, cells: pd.DataFrame) -> np.ndarray:
    if isinstance(task, Labels) and cells.shape[1] == 1 and len(task.labels) > 1:
        return _lists(path, cells.iloc[:, 0], task.labels)
    if isinstance(task, Classification) and cells.shape[1] == len(task.classes):
        return _one_of(path, cells)
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


def _places(path: str, cells: pd.Series, classes: Sequence[str], unknown: str | None) -> np.ndarray:
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
        raise UserError(f"{path} line {line_of(path, row)}: {cells.name} is {cells.iloc[row]!r}, expected {expected}")
    return np.where(other, UNKNOWN, found)


def _one_of(path: str, cells: pd.DataFrame) -> np.ndarray:
    """int64 (N,): which of the columns is 1."""
    found = _numbers(path, cells, np.nan, "0 or 1", (0, 1))
    wrong = found.sum(axis=1) != 1  # of a blank too
    if wrong.any():
        row = int(wrong.argmax())
        said = ", ".join(cells.iloc[row])
        raise UserError(f"{path} line {line_of(path, row)}: the classes are {said}, expected one 1 and else 0")
    return found.argmax(axis=1).astype(np.int64)


def _lists(path: str, cells: pd.Series, labels: Sequence[str]) -> np.ndarray:
    """int8 (N, L) of cells that name the labels they have, separated by blanks."""
    place = {name: at for at, name in enumerate(labels)}
    made = np.zeros((len(cells), len(labels)), np.int8)
    for row, text in enumerate(cells):
        for name in text.split():
            if name not in place:
                raise UserError(
                    f"{path} line {line_of(path, row)}: {cells.name} has {name!r}, expected {_shown(list(labels))}"
                )
            made[row, place[name]] = 1
    return made


def _numbers(
    path: str, cells: pd.DataFrame, blank: float, expected: str, allowed: tuple[float, ...] = ()
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
        raise UserError(f"{path} line {line_of(path, row)}: {cells.columns[column]} is {cell!r}, expected {expected}")
    return np.where(empty, blank, found)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:4])}, …, {names[-1]} ({len(names):,})"
