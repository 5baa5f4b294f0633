"""A recipe's augmentation image by image with albumentations, for the libraries that training is compared with."""

import albumentations as A
import cv2

from toolkit.augmentation.geometry import AFFINE
from toolkit.recipe import Augment
from toolkit.task import IGNORED

cv2.setNumThreads(0)  # the cores belong to the network


def build_pipeline(augment: Augment, channels: int) -> A.Compose:
    """The transforms of one image uint8 (H, W, C), and of its mask (H, W) if it has one; mixing is the trainer's.

    Parts of a mask that come from outside the picture get the value IGNORED. ValueError for words that no measured
    recipe has.
    """
    if augment.randaugment or augment.augmix or augment.leave_out:
        raise ValueError("the peers' augmentation has no randaugment, augmix or leave_out")
    steps: list[A.BasicTransform | A.BaseCompose] = []
    if augment.flip != "none":
        steps.append(A.HorizontalFlip(p=0.5))
    if augment.flip == "both":
        steps.append(A.VerticalFlip(p=0.5))
    if augment.rotate or augment.scale or augment.shift or augment.shear:
        borders = [_affine(augment, border) for border in (cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)]
        steps.append(A.OneOf(borders, p=AFFINE))
    if augment.colour:
        strength = augment.colour
        steps += [
            A.RandomBrightnessContrast(brightness_limit=0.5 * strength, contrast_limit=0.5 * strength, p=0.7),
            A.RandomGamma(gamma_limit=(100 - 50 * strength, 100 + 80 * strength), p=0.3),
        ]
        if channels == 3:
            steps.append(A.HueSaturationValue(30 * strength, 60 * strength, 30 * strength, p=0.5))
    if augment.degrade:
        steps.append(A.OneOf(_degradations(), p=augment.degrade))
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


def _degradations() -> list[A.BasicTransform]:
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
