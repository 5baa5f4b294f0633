"""What is predicted: one label an image, or one a pixel."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Classification:
    """One label an image."""

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width, channels


@dataclass(frozen=True)
class Segmentation:
    """One label a pixel."""

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]


Task = Classification | Segmentation
