"""Train-time augmentation of whole batches, on the device that trains.

Everything random is drawn on the host from the seed, so a batch is augmented alike on a CPU and a GPU.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch

from toolkit.augmentation import pixels
from toolkit.augmentation.geometry import draw_transform, to_device, warp_batch
from toolkit.augmentation.randaugment import (
    GEOMETRIC,
    apply_photometric,
    aug_mix,
    geometric_matrices,
    rand_augment_names,
)
from toolkit.recipe import Augment, Family
from toolkit.task import Rgb

# fields after which pixels are no whole numbers
FLOATING = ("rotate", "scale", "shift", "shear", "colour", "degrade", "erase", "randaugment", "augmix")


@torch.no_grad()
def augment_batch(
    augment: Augment, images: torch.Tensor, targets: torch.Tensor, seed: int, rgb: Rgb
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augmented copies of images, and of masks.

    images: uint8 or float16 (B, C, H, W), channels last in memory. targets: masks uint8 (B, H, W), or of the images as
    a whole, (B,) or (B, K), returned as they are. rgb: the channels that hue, saturation and JPEG touch; light, noise,
    blur and moves touch all. Returns images of the same layout, float32 from 0 to 255, or as they were given where
    only flips were asked for. Parts of a mask that come from outside the picture get the value IGNORED.
    """
    count, _, height, width = images.shape
    rng = np.random.default_rng(seed)
    augment = augment.reduced()
    masks = targets if targets.ndim > 2 else None
    transform = draw_transform(augment, count, height, width, rng)
    names = rng.choice(rand_augment_names(rgb, augment.leave_out), (augment.randaugment, count))
    levels = augment.magnitude * rng.choice([-1, 1], names.shape)
    for drawn, level in zip(names, levels, strict=True):
        transform.matrices[:] = geometric_matrices(drawn, level, height, width) @ transform.matrices
        transform.moved[np.isin(drawn, GEOMETRIC)] = True
    if transform.moved.any() or transform.flips.any():
        images, masks = warp_batch(transform, images, masks)
    if any(getattr(augment, name) for name in FLOATING):
        images = images.to(torch.float32, memory_format=torch.contiguous_format)
        if augment.colour:
            _colour(images, augment, rgb, rng)
        for drawn, level in zip(names, levels, strict=True):
            apply_photometric(images, drawn, level, rgb)
        mixed = np.flatnonzero(rng.random(count) < augment.augmix)
        pixels.change(images, mixed, lambda part: aug_mix(part, augment, masks is not None, rgb, rng))
        if augment.degrade:
            _degrade(images, augment, rgb, rng)
        if augment.erase:
            _erase(images, augment.erase, rng)
    return images.contiguous(memory_format=torch.channels_last), targets if masks is None else masks


def _colour(images: torch.Tensor, augment: Augment, rgb: Rgb, rng: np.random.Generator) -> None:
    if "light" not in augment.leave_out:
        _light(images, augment.colour, rng)
    if rgb and "colour" not in augment.leave_out:
        chosen = np.flatnonzero(rng.random(len(images)) < 0.5)
        shifts = rng.uniform(-augment.colour, augment.colour, (3, len(chosen))) * [[60], [60], [30]]

        def shifted(part: torch.Tensor) -> torch.Tensor:
            return pixels.on_colour(part, rgb, lambda colours: pixels.shift_hsv(colours, *shifts))

        pixels.change(images, chosen, shifted)


def _light(images: torch.Tensor, strength: float, rng: np.random.Generator) -> None:
    count = len(images)
    draws = rng.uniform(-0.5 * strength, 0.5 * strength, (2, count)) * (rng.random(count) < 0.7)
    images.mul_(pixels.per_image(1 + draws[0], images)).add_(pixels.per_image(255 * draws[1], images)).clamp_(0, 255)
    chosen = np.flatnonzero(rng.random(count) < 0.3)
    gamma = 1 + rng.uniform(-0.5 * strength, 0.8 * strength, len(chosen))
    pixels.change(images, chosen, lambda part: pixels.adjust_gamma(part, gamma))


