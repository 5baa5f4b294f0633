"""Predicted probabilities on disk: `.npy` files that are memory-mapped, read and written in parts.

float16 for labels, float32 for numbers; for masks uint8 (0..255 for 0..1) where that changes the score by less than a
rounding.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from toolkit.store import atomic
from toolkit.task import Task

CHUNK = 256  # samples in memory at a time
# of stored parts (n, C, ...), a run each, and the folds (n,) that their rows are in: probabilities (n, C, ...)
Mix = Callable[[Sequence[np.ndarray], np.ndarray], np.ndarray]


def value_type(task: Task) -> type:
    """Of what is stored: float16 for probabilities, float32 for numbers."""
    return np.float32 if any(output.kind == "numbers" for output in task.outputs) else np.float16


def write_probabilities(path: Path, parts: Iterable[np.ndarray], shape: tuple[int, ...], dtype: type) -> None:
    """Write float parts (n, C, ...), in order, into one .npy file of `shape` (N, C, ...)."""
    with atomic(path) as partial, open(partial, "wb") as file:
        header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            file.write(as_stored(part, dtype).tobytes())


def as_stored(part: np.ndarray, dtype: type) -> np.ndarray:
    """Float probabilities as a file of that dtype holds them."""
    stored: np.ndarray = (np.rint(part * 255) if dtype is np.uint8 else part).astype(dtype)
    return stored


def open_probabilities(path: Path) -> np.ndarray:
    """The file's own array, memory-mapped; read it with `probabilities`."""
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def read(stored: np.ndarray, rows: np.ndarray | slice = np.s_[:]) -> np.ndarray:
    """Rows of a memory-mapped array through a map of their own: pages once read would count as memory held."""
    if isinstance(stored, np.memmap) and stored.filename is not None:
        again: np.memmap = np.memmap(stored.filename, stored.dtype, "r", stored.offset, stored.shape)
        return np.array(again[rows])
    return stored[rows]


def probabilities(stored: np.ndarray) -> np.ndarray:
    """float32 probabilities of a stored part."""
    return stored.astype(np.float32) / 255 if stored.dtype == np.uint8 else stored.astype(np.float32)


def chunks(length: int) -> Iterator[slice]:
    for start in range(0, length, CHUNK):
        yield slice(start, min(start + CHUNK, length))
