"""What is known beside the images: tables of numbers and categories, one row per sample, as one array of numbers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toolkit.data.image_sets import number_of
from toolkit.data.target_tables import SHOWN, read_table, titles_of
from toolkit.errors import UserError
from toolkit.task import Task

if TYPE_CHECKING:
    from toolkit.data.dataset import Dataset

UNKNOWN = ("na", "n/a", "nan", "null", "none", "<na>", "#n/a")  # what tables write among numbers where one is missing
FEW = 20  # of as many different texts a column may be categories, however few its rows


@dataclass(frozen=True)
class Column:
    """categories: what its cells are, whose places stand in the array; None: its cells are numbers."""

    name: str
    categories: tuple[str, ...] | None = None

    def stored(self) -> str:
        return json.dumps({"name": self.name, "categories": self.categories})


def columns_of(stored: np.ndarray | None) -> tuple[Column, ...]:
    """The columns that `Dataset.columns` says, text (K,); none where there is no table."""
    found = [] if stored is None else [json.loads(str(each)) for each in stored]
    return tuple(Column(one["name"], one["categories"] and tuple(one["categories"])) for one in found)


def table_of(
    path: Path,
    names: Sequence[str] | np.ndarray,
    columns: Sequence[str] | None = None,
    categories: Sequence[str] = (),
) -> pd.DataFrame:
    """Rows of a CSV or Parquet file in the order of the samples' names: what `Samples(…, table=…)` takes.

    columns: that of the names, then those that are wanted; None: all of them, the first has the names. A column whose
    cells are numbers or blank is one of numbers, unless it is among `categories`. UserError for a name that has no
    row, or two.
    """
    titles = list(columns or titles_of(path))
    table = read_table(path, titles).set_index(titles[0])
    missing = [name for name in categories if name not in titles[1:]]
    if missing:
        raise UserError(f"{path}: the categories {missing[0]!r} are none of the columns {_shown(titles[1:])}")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise UserError(f"{path}: {twice[0]!r} has two rows; a table has one row per sample")
    places = table.index.get_indexer(pd.Index([str(name) for name in names]))
    if (places < 0).any():
        raise UserError(
            f"{path}: column {titles[0]} has no {str(names[int((places < 0).argmax())])!r}, nor others of the "
            f"{len(names):,} names ({int((places < 0).sum()):,} in all); give the names as they stand there"
        )
    chosen = table.iloc[places].reset_index(drop=True)
    return pd.DataFrame({name: _cells(chosen[name], name in categories) for name in titles[1:]})


def _cells(cells: pd.Series, category: bool) -> pd.Series:
    """Numbers where all that isn't blank, or a word for that, is one, else text; missing where it is blank."""
    cells = cells.str.strip()
    blank = cells == ""
    numbers = pd.to_numeric(cells.where(~blank), errors="coerce")
    unknown = blank | cells.str.lower().isin(UNKNOWN)
    if category or (numbers.isna() & ~unknown).any() or (numbers.isna().all() and not blank.all()):
        return cells.where(~blank, None).astype(object)
    return numbers.astype(np.float64)


def table_arrays(table: pd.DataFrame, test_table: pd.DataFrame | None = None) -> dict[str, Any]:
    """The fields of `Dataset` that tables become: table float32 (N, K), columns text (K,), test_table float32 (M, K).

    Columns of numbers stay what they are; text, yes and no become places among the categories of the training rows,
    NaN where a cell is missing or holds none of them. UserError, by the column's name, for one that can teach nothing
    (the same throughout, another text in each row), holds what is neither, or that the test images lack.
    """
    columns = [_column(table[name], name) for name in _names(table)]
    made = {
        "table": _coded(table, columns),
        "columns": np.array([column.stored() for column in columns]),
    }
    if test_table is not None:
        lacking = [column.name for column in columns if column.name not in test_table]
        if lacking:
            raise UserError(
                f"the test images' table has no column {lacking[0]!r}: what isn't known of them can't be learnt from; "
                "leave it out of the training images' table"
            )
        made["test_table"] = _coded(test_table, columns)
    return made


def _names(table: pd.DataFrame) -> list[str]:
    names = [str(name) for name in table.columns]
    if not names or len(set(names)) < len(names):
        twice = next((name for name in names if names.count(name) > 1), "")
        raise UserError(f"the table has {f'two columns {twice!r}' if twice else 'no column'}; name each of them once")
    return list(table.columns)


