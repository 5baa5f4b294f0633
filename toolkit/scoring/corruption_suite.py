"""A fixed suite of corruptions at five severities: what a hidden test set may have gone through.

Forms follow ImageNet-C (Hendrycks and Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations", ICLR 2019) and MedMNIST-C (Di Salvo, Doerrich and Ledig, 2024), which has both directions of
brightness and contrast; what is not from there names its source. The levels are our own, for images of 64 to 128
pixels: lengths are shares of the shorter side. docs/stress.md shows and lists them all.

Each sample has a random generator of its own, from (seed, corruption, sample), so that its corrupted copy does not
depend on the batch; at all severities it draws the same numbers. Sums that could change with the batch are made
of integers or in float64. None of this is the training augmentation in its own form: borders, kernels, shapes and
colour spaces differ, so that a network cannot learn the suite by heart.
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from toolkit.networks.predict import at_once
from toolkit.scoring.corruptions import (
    Draws,
    brightness,
    contrast,
    defocus_blur,
    edge_colour,
    elastic,
    gamma,
    gaussian_noise,
    grid_mask,
    hue,
    illumination,
    impulse_noise,
    jpeg,
    motion_blur,
    occlusion,
    per_sample,
    pixelate,
    rotation,
    round_up_ties,
    saturation,
    scaling,
    shear,
    shot_noise,
    speckle_noise,
    stain,
    translation,
    vignetting,
    zoom_blur,
)
from toolkit.task import IGNORED, Rgb

VERSION = 2  # of the suite and of how it is scored; scores under different ones are not compared
SEVERITIES = 5  # of each corruption, 1 the mildest
BATCH = 128
ANOTHER = 1 << 40  # from the number of a sample to that of another image of its set
Moved = tuple[Tensor, Tensor | None]
Apply = Callable[[Tensor, Tensor | None, Any, Draws, Rgb], Moved]
Change = Callable[[Tensor, Any, Draws], Tensor]


@dataclass(frozen=True)
class Corruption:
    """apply(images, masks, level, draws, rgb) corrupts a batch; `levels` are its five, `unit` says of what."""

    name: str
    family: str
    apply: Apply
    levels: tuple[Any, ...]
    unit: str
    colour: bool = False  # for images that have some


def suite(rgb: Rgb) -> tuple[Corruption, ...]:
    """The corruptions that images can go through of which these channels are red, green and blue."""
    return tuple(corruption for corruption in SUITE if rgb or not corruption.colour)


def count_cells(rgb: Rgb) -> int:
    """How many pairs of a corruption and a severity there are: cells, numbered corruption * SEVERITIES + severity - 1.

    corruption: its number in `suite`.
    """
    return len(suite(rgb)) * SEVERITIES


def corrupt(
    images: Tensor,
    masks: Tensor | None,
    name: str,
    severity: int,
    seed: int,
    rgb: Rgb,
    samples: Sequence[int] | None = None,
    size: tuple[int, int] | None = None,
) -> Moved:
    """Images under one corruption, uint8 or float16 (N, C, H, W), of that type, and masks uint8 (N, H, W) moved along.

    rgb: the channels that corruptions of colour touch, and JPEG, which without any takes each channel for a grey
    picture; all others touch all channels. samples: what each one's random numbers follow from, with the seed; 0..N-1
    if not given. size: height and width of the masks, where images have others: the same happens to them, and noise
    has the grain that it has at that size. Parts of a mask that come from outside the picture get IGNORED. ValueError
    for a name or severity that there is not.
    """
    known = [corruption.name for corruption in suite(rgb)]
    if name not in known:
        what = "colour" if rgb else "images without colour"
        raise ValueError(f"{name!r} is no corruption of {what}; there are {', '.join(known)}")
    if not 1 <= severity <= SEVERITIES:
        raise ValueError(f"severity {severity} is not in 1..{SEVERITIES}")
    corruption = SUITE[[c.name for c in SUITE].index(name)]
    samples = range(len(images)) if samples is None else samples
    draws = Draws(np.random.default_rng([seed, zlib.crc32(name.encode()), int(sample)]) for sample in samples)
    level = corruption.levels[severity - 1]
    if size is None or tuple(images.shape[2:]) == size:
        return corruption.apply(images, masks, level, draws, rgb)
    if masks is not None:
        alone = images.new_zeros((*images.shape[:2], *size))
        _, masks = corrupt(alone, masks, name, severity, seed, rgb, samples)
    return corruption.apply(images, None, level, Draws(draws, size), rgb)[0], masks


def corrupt_each(
    images: Tensor,
    masks: Tensor | None,
    cells: np.ndarray,
    seed: int,
    rgb: Rgb,
    samples: np.ndarray | None = None,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> Moved:
    """As `corrupt`, each sample under a cell of its own (see `count_cells`). channels: of an image, where there may be
    several side by side: each is corrupted by itself, but those that are black, which are absent.
    """
    members = suite(rgb)
    samples = np.arange(len(images)) if samples is None else samples
    if channels is not None and images.shape[1] > channels:
        return _corrupt_sets(images, cells, seed, rgb, samples, size, channels), masks
    images, masks = images.clone(), None if masks is None else masks.clone()
    for cell in np.unique(cells):
        at = torch.from_numpy(np.flatnonzero(cells == cell)).to(images.device)
        part = None if masks is None else masks[at]
        member, severity = divmod(int(cell), SEVERITIES)
        own = samples[cells == cell].tolist()
        name = members[member].name
        images[at], moved = corrupt(images[at], part, name, severity + 1, seed, rgb, own, size)
        if masks is not None and moved is not None:
            masks[at] = moved
    return images, masks


def _corrupt_sets(
    images: Tensor,
    cells: np.ndarray,
    seed: int,
    rgb: Rgb,
    samples: np.ndarray,
    size: tuple[int, int] | None,
    channels: int,
) -> Tensor:
    """The first image of a set goes through what it would alone; the others have random numbers of their own."""
    made = images.unflatten(1, (-1, channels)).clone(memory_format=torch.contiguous_format)
    sets, place = (at.cpu().numpy() for at in (made.flatten(2) != 0).any(2).nonzero(as_tuple=True))
    together = max(1, BATCH * 128 * 128 // (images.shape[2] * images.shape[3]))
    for start in range(0, len(sets), together):
        of, at = sets[start : start + together], place[start : start + together]
        where = torch.from_numpy(of).to(images.device), torch.from_numpy(at).to(images.device)
        numbers = samples[of] + at * ANOTHER
        made[where] = corrupt_each(made[where], None, cells[of], seed, rgb, numbers, size)[0]
    return made.flatten(1, 2)


def corrupt_arrays(
    images: np.ndarray,
    masks: np.ndarray | None,
    cells: np.ndarray,
    seed: int,
    rgb: Rgb,
    samples: np.ndarray,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """As `corrupt_each`, of any number of images uint8 or float16 (N, H, W, C) and masks uint8 (N, H, W)."""
    made, moved = np.empty_like(images), None if masks is None else np.empty_like(masks)
    order = np.argsort(cells, kind="stable")  # alike ones together
    together = at_once(images, BATCH)
    for start in range(0, len(order), together):
        at = order[start : start + together]
        mask = None if masks is None else torch.from_numpy(masks[at])
        part = torch.from_numpy(images[at]).permute(0, 3, 1, 2)
        part, mask = corrupt_each(part, mask, cells[at], seed, rgb, samples[at], size, channels)
        made[at] = part.permute(0, 2, 3, 1).numpy()
        if moved is not None and mask is not None:
            moved[at] = mask.numpy()
    return made, moved


def _still(change: Change) -> Apply:
    """What leaves pixels in their places: `change` gets and returns floats on the scale 0..255."""

    def apply(images: Tensor, masks: Tensor | None, level: Any, draws: Draws, rgb: Rgb) -> Moved:
        return _stored(change(images.float(), level, draws), images), masks

    return apply


def _coloured(change: Change) -> Apply:
    """As `_still`, where `change` is for colours: other channels stay, but where there is no colour, each is grey."""

    def apply(images: Tensor, masks: Tensor | None, level: Any, draws: Draws, rgb: Rgb) -> Moved:
        if not rgb:
            planes = change(images.flatten(0, 1)[:, None].float(), level, draws)
            return _stored(planes.reshape(images.shape), images), masks
        made = images.clone()
        made[:, rgb] = _stored(change(images[:, rgb].float(), level, draws), images)
        return made, masks

    return apply


def _contrast(images: Tensor, masks: Tensor | None, level: float, draws: Draws, rgb: Rgb) -> Moved:
    return _stored(contrast(images.float(), level, draws, rgb), images), masks


def _moving(place: Change) -> Apply:
    """What moves pixels: `place` returns where each comes from, (N, H, W, 2), x and y in pixels.

    Outside lies, by lot, the edge drawn out, the mean colour of the edges, or black.
    """

    def apply(images: Tensor, masks: Tensor | None, level: Any, draws: Draws, rgb: Rgb) -> Moved:
        size = torch.tensor([images.shape[3], images.shape[2]], device=images.device)
        source = place(images, level, draws)
        outside = ((source < -0.5) | (source > size - 0.5)).any(-1)
        grid = (2 * source + 1) / size - 1
        made = functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        fill = per_sample(draws, images, lambda draw: draw.integers(3))
        flat = edge_colour(images) * (fill == 1)
        made = torch.where(outside[:, None] & (fill > 0), flat, made)
        if masks is not None:
            moved = functional.grid_sample(masks[:, None].float(), grid, "nearest", "border", align_corners=False)
            masks = moved[:, 0].to(torch.uint8).masked_fill(outside, IGNORED)
        return _stored(made, images), masks

    return apply


def _stored(values: Tensor, like: Tensor) -> Tensor:
    """Values on the scale 0..255 in the type of the images that they were made from."""
    whole = round_up_ties(values) if like.dtype == torch.uint8 else values
    return whole.clamp(0, 255).to(like.dtype)


def _mixture(images: Tensor, masks: Tensor | None, level: tuple[int, ...], draws: Draws, rgb: Rgb) -> Moved:
    """Corruptions of different families, drawn for each sample, one after the other at the severities of `level`."""
    single = [corruption for corruption in suite(rgb) if corruption.family != "mixture"]
    families = list(dict.fromkeys(corruption.family for corruption in single))
    members = [[at for at, c in enumerate(single) if c.family == family] for family in families]
    chosen = np.array(
        [[draw.choice(members[f]) for f in draw.permutation(len(families))[: len(level)]] for draw in draws]
    )
    images, masks = images.clone(), None if masks is None else masks.clone()
    for position, severity in enumerate(level):
        for member in np.unique(chosen[:, position]):
            rows = np.flatnonzero(chosen[:, position] == member)
            at = torch.from_numpy(rows).to(images.device)
            corruption, part = single[member], None if masks is None else masks[at]
            own = Draws((draws[int(row)] for row in rows), draws.size)
            images[at], moved = corruption.apply(images[at], part, corruption.levels[severity - 1], own, rgb)
            if masks is not None and moved is not None:
                masks[at] = moved
    return images, masks


SUITE = (
    Corruption("gaussian_noise", "noise", _still(gaussian_noise), (0.03, 0.06, 0.1, 0.15, 0.22), "std of 0..1"),
    Corruption("shot_noise", "noise", _still(shot_noise), (150, 75, 40, 20, 10), "photons for white"),
    Corruption("speckle_noise", "noise", _still(speckle_noise), (0.12, 0.2, 0.28, 0.36, 0.45), "std, of the value"),
    Corruption("impulse_noise", "noise", _still(impulse_noise), (0.01, 0.03, 0.06, 0.11, 0.18), "share of values"),
    Corruption("defocus_blur", "blur", _still(defocus_blur), (0.012, 0.02, 0.03, 0.043, 0.058), "radius, sides"),
    Corruption("motion_blur", "blur", _still(motion_blur), (0.06, 0.1, 0.14, 0.19, 0.25), "length, sides"),
    Corruption("zoom_blur", "blur", _still(zoom_blur), (0.08, 0.15, 0.22, 0.3, 0.4), "range of zooms"),
    Corruption("brightness", "light", _still(brightness), (0.12, 0.24, 0.36, 0.48, 0.6), "more or less, share"),
    Corruption("contrast", "light", _contrast, (1.25, 1.6, 2.0, 2.7, 3.8), "factor or divisor"),
    Corruption("gamma", "light", _still(gamma), (1.25, 1.5, 1.85, 2.3, 3.0), "exponent or its reciprocal"),
    Corruption("illumination", "light", _still(illumination), (0.15, 0.3, 0.45, 0.6, 0.75), "more and less, share"),
    Corruption("vignetting", "light", _still(vignetting), (0.3, 0.5, 0.65, 0.8, 0.95), "loss in the corner, share"),
    Corruption(
        "saturation",
        "colour",
        _coloured(saturation),
        ((0.7, 1.4), (0.5, 1.8), (0.3, 2.3), (0.15, 2.9), (0.0, 3.6)),
        "factor, one of two",
        colour=True,
    ),
    Corruption("hue", "colour", _coloured(hue), (12, 24, 38, 55, 75), "degrees", colour=True),
    Corruption("stain", "colour", _coloured(stain), (0.15, 0.3, 0.45, 0.6, 0.8), "share of each stain", colour=True),
    Corruption("jpeg", "resolution", _coloured(jpeg), (40, 25, 15, 10, 6), "quality"),
    Corruption("pixelate", "resolution", _still(pixelate), (0.6, 0.45, 0.35, 0.27, 0.2), "share of the pixels' rows"),
    Corruption("scaling", "resolution", _still(scaling), (0.5, 0.38, 0.3, 0.23, 0.18), "scale down and up"),
    Corruption("rotation", "geometry", _moving(rotation), (6, 12, 20, 30, 45), "degrees"),
    Corruption("shear", "geometry", _moving(shear), (0.08, 0.15, 0.23, 0.32, 0.42), "tangent"),
    Corruption("translation", "geometry", _moving(translation), (0.05, 0.1, 0.15, 0.21, 0.28), "sides"),
    Corruption("elastic", "geometry", _moving(elastic), (0.01, 0.018, 0.027, 0.038, 0.05), "std, sides"),
    Corruption("occlusion", "occlusion", _still(occlusion), (0.08, 0.15, 0.22, 0.3, 0.4), "share of the area"),
    Corruption("grid_mask", "occlusion", _still(grid_mask), (0.3, 0.4, 0.5, 0.6, 0.7), "share of the period"),
    Corruption("mixture_of_two", "mixture", _mixture, ((1, 1), (2, 1), (3, 2), (4, 3), (5, 4)), "severities"),
    Corruption(
        "mixture_of_three", "mixture", _mixture, ((1, 1, 1), (2, 1, 1), (3, 2, 1), (3, 2, 2), (4, 3, 2)), "severities"
    ),
)
