"""Predicted probabilities on disk: `.npy` files that are memory-mapped, read and written in parts.

float16 for classes and grades; float32 for numbers, and for yes/no labels, of which float16 can't tell .9998 from 1;
for masks uint8 (0..255 for 0..1) where that changes the score by less than a rounding. Of many classes an image the
likeliest alone are stored (`TopK`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from toolkit.checked import noted, opened
from toolkit.task import Classification, Task
from toolkit.top_k import ALL, TopK, record_type, top

CHUNK = 256  # samples in memory at a time,
PIXELS = 128 * 128  # as long as they have no more pixels: counting takes many times the bytes of a mask
# of stored parts (n, C, ...), a run each, and the folds (n,) that their rows are in: probabilities (n, C, ...)
Mix = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]


def value_type(task: Task) -> np.dtype:
    """Of what is stored of labels, classes, grades and numbers; records of the likeliest of many classes."""
    if isinstance(task, Classification) and task.channels > ALL:
        return record_type(task.channels)
    fine = any(output.kind in ("numbers", "labels") for output in task.outputs) and not task.masks
    return np.dtype(np.float32 if fine else np.float16)


def write_probabilities(path: Path, parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: DTypeLike) -> None:
    """Write parts (n, C, ...), in order, into one .npy file of `shape` (N, C, ...): float, or as they are stored."""
    kind = np.dtype(dtype)
    rows = shape[:1] if kind.names else shape
    with noted(path) as partial, open(partial, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": rows}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            stored: Any = as_stored(part, kind)
            file.write((stored.records if isinstance(stored, TopK) else stored).tobytes())


def as_stored(part: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Float probabilities as a file of that dtype holds them."""
    kind = np.dtype(dtype)
    made: Any = part
    if kind.names:
        made = top(part, kind)
    elif part.dtype != kind:
        made = (np.rint(part * 255) if kind == np.uint8 else part).astype(kind)
    stored: np.ndarray = made
    return stored


def no_values(shape: tuple[int, ...], dtype: DTypeLike, path: Path | None = None) -> np.ndarray:
    """Zeros (N, C, ...) as a file of that dtype holds them, whose rows can be set; in a file where there is a path."""
    kind = np.dtype(dtype)
    rows = shape[:1] if kind.names else shape
    made: Any = np.zeros(rows, kind) if path is None else np.lib.format.open_memmap(path, "w+", kind, rows)
    return _opened(made)


def open_probabilities(path: Path, remedy: str = "remove it and run the command again") -> np.ndarray:
    """The file's own array, checked, memory-mapped; read it with `probabilities`. remedy: as of `toolkit.checked`."""
    return _opened(opened(path, remedy))


def _opened(array: Any) -> np.ndarray:
    made: Any = TopK(array) if array.dtype.names else array
    opened: np.ndarray = made  # a TopK has all of an array that is asked for
    return opened


def read(stored: np.ndarray, rows: np.ndarray | slice = np.s_[:]) -> np.ndarray:
    """Rows of a memory-mapped array through a map of their own: pages once read would count as memory held."""
    if isinstance(stored, TopK):
        return _opened(read(stored.records, rows))
    if isinstance(stored, np.memmap) and stored.filename is not None:
        again: np.memmap = np.memmap(stored.filename, stored.dtype, "r", stored.offset, stored.shape)
        return np.array(again[rows])
    return stored[rows]


def probabilities(stored: np.ndarray) -> np.ndarray:
    """float32 probabilities of a stored part."""
    if isinstance(stored, TopK):
        return stored.dense()
    return stored.astype(np.float32) / 255 if stored.dtype == np.uint8 else stored.astype(np.float32)


def decidable(stored: np.ndarray) -> np.ndarray:
    """As `probabilities`, but for a TopK, by which labels, lists and tallies are made as well."""
    return stored if isinstance(stored, TopK) else probabilities(stored)


def chunks(length: int, size: Sequence[int] = (), batch: int = 1) -> Iterator[slice]:
    """Parts of so many samples; of masks (H, W) of that size as much memory at a time as CHUNK small ones take.

    batch: images that go through a network together. Parts are whole batches, as if each CHUNK was divided into these.
    """
    pixels = int(np.prod(size, dtype=np.int64))
    most = CHUNK if pixels <= PIXELS else max(1, CHUNK * PIXELS // pixels)
    most = max(batch, most // batch * batch)
    for start in range(0, length, CHUNK):
        end = min(start + CHUNK, length)
        for at in range(start, end, most):
            yield slice(at, min(at + most, end))
