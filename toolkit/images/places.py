"""Where samples lie in the pictures that people hand in: a whole one at another size, or a tile of a huge one."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolkit.errors import UserError


@dataclass(frozen=True, eq=False)
class Places:
    """Of N samples in P pictures.

    picture: int64 (N,), which one each lies in. boxes: int64 (N, 4), top, left, height and width of the sample in the
    pixels of its picture, beyond whose edges it may reach. sizes: int64 (P, 2), height and width of the pictures.
    """

    picture: np.ndarray
    boxes: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return len(self.picture)

    @cached_property
    def samples(self) -> Sequence[np.ndarray]:
        """Of each picture, int64 (n,), the rows of the samples in it, in order; none where it has no tile."""
        order = np.argsort(self.picture, kind="stable")
        ends = np.searchsorted(self.picture[order], np.arange(1, len(self.sizes)))
        return np.split(order, ends) if len(self.sizes) else []

    @property
    def stored(self) -> np.ndarray:
        """int64 (N, 5): picture and box, as a data set keeps them."""
        return np.column_stack([self.picture, self.boxes])

    @classmethod
    def of_stored(cls, stored: np.ndarray, sizes: np.ndarray) -> "Places":
        return cls(stored[:, 0], stored[:, 1:], sizes)

    @classmethod
    def whole(cls, sizes: np.ndarray) -> "Places":
        """Each sample is a picture, of these sizes int64 (N, 2)."""
        return cls(np.arange(len(sizes)), np.column_stack([np.zeros_like(sizes), sizes]), sizes)


def check_places(places: Places, samples: int, where: str, groups: np.ndarray | None = None) -> None:
    """UserError unless there is a place, whole numbers, for each of so many samples, within a picture that is there.

    groups: int64 (N,), of the samples; those of a picture need the same one, as it is scored as a whole.
    """
    number = len(places.picture)
    wanted = {"picture": (number,), "boxes": (number, 4), "sizes": (len(places.sizes), 2)}
    for name, shape in wanted.items():
        array = getattr(places, name)
        if array.dtype.kind not in "iu" or array.shape != shape:
            raise UserError(
                f"{where}: {name} of places are {array.dtype} {array.shape}, expected whole numbers {shape}"
            )
    if len(places) != samples:
        raise UserError(f"{where} has {samples:,} images and {len(places):,} places; need as many")
    if not samples:
        return
    top, left, height, width = places.boxes.T
    if places.picture.min() < 0 or places.picture.max() >= len(places.sizes):
        raise UserError(f"{where}: places name picture {places.picture.max()}, there are {len(places.sizes):,}")
    sizes = places.sizes[places.picture]
    outside = (height < 1) | (width < 1) | (top >= sizes[:, 0]) | (left >= sizes[:, 1])
    outside |= (top + height <= 0) | (left + width <= 0)
    if outside.any():
        row = int(outside.argmax())
        raise UserError(
            f"{where}: the box of sample {row}, {tuple(places.boxes[row].tolist())} as top, left, height and width, "
            f"lies outside its picture of {sizes[row, 0]} x {sizes[row, 1]} pixels"
        )
    if groups is not None:
        first = np.array([rows[0] if len(rows) else 0 for rows in places.samples])
        apart = groups != groups[first[places.picture]]
        if apart.any():
            row = int(apart.argmax())
            raise UserError(
                f"{where}: samples {first[places.picture[row]]} and {row} lie in one picture and have different "
                "groups; a picture is scored as a whole, so give all its samples one group"
            )
