"""What can happen to a picture, at a given level: the functions behind the suite of corruptions.

Each takes float images (N, C, H, W) on the scale 0..255, a level, and a random generator a sample; most return the
changed images, those that move pixels where each pixel comes from, (N, H, W, 2), x and y in pixels. Lengths are
shares of the shorter side. What changes colours takes red, green and blue, (N, 3, H, W). Forms follow ImageNet-C
(Hendrycks and Dietterich 2019) unless a source is named.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from scipy.fft import next_fast_len
from torch import Tensor
from torch.nn import functional

from toolkit.task import Rgb

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


class Draws(list[np.random.Generator]):
    """A random generator a sample. size: height and width for which they draw noise; None: those of the images."""

    def __init__(self, generators: Iterable[np.random.Generator], size: tuple[int, int] | None = None) -> None:
        super().__init__(generators)
        self.size = size

    def sides(self, images: Tensor) -> tuple[int, int]:
        return self.size or (int(images.shape[2]), int(images.shape[3]))

    def noise(self, images: Tensor, draw: Callable[..., np.ndarray]) -> Tensor:
        """What `draw(generator, shape, dtype)` gives for each value of images (N, C, H, W)."""
        shape = (images.shape[1], *self.sides(images))
        drawn = torch.from_numpy(np.stack([draw(each, shape, np.float32) for each in self])).to(images.device)
        return functional.interpolate(drawn, images.shape[2:], mode="nearest-exact") if self.size else drawn


def round_up_ties(values: Tensor) -> Tensor:
    """Whole numbers; what is half way but for the last bit, which may change with the batch, always goes up."""
    return (values + (0.5 + 1e-7)).floor()


def edge_colour(images: Tensor) -> Tensor:
    """Mean of the outermost pixels, (N, C, 1, 1)."""
    edges = (images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1])
    total = torch.stack([edge.sum(-1, dtype=torch.float64) for edge in edges]).sum(0)
    return (total / sum(edge.shape[-1] for edge in edges)).float()[..., None, None]


def per_sample(draws: Draws, like: Tensor, draw: Callable[[np.random.Generator], Any]) -> Tensor:
    """One draw a sample, float32 (N, …, 1, 1), to be multiplied with images."""
    values = np.stack([np.asarray(draw(each), np.float32) for each in draws])
    return torch.from_numpy(values).to(like.device).reshape(len(draws), -1, 1, 1)


def _signs(draws: Draws, like: Tensor) -> Tensor:
    return per_sample(draws, like, lambda draw: 2 * draw.integers(2) - 1)


def _normal(images: Tensor, draws: Draws) -> Tensor:
    return draws.noise(images, np.random.Generator.standard_normal)


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
        centre = per_sample(draws, images, lambda draw: off * draw.uniform(-1, 1, 2))
        x, y = x - centre[:, :1] * width, y - centre[:, 1:] * height
    angle = np.array([draw.uniform(0, 2 * math.pi) for draw in draws])
    ways = np.stack([np.cos(angle), np.sin(angle)]).astype(np.float32)
    cos, sin = torch.from_numpy(ways).to(images.device)[..., None, None, None]
    return x * cos + y * sin, y * cos - x * sin


def gaussian_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    return images + 255 * level * _normal(images, draws)


def shot_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Poisson counts, drawn as their normal approximation: `level` photons make white."""
    photons = images * (level / 255)
    return (photons + photons.sqrt() * _normal(images, draws)).round() * (255 / level)


def speckle_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    return images + images * level * _normal(images, draws)


