"""Geometry of a whole batch: flips and affine maps as one grid and one pass of interpolation.

Matrices are in pixels about the centre, so that a rotation of an image that isn't square doesn't shear it.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.nn.functional import grid_sample

from toolkit.recipe import Augment
from toolkit.task import IGNORED

AFFINE = 0.8  # probability of rotation, scale, shift and shear where the recipe has any


@dataclass(frozen=True)
class Transform:
    """Where the pixels of each of B images go.

    flips: bool (B, 2), left-right and up-down. matrices: float64 (B, 3, 3), from old to new pixels (x, y, 1) about
    the centre, flips left out. moved: bool (B,), where more than a flip happens. reflect: bool (B,), what comes
    from outside is the image's reflection, else black.
    """

    flips: np.ndarray
    matrices: np.ndarray
    moved: np.ndarray
    reflect: np.ndarray


def draw_transform(augment: Augment, count: int, height: int, width: int, rng: np.random.Generator) -> Transform:
    transform = identity_transform(count)
    ways = {"none": 0, "horizontal": 1, "both": 2}[augment.flip]
    transform.flips[:] = (rng.random((count, 2)) < 0.5) & (np.arange(2) < ways)
    if augment.rotate or augment.scale or augment.shift or augment.shear:
        transform.moved[:] = rng.random(count) < AFFINE
        draws = rng.uniform(-1, 1, (count, 7))
        affine = affine_matrices(
            np.deg2rad(draws[:, 0] * augment.rotate),
            1 + draws[:, 1:3] * augment.scale,
            np.tan(np.deg2rad(draws[:, 3:5] * augment.shear)),
            np.trunc(draws[:, 5:7] * augment.shift * [width, height]),
        )
        transform.matrices[transform.moved] = affine[transform.moved]
    transform.reflect[:] = rng.random(count) < 0.5
    return transform


def identity_transform(count: int) -> Transform:
    return Transform(
        flips=np.zeros((count, 2), bool),
        matrices=np.tile(np.eye(3), (count, 1, 1)),
        moved=np.zeros(count, bool),
        reflect=np.zeros(count, bool),
    )


def affine_matrices(angle: np.ndarray, scale: np.ndarray, shear: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """float64 (B, 3, 3): scaled, then rotated, sheared and shifted.

    angle: (B,), radians, anticlockwise on screen. scale, shear (tangents), shift (pixels): (B, 2) for x and y.
    """
    matrices = np.tile(np.eye(3), (len(angle), 1, 1))
    cos, sin = np.cos(angle), np.sin(angle)
    rotation = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    slant = np.tile(np.eye(2), (len(angle), 1, 1))
    slant[:, 0, 1], slant[:, 1, 0] = shear[:, 0], shear[:, 1]
    matrices[:, :2, :2] = slant @ rotation * scale[:, None]
    matrices[:, :2, 2] = shift
    return matrices


def warp_batch(
    transform: Transform, images: torch.Tensor, masks: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Moved copies of images (B, C, H, W) and masks (B, H, W) of whole numbers below 2 ** 24, of any type.

    Images are float32 where more than a flip happened, else of their own type. Masks move by the nearest
    neighbour; what comes from outside is the reflection, or IGNORED where the image is black.
    """
    if not transform.moved.any():
        return _flip(transform, images.clone()), None if masks is None else _flip(transform, masks.clone())
    mirrors = np.ones((len(images), 1, 3))
    mirrors[:, 0, :2] -= 2 * transform.flips
    matrices = transform.matrices * mirrors
    still = replace(transform, flips=transform.flips & ~transform.moved[:, None])
    images = _flip(still, images.to(torch.float32, copy=True, memory_format=torch.contiguous_format))
    masks = None if masks is None else _flip(still, masks.clone())
    for reflect in (False, True):
        chosen = np.flatnonzero(transform.moved & (transform.reflect == reflect))
        if len(chosen) == 0:
            continue
        rows = to_device(chosen, images)
        grid = _affine_grid(matrices[chosen], images)
        border = "reflection" if reflect else "zeros"
        moved = grid_sample(images.index_select(0, rows), grid, "bilinear", border, align_corners=True)
        images.index_copy_(0, rows, moved)
        if masks is not None:
            below = masks.index_select(0, rows)[:, None].float().sub_(IGNORED)  # so that the border's 0 is IGNORED
            moved = grid_sample(below, grid, "nearest", border, align_corners=True)
            masks.index_copy_(0, rows, moved[:, 0].add_(IGNORED).to(masks.dtype))
    return images, masks


def to_device(array: np.ndarray, like: torch.Tensor) -> torch.Tensor:
    """Where `like` is, without waiting until a GPU has done what it was told before."""
    return torch.from_numpy(np.ascontiguousarray(array)).to(like.device, non_blocking=True)


def _flip(transform: Transform, tensor: torch.Tensor) -> torch.Tensor:
    for ways in ((True, False), (False, True), (True, True)):
        chosen = np.flatnonzero((transform.flips == ways).all(1))
        if len(chosen):
            rows = to_device(chosen, tensor)
            sides = [side for side, way in zip((-1, -2), ways, strict=True) if way]
            tensor.index_copy_(0, rows, tensor.index_select(0, rows).flip(sides))
    return tensor


def _affine_grid(matrices: np.ndarray, images: torch.Tensor) -> torch.Tensor:
    """float32 (n, H, W, 2): the place in the old image, -1..1 from its first to its last pixel, of each new pixel."""
    height, width = images.shape[-2:]
    # PyTorch's affine_grid took 5 to 13 times as long
    back = np.linalg.inv(matrices)[:, :2]
    back = back / np.array([[max(width - 1, 1)], [max(height - 1, 1)]]) * 2
    across, down, shift = to_device(back.astype(np.float32), images).unbind(2)
    x, y = (torch.arange(side, device=images.device) - (side - 1) / 2 for side in (width, height))
    grid = (across[..., None] * x)[:, :, None] + (down[..., None] * y + shift[..., None])[..., None]
    return grid.permute(0, 2, 3, 1)
