"""Masks as large as the organisers' pictures, of which samples are smaller copies or tiles: by these it is scored."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.data.masks import BAND, Masks, bands, each_of, most_of, nearest
from toolkit.disk import need, need_room, of_the_machine
from toolkit.errors import UserError
from toolkit.images.cache import allocate, bytes_of
from toolkit.images.files import ImageFiles
from toolkit.images.fitting import fitted
from toolkit.images.places import Places, check_places
from toolkit.images.regions import size_of
from toolkit.outcome import counted
from toolkit.probabilities import read
from toolkit.store import Workspace
from toolkit.task import IGNORED, Task

if TYPE_CHECKING:
    from toolkit.data.dataset import Samples

MOST = 1 << 30  # bytes written by one call


@dataclass(frozen=True, eq=False)
class Native:
    """Masks of P pictures, each as large as its own. places: of the N samples in them; pixels: uint8, all masks one
    after the other, memory-mapped.
    """

    places: Places
    pixels: np.ndarray

    @cached_property
    def starts(self) -> np.ndarray:
        """int64 (P + 1,), where each mask begins."""
        return starts_of(self.places.sizes)

    def __len__(self) -> int:
        return len(self.places.sizes)

    def __getitem__(self, picture: int) -> np.ndarray:
        """uint8 (h, w)"""
        return self.rows(picture, 0, int(self.places.sizes[picture, 0]))

    def rows(self, picture: int, first: int, end: int) -> np.ndarray:
        """uint8 (end - first, w), rows of a mask."""
        width, start = int(self.places.sizes[picture, 1]), int(self.starts[picture])
        return read(self.pixels, slice(start + first * width, start + end * width)).reshape(-1, width)

    def beside(
        self, picture: int, mask: np.ndarray, hidden: Sequence[Sequence[int]] = (), shown: Sequence[Sequence[int]] = ()
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Truth and what is said in a mask (h, w), both uint8 (1, rows, w), a few rows at a time.

        What lies in the boxes `hidden` and in none of `shown`, top, left, height and width each, is IGNORED.
        """
        step = max(1, BAND // max(mask.shape[1], 1))
        for first in range(0, mask.shape[0], step):
            said = mask[first : first + step]
            truth = self.rows(picture, first, first + len(said))
            if hidden:
                nothing = np.zeros(truth.shape, bool)
                for boxes, value in ((hidden, True), (shown, False)):
                    for top, left, tall, wide in boxes:
                        nothing[max(top - first, 0) : max(top + tall - first, 0), max(left, 0) : left + wide] = value
                truth[nothing] = IGNORED
            yield truth[None], said[None]


def starts_of(sizes: np.ndarray) -> np.ndarray:
    """int64 (P + 1,), where the masks of pictures of these sizes begin, one after the other."""
    return np.concatenate([[0], np.cumsum(sizes.prod(1, dtype=np.int64))]).astype(np.int64)


def native_arrays(
    samples: "Samples", task: Task, scratch: Path, workspace: Workspace | None = None, copies: int = 1
) -> dict[str, np.ndarray]:
    """What `Dataset` has of samples whose targets are `Masks`: targets, native, places, sizes, and of the test images.

    targets: uint8 (N, H, W) at the task's size, as `Masks.fitted` has them, IGNORED beyond a picture's edge. They
    and `native` are memory-mapped files in `scratch`, of the workspace; copies: how often they will lie there. NoRoom
    before anything is written; UserError that names what is wrong with each mask.
    """
    masks: Any = samples.targets
    shape = task.image_shape
    if not isinstance(masks, Masks):
        raise UserError("places say where samples lie in pictures with masks; targets of another kind need none")
    images, skip = samples.files["images"], samples.skip_unreadable
    unread: set[int] = set()
    places = samples.places or Places.whole(_sizes(images, shape, skip, unread))
    check_places(places, len(images), "`load`")
    if len(masks) != len(places.sizes):
        what = "pictures" if samples.places is not None else "images"
        raise UserError(f"there are {len(places.sizes):,} {what} and {len(masks):,} masks; need as many")
    test_places = places_of_tests(samples, task, skip)
    size = int(starts_of(places.sizes)[-1]) + bytes_of(len(places), (*shape[:2], 1), np.uint8)
    what, instead = f"keeping {counted(len(masks), 'mask')} at the size of each picture", "a smaller image_shape"
    if workspace is None:
        need_room(scratch, copies * size, what, instead)
    else:
        need(workspace, copies * size, what, f", or {instead}")
    targets, native = _written(masks, images, places, task, scratch, unread)
    return {
        "targets": targets,
        "native": native,
        "places": places.stored,
        "sizes": places.sizes,
        "test_places": test_places.stored,
        "test_sizes": test_places.sizes,
    }


def places_of_tests(samples: "Samples", task: Task, skip: bool) -> Places:
    """Where test images lie in the pictures that masks are handed in of; skip: whatever can't be read.

    UserError where nobody has said it, though it was said of the training images.
    """
    tests = samples.files["test_images"]
    if samples.test_places is not None:
        places = samples.test_places
    elif samples.places is None or not len(tests):
        places = Places.whole(_sizes(tests, task.image_shape, skip, set()))
    else:
        raise UserError("places say where training images lie in pictures: say it of the test images, test_places=…")
    check_places(places, len(tests), "`load`, of the test images,")
    return places


def _sizes(images: ImageFiles, shape: Sequence[int], skip: bool, unread: set[int]) -> np.ndarray:
    """int64 (N, 2); with `skip` those that can't be read count as being of the task's size, and are in `unread`."""
    sizes = np.zeros((len(images), 2), np.int64)

    def fill(row: int) -> None:
        try:
            sizes[row] = size_of(images, row)
        except (UserError, OSError, ValueError) as error:
            if of_the_machine(error):
                raise
            if not skip:
                raise UserError(f"{images.paths[row]} can't be read: {error}") from None
            sizes[row] = shape[:2]
            unread.add(row)

    each_of(len(images), fill)
    return sizes


def _written(
    masks: Masks, images: ImageFiles, places: Places, task: Task, scratch: Path, unread: set[int]
) -> tuple[np.ndarray, np.ndarray]:
    """targets and native, each written as its masks are read."""
    (height, width, _), starts = task.image_shape, starts_of(places.sizes)
    most = most_of(task)
    targets = allocate(scratch / "targets.npy", (len(places), height, width), np.uint8)
    native = allocate(scratch / "native.npy", (int(starts[-1]),), np.uint8)
    with open(scratch / "native.npy", "r+b", buffering=0) as file:

        def fill(picture: int) -> None:
            size = tuple(places.sizes[picture].tolist())
            mask = np.full(size, IGNORED, np.uint8) if picture in unread else masks.read(picture)
            rows = places.samples[picture]
            called = images.paths[rows[0]] if len(rows) else f"picture {picture}"
            if mask.dtype != np.uint8 or any(_is_odd(mask[some], most) for some in bands(mask.shape)):
                what = f"values of {mask.min()} to {mask.max()} of type {mask.dtype}"
                raise UserError(f"the mask of {called} has {what}, expected uint8, 0 to {most} or {IGNORED}")
            if mask.shape != size:
                raise UserError(f"the mask of {called} is {mask.shape}, expected {size} as the picture is")
            data = np.ascontiguousarray(mask).reshape(-1).data
            for at in range(0, len(data), MOST):
                os.pwrite(file.fileno(), data[at : at + MOST], native.offset + int(starts[picture]) + at)
            for row in rows:
                part = cut(mask, places.boxes[row].tolist())
                targets[row] = fitted(part[..., None], height, width, "letterbox", nearest, IGNORED)[..., 0]

        each_of(len(masks), fill, places.sizes.prod(1))
    targets.flush()
    return _again(targets), _again(native)


def _is_odd(mask: np.ndarray, most: int) -> bool:
    """Has it values above `most` that aren't IGNORED?"""
    return bool(mask.max(initial=0) > most and ((mask > most) & (mask != IGNORED)).any())


def _again(written: np.memmap) -> np.ndarray:
    """The file of an array, mapped anew to be read."""
    opened: np.ndarray = np.load(str(written.filename), mmap_mode="r", allow_pickle=False)
    return opened


def cut(mask: np.ndarray, box: Sequence[int]) -> np.ndarray:
    """uint8 (height, width) of a mask (h, w); box: top, left, height and width; IGNORED beyond the mask's edges."""
    top, left, height, width = box
    if (top, left, height, width) == (0, 0, *mask.shape):
        return mask
    made = np.full((height, width), IGNORED, np.uint8)
    part = mask[max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    first, start = max(-top, 0), max(-left, 0)
    made[first : first + part.shape[0], start : start + part.shape[1]] = part
    return made