def impulse_noise(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Salt and pepper in a share of the values."""
    drawn = draws.noise(images, np.random.Generator.random)
    return torch.where(drawn < level, torch.where(drawn < level / 2, 0.0, 255.0), images)


def defocus_blur(images: Tensor, level: float, draws: Draws) -> Tensor:
    """A disc of `level` sides in radius: the out-of-focus image of a point."""
    radius = level * _side(images)
    reach, fine = math.ceil(radius), 8  # sub-pixels that soften the disc's edge
    at = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    disc = (at[:, None] ** 2 + at**2 <= radius**2).astype(float)
    disc = disc.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).sum((1, 3))
    return _convolve(images, disc[None])


def motion_blur(images: Tensor, level: float, draws: Draws) -> Tensor:
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
    # what is wrapped around reaches the margin alone, so nothing more has to be added than a fast length needs
    shape = [next_fast_len(length, real=True) for length in padded.shape[-2:]]
    spectrum = torch.fft.rfft2(padded, s=shape) * torch.fft.rfft2(weights, s=shape)
    return torch.fft.irfft2(spectrum, s=shape)[..., 2 * reach :, 2 * reach :][..., :height, :width]


def zoom_blur(images: Tensor, level: float, draws: Draws) -> Tensor:
    """The mean of seven zooms from 1 - level / 2 to 1 + level / 2: centred on 1, so that masks stay true."""
    height, width = images.shape[-2:]
    grid = torch.stack(torch.broadcast_tensors(*(c[0, 0] for c in _coordinates(images))), -1)
    grid = grid * 2 / torch.tensor([width, height], device=images.device)
    zoomed = torch.zeros_like(images)
    for zoom in np.linspace(1 - level / 2, 1 + level / 2, 7):
        at = (grid / float(zoom)).expand(len(images), -1, -1, -1)
        zoomed += functional.grid_sample(images, at, padding_mode="border", align_corners=False)
    return zoomed / 7


def brightness(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Darker or brighter by a share; what leaves the scale is cut off."""
    return images * (1 + level * _signs(draws, images))


def contrast(images: Tensor, level: float, draws: Draws, rgb: Rgb) -> Tensor:
    """Distances from each channel's mean, of colours from that of all three, divided or multiplied by `level`."""
    total, pixels = images.sum((2, 3), keepdim=True, dtype=torch.float64), images[0, 0].numel()
    mean = total / pixels
    if rgb:
        mean[:, rgb] = total[:, rgb].sum(1, keepdim=True) / (3 * pixels)
    return mean + (images - mean) * _either_way(level, draws, images)


def _either_way(level: float, draws: Draws, like: Tensor) -> Tensor:
    """`level` or its reciprocal."""
    return torch.where(_signs(draws, like) > 0, level, 1 / level)


def gamma(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Values on 0..1 to the power of `level` or its reciprocal."""
    return 255 * (images.double() / 255) ** _either_way(level, draws, images).double()


def illumination(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Light from one side: from 1 - level to 1 + level across the picture, in any direction."""
    along, _ = _turned(images, draws)
    return images * (1 + level * along / along.abs().amax((2, 3), keepdim=True))


def vignetting(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Darker with the squared distance from a centre that lies off the middle: by `level` half a diagonal away."""
    height, width = images.shape[-2:]
    x, y = _coordinates(images)
    centre = per_sample(draws, images, lambda draw: draw.uniform(-0.15, 0.15, 2)) * _side(images)
    away = (x - centre[:, :1]) ** 2 + (y - centre[:, 1:]) ** 2
    return images * (1 - level * away / ((height**2 + width**2) / 4)).clamp(min=0)


def _mix_channels(images: Tensor, matrices: np.ndarray) -> Tensor:
    """New channels as sums of the old ones, matrices (N or 1, 3, 3)."""
    weights = torch.from_numpy(matrices).to(images.device, images.dtype)[..., None, None]
    return sum((weights[:, :, old] * images[:, old : old + 1] for old in range(3)), torch.zeros_like(images))


def saturation(images: Tensor, level: tuple[float, float], draws: Draws) -> Tensor:
    """Distances from grey times the one or the other of `level`."""
    factor = torch.where(_signs(draws, images) > 0, *level)
    grey = _mix_channels(images, np.tile(LUMA, (1, 3, 1)))
    return grey + (images - grey) * factor


def hue(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Colours turned by `level` degrees, either way, in the YIQ space, so that grey stays grey."""
    angles = np.radians(level) * np.array([2 * draw.integers(2) - 1 for draw in draws])
    turn = np.zeros((len(draws), 3, 3))
    turn[:, 0, 0] = 1
    turn[:, 1, 1] = turn[:, 2, 2] = np.cos(angles)
    turn[:, 2, 1], turn[:, 1, 2] = np.sin(angles), -np.sin(angles)
    return _mix_channels(images, np.linalg.inv(YIQ) @ turn @ YIQ)


def stain(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Three stains stronger or weaker, each by half of `level` to all of it, and a haze of a tenth of that.

    In optical density, after Tellez et al. 2018.
    """
    drawn = np.stack([draw.choice([-level, level], (2, 3)) * draw.uniform(0.5, 1, (2, 3)) for draw in draws])
    unmix = np.linalg.inv(STAINS)
    density = -((images.double() + 1) / 256).log()
    matrices = unmix @ ((1 + drawn[:, 0, :, None]) * STAINS)
    haze = torch.from_numpy(drawn[:, 1] / 10 @ STAINS).to(images.device)[..., None, None]
    return 256 * (-_mix_channels(density, matrices.swapaxes(1, 2)) - haze).exp() - 1


def jpeg(images: Tensor, level: int, draws: Draws) -> Tensor:
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
    step = torch.from_numpy(steps).to(images.device)[:, None, :, None, :]
    k, n = np.arange(8)[:, None], np.arange(8)
    cosines = np.cos(math.pi * k * (2 * n + 1) / 16) * np.where(k == 0, math.sqrt(1 / 8), 0.5)
    forward = torch.from_numpy(cosines).to(images.device)
    rows = forward @ padded.unflatten(2, (-1, 8))  # (N, C, blocks down, 8, W)
    rounded = round_up_ties(rows.unflatten(4, (-1, 8)) @ forward.T / step) * step
    decoded = (forward.T @ (rounded @ forward).flatten(4)).flatten(2, 3)
    decoded[:, 0] += 128
    if colour:
        decoded = _mix_channels(decoded, np.linalg.inv(YCBCR)[None])
    return decoded[..., :height, :width]


def _smaller(images: Tensor, level: float) -> list[int]:
    return [max(2, round(length * level)) for length in images.shape[-2:]]


def pixelate(images: Tensor, level: float, draws: Draws) -> Tensor:
    few = functional.interpolate(images, _smaller(images, level), mode="area")
    return functional.interpolate(few, images.shape[-2:], mode="nearest-exact")


def scaling(images: Tensor, level: float, draws: Draws) -> Tensor:
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


def rotation(images: Tensor, level: float, draws: Draws) -> Tensor:
    angles = np.radians(level) * np.array([2 * draw.integers(2) - 1 for draw in draws])
    matrices = np.zeros((len(draws), 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(angles)
    matrices[:, 0, 1], matrices[:, 1, 0] = -np.sin(angles), np.sin(angles)
    return _affine(images, matrices)


def shear(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Rows or columns shifted by `level` of their distance from the middle."""
    matrices = np.tile(np.eye(2, 3), (len(draws), 1, 1))
    for matrix, draw in zip(matrices, draws, strict=True):
        axis = int(draw.integers(2))
        matrix[axis, 1 - axis] = level * (2 * draw.integers(2) - 1)
    return _affine(images, matrices)


def translation(images: Tensor, level: float, draws: Draws) -> Tensor:
    """By `level` sides, in any direction."""
    angles = np.array([draw.uniform(0, 2 * math.pi) for draw in draws])
    matrices = np.tile(np.eye(2, 3), (len(draws), 1, 1))
    matrices[:, :, 2] = level * _side(images) * np.stack([np.cos(angles), np.sin(angles)], 1)
    return _affine(images, matrices)


def elastic(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Displacements of `level` sides (standard deviation) at the nodes of a coarse lattice, smooth between.

    After Simard et al. 2003.
    """
    sides = draws.sides(images)
    nodes = tuple(2 + round(5 * length / min(sides)) for length in sides)
    field = torch.from_numpy(np.stack([draw.standard_normal((2, *nodes), np.float32) for draw in draws]))
    field = functional.interpolate(field.to(images.device), images.shape[-2:], mode="bicubic", align_corners=True)
    return _affine(images, np.eye(2, 3)[None]) + level * _side(images) * field.permute(0, 2, 3, 1)


def occlusion(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Three ellipses of one colour a sample, which cover `level` of the picture where they don't overlap."""
    height, width = images.shape[-2:]
    colour = per_sample(draws, images, lambda draw: draw.integers(0, 256, images.shape[1]))
    for _ in range(3):
        along, across = _turned(images, draws, off=0.4)
        aspect = per_sample(draws, images, lambda draw: 2 ** draw.uniform(-1, 1))
        size = level / 3 * height * width / math.pi
        inside = along**2 / aspect + across**2 * aspect <= size
        images = torch.where(inside, colour, images)
    return images


def grid_mask(images: Tensor, level: float, draws: Draws) -> Tensor:
    """Squares on a turned lattice, `level` of its period wide, black or the edges' mean.

    After GridMask (Chen et al. 2020).
    """
    along, across = _turned(images, draws)
    period = per_sample(draws, images, lambda draw: draw.uniform(0.14, 0.24)) * _side(images)
    phase = per_sample(draws, images, lambda draw: draw.uniform(0, 1, 2)) * period
    hidden = (along + phase[:, :1]).remainder(period) < level * period
    hidden &= (across + phase[:, 1:]).remainder(period) < level * period
    fill = edge_colour(images) * per_sample(draws, images, lambda draw: draw.integers(2))
    return torch.where(hidden, fill, images)
