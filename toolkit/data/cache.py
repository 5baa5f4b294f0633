"""Decoded images as one array on disk, memory-mapped by everything that looks at them.

The array is filled by several processes, in parts that are marked once they are on the disk: what was killed goes on
where it was.
"""

import os
from pathlib import Path

import cv2
import numpy as np
from joblib import Parallel, delayed

from toolkit.data.fitting import Fit, fitted
from toolkit.data.image_files import ImageFiles
from toolkit.data.image_reading import scaled, with_channels
from toolkit.errors import UserError
from toolkit.progress import SILENT, Progress

PART = 64  # images that are marked together
SHOWN = 10  # files that can't be read, in one message
Fault = tuple[int, str]  # row, and what is wrong with its file


def decode(images: ImageFiles, row: int, shape: tuple[int, int, int], fit: Fit) -> np.ndarray:
    """One image (H, W, C) of `images.dtype`; UserError, naming its file, where there is none."""
    height, width, channels = shape
    path, place = Path(images.paths[row]), -1 if images.rows is None else int(images.rows[row])
    try:
        found = scaled(with_channels(images.read(path, place, max(height, width)), channels), images.values)
        return fitted(found, height, width, fit).astype(images.dtype)
    except ValueError as error:
        raise UserError(f"{path} {error}") from None


def fill(
    images: ImageFiles,
    shape: tuple[int, int, int],
    path: Path,
    fit: Fit = "letterbox",
    progress: Progress = SILENT,
    jobs: int = 1,
) -> None:
    """Decode all images into the .npy file `path`, (N, H, W, C) of `images.dtype`, on so many processes.

    `path` and, until all is done, `path`.parts beside it belong to these images alone: what is there already is kept.
    UserError that names the files that can't be read, once all others are done.
    """
    marks = path.with_name(f"{path.name}.parts")
    whole = (len(images), *shape)
    number = -(-len(images) // PART)
    if not (marks.exists() and path.exists()):
        np.lib.format.open_memmap(path, "w+", images.dtype, whole).flush()
        marks.write_bytes(bytes(number))
    todo = [part for part, mark in enumerate(marks.read_bytes()) if not mark]
    faults: list[Fault] = []
    with progress.counting("decoding images", len(images)) as done, open(marks, "r+b") as marked:
        done(min(PART * (number - len(todo)), len(images)))
        made = Parallel(jobs, return_as="generator_unordered")(
            delayed(_fill_part)(images[part * PART : (part + 1) * PART], part, shape, fit, path) for part in todo
        )
        for part, found in made:
            faults += found
            if not found:  # those with a fault are tried again the next time
                os.pwrite(marked.fileno(), b"\1", part)
            done(min(PART, len(images) - PART * part))
    if faults:
        names = [text for _, text in sorted(faults)]
        more = [f"… and {len(names) - SHOWN:,} more"] if len(names) > SHOWN else []
        raise UserError("\n".join([*names[:SHOWN], *more]))
    marks.unlink()


def _fill_part(
    images: ImageFiles, part: int, shape: tuple[int, int, int], fit: Fit, path: Path
) -> tuple[int, list[Fault]]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # as many processes as cores decode already
    array = np.load(path, mmap_mode="r+", allow_pickle=False)
    faults = []
    for place in range(len(images)):
        row = part * PART + place
        try:
            array[row] = decode(images, place, shape, fit)
        except UserError as error:
            faults.append((row, str(error)))
    array.flush()
    cv2.setNumThreads(threads)
    return part, faults


def bytes_of(number: int, shape: tuple[int, int, int], dtype: type) -> int:
    """Of the file that so many images fill, but for its header."""
    return int(number * np.prod(shape) * np.dtype(dtype).itemsize)
