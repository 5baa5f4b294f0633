"""Train-time augmentation: an albumentations pipeline an image, MixUp and CutMix a batch."""

from random import Random

import albumentations as A
import cv2
import numpy as np
import torch

from toolkit.metrics import IGNORED
from toolkit.recipe import Augment

cv2.setNumThreads(0)  # the cores belong to the network


def build_pipeline(augment: Augment, channels: int) -> A.Compose:
    """The transforms of one image (H, W, C) and its mask (H, W), both uint8.

    Parts of a mask that come from outside the picture get the value IGNORED.
    """
    steps: list[A.BasicTransform | A.BaseCompose] = []
    if augment.flip != "none":
        steps.append(A.HorizontalFlip(p=0.5))
    if augment.flip == "both":
        steps.append(A.VerticalFlip(p=0.5))
    if augment.rotate or augment.scale or augment.shift or augment.shear:
        steps.append(A.OneOf([_affine(augment, border) for border in (cv2.BORDER_REFLECT_101, 0)], p=0.8))
    if augment.colour:
        steps += _colour(augment.colour, channels)
    if augment.degrade:
        steps.append(A.OneOf(_degrade(), p=augment.degrade))
    if augment.erase:
        holes = A.CoarseDropout(num_holes_range=(1, 5), hole_height_range=(0.1, 0.3), hole_width_range=(0.1, 0.3), p=1)
        steps.append(A.OneOf([holes, A.GridDropout(ratio=0.4, holes_number_xy=(4, 4), p=1)], p=augment.erase))
    return A.Compose(steps)


def _affine(augment: Augment, border: int) -> A.Affine:
    return A.Affine(
        rotate=(-augment.rotate, augment.rotate),
        scale=(1 - augment.scale, 1 + augment.scale),
        translate_percent=(-augment.shift, augment.shift),
        shear=(-augment.shear, augment.shear),
        border_mode=border,
        mask_interpolation=cv2.INTER_NEAREST,  # linear interpolation between labels invents classes
        fill_mask=IGNORED,
        p=1,
    )


def _colour(strength: float, channels: int) -> list[A.BasicTransform]:
    steps: list[A.BasicTransform] = [
        A.RandomBrightnessContrast(brightness_limit=0.5 * strength, contrast_limit=0.5 * strength, p=0.7),
        A.RandomGamma(gamma_limit=(100 - 50 * strength, 100 + 80 * strength), p=0.3),
    ]
    if channels == 3:
        limits = (30 * strength, 60 * strength, 30 * strength)
        steps.append(A.HueSaturationValue(*limits, p=0.5))
    return steps


def _degrade() -> list[A.BasicTransform]:
    return [
        A.GaussianBlur(sigma_limit=(0.5, 2.5), p=1),
        A.MotionBlur(blur_limit=(3, 9), p=1),
        A.GaussNoise(std_range=(0.02, 0.2), p=1),
        A.ImageCompression(quality_range=(15, 80), p=1),
        A.Downscale(
            scale_range=(0.3, 0.7),
            interpolation_pair={"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR},
            p=1,
        ),
    ]


def augment_batch(
    pipeline: A.Compose, images: np.ndarray, targets: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Augmented copies of images (B, H, W, C) and of targets: labels (B,), or masks (B, H, W).

    The seed decides everything, so that a batch is the same in whichever process it is made.
    """
    # set_random_seed would give every transform the same draws: an image flipped one way would always be the other too
    pipeline.set_random_state(np.random.default_rng(seed), Random(seed))
    if targets.ndim == 1:
        return np.stack([pipeline(image=image)["image"] for image in images]), targets
    pairs = [pipeline(image=image, mask=mask) for image, mask in zip(images, targets, strict=True)]
    return np.stack([pair["image"] for pair in pairs]), np.stack([pair["mask"] for pair in pairs])


def mix_batch(
    augment: Augment, images: torch.Tensor, targets: torch.Tensor, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    """MixUp (Zhang et al. 2018) or CutMix (Yun et al. 2019) with the batch shifted by one.

    images: (B, C, H, W); targets: labels (B,) or masks (B, H, W). Returns images, two targets and the first
    one's share in the loss. CutMix moves masks along with their pixels, so there the share is 1.
    """
    choice = random.random()
    partner, other = images.roll(1, 0), targets.roll(1, 0)
    if choice < augment.mixup and targets.ndim == 1:
        share = float(random.beta(0.4, 0.4))
        return (share * images + (1 - share) * partner).to(images.dtype), targets, other, share
    if choice < augment.cutmix + (augment.mixup if targets.ndim == 1 else 0):
        height, width = images.shape[-2:]
        side = np.sqrt(random.uniform(0.1, 0.6))
        box_height, box_width = max(1, int(height * side)), max(1, int(width * side))
        top, left = random.integers(height - box_height + 1), random.integers(width - box_width + 1)
        box = (..., slice(top, top + box_height), slice(left, left + box_width))
        images = images.clone()
        images[box] = partner[box]
        if targets.ndim > 1:
            targets = targets.clone()
            targets[box] = other[box]
            return images, targets, targets, 1.0
        return images, targets, other, 1 - box_height * box_width / (height * width)
    return images, targets, targets, 1.0
