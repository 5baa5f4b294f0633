"""RandAugment (Cubuk et al. 2020) and AugMix (Hendrycks et al. 2020) on whole batches.

Levels run from -1 to 1: the size is the strength as a share of the papers' greatest, the sign the direction where
an operation has two.
"""

from collections.abc import Callable, Collection
from functools import partial

import numpy as np
import torch
from torch.nn.functional import conv2d, pad

from toolkit.augmentation.geometry import affine_matrices, identity_transform, to_device, warp_batch
from toolkit.augmentation.pixels import change, grey, on_colour, per_image
from toolkit.recipe import Augment
from toolkit.task import Rgb

ROTATE = 30.0  # degrees at level 1
SHEAR = 0.3  # tangent
TRANSLATE = 0.3  # of the side
ENHANCE = 0.9  # brightness, contrast, saturation and sharpness: 1 - 0.9 to 1 + 0.9 times
POSTERIZE = 4  # bits lost
GEOMETRIC = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
CHAINS = 3


def geometric_matrices(names: np.ndarray, levels: np.ndarray, height: int, width: int) -> np.ndarray:
    """float64 (n, 3, 3) of operations named in GEOMETRIC; any other name leaves pixels in their place."""
    amounts = np.stack([(names == name) * levels for name in GEOMETRIC])
    return affine_matrices(
        np.deg2rad(amounts[0] * ROTATE),
        np.ones((len(names), 2)),
        amounts[1:3].T * SHEAR,
        np.trunc(amounts[3:5].T * TRANSLATE * [width, height]),
    )


