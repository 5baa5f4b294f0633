"""Pictures that may be larger than memory: read part by part, looked at by several processes, with a bar."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import cv2
import numpy as np
from joblib import delayed

from toolkit.images.rows import ImageRows
from toolkit.processes import parallel
from toolkit.progress import SILENT, Progress

PART = 256  # pictures in memory at a time
FEW = 1000  # pictures for which other processes take longer to start, about 2 s of a core each, than they save
T = TypeVar("T")


def drawn(number: int, most: int) -> np.ndarray:
    """Rows, int64 (n,), in order: all of `number`, or `most` of them at random."""
    return np.sort(np.random.default_rng(0).permutation(number)[:most])


def parts_of(number: int) -> Iterator[slice]:
    """PART rows each."""
    for start in range(0, number, PART):
        yield slice(start, min(start + PART, number))


def processes(pictures: int, jobs: int) -> int:
    """How many look at so many pictures, where `jobs` may: 1 for few."""
    return jobs if pictures > FEW else 1


def by_parts(
    work: Callable[[np.ndarray], T], images: ImageRows, what: str, jobs: int = 1, progress: Progress = SILENT
) -> Iterator[T]:
    """What `work`, a function of a module, says of each picture, in order, on so many processes."""
    with progress.counting(what, len(images)) as done:
        each = parallel(processes(len(images), jobs))
        for found in each(delayed(_work)(work, images, at) for at in parts_of(len(images))):
            yield from found
            done(len(found))


def _work(work: Callable[[np.ndarray], T], images: ImageRows, at: slice) -> list[T]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each process has its own core
    found = [work(image) for image in images[at]]
    cv2.setNumThreads(threads)
    return found
