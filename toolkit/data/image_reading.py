"""One image out of one file, whatever its format: as it is stored, then as a network wants it."""

from pathlib import Path

import cv2
import numpy as np

from toolkit.errors import UserError


def read_image(path: Path, row: int = -1, least: int = 0) -> np.ndarray:
    """uint8 (h, w) or (h, w, channels), colours in the order RGB.

    least: the image may come at reduced scale while neither side gets shorter than that; 0: as it is. UserError for a
    file that can't be read.
    """
    found = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    if found is None:
        reason = "is not an image that can be read" if path.exists() else "does not exist"
        raise UserError(f"{path} {reason}; download the organisers' files again")
    return found


def with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    """(h, w, channels) of an image (h, w) or (h, w, c): grey from colour, colour from grey, alpha laid on black.

    ValueError where there is no way from c to `channels`.
    """
    image = image[..., None] if image.ndim == 2 else image
    if image.shape[2] == channels:
        return image
    if image.shape[2] == 3 and channels == 1:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None]
    if image.shape[2] == 1 and channels == 3:
        return np.repeat(image, 3, axis=2)
    raise ValueError(f"has {image.shape[2]} channels, expected {channels}")


def scaled(image: np.ndarray, values: tuple[float, float] | None) -> np.ndarray:
    """On the scale 0..255: uint8 as it is, or float32 where `values` says what becomes 0 and 255.

    ValueError for more than 8 bits without `values`.
    """
    if values is None:
        if image.dtype != np.uint8:
            raise ValueError(f"has values of type {image.dtype}, not 8 bits: say which become 0 and 255")
        return image
    low, high = values
    return ((image.astype(np.float32) - low) * (255 / (high - low))).clip(0, 255)
