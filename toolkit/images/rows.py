"""Images that may be larger than memory: a few rows at a time, whether they lie in memory, on the disk or in files.

An array of images (N, H, W, C) has, here, shape, dtype, a length, and rows by whole number, slice or int64 array.
"""

import mmap
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from toolkit.errors import UserError
from toolkit.images.cache import decode
from toolkit.images.files import ImageFiles
from toolkit.images.fitting import Fit

LEAST = 512  # bytes of a row that is worth a call of its own
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ImageRows(Protocol):
    """An array of images (N, H, W, C), or what is read like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> np.dtype: ...

    def __len__(self) -> int: ...

    def __getitem__(self, at: Any) -> np.ndarray: ...


def picked(images: ImageRows, rows: np.ndarray | slice) -> np.ndarray:
    """images[rows], of arrays (N, ...) of any kind, rows int64 (n,).

    A memory-mapped file is read without its map, whose pages would count as memory held, and without Python's lock,
    so that a thread reads while another trains.
    """
    if isinstance(images, Chosen):
        return picked(images.images, images.rows[rows])
    if not (isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap) and images.flags.c_contiguous):
        return images[rows]
    if images[:1].nbytes < LEAST:
        return np.array(images[rows])
    if isinstance(rows, slice):
        rows = np.arange(len(images))[rows]
    result = np.empty((len(rows), *images.shape[1:]), images.dtype)
    if not len(rows):
        return result
    flat = result.reshape(len(rows), -1).view(np.uint8)
    with open(str(images.filename), "rb", buffering=0) as file:
        for place in np.argsort(rows):  # a disk is read from front to back
            at = images.offset + int(rows[place]) % len(images) * flat.shape[1]
            if os.preadv(file.fileno(), [flat[place]], at) != flat.shape[1]:
                raise UserError(f"{images.filename} is cut short; remove its folder and run the audit again")
    return result


@dataclass(frozen=True, eq=False)
class Chosen:
    """Rows, int64 (n,), of an array of images: images[rows], but read when they are asked for."""

    images: ImageRows
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.images.shape[1:])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype:
        return self.images.dtype

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, at: Any) -> np.ndarray:
        if isinstance(at, int | np.integer):
            return picked(self.images, self.rows[at : at + 1 or None])[0]
        return picked(self.images, self.rows[at])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class Undecoded:
    """Images in files as an array (N, H, W, C), decoded by threads each time that rows are asked for.

    black: int64, rows whose files can't be read.
    """

    files: ImageFiles
    shape: tuple[int, int, int, int]
    fit: Fit
    black: np.ndarray

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def ndim(self) -> int:
        return 4

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.files.dtype)

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def __getitem__(self, at: Any) -> np.ndarray:
        if isinstance(at, int | np.integer):
            return self._decoded(range(len(self))[int(at)])
        rows = np.arange(len(self))[at].tolist()
        result = np.zeros((len(rows), *self.shape[1:]), self.dtype)
        with ThreadPoolExecutor(CORES) as threads:
            for place, image in enumerate(threads.map(self._decoded, rows)):
                result[place] = image
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)

    def _decoded(self, row: int) -> np.ndarray:
        if row in self.black:
            return np.zeros(self.shape[1:], self.dtype)
        return decode(self.files, row, self.shape[1:], self.fit)
