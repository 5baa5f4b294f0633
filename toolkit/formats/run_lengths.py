"""Masks written as text: runs of pixels, and polygons."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

PART = 1 << 20  # pixels at a time: of masks as large as slides nothing else is as large as they are
By = Literal["columns", "rows"]  # pixels are counted down the first column, then the next; or along rows


EMPTY = ("", "-1")  # what is written where a mask is empty


def run_lengths(
    mask: np.ndarray, by: By = "columns", first: int = 1, shown: Callable[[np.ndarray], np.ndarray] | None = None
) -> str:
    """`start length start length …` of the true pixels of a mask (H, W), as Kaggle's competitions ask; shown: of a
    part of the mask those that are meant, where they aren't the ones that are true.

    Pixels are counted from `first`, down the first column, then the next, or along rows; an empty mask gives an empty
    text.
    """
    lines = mask.T if by == "columns" else mask
    step, found, pixels, last = max(1, PART // max(1, lines.shape[1])), [], 0, False
    for at in range(0, len(lines), step):
        part = lines[at : at + step]
        flat = np.concatenate([[last], (part if shown is None else shown(part)).astype(bool).ravel()])
        found.append(np.flatnonzero(flat[1:] != flat[:-1]) + pixels)
        pixels, last = pixels + len(flat) - 1, bool(flat[-1])
    edges = np.concatenate([*found, [pixels] * last]).astype(np.int64)
    edges[1::2] -= edges[::2]
    edges[::2] += first
    return " ".join(map(str, edges))


def from_run_lengths(
    text: str | float | None, shape: tuple[int, int], by: By = "columns", first: int = 1
) -> np.ndarray:
    """The mask bool (H, W) of `run_lengths`; ValueError where runs overlap, are out of order or leave the image.

    text: also what tables hold where a mask is empty, NaN, None or -1. first: the number of the first pixel.
    """
    empty = text is None or text != text or str(text).strip() in EMPTY
    return from_runs(*runs_in("" if empty else str(text), shape, first), shape, by)


def runs_in(text: str, shape: tuple[int, int], first: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Where runs start and end, int64 (n,) each, counted from 0; ValueError as of `from_run_lengths`."""
    try:
        numbers = np.array(text.split(), np.int64)
    except (ValueError, OverflowError):
        raise ValueError(f"{text[:40]!r} isn't made of whole numbers") from None
    if len(numbers) % 2:
        raise ValueError(f"{len(numbers)} numbers are no pairs of start and length")
    starts, lengths = numbers[::2] - first, numbers[1::2]
    ends = starts + lengths
    if (lengths < 1).any() or (starts < np.concatenate([[0], ends[:-1]])).any():
        raise ValueError("runs must be longer than 0, in order, and not overlap")
    if len(ends) and ends[-1] > shape[0] * shape[1]:
        raise ValueError(f"a run ends at pixel {ends[-1] - 1 + first}, the image has {shape[0] * shape[1]}")
    return starts, ends


def from_runs(starts: np.ndarray, ends: np.ndarray, shape: tuple[int, int], by: By = "columns") -> np.ndarray:
    """The mask bool (H, W) of runs that are in order and don't overlap."""
    mask = np.zeros(shape, bool)
    for place, part in parts_of_runs(starts, ends, shape, by):
        mask[place] = part
    return mask


def parts_of_runs(
    starts: np.ndarray, ends: np.ndarray, shape: tuple[int, int], by: By = "columns"
) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """The mask of `from_runs` in parts: rows and columns, and what is there, bool; parts that no run is in are left
    out. Runs are in order.
    """
    lines, length = shape[::-1] if by == "columns" else shape
    step = max(1, PART // max(1, length))
    for at in range(0, lines, step):
        end = min(at + step, lines)
        first, last = at * length, end * length
        here = slice(np.searchsorted(ends, first, "right"), np.searchsorted(starts, last, "left"))
        if here.start == here.stop:
            continue
        flat = np.zeros(last - first + 1, np.int8)
        flat[np.maximum(starts[here], first) - first] += 1
        flat[np.minimum(ends[here], last) - first] -= 1
        np.cumsum(flat, dtype=np.int8, out=flat)
        part = flat[:-1].view(bool).reshape(end - at, length)
        yield ((slice(None), slice(at, end)), part.T) if by == "columns" else ((slice(at, end), slice(None)), part)


def from_polygons(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """bool (H, W), what lies in any of the polygons: corners (n, 2), x and y, pixels from 0 to 1."""
    import cv2

    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        cv2.fillPoly(mask, [np.rint((corners - 0.5) * 256).astype(np.int32)], 1, shift=8)
    return mask.astype(bool)
