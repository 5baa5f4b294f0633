"""What a network predicts of images, batch by batch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.networks.devices import autocast
from toolkit.networks.outputs import values_of

BATCH = 128  # images at a time


def predict(
    model: nn.Module,
    images: np.ndarray,
    scored: Sequence[int],
    device: torch.device,
    precision: str,
    batch: int = BATCH,
) -> np.ndarray:
    """Values float32 (N, channels, ...) of uint8 images (N, H, W, C): probabilities, 0 of classes that aren't scored,
    or numbers in their own units.
    """
    return _values(model, model, batches(images, batch, device), scored, device, precision)


def predict_features(
    model: nn.Module,
    head: nn.Module,
    features: np.ndarray,
    scored: Sequence[int],
    device: torch.device,
    precision: str,
) -> np.ndarray:
    """The same values of float32 features (N, F), which the backbone gave; head: the model's, see `head_of`."""
    parts = (torch.from_numpy(np.array(features[at : at + BATCH])).to(device) for at in range(0, len(features), BATCH))
    return _values(model, head, parts, scored, device, precision)


@torch.inference_mode()
def _values(
    model: nn.Module,
    called: nn.Module,
    inputs: Iterable[torch.Tensor],
    scored: Sequence[int],
    device: torch.device,
    precision: str,
) -> np.ndarray:
    model.eval()
    outputs: Any = getattr(model, "outputs", ())
    parts = []
    for x in inputs:
        with autocast(device, precision):
            logits = called(x).float()
        parts.append(values_of(logits, outputs, scored).cpu().numpy())
    return np.concatenate(parts)


def batches(images: np.ndarray, size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Images uint8 (N, H, W, C) in order, as (B, C, H, W) on the device, channels last in memory."""
    for start in range(0, len(images), size):
        yield torch.from_numpy(np.array(images[start : start + size])).to(device).permute(0, 3, 1, 2)