def _column(cells: pd.Series, name: str) -> Column:
    if cells.nunique(dropna=False) < 2:
        raise UserError(f"column {name!r} of the table is the same in all rows, and tells nothing; leave it out")
    if _is_number(cells):
        numbers = cells.to_numpy(np.float64, na_value=np.nan)
        with np.errstate(over="ignore"):
            alike = len(np.unique(numbers.astype(np.float32))) < 0.9 * len(np.unique(numbers))
        if alike:
            raise UserError(
                f"column {name!r} of the table has numbers that float32 can't tell apart; subtract the smallest from "
                "all, or give it as text if it names something"
            )
        return Column(str(name))
    texts = _texts(cells, name)
    known = texts.dropna()
    categories = sorted(known.unique())
    if len(categories) > FEW and len(categories) > len(known) / 2:
        raise UserError(
            f"column {name!r} of the table has {len(categories):,} different texts in {len(known):,} rows, as names "
            "have; leave it out, or make of it what recurs (samples of one origin are `groups`)"
        )
    return Column(str(name), tuple(categories))


def _is_number(cells: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(cells.dtype) and not pd.api.types.is_bool_dtype(cells.dtype)


def _texts(cells: pd.Series, name: str) -> pd.Series:
    """Text, missing where there is none."""
    cells = cells.astype(object)
    known = cells.dropna()
    odd = known[~known.map(lambda cell: isinstance(cell, str | bool | np.bool_ | int | float | np.number))]
    if len(odd):
        raise UserError(
            f"column {name!r} of the table has {type(odd.iloc[0]).__name__}, expected numbers or text: of a date make "
            "days since another"
        )
    return cells.map(lambda cell: None if pd.isna(cell) else str(cell))


def _coded(table: pd.DataFrame, columns: Sequence[Column]) -> np.ndarray:
    made = np.empty((len(table), len(columns)), np.float32)
    titles = {str(name): name for name in table.columns}
    for at, column in enumerate(columns):
        cells = table[titles[column.name]]
        if column.categories is not None:
            made[:, at] = _places(column, cells)
        elif _is_number(cells) or cells.isna().all():
            with np.errstate(over="ignore"):
                made[:, at] = cells.astype(np.float64).to_numpy()
            if np.isinf(made[:, at]).any():
                raise UserError(
                    f"column {column.name!r} of the table has an infinite number, or one above 3e38; write a blank "
                    "where it isn't known"
                )
        else:
            raise UserError(f"column {column.name!r} has numbers of the training images, but not of the test images")
    return made


def _places(column: Column, cells: pd.Series) -> np.ndarray:
    """Float64 (n,): of cells among a column's categories, NaN where one is none of them.

    UserError where all of them are none: tables that are written in two ways would otherwise seem to know nothing.
    """
    assert column.categories is not None
    texts = _texts(cells, column.name)
    place = pd.Index(column.categories).get_indexer(pd.Index(texts, dtype=object))
    known = texts.dropna()
    if len(known) and (place < 0).all():
        raise UserError(
            f"column {column.name!r} of the table has {_shown(column.categories)} of the training images and "
            f"{_shown(sorted(known.unique()))} of the test images, none of them the same: write them alike, as "
            "text in both (table_of(…, categories=…) reads cells as they stand), or leave the column out"
        )
    return np.where(place < 0, np.nan, place)


def check_table(dataset: "Dataset", task: Task, where: str) -> None:
    """UserError where a table has another number of rows than there are samples, or can't be used with the task."""
    table, test, columns = dataset.table, dataset.test_table, columns_of(dataset.columns)
    if table is None:
        if test is not None:
            raise UserError(f"{where} has a table of the test images alone; give that of the training images, or none")
        return
    if task.masks:
        raise UserError(f"{where}: a table says nothing of pixels; leave out table where masks are predicted")
    tests = len(dataset.test_images) if dataset.test_sets is None else number_of(dataset.test_sets)
    expected = {"table": (table, len(dataset.targets)), "test_table": (test, tests)}
    for name, (array, rows) in expected.items():
        if array is None:
            if rows:
                raise UserError(f"{where} has a table, but none of the {rows:,} test images; give test_table as well")
            continue
        if array.dtype != np.float32 or array.shape != (rows, len(columns)):
            raise UserError(
                f"{where}: {name} is {array.dtype} {array.shape}, expected one row per sample, ({rows}, "
                f"{len(columns)}); Samples(…, table=…) and table_arrays(…) make it from a pandas table"
            )


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= SHOWN else f"{', '.join(names[:4])}, … ({len(names):,})"
