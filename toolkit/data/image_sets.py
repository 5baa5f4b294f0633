"""Samples that are sets of images: several scans of a patient, all tiles of a slide."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import UserError
from toolkit.images.pictures import READ
from toolkit.images.rows import Chosen, ImageRows, picked

if TYPE_CHECKING:
    from toolkit.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class ImageSets:
    """Images (F, H, W, C) as an array of the N sets that they belong to.

    Rows of it are (n, H, W, k * C): the images of each set side by side in the channels, in their order, k as many as
    the largest of these sets has. Where a set has fewer, the rest is black, which networks leave out. shape is
    (N, H, W, C), that of single images. sets: int64 (F,), the set of each image, from 0, none of them empty.
    unread: bool (F,), images whose files can't be read, of which nothing is learnt; None where all can be.
    """

    images: Any
    sets: np.ndarray
    unread: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.counts)

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self), *self.images.shape[1:])

    @property
    def ndim(self) -> int:
        return 4

    @property
    def dtype(self) -> np.dtype:
        found: np.dtype = self.images.dtype
        return found

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.images.shape)) * self.dtype.itemsize

    @cached_property
    def counts(self) -> np.ndarray:
        """int64 (N,): how many images each set has."""
        return np.bincount(self.sets)

    @cached_property
    def _order(self) -> tuple[np.ndarray, np.ndarray]:
        """Images set by set, and where each set begins there."""
        return np.argsort(self.sets, kind="stable"), np.cumsum(self.counts) - self.counts

    def members(self, rows: np.ndarray) -> np.ndarray:
        """int64 (n, k): the images of each of these sets, in order; -1 behind those of a set that has fewer."""
        order, begins = self._order
        counts = self.counts[rows]
        place = np.arange(counts.max(initial=1))
        at = np.minimum(begins[rows][:, None] + place, len(order) - 1)
        return np.where(place < counts[:, None], order[at] if len(order) else at, -1)

    def drawn(self, rows: np.ndarray, together: int, rng: np.random.Generator) -> np.ndarray:
        """int64 (n, together): images that are drawn from each of these sets; one twice only where there are fewer.

        Of those that can't be read none, unless the set has no other.
        """
        members, counts = self.members(rows), self.counts[rows]
        chances = np.where(members < 0, np.inf, rng.random(members.shape))  # what isn't there is drawn last
        if self.unread is not None:
            black = self.unread[members] & (members >= 0)
            some = (black.sum(1) < counts)[:, None]
            chances, counts = np.where(black & some, np.inf, chances), counts - np.where(some[:, 0], black.sum(1), 0)
        shuffled = np.take_along_axis(members, np.argsort(chances, axis=1), axis=1)
        return np.take_along_axis(shuffled, np.arange(together) % counts[:, None], axis=1)

    @cached_property
    def first(self) -> Chosen:
        """The first image of each set, (N, H, W, C): what people are shown of it."""
        order, begins = self._order
        return Chosen(self.images, order[begins] if len(order) else order)

    def __getitem__(self, at: Any) -> np.ndarray:
        if isinstance(at, int | np.integer):
            found: np.ndarray = self[np.arange(len(self))[at : at + 1 or None]][0]
            return found
        members = self.members(np.arange(len(self))[at])
        count, largest = members.shape
        height, width, channels = self.images.shape[1:]
        made = np.zeros((count, height, width, largest, channels), self.dtype)
        there = members >= 0
        made.transpose(0, 3, 1, 2, 4)[there] = picked(self.images, members[there])  # a view, as they may be large
        return made.reshape(count, height, width, largest * channels)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


def images_each(images: ImageRows) -> np.ndarray | None:
    """int64 (N,): how many images each sample has; None where samples are images."""
    if isinstance(images, Chosen):
        counts = images_each(images.images)
        return None if counts is None else counts[images.rows]
    return images.counts if isinstance(images, ImageSets) else None


def part_of(images: Any, at: slice | np.ndarray) -> Any:
    """Rows of an array of images, at hand; of sets, which may be huge, they are read when they are asked for."""
    return Chosen(images, np.arange(len(images))[at]) if isinstance(images, ImageSets) else picked(images, at)


def shown(images: Any) -> Any:
    """What people are shown of samples (N, H, W, C): themselves, or the first image of each set."""
    return images.first if isinstance(images, ImageSets) else images


def like(images: Any, other: Any) -> Any:
    """Images (F, H, W, C) as samples, in the same sets as others."""
    return replace(other, images=images) if isinstance(other, ImageSets) else images


def in_sets(dataset: "Dataset") -> "Dataset":
    """A data set whose images are single ones (F, H, W, C), as samples: sets, where it has any."""
    sets, tests = dataset.sets, dataset.test_sets
    if sets is None:
        return dataset
    tests = np.zeros(0, np.int64) if tests is None else tests
    ours, theirs = (_unread(pictures) for pictures in (dataset.pictures, dataset.test_pictures))
    images: Any = ImageSets(dataset.images, sets.astype(np.int64, copy=False), ours)
    test_images: Any = ImageSets(dataset.test_images, tests.astype(np.int64, copy=False), theirs)
    return replace(dataset, images=images, test_images=test_images)


def _unread(pictures: np.ndarray | None) -> np.ndarray | None:
    unread = None if pictures is None else np.asarray(pictures) < READ
    return None if unread is None or not unread.any() else unread


def single_images(dataset: "Dataset") -> "Dataset":
    """A data set of sets as one of its images, each with the target and group of its set, and without what is known
    beside these; others as they are.
    """
    images, tests = dataset.images, dataset.test_images
    if not isinstance(images, ImageSets) or not isinstance(tests, ImageSets):
        return dataset
    sets = images.sets
    return replace(
        dataset,
        images=images.images,
        targets=np.asarray(dataset.targets)[sets],
        ids=np.arange(len(sets)),
        groups=np.asarray(dataset.groups)[sets],
        names=numbered(dataset.called, sets),
        test_images=tests.images,
        test_ids=np.arange(len(tests.sets)),
        sets=None,
        test_sets=None,
        table=None,
        test_table=None,
    )


def first_images(dataset: "Dataset") -> "Dataset":
    """The same samples, each with the first image of its set alone; its picture is that of the whole set."""
    if dataset.sets is None:
        return dataset
    ours, theirs = set_pictures(dataset)
    images, test_images = shown(dataset.images), shown(dataset.test_images)
    made = replace(dataset, images=images, test_images=test_images, pictures=ours, test_pictures=theirs)
    return replace(made, sets=None, test_sets=None)


def numbered(names: np.ndarray, sets: np.ndarray) -> np.ndarray:
    """Text (F,): what the images of sets with these names (N,) are called, `name`, `name, image 2`, …"""
    order = np.argsort(sets, kind="stable")
    counts = np.bincount(sets)
    place = np.empty(len(sets), np.int64)
    place[order] = np.arange(len(sets)) - np.repeat(np.cumsum(counts) - counts, counts)
    called = zip(names[sets].tolist(), place.tolist(), strict=True)
    return np.array([f"{name}, image {at + 1}" if at else name for name, at in called], str)


def set_pictures(dataset: "Dataset") -> tuple[np.ndarray, np.ndarray]:
    """Hashes uint64 (N,), (M,) of sets: equal where they hold equal images, in any order; 0 where none can be read.

    From those of the images in the data set's `pictures` and `test_pictures`.
    """
    found: list[np.ndarray] = []
    for pictures, images in ((dataset.pictures, dataset.images), (dataset.test_pictures, dataset.test_images)):
        assert pictures is not None
        assert isinstance(images, ImageSets)
        found.append(_of_sets(np.asarray(pictures), images))
    return found[0], found[1]


def _of_sets(pictures: np.ndarray, images: ImageSets) -> np.ndarray:
    made = np.zeros(len(images), np.uint64)
    order, begins = images._order
    for row, begin in enumerate(begins):
        own = np.unique(pictures[order[begin : begin + images.counts[row]]])
        own = own[own >= READ]
        if len(own) == 1:
            made[row] = own[0]
        elif len(own):
            made[row] = int.from_bytes(hashlib.sha256(own.tobytes()).digest()[:8], "little") | READ
    return made


def number_of(sets: np.ndarray) -> int:
    """How many samples there are, by what says of each image which of them it belongs to."""
    return int(sets.max()) + 1 if len(sets) else 0


def check_sets(sets: np.ndarray, images: int, samples: int, where: str, what: str) -> None:
    """UserError unless sets say of each image which of the samples it belongs to, and each sample has one."""
    if sets.shape != (images,) or sets.dtype.kind not in "iu":
        raise UserError(
            f"{where}: {what} are {sets.dtype} of shape {sets.shape}, expected whole numbers of shape ({images},): "
            "the sample that each image belongs to; sets_of makes them"
        )
    wrong = (sets < 0) | (sets >= samples)
    if wrong.any():
        at = int(wrong.argmax())
        raise UserError(f"{where}: {what} say {sets[at]} of image {at}, expected 0 to {samples - 1}")
    empty = np.flatnonzero(np.bincount(sets.astype(np.int64), minlength=samples) == 0)
    if len(empty):
        some = ", ".join(map(str, empty[:5].tolist()))
        raise UserError(f"{where}: no image in {what} belongs to {some}; leave out samples without images")


def sets_of(each: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """int64 (F,): the place among the sets' names (N,) of the one that each image (F,) belongs to.

    UserError for an image of another set, for a set without an image, and for names that occur twice.
    """
    place = {str(name): at for at, name in enumerate(names)}
    if len(place) < len(names):
        twice = next(str(name) for at, name in enumerate(names) if place[str(name)] != at)
        raise UserError(f"two sets have the name {twice!r}; give each set once")
    said = [str(name) for name in each]
    unknown = next((at for at, name in enumerate(said) if name not in place), None)
    if unknown is not None:
        raise UserError(
            f"image {unknown} belongs to the set {said[unknown]!r}, which is none of the {len(place)} named ones; "
            "leave out the image, or name the set"
        )
    sets = np.array([place[name] for name in said], np.int64)
    lacking = np.flatnonzero(np.bincount(sets, minlength=len(place)) == 0)
    if len(lacking):
        raise UserError(f"the set {str(names[lacking[0]])!r} has no image; leave it out")
    return sets
