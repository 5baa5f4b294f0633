"""Pictures that may be larger than memory: read part by part, looked at by several processes, with a bar."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import cv2
import numpy as np
from joblib import Parallel, delayed

from toolkit.progress import SILENT, Progress

PART = 256  # pictures in memory at a time
T = TypeVar("T")


class Images(Protocol):
    """(N, H, W, C), an array or what reads like one."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __len__(self) -> int: ...

    def __getitem__(self, at: Any, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows, int64 (n,), of images (N, H, W, C), each read when it is asked for: `images[rows]` would read all."""

    images: Images
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.rows), *self.images.shape[1:])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> np.ndarray:
        found: np.ndarray = self.images[self.rows[at]]
        return found


def drawn(number: int, most: int) -> np.ndarray:
    """Rows, int64 (n,), in order: all of `number`, or `most` of them at random."""
    return np.sort(np.random.default_rng(0).permutation(number)[:most])


def parts_of(number: int) -> Iterator[slice]:
    """PART rows each."""
    for start in range(0, number, PART):
        yield slice(start, min(start + PART, number))


def by_parts(
    work: Callable[[np.ndarray], T], images: Images, what: str, jobs: int = 1, progress: Progress = SILENT
) -> Iterator[T]:
    """What `work`, a function of a module, says of each picture, in order, on so many processes."""
    with progress.counting(what, len(images)) as done:
        for found in Parallel(jobs, return_as="generator")(
            delayed(_work)(work, images, at) for at in parts_of(len(images))
        ):
            yield from found
            done(len(found))


def _work(work: Callable[[np.ndarray], T], images: Images, at: slice) -> list[T]:
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each process has its own core
    found = [work(image) for image in images[at]]
    cv2.setNumThreads(threads)
    return found
