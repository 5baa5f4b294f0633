"""What happens to the values of pixels, for whole batches of float32 images (n, C, H, W) on the scale 0..255.

Each function changes the images it is given, or returns new ones where it must. Parameters have one entry an image.
What is said of colours is for (n, 3, H, W), red first; `on_colour` finds them among other channels.
"""

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
import torch
from torch.nn.functional import avg_pool2d, conv2d, interpolate, pad

from toolkit.augmentation.geometry import to_device
from toolkit.task import Rgb

BLUR = 8  # pixels: the longest reach of a Gaussian blur
GREY = (0.299, 0.587, 0.114)  # of red, green, blue in luma (ITU-R BT.601)
# quantisation tables of JPEG (ITU-T T.81, annex K) at quality 50
JPEG_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
JPEG_CHROMA = np.full((8, 8), 99)
JPEG_CHROMA[:4, :4] = ((17, 18, 24, 47), (18, 21, 26, 66), (24, 26, 56, 99), (47, 66, 99, 99))


def per_image(values: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """float32 (n, 1, 1, 1) beside images (n, C, H, W)."""
    return to_device(values.astype(np.float32), images).view(-1, 1, 1, 1)


def change(images: torch.Tensor, chosen: np.ndarray, operation: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Apply `operation` to the images with the numbers `chosen`, in place."""
    if len(chosen):
        rows = to_device(chosen, images)
        images.index_copy_(0, rows, operation(images.index_select(0, rows)))


def on_colour(images: torch.Tensor, rgb: Rgb, operation: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """Images (n, C, H, W) whose red, green and blue went through `operation`; other channels stay."""
    if images.shape[1] == 3 and rgb == (0, 1, 2):
        return operation(images)
    images[:, rgb] = operation(images[:, rgb])
    return images


def grey(images: torch.Tensor) -> torch.Tensor:
    """(n, 1, H, W) of colours."""
    red, green, blue = images.split(1, 1)
    return (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def adjust_gamma(images: torch.Tensor, gamma: np.ndarray) -> torch.Tensor:
    # pow took twice as long
    return images.div_(255).log_().mul_(per_image(gamma, images)).exp_().mul_(255)


def shift_hsv(images: torch.Tensor, hue: np.ndarray, saturation: np.ndarray, value: np.ndarray) -> torch.Tensor:
    """Hue turned, saturation and value shifted, as in the hexagonal HSV model.

    images: (n, 3, H, W). hue: (n,), degrees; saturation, value: (n,), on the scale 0..255. Grey stays grey.
    """
    turn, more, lighter = (per_image(shift, images)[:, 0] for shift in (hue / 60, saturation / 255, value))
    red, green, blue = images.unbind(1)
    top = torch.maximum(torch.maximum(red, green), blue)
    chroma = torch.minimum(torch.minimum(red, green), blue).neg_().add_(top)
    scale = 1 / chroma.clamp(min=1e-6)
    sector = torch.where(top == green, (blue - red).mul_(scale).add_(2), (red - green).mul_(scale).add_(4))
    sector = torch.where(top == red, (green - blue).mul_(scale), sector).add_(turn)
    sector.add_(sector < 0, alpha=6)
    strength = chroma.sign().mul_(more).add_(chroma.div_(top.clamp(min=1e-6))).clamp_(0, 1)
    top.add_(lighter).clamp_(0, 255)
    chroma = strength.mul_(top)
    for channel, peak in ((green, 2), (blue, 4), (red, 3)):
        fall = torch.sub(sector, peak, out=scale).abs_().sub_(1).clamp_(0, 1)
        if channel is red:  # two sectors to either side of 3 it is the greatest, at 3 the least
            fall = fall.neg_().add_(1)
        torch.addcmul(top, fall, chroma, value=-1, out=channel)
    return images


def gaussian_matrices(sigma: np.ndarray, side: int, device: torch.device) -> torch.Tensor:
    """float32 (n, side, side): a Gaussian blur along one side, the border reflected, as a product with a matrix."""
    distance = np.arange(-BLUR, BLUR + 1)
    weights = np.exp(-0.5 * (distance / sigma[:, None]) ** 2) * (abs(distance) <= 3.5 * sigma[:, None])
    weights = torch.from_numpy((weights / weights.sum(1, keepdims=True)).astype(np.float32)).to(device)
    return (weights @ _steps(side, device)).view(-1, side, side)


@lru_cache(8)
def _steps(side: int, device: torch.device) -> torch.Tensor:
    """float32 (2 * BLUR + 1, side * side): for each distance, which pixel lies there, the border reflected."""
    at = np.abs(np.arange(side) + np.arange(-BLUR, BLUR + 1)[:, None])
    period = max(2 * (side - 1), 1)
    at = np.minimum(at % period, period - at % period) if side > 1 else at * 0
    return torch.from_numpy(np.eye(side, dtype=np.float32)[at].reshape(len(at), -1)).to(device)


@lru_cache(128)
def resolution_matrix(side: int, small: int) -> np.ndarray:
    """float32 (side, side): from `side` to `small` pixels by area and back by linear interpolation."""
    edges = np.arange(small + 1) * side / small
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    down = overlap.clip(0) * small / side
    centres = ((pixels + 0.5) * small / side - 0.5).clip(0, small - 1)
    up = (1 - abs(centres[:, None] - np.arange(small))).clip(0)
    return np.asarray(up @ down, np.float32)


def separable(images: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    """Linear maps along both sides: rows (n, H, H), columns (n, W, W)."""
    count, channels, height, width = images.shape
    across = torch.bmm(images.reshape(count, -1, width), columns.transpose(1, 2))
    across = across.view(count, channels, height, width).transpose(1, 2).reshape(count, height, -1)
    return torch.bmm(rows, across).view(count, height, channels, width).transpose(1, 2)


def motion_kernels(lengths: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """float32 (n, 9, 9): straight lines about the middle, so that nothing moves away from its mask.

    lengths: (n,), pixels, at most 8; angles: (n,), radians.
    """
    along = np.linspace(-0.5, 0.5, 33) * lengths[:, None]
    near_y, near_x = (  # each point of the line is shared among the four pixels around it
        np.maximum(0, 1 - np.abs(np.arange(-4, 5) - (along * way(angles)[:, None])[..., None]))
        for way in (np.sin, np.cos)
    )
    kernels = near_y.swapaxes(1, 2) @ near_x
    return (kernels / kernels.sum((1, 2), keepdims=True)).astype(np.float32)


def blur_by_kernel(images: torch.Tensor, kernels: np.ndarray) -> torch.Tensor:
    """kernels: float32 (n, 9, 9), one an image."""
    count, channels, height, width = images.shape
    mode = "reflect" if min(height, width) > 4 else "replicate"
    padded = pad(images, (4, 4, 4, 4), mode).view(1, count * channels, height + 8, width + 8)
    weight = to_device(kernels[:, None].repeat(channels, 0), images)
    return conv2d(padded, weight, groups=count * channels).view(count, channels, height, width)


def add_noise(images: torch.Tensor, deviation: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Gaussian noise of so many grey values, cut from a long strip of it that is drawn once."""
    values = images[0].numel()
    strip = _noise(values + 2**18, images.device)
    for image, sigma, start in zip(images, deviation, rng.integers(2**18, size=len(images)), strict=True):
        image.add_(strip[start : start + values].view(image.shape), alpha=float(sigma))
    return images.clamp_(0, 255)


@lru_cache(4)
def _noise(count: int, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal(count, np.float32)).to(device)


def compress(images: torch.Tensor, quality: np.ndarray, rgb: Rgb) -> torch.Tensor:
    """What JPEG does to images at a quality of 1 to 100: blocks of 8, chroma at half the resolution.

    Where there is colour, to that alone; else to each channel as to a grey image.
    """
    if rgb:
        return on_colour(images, rgb, partial(_compressed, quality=quality, colour=True))
    return _compressed(images, quality, False)


def _compressed(images: torch.Tensor, quality: np.ndarray, colour: bool) -> torch.Tensor:
    height, width = images.shape[2:]
    images = pad(images, (0, -width % 16, 0, -height % 16), "replicate")
    if colour:
        red, _, blue = images.unbind(1)
        luma = grey(images)[:, 0]
        chroma = torch.stack([(blue - luma).mul_(0.564), (red - luma).mul_(0.713)], 1)
        chroma = _quantise(avg_pool2d(chroma, 2), JPEG_CHROMA, quality)
        chroma = interpolate(chroma, scale_factor=2.0, mode="bilinear")
        luma = _quantise(luma[:, None].sub_(128), np.array(JPEG_LUMA), quality)[:, 0].add_(128)
        blue, red = chroma[:, 0].mul_(1.773).add_(luma), chroma[:, 1].mul_(1.403).add_(luma)
        luma.sub_(red, alpha=GREY[0]).sub_(blue, alpha=GREY[2]).div_(GREY[1])
        images = torch.stack([red, luma, blue], 1)
    else:
        images = _quantise(images - 128, np.array(JPEG_LUMA), quality).add_(128)
    return images[..., :height, :width].clamp(0, 255)


def _quantise(planes: torch.Tensor, table: np.ndarray, quality: np.ndarray) -> torch.Tensor:
    """planes (n, C, H, W), sides multiples of 8, with the cosine coefficients of each block rounded."""
    count, channels, height, width = planes.shape
    percent = np.where(quality < 50, 5000 / quality, 200 - 2 * quality)
    steps = np.floor((table.reshape(1, 1, 64) * percent[:, None, None] + 50) / 100).clip(1, 255)
    step = to_device(steps.astype(np.float32), planes)
    cosines = _cosines(planes.device)
    blocks = planes.view(count, channels, height // 8, 8, width // 8, 8).transpose(3, 4).reshape(count, -1, 64)
    blocks = torch.matmul(blocks, cosines.T).div_(step).round_().mul_(step)
    blocks = torch.matmul(blocks, cosines).view(count, channels, height // 8, width // 8, 8, 8)
    return blocks.transpose(3, 4).reshape(count, channels, height, width)


@lru_cache(4)
def _cosines(device: torch.device) -> torch.Tensor:
    """float32 (64, 64): the orthonormal two-dimensional cosine transform of a block of 8 by 8."""
    frequency = np.arange(8)[:, None]
    basis = np.cos(np.pi * (2 * np.arange(8) + 1) * frequency / 16) / 2
    basis[0] /= np.sqrt(2)
    return torch.from_numpy(np.kron(basis, basis).astype(np.float32)).to(device)
