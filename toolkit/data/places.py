"""Where samples lie in the pictures that people hand in: a whole one at another size, or a tile of a huge one."""

from dataclasses import dataclass

import numpy as np


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
