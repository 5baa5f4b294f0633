"""Images of any channels and depth as 8-bit pictures: for people, and for methods that know grey and colour alone.

What a network is trained on, predicts or is scored on is never seen through this.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolkit.data.dataset import Dataset
from toolkit.task import Rgb

LOOKED_AT = 200  # images, and up to so many rows and columns of each, that say what is stretched
PERCENTILES = 0.5, 99.5  # become black and white where values are stretched
LEAST = 1e-3  # of the scale is stretched, so that even images stay even


@dataclass(frozen=True, eq=False)
class Preview:
    """How one set of images becomes pictures, uint8 of 1 or 3 channels: the same for all, so that they compare.

    channels: those that are shown, None: all. low, high: (1,) or (3,), what becomes 0 and 255; None: 0 and 255 do.
    """

    channels: tuple[int, ...] | None = None
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """uint8 (..., 1 or 3) of images (..., C) on the scale 0..255; 8-bit grey and RGB as they are, not copied."""
        shown = images if self.channels is None else images[..., self.channels]
        if self.low is not None and self.high is not None:
            shown = (shown.astype(np.float32) - self.low) * (255 / (self.high - self.low))
        return shown if shown.dtype == np.uint8 else np.rint(shown).clip(0, 255).astype(np.uint8)


def find_preview(images: np.ndarray, rgb: Rgb) -> Preview:
    """For images (N, H, W, C): red, green and blue where there are any, else the first three channels, or the first.

    Values are stretched but where they are 8-bit grey or colour: colours all alike, other channels each by itself.
    """
    channels = images.shape[3]
    chosen = rgb or tuple(range(3 if channels >= 3 else 1))
    shown = None if chosen == tuple(range(channels)) else chosen
    if (images.dtype == np.uint8 and (rgb or channels == 1)) or not len(images):
        return Preview(shown)
    rows = np.linspace(0, len(images) - 1, min(LOOKED_AT, len(images))).astype(int)
    down, across = (max(1, side // LOOKED_AT) for side in images.shape[1:3])
    some = np.concatenate([images[row][::down, ::across, chosen].reshape(-1, len(chosen)) for row in rows.tolist()])
    some = some.reshape(-1, 1) if rgb else some
    low, high = np.percentile(some.astype(np.float32), PERCENTILES, axis=0).astype(np.float32)
    return Preview(shown, low, np.maximum(high, low + LEAST))


class _Pictures:
    """Images that are turned into pictures where they are looked at; taken for an array (N, H, W, 1 or 3)."""

    dtype, ndim = np.dtype(np.uint8), 4

    def __init__(self, images: np.ndarray, preview: Preview) -> None:
        self.images, self.preview = images, preview
        self.shape = (*images.shape[:3], images.shape[3] if preview.channels is None else len(preview.channels))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: Any) -> np.ndarray:
        """Of rows, and places in them; channels come all."""
        return self.preview(self.images[at])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.preview(self.images), dtype)


def previewed(dataset: Dataset, rgb: Rgb) -> Dataset:
    """The same data with images and test images as pictures; those that are 8-bit grey or RGB are the same arrays.

    Two images that differ may make equal pictures: equality is for the images themselves.
    """
    preview = find_preview(dataset.images, rgb)
    if preview.channels is None and preview.low is None:
        return dataset
    images: Any = _Pictures(dataset.images, preview)
    test_images: Any = _Pictures(dataset.test_images, preview)
    return replace(dataset, images=images, test_images=test_images)
