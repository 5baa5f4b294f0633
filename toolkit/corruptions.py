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

import math
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from toolkit.metrics import IGNORED

VERSION = 1  # of the suite; scores under different ones are not compared
SEVERITIES = range(1, 6)
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue in JPEG's Y and in grey
# optical density of haematoxylin, eosin and DAB in red, green and blue (Ruifrok and Johnston 2001)
STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
YIQ = np.array([LUMA, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
YCBCR = np.array([LUMA, [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
# JPEG standard (ITU-T T.81), annex K.1: luminance and chrominance
LUMINANCE = np.array(
    [
        *(16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56),
        *(14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92),
        *(49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99),
    ]
).reshape(8, 8)
CHROMINANCE = np.full((8, 8), 99)
CHROMINANCE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

Draws = Sequence[np.random.Generator]
Moved = tuple[Tensor, Tensor | None]
Apply = Callable[[Tensor, Tensor | None, Any, Draws], Moved]
Change = Callable[[Tensor, Any, Draws], Tensor]


@dataclass(frozen=True)
class Corruption:
    """apply(images, masks, level, draws) corrupts a batch; `levels` are its five, `unit` says of what."""

    name: str
    family: str
    apply: Apply
    levels: tuple[Any, ...]
    unit: str
    colour: bool = False  # for colour images alone


def suite(channels: int) -> tuple[Corruption, ...]:
    """The corruptions that images with so many channels can go through."""
    return tuple(corruption for corruption in SUITE if channels == 3 or not corruption.colour)


def corrupt(
    images: Tensor, masks: Tensor | None, name: str, severity: int, seed: int, samples: Sequence[int] | None = None
) -> Moved:
    """Images under one corruption, uint8 (N, C, H, W) with C 1 or 3, and masks uint8 (N, H, W) moved along.

    samples: what each one's random numbers follow from, with the seed; 0..N-1 if not given. Parts of a mask
    that come from outside the picture get IGNORED. ValueError for a name or severity that there is not.
    """
    known = [corruption.name for corruption in suite(images.shape[1])]
    if name not in known:
        raise ValueError(f"{name!r} is no corruption of {images.shape[1]} channels; there are {', '.join(known)}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity {severity} is not in 1..5")
    corruption = SUITE[[c.name for c in SUITE].index(name)]
    samples = range(len(images)) if samples is None else samples
    draws = [np.random.default_rng([seed, zlib.crc32(name.encode()), int(sample)]) for sample in samples]
    return corruption.apply(images, masks, corruption.levels[severity - 1], draws)


def corrupt_each(
    images: Tensor, masks: Tensor | None, cells: np.ndarray, seed: int, samples: np.ndarray | None = None
) -> Moved:
    """As `corrupt`, each sample under a cell of its own: cell // 5 in `suite`, severity cell % 5 + 1."""
    members = suite(images.shape[1])
    samples = np.arange(len(images)) if samples is None else samples
    images, masks = images.clone(), None if masks is None else masks.clone()
    for cell in np.unique(cells):
        at = torch.from_numpy(np.flatnonzero(cells == cell)).to(images.device)
        part = None if masks is None else masks[at]
        name, severity = members[cell // 5].name, int(cell % 5) + 1
        images[at], moved = corrupt(images[at], part, name, severity, seed, samples[cells == cell].tolist())
        if masks is not None and moved is not None:
            masks[at] = moved
    return images, masks


def _still(change: Change) -> Apply:
    """What leaves pixels in their places: `change` gets and returns floats on the scale 0..255."""

    def apply(images: Tensor, masks: Tensor | None, level: Any, draws: Draws) -> Moved:
        return _to_bytes(change(images.float(), level, draws)), masks

    return apply


def _moving(place: Change) -> Apply:
    """What moves pixels: `place` returns where each comes from, (N, H, W, 2), x and y in pixels.

    Outside lies, by lot, the edge drawn out, the mean colour of the edges, or black.
    """

    def apply(images: Tensor, masks: Tensor | None, level: Any, draws: Draws) -> Moved:
        size = torch.tensor([images.shape[3], images.shape[2]], device=images.device)
        source = place(images, level, draws)
        outside = ((source < -0.5) | (source > size - 0.5)).any(-1)
        grid = (2 * source + 1) / size - 1
        made = functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        fill = _per_sample(draws, images, lambda draw: draw.integers(3))
        flat = _edge_colour(images) * (fill == 1)
        made = torch.where(outside[:, None] & (fill > 0), flat, made)
        if masks is not None:
            moved = functional.grid_sample(masks[:, None].float(), grid, "nearest", "border", align_corners=False)
            masks = moved[:, 0].to(torch.uint8).masked_fill(outside, IGNORED)
        return _to_bytes(made), masks

    return apply


def _to_bytes(values: Tensor) -> Tensor:
    return values.round().clamp(0, 255).to(torch.uint8)


def _edge_colour(images: Tensor) -> Tensor:
    """Mean of the outermost pixels, (N, C, 1, 1)."""
    edges = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
    total = torch.stack([edge.sum(-1, dtype=torch.int64) for edge in edges]).sum(0)
    return (total / sum(edge.shape[-1] for edge in edges)).float()[..., None, None]


def _per_sample(draws: Draws, like: Tensor, draw: Callable[[np.random.Generator], Any]) -> Tensor:
    """One draw a sample, float32 (N, …, 1, 1), to be multiplied with images."""
    values = np.stack([np.asarray(draw(each), np.float32) for each in draws])
    return torch.from_numpy(values).to(like.device).reshape(len(draws), -1, 1, 1)


def _signs(draws: Draws, like: Tensor) -> Tensor:
    return _per_sample(draws, like, lambda draw: 2 * draw.integers(2) - 1)


def _normal(images: Tensor, draws: Draws) -> Tensor:
    values = [draw.standard_normal(tuple(images.shape[1:]), np.float32) for draw in draws]
    return torch.from_numpy(np.stack(values)).to(images.device)


def _side(images: Tensor) -> int:
    return min(images.shape[-2:])


def _coordinates(images: Tensor) -> tuple[Tensor, Tensor]:
    """x and y of every pixel from the picture's centre, in pixels, (1, 1, H, W)."""
    height, width = images.shape[-2:]
    y = torch.arange(height, device=images.device, dtype=torch.float32) - (height - 1) / 2
    x = torch.arange(width, device=images.device, dtype=torch.float32) - (width - 1) / 2
    return x.expand(1, 1, height, width), y[:, None].expand(1, 1, height, width)


def _turned(images: Tensor, draws: Draws, off: float = 0.0) -> tuple[Tensor, Tensor]:
    """Coordinates along and across a direction that is drawn for each sample, (N, 1, H, W).

    Their origin lies up to `off` of the height and of the width from the picture's centre.
    """
    x, y = _coordinates(images)
    if off:
        height, width = images.shape[-2:]
        centre = _per_sample(draws, images, lambda draw: off * draw.uniform(-1, 1, 2))
        x, y = x - centre[:, :1] * width, y - centre[:, 1:] * height
    angle = np.array([draw.uniform(0, 2 * math.pi) for draw in draws])
    ways = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    cos, sin = torch.from_numpy(ways).to(images.device)[..., None, None, None]
    return x * cos + y * sin, y * cos - x * sin


def _gaussian_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    return images + 255 * level * _normal(images, draws)


def _shot_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Poisson counts, drawn as their normal approximation: `level` photons make white."""
    photons = images * (level / 255)
    return (photons + photons.sqrt() * _normal(images, draws)).round() * (255 / level)


def _speckle_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    return images + images * level * _normal(images, draws)


def _impulse_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Salt and pepper in a share of the values."""
    drawn = torch.from_numpy(np.stack([draw.random(tuple(images.shape[1:]), np.float32) for draw in draws]))
    drawn = drawn.to(images.device)
    return torch.where(drawn < level, torch.where(drawn < level / 2, 0.0, 255.0), images)


def _defocus_blur(images: Tensor, level: float, draws: Draws) -> Tensor:
    """A disc of `level` sides in radius: the out-of-focus image of a point."""
    radius = level * _side(images)
    reach, fine = math.ceil(radius), 8  # sub-pixels that soften the disc's edge
    at = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    disc = (at[:, None] ** 2 + at**2 <= radius**2).astype(float)
    disc = disc.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).sum((1, 3))
    return _convolve(images, disc[None])


def _motion_blur(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Along a straight line of `level` sides, in any direction."""
    length = level * _side(images)
    reach, steps = math.ceil(length / 2), np.linspace(-length / 2, length / 2, 4 * math.ceil(length) + 1)
    angle = np.array([draw.uniform(0, math.pi) for draw in draws])[:, None]
    pixels = np.arange(-reach, reach + 1)
    near_x, near_y = (  # each point of the line is shared among the four pixels around it
        np.maximum(0, 1 - np.abs(pixels - (steps * way(angle))[..., None])) for way in (np.cos, np.sin)
    )
    return _convolve(images, near_y.swapaxes(1, 2) @ near_x)


def _convolve(images: Tensor, kernels: np.ndarray) -> Tensor:
    """With kernels (N or 1, K, K), K odd, that are made to sum to 1; by Fourier transform, in float64."""
    height, width = images.shape[-2:]
    reach = kernels.shape[-1] // 2
    padded = functional.pad(images, (reach,) * 4, mode="reflect" if reach < _side(images) else "replicate").double()
    weights = torch.from_numpy(kernels / kernels.sum((1, 2), keepdims=True)).to(images.device)[:, None]
    shape = [2 ** math.ceil(math.log2(n)) if n <= 256 else n for n in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, s=shape) * torch.fft.rfft2(weights, s=shape)
    return torch.fft.irfft2(spectrum, s=shape)[..., 2 * reach :, 2 * reach :][..., :height, :width]


def _zoom_blur(images: Tensor, level: float, draws: Draws) -> Tensor:
    """The mean of seven zooms from 1 - level / 2 to 1 + level / 2: centred on 1, so that masks stay true."""
    height, width = images.shape[-2:]
    grid = torch.stack(torch.broadcast_tensors(*(c[0, 0] for c in _coordinates(images))), -1)
    grid = grid * 2 / torch.tensor([width, height], device=images.device)
    zoomed = torch.zeros_like(images)
    for zoom in np.linspace(1 - level / 2, 1 + level / 2, 7):
        at = (grid / float(zoom)).expand(len(images), -1, -1, -1)
        zoomed += functional.grid_sample(images, at, padding_mode="border", align_corners=False)
    return zoomed / 7


def _brightness(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Darker or brighter by a share; what leaves the scale is cut off."""
    return images * (1 + level * _signs(draws, images))


def _contrast(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Distances from the picture's mean, divided or multiplied by `level`."""
    mean = images.long().sum((1, 2, 3), keepdim=True).double() / images[0].numel()
    return mean + (images - mean) * _either_way(level, draws, images)


def _either_way(level: float, draws: Draws, like: Tensor) -> Tensor:
    """`level` or its reciprocal."""
    return torch.where(_signs(draws, like) > 0, level, 1 / level)


def _gamma(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Values on 0..1 to the power of `level` or its reciprocal."""
    return 255 * (images.double() / 255) ** _either_way(level, draws, images).double()


def _illumination(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Light from one side: from 1 - level to 1 + level across the picture, in any direction."""
    along, _ = _turned(images, draws)
    return images * (1 + level * along / along.abs().amax((2, 3), keepdim=True))


def _vignetting(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Darker with the squared distance from a centre that lies off the middle: by `level` half a diagonal away."""
    height, width = images.shape[-2:]
    x, y = _coordinates(images)
    centre = _per_sample(draws, images, lambda draw: draw.uniform(-0.15, 0.15, 2)) * _side(images)
    away = (x - centre[:, :1]) ** 2 + (y - centre[:, 1:]) ** 2
    return images * (1 - level * away / ((height**2 + width**2) / 4)).clamp(min=0)


def _mix_channels(images: Tensor, matrices: np.ndarray) -> Tensor:
    """New channels as sums of the old ones, matrices (N or 1, 3, 3)."""
    weights = torch.from_numpy(matrices).to(images.device, images.dtype)[..., None, None]
    return sum((weights[:, :, old] * images[:, old : old + 1] for old in range(3)), torch.zeros_like(images))


def _saturation(images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
    """Distances from grey times the one or the other of `level`."""
    factor = torch.where(_signs(draws, images) > 0, *level)
    grey = _mix_channels(images, np.tile(LUMA, (1, 3, 1)))
    return grey + (images - grey) * factor


def _hue(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Colours turned by `level` degrees, either way, in the YIQ space, so that grey stays grey."""
    angles = np.radians(level) * np.array([2 * draw.integers(2) - 1 for draw in draws])
    turn = np.zeros((len(draws), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angles)
    turn[:, 2, 1], turn[:, 1, 2] = np.sin(angles), -np.sin(angles)
    return _mix_channels(images, np.linalg.inv(YIQ) @ turn @ YIQ)


def _stain(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Three stains stronger or weaker by up to `level`, and a haze of up to level / 10 (Tellez et al. 2018)."""
    drawn = np.stack([draw.uniform(-level, level, (2, 3)) for draw in draws])
    unmix = np.linalg.inv(STAINS)
    density = -((images.double() + 1) / 256).log()
    matrices = unmix @ ((1 + drawn[:, 0, :, None]) * STAINS)
    haze = torch.from_numpy(drawn[:, 1] / 10 @ STAINS).to(images.device)[..., None, None]
    return 256 * (-_mix_channels(density, matrices.swapaxes(1, 2)) - haze).exp() - 1


def _jpeg(images: Tensor, level: int, draws: Draws) -> Tensor:
    """Cosine transform of 8x8 blocks, rounded by the standard's tables at a quality of `level` (libjpeg's scale).

    Colour is not sub-sampled (4:4:4). Entropy coding loses nothing and is left out.
    """
    height, width = images.shape[-2:]
    padded = functional.pad(images, (0, -width % 8, 0, -height % 8), mode="replicate").double()
    colour = padded.shape[1] == 3
    if colour:
        padded = _mix_channels(padded, YCBCR[None])
    padded[:, 0] -= 128
    scale = 5000 / level if level < 50 else 200 - 2 * level
    tables = np.stack([LUMINANCE, CHROMINANCE, CHROMINANCE][: padded.shape[1]])
    steps = np.clip((tables * scale + 50) // 100, 1, 255)
    blocks_down, blocks_across = padded.shape[-2] // 8, padded.shape[-1] // 8
    step = torch.from_numpy(np.tile(steps, (1, blocks_down, blocks_across))).to(images.device)
    k, n = np.arange(8)[:, None], np.arange(8)
    cosines = np.cos(math.pi * k * (2 * n + 1) / 16) * np.where(k == 0, math.sqrt(1 / 8), 0.5)
    down, across = (
        torch.from_numpy(np.kron(np.eye(blocks), cosines)).to(images.device) for blocks in (blocks_down, blocks_across)
    )
    rounded = (down @ padded @ across.T / step).round() * step
    decoded = down.T @ rounded @ across
    decoded[:, 0] += 128
    if colour:
        decoded = _mix_channels(decoded, np.linalg.inv(YCBCR)[None])
    return decoded[..., :height, :width]


def _smaller(images: Tensor, level: float) -> list[int]:
    return [max(2, round(length * level)) for length in images.shape[-2:]]


def _pixelate(images: Tensor, level: float, draws: Draws) -> Tensor:
    few = functional.interpolate(images, _smaller(images, level), mode="area")
    return functional.interpolate(few, images.shape[-2:], mode="nearest-exact")


def _resolution(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Scaled down, bilinear with antialiasing, and up again, bicubic."""
    few = functional.interpolate(images, _smaller(images, level), mode="bilinear", antialias=True)
    return functional.interpolate(few, images.shape[-2:], mode="bicubic")


def _affine(images: Tensor, matrices: np.ndarray) -> Tensor:
    """Where pixels come from, under matrices (N, 2, 3) about the centre, in pixels."""
    x, y = (c[:, 0] for c in _coordinates(images))
    m = torch.from_numpy(matrices.astype(np.float32)).to(images.device)[..., None, None]
    height, width = images.shape[-2:]
    source_x = m[:, 0, 0] * x + m[:, 0, 1] * y + m[:, 0, 2] + (width - 1) / 2
    source_y = m[:, 1, 0] * x + m[:, 1, 1] * y + m[:, 1, 2] + (height - 1) / 2
    return torch.stack([source_x, source_y], -1)


def _rotation(images: Tensor, level: float, draws: Draws) -> Tensor:
    angles = np.radians(level) * np.array([2 * draw.integers(2) - 1 for draw in draws])
    matrices = np.zeros((len(draws), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angles)
    matrices[:, 0, 1], matrices[:, 1, 0] = -np.sin(angles), np.sin(angles)
    return _affine(images, matrices)


def _shear(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Rows or columns shifted by `level` of their distance from the middle."""
    matrices = np.tile(np.eye(2, 3), (len(draws), 1, 1))
    for matrix, draw in zip(matrices, draws, strict=True):
        axis = int(draw.integers(2))
        matrix[axis, 1 - axis] = level * (2 * draw.integers(2) - 1)
    return _affine(images, matrices)


def _translation(images: Tensor, level: float, draws: Draws) -> Tensor:
    """By `level` sides, in any direction."""
    angles = np.array([draw.uniform(0, 2 * math.pi) for draw in draws])
    matrices = np.tile(np.eye(2, 3), (len(draws), 1, 1))
    matrices[:, :, 2] = level * _side(images) * np.stack([np.cos(angles), np.sin(angles)], 1)
    return _affine(images, matrices)


def _elastic(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Displacements of `level` sides (standard deviation) at the nodes of a coarse lattice, smooth between (Simard
    et al. 2003)."""
    nodes = tuple(2 + round(5 * length / _side(images)) for length in images.shape[-2:])
    field = torch.from_numpy(np.stack([draw.standard_normal((2, *nodes), np.float32) for draw in draws]))
    field = functional.interpolate(field.to(images.device), images.shape[-2:], mode="bicubic", align_corners=True)
    return _affine(images, np.eye(2, 3)[None]) + level * _side(images) * field.permute(0, 2, 3, 1)


def _occlusion(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Three ellipses of one colour a sample, which cover `level` of the picture where they don't overlap."""
    height, width = images.shape[-2:]
    colour = _per_sample(draws, images, lambda draw: draw.integers(0, 256, images.shape[1]))
    for _ in range(3):
        along, across = _turned(images, draws, off=0.4)
        aspect = _per_sample(draws, images, lambda draw: 2 ** draw.uniform(-1, 1))
        size = level / 3 * height * width / math.pi
        inside = along**2 / aspect + across**2 * aspect <= size
        images = torch.where(inside, colour, images)
    return images


def _grid_mask(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Squares on a turned lattice, `level` of its period wide, black or the edges' mean (GridMask, Chen et al. 2020)."""
    along, across = _turned(images, draws)
    period = _per_sample(draws, images, lambda draw: draw.uniform(0.14, 0.24)) * _side(images)
    phase = _per_sample(draws, images, lambda draw: draw.uniform(0, 1, 2)) * period
    hidden = (along + phase[:, :1]).remainder(period) < level * period
    hidden &= (across + phase[:, 1:]).remainder(period) < level * period
    fill = _edge_colour(images) * _per_sample(draws, images, lambda draw: draw.integers(2))
    return torch.where(hidden, fill, images)


def _mixture(images: Tensor, masks: Tensor | None, level: tuple[int, ...], draws: Draws) -> Moved:
    """Corruptions of different families, drawn for each sample, one after the other at the severities of `level`."""
    single = [corruption for corruption in suite(images.shape[1]) if corruption.family != "mixture"]
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
            own = [draws[int(row)] for row in rows]
            images[at], moved = corruption.apply(images[at], part, corruption.levels[severity - 1], own)
            if masks is not None and moved is not None:
                masks[at] = moved
    return images, masks


SUITE = (
    Corruption("gaussian_noise", "noise", _still(_gaussian_noise), (0.04, 0.08, 0.12, 0.18, 0.26), "std of 0..1"),
    Corruption("shot_noise", "noise", _still(_shot_noise), (100, 50, 25, 12, 6), "photons for white"),
    Corruption("speckle_noise", "noise", _still(_speckle_noise), (0.15, 0.25, 0.35, 0.45, 0.6), "std, of the value"),
    Corruption("impulse_noise", "noise", _still(_impulse_noise), (0.01, 0.03, 0.06, 0.11, 0.18), "share of values"),
    Corruption("defocus_blur", "blur", _still(_defocus_blur), (0.012, 0.02, 0.03, 0.043, 0.058), "radius, sides"),
    Corruption("motion_blur", "blur", _still(_motion_blur), (0.06, 0.1, 0.14, 0.19, 0.25), "length, sides"),
    Corruption("zoom_blur", "blur", _still(_zoom_blur), (0.08, 0.15, 0.22, 0.3, 0.4), "range of zooms"),
    Corruption("brightness", "light", _still(_brightness), (0.12, 0.24, 0.36, 0.48, 0.6), "more or less, share"),
    Corruption("contrast", "light", _still(_contrast), (1.3, 1.7, 2.2, 3.0, 4.5), "factor or divisor"),
    Corruption("gamma", "light", _still(_gamma), (1.25, 1.5, 1.85, 2.3, 3.0), "exponent or its reciprocal"),
    Corruption("illumination", "light", _still(_illumination), (0.15, 0.3, 0.45, 0.6, 0.75), "more and less, share"),
    Corruption("vignetting", "light", _still(_vignetting), (0.3, 0.5, 0.65, 0.8, 0.95), "loss in the corner, share"),
    Corruption(
        "saturation",
        "colour",
        _still(_saturation),
        ((0.7, 1.4), (0.5, 1.8), (0.3, 2.3), (0.15, 2.9), (0.0, 3.6)),
        "factor, one of two",
        colour=True,
    ),
    Corruption("hue", "colour", _still(_hue), (12, 24, 38, 55, 75), "degrees", colour=True),
    Corruption("stain", "colour", _still(_stain), (0.15, 0.3, 0.45, 0.6, 0.8), "share of each stain", colour=True),
    Corruption("jpeg", "resolution", _still(_jpeg), (40, 25, 15, 10, 6), "quality"),
    Corruption("pixelate", "resolution", _still(_pixelate), (0.6, 0.45, 0.35, 0.27, 0.2), "share of the pixels' rows"),
    Corruption("scaling", "resolution", _still(_resolution), (0.5, 0.38, 0.3, 0.23, 0.18), "scale down and up"),
    Corruption("rotation", "geometry", _moving(_rotation), (6, 12, 20, 30, 45), "degrees"),
    Corruption("shear", "geometry", _moving(_shear), (0.08, 0.15, 0.23, 0.32, 0.42), "tangent"),
    Corruption("translation", "geometry", _moving(_translation), (0.05, 0.1, 0.15, 0.21, 0.28), "sides"),
    Corruption("elastic", "geometry", _moving(_elastic), (0.01, 0.018, 0.027, 0.038, 0.05), "std, sides"),
    Corruption("occlusion", "occlusion", _still(_occlusion), (0.08, 0.15, 0.22, 0.3, 0.4), "share of the area"),
    Corruption("grid_mask", "occlusion", _still(_grid_mask), (0.3, 0.4, 0.5, 0.6, 0.7), "share of the period"),
    Corruption("mixture_of_two", "mixture", _mixture, ((1, 1), (2, 1), (3, 2), (4, 3), (5, 4)), "severities"),
    Corruption(
        "mixture_of_three",
        "mixture",
        _mixture,
        ((1, 1, 1), (2, 1, 1), (3, 2, 1), (3, 2, 2), (4, 3, 2)),
        "severities",
    ),
)
