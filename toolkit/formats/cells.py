"""A table that was handed in, read as organisers would: its cells as text, each fault with its line."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.checked import check_last_line
from toolkit.errors import UserError


def cells(
    path: Path,
    expected: list[list[str]],
    keys: tuple[str, ...],
    columns: tuple[str, ...],
    *,
    order: tuple[str, ...] = (),
    separator: str = ",",
) -> tuple[list[list[str]], list[int]]:
    """The texts of `columns`, and their lines, in the order of the expected keys, whatever that of the rows is.

    order: of all columns, where keys don't come first. A file that ends in `.gz` or `.zip` is unpacked.
    """
    found, *rows = _rows(path, separator)
    wanted = [*(order or (*keys, *columns))]
    if found != wanted:
        raise UserError(f"{path}: the first line is {shown(found)}, expected {shown(wanted)}")
    key_at, cell_at = ([wanted.index(name) for name in names] for names in (keys, columns))
    place = {tuple(key): at for at, key in enumerate(expected)}
    texts: list[list[str]] = [[]] * len(expected)
    lines = [0] * len(expected)
    for line, values in enumerate(rows, start=2):
        key = tuple(values[at] for at in key_at)
        known = place.get(key)
        if known is None:
            raise UserError(f"{path} line {line}: {shown(key)} is not in the test set")
        if lines[known]:
            raise UserError(f"{path} line {line}: {shown(key)} stands in line {lines[known]} already")
        texts[known], lines[known] = [values[at] for at in cell_at], line
    if not all(lines):
        missing = expected[lines.index(0)]
        raise UserError(f"{path} has no line for {shown(missing)}; {lines.count(0):,} of {len(lines):,} are missing")
    return texts, lines


def _rows(path: Path, separator: str) -> list[list[str]]:
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} {'is a folder, expected a CSV' if path.is_dir() else 'does not exist'}")
    check_last_line(path, "write it again", separator)
    how: dict[str, Any] = {"header": None, "dtype": str, "keep_default_na": False, "na_filter": False}
    try:
        table = pd.read_csv(path, sep=separator, skip_blank_lines=False, encoding="utf-8-sig", **how)
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        # an empty file, a line with more columns than the first, bytes that are no UTF-8, a packed file cut short
        raise UserError(f"{path} can't be read: {(str(error) or repr(error)).strip().splitlines()[0]}") from None
    return [["" if cell is None or cell != cell else cell for cell in row] for row in table.to_numpy().tolist()]


def shown(names: Sequence[str]) -> str:
    return ",".join(names) if len(names) <= 8 else f"{','.join(names[:4])},…,{names[-1]} ({len(names)} columns)"


def numbers(
    path: Path, texts: list[list[str]], lines: list[int], names: Sequence[str], low: float | None, high: float | None
) -> np.ndarray:
    try:
        found = np.array(texts, dtype=np.float64).reshape(len(texts), len(names))
    except ValueError:
        found = np.array([[_number(text) for text in row] for row in texts])
    for wrong, what in _faults(found, low, high):
        if wrong.any():
            row, column = np.argwhere(wrong)[0].tolist()
            raise UserError(f"{path} line {lines[row]}: {names[column]} is {texts[row][column]!r}, expected {what}")
    return found


def _faults(found: np.ndarray, low: float | None, high: float | None) -> list[tuple[np.ndarray, str]]:
    faults = [(~np.isfinite(found), "a number")]
    if low is not None:
        faults.append((found < low, f"at least {low:g}"))
    if high is not None:
        faults.append((found > high, f"at most {high:g}"))
    return faults


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def place(path: Path, text: str, line: int, names: Sequence[str], title: str) -> int:
    try:
        return names.index(text)
    except ValueError:
        raise UserError(f"{path} line {line}: {title} has {text!r}, expected {shown(names)}") from None
