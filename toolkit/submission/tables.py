"""Submissions that are tables read back: columns, a row an image and class, lists, labels, run lengths.

The images may stand in any order. Every fault is a UserError that names the line.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.data.masks import Masks
from toolkit.errors import UserError
from toolkit.formats.cells import cells, numbers, place
from toolkit.formats.run_lengths import parts_of_runs, runs_in
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
    texts, lines = cells(path, [[one] for one in map(str, ids)], (title,), tuple(names))
    return numbers(path, texts, lines, names, low, high)


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
    texts, lines = cells(path, keys, titles[:1], titles[1:])
    found = numbers(path, texts, lines, titles[1:], low, high)
    broken = found[:, 0] != np.rint(found[:, 0])
    if whole and broken.any():
        at = int(broken.argmax())
        raise UserError(f"{path} line {lines[at]}: {titles[1]} is {texts[at][0]!r}, expected a whole number")
    return found.reshape(len(ids), len(names))


def read_labels(
    path: Path, ids: np.ndarray | Sequence[Any], names: Sequence[str], titles: tuple[str, str] = ("id", "label")
) -> np.ndarray:
    """Places int64 (M,) of a CSV `id,label` whose labels are among `names`."""
    texts, lines = cells(path, [[one] for one in map(str, ids)], titles[:1], titles[1:])
    return np.array([place(path, text, line, names, titles[1]) for (text,), line in zip(texts, lines, strict=True)])


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
    texts, lines = cells(path, [[one] for one in map(str, ids)], titles[:1], titles[1:])
    made = np.full((len(ids), length), PAD, np.int64)
    for row, ((text,), line) in enumerate(zip(texts, lines, strict=True)):
        said = text.split()
        if len(said) > length or len(set(said)) < len(said):
            what = f"{len(said)} names, at most {length} count" if len(said) > length else "a name twice"
            raise UserError(f"{path} line {line}: {titles[1]} has {what}")
        made[row, : len(said)] = [
            UNKNOWN if one == unknown else place(path, one, line, names, titles[1]) for one in said
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
    texts, lines = cells(path, [[one] for one in map(str, ids)], titles[:1], titles[1:])
    made = np.zeros((len(ids), len(names)), np.int8)
    for row, ((text,), line) in enumerate(zip(texts, lines, strict=True)):
        if empty and not text:
            raise UserError(f"{path} line {line}: {titles[1]} is blank, expected {empty!r} where no label is given")
        if text != empty:
            made[row, [place(path, one, line, names, titles[1]) for one in text.split()]] = 1
    return made


def read_run_lengths(
    path: Path,
    ids: np.ndarray | Sequence[Any],
    shape: Sequence[int] | np.ndarray,
    labels: Sequence[str] | None = None,
    *,
    titles: Sequence[str] | None = None,
    empty: str = "",
) -> np.ndarray:
    """Masks uint8 (M, H, W) of a CSV `id,rle`, 0 or 1, or with `labels` of `id,class,rle`, bit l of a pixel being
    label l; shape: begins with H, W, as that of the task does; empty: what stands for an empty mask.

    shape int64 (M, 2), which is what `read_submission` is given as `images` where masks are as large as their
    pictures: then they are `Masks` of these sizes.
    """
    sizes = np.broadcast_to(np.asarray(shape)[..., :2], (len(ids), 2))
    *keys, last = titles or (("id", "rle") if labels is None else ("id", "class", "rle"))
    every = [[one] if labels is None else [one, label] for one in map(str, ids) for label in labels or ("",)]
    texts, lines = cells(path, every, tuple(keys), (last,))
    runs, number = [], len(labels or ("",))
    for at, ((text,), line) in enumerate(zip(texts, lines, strict=True)):
        if empty and not text:
            raise UserError(f"{path} line {line}: {last} is blank, expected {empty!r} for an empty mask")
        height, width = sizes[at // number].tolist()
        try:
            runs.append(runs_in("" if text == empty else text, (height, width)))
        except ValueError as error:
            raise UserError(f"{path} line {line}: {last}: {error}") from None

    def mask(row: int) -> np.ndarray:
        height, width = sizes[row].tolist()
        made = np.zeros((height, width), np.uint8)
        for label in range(number):
            for where, part in parts_of_runs(*runs[row * number + label], (height, width)):
                made[where] |= part.view(np.uint8) << label
        return made

    masks: Any = Masks(len(ids), mask, sizes)
    return masks if np.ndim(shape) == 2 else np.stack([*masks]) if len(ids) else np.zeros((0, *shape[:2]), np.uint8)
