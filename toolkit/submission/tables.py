"""Submissions that are tables read back: columns, a row an image and class, lists, labels, run lengths.

The images may stand in any order. Every fault is a UserError that names the line.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.data.run_lengths import from_run_lengths
from toolkit.decisions.decide import packed
from toolkit.errors import UserError
from toolkit.metrics.lists import PAD
from toolkit.task import UNKNOWN


def read_columns(
    path: Path,
    ids: np.ndarray | Sequence[Any],
    names: Sequence[str],
    title: str = "id",
    *,
    low: float | None = None,
    high: float | None = None,
) -> np.ndarray:
    """float64 (M, len(names)) of a CSV `id,name,name,…`, in the order of `ids`; low, high: of what a value may be."""
    texts, lines = _table(path, ids, [[one] for one in map(str, ids)], (title,), tuple(names))
    return _numbers(path, texts, lines, names, low, high)


def read_rows(
    path: Path,
    ids: np.ndarray | Sequence[Any],
    names: Sequence[str],
    titles: tuple[str, str] = ("id", "value"),
    *,
    low: float | None = None,
    high: float | None = None,
    whole: bool = False,
) -> np.ndarray:
    """float64 (M, len(names)) of a CSV with a row an image and name, `image_name,value`; whole: of whole numbers."""
    keys = [[f"{one}_{name}"] for one in ids for name in names]
    texts, lines = _table(path, ids, keys, titles[:1], titles[1:])
    found = _numbers(path, texts, lines, titles[1:], low, high)
    broken = found[:, 0] != np.rint(found[:, 0])
    if whole and broken.any():
        at = int(broken.argmax())
        raise UserError(f"{path} line {lines[at]}: {titles[1]} is {texts[at][0]!r}, expected a whole number")
    return found.reshape(len(ids), len(names))


def read_labels(
    path: Path, ids: np.ndarray | Sequence[Any], names: Sequence[str], titles: tuple[str, str] = ("id", "label")
) -> np.ndarray:
    """Places int64 (M,) of a CSV `id,label` whose labels are among `names`."""
    texts, lines = _table(path, ids, [[one] for one in map(str, ids)], titles[:1], titles[1:])
    return np.array([_place(path, text, line, names, titles[1]) for (text,), line in zip(texts, lines, strict=True)])


def read_lists(
    path: Path,
    ids: np.ndarray | Sequence[Any],
    names: Sequence[str],
    length: int,
    titles: tuple[str, str] = ("id", "label"),
    unknown: str | None = None,
) -> np.ndarray:
    """Places int64 (M, length) of a CSV `id,label` of blank-separated names, the likeliest first.

    UNKNOWN where it is `unknown`; a shorter list ends with PAD.
    """
    texts, lines = _table(path, ids, [[one] for one in map(str, ids)], titles[:1], titles[1:])
    made = np.full((len(ids), length), PAD, np.int64)
    for row, ((text,), line) in enumerate(zip(texts, lines, strict=True)):
        said = text.split()
        if len(said) > length or len(set(said)) < len(said):
            what = f"{len(said)} names, at most {length} count" if len(said) > length else "a name twice"
            raise UserError(f"{path} line {line}: {titles[1]} has {what}")
        made[row, : len(said)] = [
            UNKNOWN if one == unknown else _place(path, one, line, names, titles[1]) for one in said
        ]
    return made


def read_given(
    path: Path,
    ids: np.ndarray | Sequence[Any],
    names: Sequence[str],
    titles: tuple[str, str] = ("id", "labels"),
    empty: str = "",
) -> np.ndarray:
    """int8 (M, L), 0 or 1, of a CSV `id,labels` of blank-separated names; empty: what it says where none is given."""
    texts, lines = _table(path, ids, [[one] for one in map(str, ids)], titles[:1], titles[1:])
    made = np.zeros((len(ids), len(names)), np.int8)
    for row, ((text,), line) in enumerate(zip(texts, lines, strict=True)):
        if empty and not text:
            raise UserError(f"{path} line {line}: {titles[1]} is blank, expected {empty!r} where no label is given")
        if text != empty:
            made[row, [_place(path, one, line, names, titles[1]) for one in text.split()]] = 1
    return made


def read_run_lengths(
    path: Path,
    ids: np.ndarray | Sequence[Any],
    shape: Sequence[int],
    labels: Sequence[str] | None = None,
    *,
    titles: Sequence[str] | None = None,
    empty: str = "",
) -> np.ndarray:
    """Masks uint8 (M, H, W) of a CSV `id,rle`, 0 or 1, or with `labels` of `id,class,rle`, bit l of a pixel being
    label l; shape: begins with H, W, as that of the task does; empty: what stands for an empty mask.
    """
    shape = (shape[0], shape[1])
    *keys, last = titles or (("id", "rle") if labels is None else ("id", "class", "rle"))
    every = [[one] if labels is None else [one, label] for one in map(str, ids) for label in labels or ("",)]
    texts, lines = _table(path, ids, every, tuple(keys), (last,))
    masks = np.zeros((len(texts), *shape), bool)
    for mask, (text,), line in zip(masks, texts, lines, strict=True):
        if empty and not text:
            raise UserError(f"{path} line {line}: {last} is blank, expected {empty!r} for an empty mask")
        try:
            mask[:] = from_run_lengths("" if text == empty else text, shape)
        except ValueError as error:
            raise UserError(f"{path} line {line}: {last}: {error}") from None
    return packed(masks.reshape(len(ids), -1, *shape))


def _table(
    path: Path,
    ids: np.ndarray | Sequence[Any],
    expected: list[list[str]],
    keys: tuple[str, ...],
    columns: tuple[str, ...],
) -> tuple[list[list[str]], list[int]]:
    """The texts of `columns`, and their lines, in the order of the expected keys."""
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} {'is a folder, expected a CSV' if path.is_dir() else 'does not exist'}")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, na_filter=False, skip_blank_lines=False)
    except ValueError as error:  # an empty file, a line with more columns, bytes that are no UTF-8
        raise UserError(f"{path} can't be read: {str(error).strip().splitlines()[0]}") from None
    wanted = [*keys, *columns]
    found = [str(name) for name in table.columns]
    if found != wanted:
        raise UserError(f"{path}: the first line is {_shown(found)}, expected {_shown(wanted)}")
    rows = table.to_numpy()
    place = {tuple(key): at for at, key in enumerate(expected)}
    texts: list[list[str]] = [[]] * len(expected)
    lines = [0] * len(expected)
    for row, values in enumerate(rows.tolist()):
        key, line = tuple(values[: len(keys)]), row + 2
        at = place.get(key)
        if at is None:
            raise UserError(f"{path} line {line}: {_shown(key)} is not in the test set")
        if lines[at]:
            raise UserError(f"{path} line {line}: {_shown(key)} stands in line {lines[at]} already")
        texts[at], lines[at] = values[len(keys) :], line
    if not all(lines):
        missing = expected[lines.index(0)]
        raise UserError(f"{path} has no line for {_shown(missing)}; {lines.count(0):,} of {len(lines):,} are missing")
    return texts, lines


def _shown(names: Sequence[str]) -> str:
    return ",".join(names) if len(names) <= 8 else f"{','.join(names[:4])},…,{names[-1]} ({len(names)} columns)"


def _numbers(
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


def _place(path: Path, text: str, line: int, names: Sequence[str], title: str) -> int:
    try:
        return names.index(text)
    except ValueError:
        raise UserError(f"{path} line {line}: {title} has {text!r}, expected {_shown(names)}") from None
