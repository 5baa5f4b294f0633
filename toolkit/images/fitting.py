"""How a picture of any size comes to the size that a network takes."""

from collections.abc import Callable
from typing import Literal

import numpy as np

# letterbox: whole, its aspect kept, the rest filled; crop: its middle, aspect kept; stretch: whole, aspect not kept
Fit = Literal["letterbox", "crop", "stretch"]


def resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, channels) on the scale 0..255: by area where it gets smaller, cubic where it gets larger."""
    import cv2  # only once images are read

    smaller = height * width < image.shape[0] * image.shape[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
    # OpenCV takes at most four channels
    parts = (np.ascontiguousarray(image[..., at : at + 4]) for at in range(0, image.shape[2], 4))
    made = [cv2.resize(part, (width, height), interpolation=how).reshape(height, width, -1) for part in parts]
    found = made[0] if len(made) == 1 else np.concatenate(made, axis=2)
    return found if found.dtype == np.uint8 else found.clip(0, 255)  # cubic weights go beyond black and white


def letterboxed(size: tuple[int, int], within: tuple[int, int]) -> tuple[int, int, int, int]:
    """Top, left, height and width of a picture of that size (height, width) once it lies whole within another."""
    share = min(within[0] / size[0], within[1] / size[1])
    tall, wide = max(1, round(size[0] * share)), max(1, round(size[1] * share))
    return (within[0] - tall) // 2, (within[1] - wide) // 2, tall, wide


def fitted(
    image: np.ndarray,
    height: int,
    width: int,
    fit: Fit,
    resize: Callable[[np.ndarray, int, int], np.ndarray] = resized,
    beside: int = 0,
) -> np.ndarray:
    """(height, width, channels) of an image (h, w, channels), uint8 or float32; `beside` where it doesn't reach."""
    old_height, old_width, channels = image.shape
    if (old_height, old_width) == (height, width):
        return image
    if fit == "crop":
        share = max(height / old_height, width / old_width)
        tall, wide = round(height / share), round(width / share)
        top, left = (old_height - tall) // 2, (old_width - wide) // 2
        image = image[top : top + tall, left : left + wide]
    elif fit == "letterbox":
        top, left, tall, wide = letterboxed((old_height, old_width), (height, width))
        result = np.full((height, width, channels), beside, image.dtype)
        result[top : top + tall, left : left + wide] = resize(image, tall, wide)
        return result
    return resize(image, height, width)
