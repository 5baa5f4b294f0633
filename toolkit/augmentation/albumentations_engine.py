"""Train-time augmentation image by image with albumentations: a second engine for the fields of `recipe.Augment`."""

from functools import partial
from random import Random

import albumentations as A
import cv2
import numpy as np

from toolkit.augmentation.batch import DEGRADATIONS
from toolkit.augmentation.geometry import AFFINE, DISPLACEMENT, SMOOTHNESS
from toolkit.augmentation.randaugment import ENHANCE, POSTERIZE, ROTATE, SHEAR, TRANSLATE, rand_augment_names
from toolkit.errors import UserError
from toolkit.metrics import IGNORED
from toolkit.recipe import Augment

cv2.setNumThreads(0)  # the cores belong to the network
COLOUR_JITTER = (("brightness", "brightness"), ("contrast", "contrast"), ("colour", "saturation"))
BORDERS = (cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)
# ElasticTransform divides its noise by the greatest of it (4.2 deviations in ten thousand pixels) before it smooths
ELASTIC = DISPLACEMENT * 4.2 * 2 * SMOOTHNESS * np.pi**0.5


def build_pipeline(augment: Augment, channels: int) -> A.Compose:
    """The transforms of one image (H, W, C) and its mask (H, W), both uint8.

    Parts of a mask that come from outside the picture get the value IGNORED. UserError for AugMix, which
    albumentations doesn't have.
    """
    if augment.augmix:
        raise UserError(
            "augment.augmix: the engine albumentations doesn't have it; "
            "set augment.engine=tensor or leave augment.augmix=0"
        )
    augment = augment.reduced()
    steps: list[A.BasicTransform | A.BaseCompose] = []
    if augment.flip != "none":
        steps.append(A.HorizontalFlip(p=0.5))
    if augment.flip == "both":
        steps.append(A.VerticalFlip(p=0.5))
    if augment.rotate or augment.scale or augment.shift or augment.shear:
        affine = _affine(
            AFFINE,
            rotate=(-augment.rotate, augment.rotate),
            scale=(1 - augment.scale, 1 + augment.scale),
            translate_percent=(-augment.shift, augment.shift),
            shear=(-augment.shear, augment.shear),
        )
        steps.append(affine)
    if augment.elastic:
        steps.append(A.ElasticTransform(ELASTIC, SMOOTHNESS, border_mode=BORDERS[0], p=augment.elastic))
    if augment.colour:
        steps += _colour(augment, channels)
    if augment.randaugment:
        operations = _operations(augment.magnitude, channels)
        allowed = [operations[name] for name in rand_augment_names(channels, augment.leave_out)]
        steps.append(A.SomeOf(allowed, augment.randaugment, replace=True, p=1))
    families = zip(_degradations(), DEGRADATIONS.values(), strict=True)
    degradations = [step for step, family in families if family not in augment.leave_out]
    if augment.degrade and degradations:
        steps.append(A.OneOf(degradations, p=augment.degrade))
    if augment.erase:
        holes = A.CoarseDropout(num_holes_range=(1, 5), hole_height_range=(0.1, 0.3), hole_width_range=(0.1, 0.3), p=1)
        steps.append(A.OneOf([holes, A.GridDropout(ratio=0.4, holes_number_xy=(4, 4), p=1)], p=augment.erase))
    return A.Compose(steps)


def _affine(p: float, **arguments: object) -> A.OneOf:
    """An affine map with the border reflected or black."""
    return A.OneOf(
        [
            A.Affine(
                border_mode=border,
                mask_interpolation=cv2.INTER_NEAREST,  # linear interpolation between labels invents classes
                fill_mask=IGNORED,
                p=1,
                **arguments,
            )
            for border in BORDERS
        ],
        p=p,
    )


def _colour(augment: Augment, channels: int) -> list[A.BasicTransform]:
    steps: list[A.BasicTransform] = []
    strength = augment.colour
    if "light" not in augment.leave_out:
        steps += [
            A.RandomBrightnessContrast(brightness_limit=0.5 * strength, contrast_limit=0.5 * strength, p=0.7),
            A.RandomGamma(gamma_limit=(100 - 50 * strength, 100 + 80 * strength), p=0.3),
        ]
    if channels == 3 and "colour" not in augment.leave_out:
        limits = (30 * strength, 60 * strength, 30 * strength)
        steps.append(A.HueSaturationValue(*limits, p=0.5))
    return steps


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


def _operations(level: float, channels: int) -> dict[str, A.BasicTransform | A.BaseCompose]:
    """RandAugment's operations at one level, by name, those with a direction either way."""
    slant = float(np.rad2deg(np.arctan(SHEAR * level)))
    signs = (-1, 1)
    bits = round(POSTERIZE * level)
    sharper = [A.Lambda(image=partial(_sharpen, factor=1 + sign * ENHANCE * level), p=1) for sign in signs]
    operations = {
        "identity": A.NoOp(p=1),
        "rotate": A.OneOf([_affine(1, rotate=(sign * ROTATE * level,) * 2) for sign in signs], p=1),
        "posterize": A.Posterize(num_bits=(8 - bits, 8 - bits), p=1) if bits else A.NoOp(p=1),
        "solarize": A.Solarize(threshold_range=(min(1, 256 / 255 * (1 - level)),) * 2, p=1),
        "autocontrast": A.AutoContrast(method="pil", p=1),
        "equalize": A.Equalize(p=1),
        "sharpness": A.OneOf(sharper, p=1),
    }
    for axis in ("x", "y"):
        for name, word, value in (("shear", "shear", slant), ("translate", "translate_percent", TRANSLATE * level)):
            ways = [{axis: (sign * value,) * 2, "xy".replace(axis, ""): (0, 0)} for sign in signs]
            operations[f"{name}_{axis}"] = A.OneOf([_affine(1, **{word: way}) for way in ways], p=1)
    for name, word in COLOUR_JITTER[: 3 if channels == 3 else 2]:
        still = {"brightness": (1, 1), "contrast": (1, 1), "saturation": (1, 1), "hue": (0, 0)}
        ways = [still | {word: (1 + sign * ENHANCE * level,) * 2} for sign in signs]
        operations[name] = A.OneOf([A.ColorJitter(p=1, **way) for way in ways], p=1)
    return operations


def _sharpen(image: np.ndarray, factor: float, **_: object) -> np.ndarray:
    kernel = np.ones((3, 3), np.float32)
    kernel[1, 1] = 5
    smooth = cv2.filter2D(image, -1, kernel / 13, borderType=cv2.BORDER_REPLICATE).reshape(image.shape)
    return np.rint((smooth + factor * (image.astype(np.float32) - smooth)).clip(0, 255)).astype(np.uint8)


def augment_images(
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
