"""Train-time augmentation of whole batches, on the device that trains.

Everything random is drawn on the host from the seed, so a batch is augmented alike on a CPU and a GPU.
`pipeline.py` does the same image by image with albumentations, and `mix.py` mixes the images of a batch.
"""

import numpy as np
import torch

from toolkit.augmentation import pixels
from toolkit.augmentation.geometry import draw_motion, to_device, warp_batch
from toolkit.augmentation.randaugment import MOVES, WAYS, apply_looks, aug_mix, move_matrices, rand_augment_names
from toolkit.recipe import Augment

# all that leaves no whole numbers
WORDS = ("rotate", "scale", "shift", "shear", "elastic", "colour", "degrade", "erase", "randaugment", "augmix")
BLURRED, SHAKEN, NOISY, COMPRESSED, COARSE = range(len(WAYS))


@torch.no_grad()
def augment_batch(
    augment: Augment, images: torch.Tensor, targets: torch.Tensor, seed: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Augmented copies of images, and of masks.

    images: uint8 (B, C, H, W), channels last in memory. targets: labels int64 (B,), returned as they are, or masks
    uint8 (B, H, W). Returns images of the same layout, float32 from 0 to 255, or uint8 where only flips were asked
    for. Parts of a mask that come from outside the picture get the value IGNORED.
    """
    count, channels, height, width = images.shape
    random = np.random.default_rng(seed)
    augment = augment.reduced()
    given, masks = images, targets if targets.ndim > 1 else None
    motion = draw_motion(augment, count, height, width, random)
    names = random.choice(rand_augment_names(channels, augment.leave_out), (augment.randaugment, count))
    levels = augment.magnitude * random.choice([-1, 1], names.shape)
    for drawn, level in zip(names, levels, strict=True):
        motion.matrices[:] = move_matrices(drawn, level, height, width) @ motion.matrices
        motion.moved[np.isin(drawn, MOVES)] = True
    if motion.moved.any() or motion.flips.any():
        images, masks = warp_batch(motion, images, masks)
    if any(getattr(augment, word) for word in WORDS):
        images = images.to(torch.float32, copy=images is given, memory_format=torch.contiguous_format)
        if augment.colour:
            _colour(images, augment, random)
        for drawn, level in zip(names, levels, strict=True):
            apply_looks(images, drawn, level)
        mixed = np.flatnonzero(random.random(count) < augment.augmix)
        pixels.change(images, mixed, lambda part: aug_mix(part, augment, masks is not None, random))
        if augment.degrade:
            _degrade(images, augment, random)
        if augment.erase:
            _erase(images, augment.erase, random)
    return images.contiguous(memory_format=torch.channels_last), targets if masks is None else masks


def _colour(images: torch.Tensor, augment: Augment, random: np.random.Generator) -> None:
    if "light" not in augment.leave_out:
        _light(images, augment.colour, random)
    if images.shape[1] == 3 and "colour" not in augment.leave_out:
        chosen = np.flatnonzero(random.random(len(images)) < 0.5)
        shifts = random.uniform(-augment.colour, augment.colour, (3, len(chosen))) * [[60], [60], [30]]
        pixels.change(images, chosen, lambda part: pixels.shift_hsv(part, *shifts))


def _light(images: torch.Tensor, strength: float, random: np.random.Generator) -> None:
    count = len(images)
    draws = random.uniform(-0.5 * strength, 0.5 * strength, (2, count)) * (random.random(count) < 0.7)
    images.mul_(pixels.per_image(1 + draws[0], images)).add_(pixels.per_image(255 * draws[1], images)).clamp_(0, 255)
    chosen = np.flatnonzero(random.random(count) < 0.3)
    gamma = 1 + random.uniform(-0.5 * strength, 0.8 * strength, len(chosen))
    pixels.change(images, chosen, lambda part: pixels.adjust_gamma(part, gamma))


def _degrade(images: torch.Tensor, augment: Augment, random: np.random.Generator) -> None:
    count, _, height, width = images.shape
    allowed = np.array([way for way, family in enumerate(WAYS) if family not in augment.leave_out])
    if not len(allowed):
        return
    ways = np.where(random.random(count) < augment.degrade, allowed[random.integers(len(allowed), size=count)], -1)
    for way in np.unique(ways[ways >= 0]):
        rows = to_device(np.flatnonzero(ways == way), images)
        part = images.index_select(0, rows)
        size = len(part)
        if way == BLURRED:
            sigma = random.uniform(0.5, 2.5, size)
            vertical, horizontal = (pixels.gaussian_matrices(sigma, side, part.device) for side in (height, width))
            part = pixels.separable(part, vertical, horizontal)
        elif way == SHAKEN:
            lengths, angles = random.choice([3, 5, 7, 9], size), random.uniform(0, 2 * np.pi, size)
            drawn = zip(lengths, angles, random.uniform(-1, 1, (size, 3)), strict=True)
            kernels = [pixels.motion_kernel(length, angle, line[0], line[1:]) for length, angle, line in drawn]
            part = pixels.blur_by_kernel(part, np.stack(kernels))
        elif way == NOISY:
            part = pixels.add_noise(part, 255 * random.uniform(0.02, 0.2, size), random)
        elif way == COMPRESSED:
            part = pixels.compress(part, random.integers(15, 80, size, endpoint=True))
        elif way == COARSE:
            scale = random.uniform(0.3, 0.7, size)
            vertical, horizontal = (
                to_device(np.stack([pixels.resolution_matrix(side, max(1, round(side * s))) for s in scale]), part)
                for side in (height, width)
            )
            part = pixels.separable(part, vertical, horizontal)
        images.index_copy_(0, rows, part)


def _erase(images: torch.Tensor, probability: float, random: np.random.Generator) -> None:
    """One to five black rectangles, or a grid of four by four."""
    count, _, height, width = images.shape
    chosen = np.flatnonzero(random.random(count) < probability)
    grids, numbers = random.random(len(chosen)) < 0.5, random.integers(1, 5, len(chosen), endpoint=True)
    sides = np.array([height, width])
    sizes = (sides * random.uniform(0.1, 0.3, (len(chosen), 5, 2))).astype(int)
    corners = random.integers(0, sides - sizes + 1)
    lines = [np.linspace(0, side, 5).astype(int) for side in sides]
    cells = np.stack(np.meshgrid(*lines, indexing="ij"), -1)
    cell_sizes = (cells[1:, 1:] - cells[:-1, :-1]).reshape(-1, 2)
    hole_sizes = (cell_sizes * 0.4).astype(int).clip(1)
    room = (cell_sizes - hole_sizes).clip(0)
    holes = cells[:-1, :-1].reshape(-1, 2) + random.integers(0, room + 1, (len(chosen), *room.shape))
    kept = np.ones((count, 1, height, width), np.float32)
    for row, grid, number, size, corner, hole in zip(chosen, grids, numbers, sizes, corners, holes, strict=True):
        places = zip(hole, hole_sizes, strict=True) if grid else zip(corner[:number], size[:number], strict=True)
        for (top, left), (tall, wide) in places:
            kept[row, 0, top : top + tall, left : left + wide] = 0
    images.mul_(to_device(kept, images))
