"""Images of one batch mixed with each other: MixUp, CutMix, and rare classes copied from mask to mask."""

from typing import Any

import numpy as np
import torch
from torch.nn.functional import max_pool2d

from toolkit.augmentation.geometry import to_device
from toolkit.recipe import Augment
from toolkit.task import IGNORED

MARGIN = 2  # pixels around what is copied
RARE = 0.5  # of an even share of all pixels: a class with less is rare


@torch.no_grad()
def mix_batch(
    augment: Augment,
    images: torch.Tensor,
    targets: torch.Tensor,
    rng: np.random.Generator,
    counts: np.ndarray | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """MixUp (Zhang et al. 2018) or CutMix (Yun et al. 2019) with the batch shifted; copy-paste (Ghiasi et al. 2021).

    images: (B, C, H, W) of any type. targets: masks uint8 (B, H, W), or whatever else, (B,) or (B, K). counts:
    (classes,), pixels of each class in the training folds, needed for copy-paste, which exclusive masks alone have.
    Returns images, two targets and the first one's share in the loss. Masks move along with their pixels, so there the
    share is 1. The given tensors are not written.
    """
    masks = targets.ndim > 2
    if masks and augment.copy_paste and counts is not None:
        images, targets = copy_rare(images, targets, augment.copy_paste, counts, rng)
    choice = rng.random()
    mixup = 0.0 if masks else augment.mixup
    if choice < mixup:
        share = float(rng.beta(0.4, 0.4))
        mixed = torch.lerp(images.roll(1, 0).float(), images.float(), share).to(images.dtype)
        return mixed, targets, targets.roll(1, 0), share
    if choice < mixup + augment.cutmix:
        box, foreign = _box(images, rng)
        mixed = images.clone()
        mixed[box] = images[box].roll(1, 0)
        if not masks:
            return mixed, targets, targets.roll(1, 0), 1 - foreign
        targets = targets.clone()
        targets[box] = targets[box].roll(1, 0)
        return mixed, targets, targets, 1.0
    return images, targets, targets, 1.0


def mixed_rows(rows: tuple[torch.Tensor, ...], share: float) -> tuple[torch.Tensor, ...]:
    """Rows (B, D) of what is known beside the images, mixed as `mix_batch` mixed these."""
    return rows if share == 1 else tuple(torch.lerp(each.roll(1, 0), each, share) for each in rows)


def _box(images: torch.Tensor, rng: np.random.Generator) -> tuple[tuple[Any, ...], float]:
    """A place of 0.1 to 0.6 of the image, and its share in whole pixels."""
    height, width = images.shape[-2:]
    side = np.sqrt(rng.uniform(0.1, 0.6))
    tall, wide = max(1, int(height * side)), max(1, int(width * side))
    top, left = rng.integers(height - tall + 1), rng.integers(width - wide + 1)
    return (..., slice(top, top + tall), slice(left, left + wide)), tall * wide / (height * width)


def copy_rare(
    images: torch.Tensor, masks: torch.Tensor, probability: float, counts: np.ndarray, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Images that got the pixels of a rare class, with MARGIN pixels around them, from another image of the batch.

    A class with under half of an even share of all `counts` is rare. The class is drawn by 1 / count among those
    that another image has, then the image. Images and masks stay the same where no other image has a rare class.
    """
    rare = np.flatnonzero((counts > 0) & (counts < RARE * counts.sum() / len(counts)))
    batch = len(masks)
    takers = np.flatnonzero(rng.random(batch) < probability)
    if len(rare) == 0 or len(takers) == 0:
        return images, masks
    rows = to_device(takers, images)
    regions = masks[:, None] == to_device(rare.astype(np.uint8), masks)[:, None, None]
    allowed = regions.flatten(2).any(2) & (rows[:, None] != torch.arange(batch, device=rows.device))[..., None]
    weights = to_device((1 / counts[rare]).astype(np.float32), images) / allowed.sum(1, keepdim=True).clamp(min=1)
    # the greatest of log weight + Gumbel noise is a draw by weight, without asking the device what the masks hold
    noise = to_device(rng.gumbel(size=(len(takers), batch, len(rare))).astype(np.float32), images)
    best, choice = (noise + weights.log()).masked_fill(~allowed, -torch.inf).flatten(1).max(1)
    donors = choice.div(len(rare), rounding_mode="floor")
    region = regions[donors, choice % len(rare)].to(torch.float32)[:, None]
    region = max_pool2d(region, 2 * MARGIN + 1, 1, MARGIN)[:, 0] > 0
    region &= (best > -torch.inf)[:, None, None] & (masks[donors] != IGNORED)
    copied = torch.where(region[:, None], images[donors], images[rows])
    truth = torch.where(region, masks[donors], masks[rows])
    return images.clone().index_copy_(0, rows, copied), masks.clone().index_copy_(0, rows, truth)