def brightness(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    return images.mul_(per_image(1 + ENHANCE * levels, images)).clamp_(0, 255)


def contrast(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    """Away from the mean of each channel, colours from that of their grey."""
    centre = images.mean((2, 3), keepdim=True)
    if rgb:
        centre[:, rgb] = grey(images[:, rgb]).mean((1, 2, 3), keepdim=True)
    return _away_from(centre, images, levels)


def colour(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    return on_colour(images, rgb, lambda part: _away_from(grey(part), part, levels))


def sharpness(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    channels = images.shape[1]
    kernel = torch.ones(channels, 1, 3, 3, device=images.device)
    kernel[:, :, 1, 1] = 5
    smooth = conv2d(pad(images, (1, 1, 1, 1), "replicate"), kernel / 13, groups=channels)
    return _away_from(smooth, images, levels)


def posterize(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    step = per_image(2.0 ** np.rint(POSTERIZE * abs(levels)), images)
    return images.round_().div_(step).floor_().mul_(step)


def solarize(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    return torch.where(images >= per_image(256 * (1 - abs(levels)), images), 255 - images, images)


def autocontrast(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    return torch.where(high > low, (images - low) * (255 / (high - low).clamp(min=1e-6)), images)


def equalize(images: torch.Tensor, levels: np.ndarray, rgb: Rgb) -> torch.Tensor:
    """Each channel's values by their rank, as OpenCV's equalizeHist does."""
    planes, pixels = images.shape[0] * images.shape[1], images.shape[2] * images.shape[3]
    values = images.round().long().view(planes, pixels)
    below = at_most_by_sorting(values) if values.is_cuda else at_most(values)
    values += 256 * torch.arange(planes, device=images.device)[:, None]
    least = torch.where(below > 0, below, pixels).amin(1, keepdim=True)  # pixels of the darkest value that occurs
    table = (below - least).clamp(min=0) * (255 / (pixels - least).clamp(min=1))
    return torch.where(least.view(*images.shape[:2], 1, 1) < pixels, table.view(-1)[values].view_as(images), images)


def at_most(values: torch.Tensor) -> torch.Tensor:
    """int64 (n, 256): how many of each row's values int64 (n, P), 0 to 255, are at most 0, 1, …"""
    numbered = values + 256 * torch.arange(len(values), device=values.device)[:, None]
    return torch.bincount(numbered.view(-1), minlength=256 * len(values)).view(-1, 256).cumsum(1)


def at_most_by_sorting(values: torch.Tensor) -> torch.Tensor:
    """The same without a wait: how long bincount's result is, a GPU has to say first."""
    levels = torch.arange(256, device=values.device).expand(len(values), 256).contiguous()
    return torch.searchsorted(values.sort(1).values, levels, right=True)


def _away_from(centre: torch.Tensor, images: torch.Tensor, levels: np.ndarray) -> torch.Tensor:
    return torch.lerp(centre, images, per_image(1 + ENHANCE * levels, images)).clamp_(0, 255)


PHOTOMETRIC: dict[str, Callable[..., torch.Tensor]] = {
    "brightness": brightness,
    "contrast": contrast,
    "colour": colour,
    "sharpness": sharpness,
    "posterize": posterize,
    "solarize": solarize,
    "autocontrast": autocontrast,
    "equalize": equalize,
}
# AugMix leaves out what the usual corruptions do, and so what a score under corruptions would be measured on
AUGMIX = ("posterize", "solarize", "autocontrast", "equalize")


# what the suite of corruptions calls that which an operation is like; light where nothing is said
FAMILIES = dict.fromkeys(GEOMETRIC, "geometry") | {"colour": "colour", "sharpness": "blur"}


def rand_augment_names(rgb: Rgb, leave_out: Collection[str] = ()) -> tuple[str, ...]:
    """The operations but for those of the families that are left out; always one that changes nothing."""
    names = (*GEOMETRIC, *(name for name in PHOTOMETRIC if rgb or name != "colour"))
    return ("identity", *(name for name in names if FAMILIES.get(name, "light") not in leave_out))


def apply_photometric(images: torch.Tensor, names: np.ndarray, levels: np.ndarray, rgb: Rgb) -> None:
    """One operation an image, in place; a name that isn't in PHOTOMETRIC does nothing."""
    for name, operation in PHOTOMETRIC.items():
        chosen = np.flatnonzero(names == name)
        change(images, chosen, partial(operation, levels=levels[chosen], rgb=rgb))


def apply_geometric(images: torch.Tensor, names: np.ndarray, levels: np.ndarray) -> None:
    """One operation an image, in place; a name that isn't in GEOMETRIC does nothing."""
    chosen = np.flatnonzero(np.isin(names, GEOMETRIC))
    transform = identity_transform(len(chosen))
    transform.matrices[:] = geometric_matrices(names[chosen], levels[chosen], *images.shape[-2:])
    transform.moved[:] = True
    change(images, chosen, lambda part: warp_batch(transform, part, None)[0])


def aug_mix(images: torch.Tensor, augment: Augment, masks: bool, rgb: Rgb, rng: np.random.Generator) -> torch.Tensor:
    """Each image mixed with a mixture of three chains of one to three operations.

    images: float32 (n, C, H, W), contiguous. Where there are masks nothing is moved: a mixture of moved images has
    no one mask.
    """
    count = len(images)
    allowed = rand_augment_names(rgb, augment.leave_out)
    weights = rng.dirichlet(np.ones(CHAINS), count)
    mixed = rng.beta(1, 1, count)
    depth = rng.integers(1, 4, (count, CHAINS)).ravel()
    names = [name for name in (AUGMIX if masks else (*AUGMIX, *GEOMETRIC)) if name in allowed] or ["identity"]
    chains = images.repeat_interleave(CHAINS, 0)
    for step in range(3):
        drawn = np.where(step < depth, rng.choice(names, count * CHAINS), "identity")
        levels = rng.uniform(0.1, 1, len(drawn)) * augment.magnitude * rng.choice([-1, 1], len(drawn))
        apply_geometric(chains, drawn, levels)
        apply_photometric(chains, drawn, levels, rgb)
    shares = to_device((weights * mixed[:, None]).astype(np.float32), images).view(count, CHAINS, 1, 1, 1)
    mixture = (chains.view(count, CHAINS, *images.shape[1:]) * shares).sum(1)
    return mixture.addcmul_(images, per_image(1 - mixed, images))
