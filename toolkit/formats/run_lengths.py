"""Masks written as text: runs of pixels, and polygons."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

PART = 1 << 24  # pixels at a time
By = Literal["columns", "rows"]  # pixels are counted down the first column, then the next; or along rows


def run_lengths(mask: np.ndarray, by: By = "columns", first: int = 1) -> str:
    """`start length start length …` of the true pixels of a mask (H, W), as Kaggle's competitions ask.

    Pixels are counted from `first`, down the first column, then the next, or along rows; an empty mask gives an empty
    text.
    """
    lines = mask.T if by == "columns" else mask
    step, found, pixels, last = max(1, PART // max(1, lines.shape[1])), [], 0, False
    for at in range(0, len(lines), step):
        flat = np.concatenate([[last], lines[at : at + step].astype(bool).ravel()])
        found.append(np.flatnonzero(flat[1:] != flat[:-1]) + pixels)
        pixels, last = pixels + len(flat) - 1, bool(flat[-1])
    edges = np.concatenate([*found, [pixels] * last]).astype(np.int64)
    edges[1::2] -= edges[::2]
    edges[::2] += first
    return " ".join(map(str, edges))


def from_run_lengths(text: str, shape: tuple[int, int], by: By = "columns", first: int = 1) -> np.ndarray:
    """The mask bool (H, W) of `run_lengths`; ValueError where runs overlap, are out of order or leave the image.

    first: the number of the first pixel.
    """
    return from_runs(*runs_in(text, shape, first), shape, by)


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
    """The mask bool (H, W) of runs that don't overlap."""
    flat = np.zeros(shape[0] * shape[1] + 1, np.int8)
    flat[starts] += 1
    flat[ends] -= 1
    np.cumsum(flat, dtype=np.int8, out=flat)
    return flat[:-1].view(bool).reshape(shape, order="F" if by == "columns" else "C")


def from_polygons(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """bool (H, W), what lies in any of the polygons: corners (n, 2), x and y, pixels from 0 to 1."""
    import cv2

    mask = np.zeros(shape, np.uint8)
    for polygon in polygons:
        corners = np.asarray(polygon, np.float64).reshape(-1, 2)
        cv2.fillPoly(mask, [np.rint((corners - 0.5) * 256).astype(np.int32)], 1, shift=8)
    return mask.astype(bool)
