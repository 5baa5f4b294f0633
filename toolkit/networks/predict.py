"""What a network predicts of images, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.data.image_rows import ImageRows, picked
from toolkit.networks.devices import autocast
from toolkit.networks.outputs import resized, values_of

PIXELS = 256 * 256  # of an image, from which on fewer are predicted at once


@torch.inference_mode()
def predict(
    model: nn.Module, images: ImageRows, scored: Sequence[int], device: torch.device, precision: str, batch: int = 128
) -> np.ndarray:
    """Values float32 (N, channels, ...) of images (N, H, W, C), uint8 or float16: probabilities, 0 of classes that
    aren't scored, or numbers in their own units. Masks have the task's size, whatever that of the images.

    batch: images in a forward pass, fewer of them where they are large (`at_once`).
    """
    model.eval()
    outputs: Any = getattr(model, "outputs", ())
    size = getattr(model, "mask_size", None)
    parts = []
    for x in batches(images, at_once(images, batch), device):
        with autocast(device, precision):
            logits = model(x).float()
        parts.append(resized(values_of(logits, outputs, scored), size).cpu().numpy())
    return np.concatenate(parts)


def at_once(images: ImageRows, most: int) -> int:
    """How many of images (N, H, W, C) go through a network together: as much memory as `most` of 256x256 take."""
    return max(1, min(most, most * PIXELS // (images.shape[1] * images.shape[2])))


def batches(images: ImageRows, size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Images uint8 or float16 (N, H, W, C) in order, as (B, C, H, W) on the device, channels last in memory."""
    for start in range(0, len(images), size):
        yield torch.from_numpy(np.array(picked(images, np.s_[start : start + size]))).to(device).permute(0, 3, 1, 2)
