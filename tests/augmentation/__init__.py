"""What the tests of augmentation share: pictures, and augmentation of arrays."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from tests.conftest import rgb_of
from toolkit.augmentation.batch import augment_batch
from toolkit.recipe import Augment

NOTHING = Augment(flip="none")
GEOMETRY = Augment(flip="both", rotate=30, scale=0.2, shift=0.1, shear=10)
GREY = np.zeros(256, np.uint8)  # the grey value of each class in `pictures`; what comes from outside is black
GREY[:4] = 60, 120, 180, 240
PHOTO = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (80, 104, 3), np.uint8), (0, 0), 1.5)
PHOTO = cv2.normalize(PHOTO, None, 0, 255, cv2.NORM_MINMAX)
CHANNELS = pytest.mark.parametrize("channels", [1, 3, 6])


def scenes(seed: int, count: int = 3) -> np.ndarray:
    """Masks of large even blocks, classes 0, 1, 3."""
    blocks = np.random.default_rng(seed).choice(np.array([0, 1, 3], np.uint8), (count, 2, 4))
    return blocks.repeat(24, 1).repeat(24, 2)


def pictures(masks: np.ndarray, channels: int = 1) -> np.ndarray:
    """Images whose grey value tells the class of the pixel."""
    return GREY[masks][..., None].repeat(channels, -1)


def noisy(channels: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 64, channels)).astype(np.uint8)


def tensor(images: np.ndarray) -> torch.Tensor:
    """(B, C, H, W), channels last in memory, of images (B, H, W, C)."""
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2)


def array(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


def changed(operation: Callable[[torch.Tensor], torch.Tensor], image: np.ndarray = PHOTO) -> np.ndarray:
    """(H, W, C) float32."""
    return array(operation(tensor(image[None]).float().contiguous()))[0]


def augmented(augment: Augment, images: np.ndarray, targets: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """images (B, H, W, C), labels (B,) or masks (B, H, W), augmented as one batch."""
    made, changed = augment_batch(augment, tensor(images), torch.from_numpy(targets), seed, rgb_of(images.shape[3]))
    return array(made), changed.numpy()