def gaussian_blur(images: torch.Tensor, rgb: Rgb, rng: np.random.Generator) -> torch.Tensor:
    sigma = rng.uniform(0.5, 2.5, len(images))
    return pixels.separable(
        images, *(pixels.gaussian_matrices(sigma, side, images.device) for side in images.shape[2:])
    )


def motion_blur(images: torch.Tensor, rgb: Rgb, rng: np.random.Generator) -> torch.Tensor:
    lengths, angles = rng.uniform(1, 8, len(images)), rng.uniform(0, np.pi, len(images))
    return pixels.blur_by_kernel(images, pixels.motion_kernels(lengths, angles))


def noise(images: torch.Tensor, rgb: Rgb, rng: np.random.Generator) -> torch.Tensor:
    return pixels.add_noise(images, 255 * rng.uniform(0.02, 0.2, len(images)), rng)


def compression(images: torch.Tensor, rgb: Rgb, rng: np.random.Generator) -> torch.Tensor:
    return pixels.compress(images, rng.integers(15, 80, len(images), endpoint=True), rgb)


def low_resolution(images: torch.Tensor, rgb: Rgb, rng: np.random.Generator) -> torch.Tensor:
    scale = rng.uniform(0.3, 0.7, len(images))
    matrices = (
        np.stack([pixels.resolution_matrix(side, max(1, round(side * s))) for s in scale]) for side in images.shape[2:]
    )
    return pixels.separable(images, *(to_device(each, images) for each in matrices))


# and the families of corruptions that they are like
DEGRADATIONS: dict[Callable[..., torch.Tensor], Family] = {
    gaussian_blur: "blur",
    motion_blur: "blur",
    noise: "noise",
    compression: "resolution",
    low_resolution: "resolution",
}


def _degrade(images: torch.Tensor, augment: Augment, rgb: Rgb, rng: np.random.Generator) -> None:
    """One of the degradations, of those that aren't left out, on a share of the images."""
    allowed = [degrade for degrade, family in DEGRADATIONS.items() if family not in augment.leave_out]
    if not allowed:
        return
    degraded, which = rng.random(len(images)) < augment.degrade, rng.integers(len(allowed), size=len(images))
    for number, degrade in enumerate(allowed):
        pixels.change(images, np.flatnonzero(degraded & (which == number)), partial(degrade, rgb=rgb, rng=rng))


def _erase(images: torch.Tensor, probability: float, rng: np.random.Generator) -> None:
    """One to five black rectangles, or a grid of four by four."""
    count, _, height, width = images.shape
    chosen = np.flatnonzero(rng.random(count) < probability)
    grids, numbers = rng.random(len(chosen)) < 0.5, rng.integers(1, 5, len(chosen), endpoint=True)
    sides = np.array([height, width])
    sizes = (sides * rng.uniform(0.1, 0.3, (len(chosen), 5, 2))).astype(int)
    corners = rng.integers(0, sides - sizes + 1)
    lines = [np.linspace(0, side, 5).astype(int) for side in sides]
    cells = np.stack(np.meshgrid(*lines, indexing="ij"), -1)
    cell_sizes = (cells[1:, 1:] - cells[:-1, :-1]).reshape(-1, 2)
    hole_sizes = (cell_sizes * 0.4).astype(int).clip(1)
    room = (cell_sizes - hole_sizes).clip(0)
    holes = cells[:-1, :-1].reshape(-1, 2) + rng.integers(0, room + 1, (len(chosen), *room.shape))
    kept = np.ones((count, 1, height, width), np.float32)
    for row, grid, number, size, corner, hole in zip(chosen, grids, numbers, sizes, corners, holes, strict=True):
        places = zip(hole, hole_sizes, strict=True) if grid else zip(corner[:number], size[:number], strict=True)
        for (top, left), (tall, wide) in places:
            kept[row, 0, top : top + tall, left : left + wide] = 0
    images.mul_(to_device(kept, images))
