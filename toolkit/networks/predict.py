"""What a network predicts of images, batch by batch."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.data.image_sets import images_each
from toolkit.images.rows import ImageRows, picked
from toolkit.networks.devices import autocast
from toolkit.networks.outputs import resized, values_of
from toolkit.networks.plain import trait
from toolkit.networks.table import beside
from toolkit.probabilities import as_stored
from toolkit.top_k import TopK

BATCH = 128  # images at a time,
PIXELS = 128 * 128  # as long as an image has no more pixels


def predict(
    model: nn.Module,
    images: ImageRows,
    scored: Sequence[int],
    device: torch.device,
    precision: str,
    batch: int = BATCH,
    kept: np.dtype | None = None,
    table: np.ndarray | None = None,
) -> np.ndarray:
    """Values float32 (N, channels, ...) of images (N, H, W, C), uint8 or float16: probabilities, 0 of classes that
    aren't scored, or numbers in their own units. Masks have the task's size, whatever that of the images. batch:
    images in a forward pass, fewer where they are large (`at_once`). kept: the type that they are stored in, as
    masks and many classes are then. table: float32 (N, K), what is known beside the images; a network that was
    trained without it leaves it aside.
    """
    inputs = batches(images, at_once(images, batch), device)
    return _values(model, model, beside(model, inputs, table), scored, device, precision, kept, len(images))


def predict_features(
    model: nn.Module,
    head: nn.Module,
    features: np.ndarray,
    scored: Sequence[int],
    device: torch.device,
    precision: str,
    kept: np.dtype | None = None,
    table: np.ndarray | None = None,
) -> np.ndarray:
    """The same values of float32 features (N, F), which the backbone gave; head: the model's, see `head_of`."""
    parts = (torch.from_numpy(np.array(features[at : at + BATCH])).to(device) for at in range(0, len(features), BATCH))
    return _values(model, head, beside(model, parts, table), scored, device, precision, kept, len(features))


@torch.inference_mode()
def _values(
    model: nn.Module,
    called: nn.Module,
    inputs: Iterable[tuple[torch.Tensor, ...]],
    scored: Sequence[int],
    device: torch.device,
    precision: str,
    kept: np.dtype | None,
    number: int,
) -> np.ndarray:
    model.eval()
    outputs, size = trait(model, "outputs", ()), trait(model, "mask_size")

    def values() -> Iterator[torch.Tensor]:
        for x in inputs:
            with autocast(device, precision):
                logits = called(*x).float()
            yield resized(values_of(logits, outputs, scored), size)

    parts: list[np.ndarray] = []
    made: np.ndarray | None = None
    at = 0
    for value in fetched(values()):
        part = of_kind(value, kept)
        if isinstance(part, TopK):
            parts.append(part)
            continue
        if made is None:  # masks of many large images are never held twice
            made = np.empty((number, *part.shape[1:]), part.dtype)
        made[at : at + len(part)] = part
        at += len(part)
    return joined_parts(parts) if made is None else made


def fetched(values: Iterable[torch.Tensor]) -> Iterator[np.ndarray]:
    """What each of them holds. A GPU is given what makes the next one before this one is waited for."""
    before: Callable[[], np.ndarray] | None = None
    for value in values:
        if value.is_cuda:
            before, arrived = on_its_way(value), before
            if arrived is not None:
                yield arrived()
        else:
            yield value.cpu().numpy()
    if before is not None:
        yield before()


def on_its_way(value: torch.Tensor) -> Callable[[], np.ndarray]:
    """What waits until a GPU has made and sent it, not for what the GPU is told later."""
    host = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
    host.copy_(value, non_blocking=True)
    sent = torch.cuda.Event()
    sent.record(torch.cuda.current_stream(value.device))

    def arrived() -> np.ndarray:
        sent.synchronize()
        return host.numpy()

    return arrived


def of_kind(part: np.ndarray, kept: np.dtype | None) -> np.ndarray:
    """Values of a batch, float32 (n, channels, ...), of masks and of many classes as they are stored: all of them are
    too many.
    """
    return as_stored(part, kept) if kept is not None and (kept.names or part.ndim > 2) else part


def joined_parts(parts: Sequence[np.ndarray]) -> np.ndarray:
    """Values (N, channels, ...) of batches, one after the other."""
    if isinstance(parts[0], TopK):
        joined: Any = TopK(np.concatenate([part.records for part in parts]))
        found: np.ndarray = joined
        return found
    return np.concatenate(parts)


def at_once(images: ImageRows, most: int) -> int:
    """How many of images (N, H, W, C) go through a network together: as much memory as `most` of 128x128 take.

    Of sets of images so many that these together have no more images than that, but one at least.
    """
    each = images_each(images)
    largest = 1 if each is None else int(each.max(initial=1))
    return max(1, min(most, most * PIXELS // (images.shape[1] * images.shape[2])) // largest)


def batches(images: ImageRows, size: int, device: torch.device) -> Iterator[torch.Tensor]:
    """Images uint8 or float16 (N, H, W, C) in order, as (B, C, H, W) on the device, channels last in memory; sets of
    images as (B, k * C, H, W).
    """
    sets = images_each(images) is not None
    for start in range(0, len(images), size):
        part = picked(images, np.s_[start : start + size])
        given = torch.from_numpy(part if sets else np.array(part))
        if device.type == "cuda":
            given = given.pin_memory()  # else it would be waited for what the GPU was told before
        yield given.to(device, non_blocking=True).permute(0, 3, 1, 2)
