"""Tables of a download: how they are written, their columns, and their cells as text."""

import csv
import gzip
import io
import zipfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

import pandas as pd

from toolkit.data.json_tables import json_table
from toolkit.errors import UserError
from toolkit.recognition.found import Sheet
from toolkit.recognition.listing import IMAGES, JSON, Listing, suffix_of

HEAD = 1 << 16  # bytes of a table that are looked at first
LINES = 30
MOST = 40  # tables that are opened
FEW = 8  # files of JSON; where there are more, each is of an image
ROWS = 500_000  # of a table that are looked at
SEPARATORS = (",", ";", "\t", "|", " ")


def sheets(listing: Listing) -> list[Sheet]:
    """The tables, those that can't be read left out."""
    paths = listing.of({".csv", ".tsv", ".parquet"})[:MOST] + listing.of({".txt"})[:MOST]
    notes = listing.of(JSON)
    paths += notes if len(notes) <= FEW else []
    found = [sheet_of(listing.folder, path) for path in paths]
    return [one for one in found if one is not None]


def sheet_of(folder: Path, path: str) -> Sheet | None:
    """How a table is written; None for what is none."""
    try:
        if suffix_of(path) == ".parquet":
            return _parquet(folder, path)
        if suffix_of(path) in JSON:
            return _of_json(folder, path)
        data = _first_bytes(folder / path)
    except (OSError, ValueError, zipfile.BadZipFile, EOFError, UserError):
        return None
    encoding, text = _decoded(data)
    lines = text.splitlines()[: LINES + 1]
    lines = [line for line in (lines[:-1] if len(data) == HEAD and len(lines) > 1 else lines) if line.strip()]
    separator = _separator(lines)
    if not lines or (suffix_of(path) == ".txt" and separator is None and any(" " in line.strip() for line in lines)):
        return None
    rows = list(csv.reader(lines, delimiter=separator or ","))
    header = _has_header(rows)
    width = max(map(len, rows))
    columns = rows[0] if header else [f"column {at}" for at in range(width)]
    if len(set(columns)) < len(columns) or len(columns) < width:
        return None
    body = rows[1:] if header else rows
    head = {name: tuple(row[at] if at < len(row) else "" for row in body) for at, name in enumerate(columns)}
    return Sheet(path, tuple(columns), head, separator or ",", header, encoding)


def cells(folder: Path, sheet: Sheet, column: str) -> pd.Series:
    """Of a column, as text; of very long tables the first."""
    parts = [
        _cells(folder, one.path, one.separator, one.encoding, one.header, one.columns, column)
        for one in (sheet, *sheet.more)
    ]
    return pd.concat(parts, ignore_index=True) if sheet.more else parts[0]


@lru_cache(maxsize=256)
def _cells(
    folder: Path, path: str, separator: str, encoding: str, header: bool, columns: tuple[str, ...], column: str
) -> pd.Series:
    if suffix_of(path) == ".parquet":
        found = pd.read_parquet(folder / path, columns=[column])[column].head(ROWS)
        return found.astype(object).map(lambda cell: "" if pd.isna(cell) else str(cell))
    if suffix_of(path) in JSON:
        return _json(folder / path)[column].head(ROWS)
    few = len(columns) <= 64  # read at once, as parsing takes the time
    table = _table(folder, path, separator, encoding, header, columns, None if few else column)
    return table[column]


@lru_cache(maxsize=8)
def _table(
    folder: Path, path: str, separator: str, encoding: str, header: bool, columns: tuple[str, ...], only: str | None
) -> pd.DataFrame:
    return pd.read_csv(
        folder / path,
        sep=separator,
        header=0 if header else None,
        names=list(columns),
        usecols=None if only is None else [only],
        dtype=str,
        encoding=encoding,
        keep_default_na=False,
        na_filter=False,
        nrows=ROWS,
        on_bad_lines="skip",
    )


@lru_cache(maxsize=8)
def _json(path: Path) -> pd.DataFrame:
    return json_table(path)


def _of_json(folder: Path, path: str) -> Sheet:
    table = _json(folder / path)
    head = table.head(LINES)
    return Sheet(path, tuple(map(str, table.columns)), {str(name): tuple(head[name]) for name in table})


def _parquet(folder: Path, path: str) -> Sheet:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(folder / path)
    schema = file.schema_arrow  # made anew each time it is asked for
    names = schema.names
    plain = [field.name for field in schema if not _is_bytes(field.type)]
    first = next(file.iter_batches(LINES, columns=plain), pa.record_batch({}))
    head = dict.fromkeys(names, ("",) * first.num_rows)
    for name, column in zip(plain, first.columns, strict=True):
        head[name] = tuple("" if cell is None else str(cell) for cell in column.to_pylist())
    return Sheet(path, tuple(names), head)


def byte_columns(folder: Path, sheet: Sheet) -> list[str]:
    """Columns of Parquet that hold bytes of files."""
    if suffix_of(sheet.path) != ".parquet":
        return []
    import pyarrow.parquet as parquet

    schema = parquet.read_schema(folder / sheet.path)
    return [field.name for field in schema if _is_bytes(field.type)]


def rows_of(folder: Path, sheet: Sheet) -> int:
    if sheet.more:
        return sum(rows_of(folder, replace(one, more=())) for one in (sheet, *sheet.more))
    if suffix_of(sheet.path) == ".parquet":
        import pyarrow.parquet as parquet

        return int(parquet.ParquetFile(folder / sheet.path).metadata.num_rows)
    return len(cells(folder, sheet, sheet.columns[0]))


def _is_bytes(kind: object) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)  # type: ignore[attr-defined]
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _first_bytes(path: Path) -> bytes:
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive, archive.open(archive.namelist()[0]) as inner:
            return inner.read(HEAD)
    opener = gzip.open if path.suffix.lower() == ".gz" else open
    with cast(IO[bytes], opener(path, "rb")) as file:
        return file.read(HEAD)


def _decoded(data: bytes) -> tuple[str, str]:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16", data.decode("utf-16", "ignore")
    try:
        return "utf-8", data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        if error.start >= len(data) - 4:  # a letter that the end cuts
            return "utf-8", data[: error.start].decode("utf-8").removeprefix("\ufeff")
        return "latin-1", data.decode("latin-1")


def _separator(lines: list[str]) -> str | None:
    """By which all lines have equally many cells; None where there is one a line."""
    for separator in SEPARATORS:
        try:
            widths = {len(row) for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)}
        except csv.Error:
            continue
        if len(widths) == 1 and widths.pop() > 1:
            return separator
    return None


def _has_header(rows: list[list[str]]) -> bool:
    """Is the first line of names? Not where it has a file's name, or a number above numbers."""
    first, others = rows[0], rows[1:]
    if any(suffix_of(cell) in IMAGES for cell in first):
        return False
    if not others:
        return True
    numbers = [at for at, cell in enumerate(first) if is_number(cell)]
    below = [at for at in numbers if all(is_number(row[at]) for row in others if at < len(row))]
    return not below or (len(below) > 1 and [first[at] for at in below] == [str(at) for at in range(len(below))])


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
