"""What a network predicts of images, batch by batch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.data.image_rows import ImageRows, picked
from toolkit.networks.devices import autocast
from toolkit.networks.outputs import values_of
from toolkit.probabilities import as_stored
from toolkit.top_k import TopK


@torch.inference_mode()
def predict(
    model: nn.Module,
    images: ImageRows,
    scored: Sequence[int],
    device: torch.device,
    precision: str,
    batch: int = 128,
    kept: np.dtype | None = None,
) -> np.ndarray:
    """Values float32 (N, channels, ...) of images (N, H, W, C), uint8 or float16: probabilities, 0 of classes that
    aren't scored, or numbers in their own units. kept: the type that they are stored in, as they are then where
    classes are many.
    """
    model.eval()
    outputs: Any = getattr(model, "outputs", ())
    parts = []
    for x in batches(images, batch, device):
        with autocast(device, precision):
            logits = model(x).float()
        parts.append(of_kind(values_of(logits, outputs, scored).cpu().numpy(), kept))
    return joined_parts(parts)


def of_kind(part: np.ndarray, kept: np.dtype | None) -> np.ndarray:
    """Values of a batch, float32 (n, channels, ...), of many classes as they are stored: all of them are too many."""
    return as_stored(part, kept) if kept is not None and kept.names else part


def joined_parts(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Values (N, channels, ...) of batches, one after the other."""
    if isinstance(parts[0], TopK):
        joined: Any = TopK(np.concatenate([part.records for part in parts]))  # type: ignore[attr-defined]
        found: np.ndarray = joined
        return found
    return np.concatenate(parts)


def batches(images: ImageRows, size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Images uint8 or float16 (N, H, W, C) in order, as (B, C, H, W) on the device, channels last in memory."""
    for start in range(0, len(images), size):
        yield torch.from_numpy(np.array(picked(images, np.s_[start : start + size]))).to(device).permute(0, 3, 1, 2)
