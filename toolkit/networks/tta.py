"""Test-time views: an image seen flipped, turned, scaled, shifted or in another light, and its masks turned back.

A view has a name: `identity`, `horizontal`, `vertical`, `both` (180 degrees) and, for square images, `transpose`,
`antitranspose`, `rot90`, `rot270`; `rotate10` (degrees, counter-clockwise), `scale0.8`, `shiftx4` and `shifty-3`
(pixels, right and down), `bright1.2`. `horizontal+rotate10` is one after the other, and resampled once.

What is only an exchange of pixels is done by index and undone to the same bits, whole shifts included. All else
is sampled bilinearly about the image's centre, pixels being squares (align_corners=False throughout: mixing the
two conventions moves masks by half a pixel). Outside the image its reflection is seen, and what a network says
about a reflection has no vote: masks come back with a weight of 0 there.

Each view costs one forward pass. Nothing of the pass can be shared without another result: a shift by a multiple
of the stride meets other borders (a U-Net-ResNet18 at 64x128, whose every output sees the whole image, changed
everywhere), a flip would need flipped kernels, and brightness, linear until the first activation, is clipped.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from toolkit.errors import UserError
from toolkit.networks.devices import autocast
from toolkit.networks.outputs import is_softmax, resized, values_of
from toolkit.networks.plain import trait
from toolkit.networks.predict import at_once, batches
from toolkit.networks.table import beside

Matrix = tuple[tuple[float, float], tuple[float, float]]  # takes (row, column), from the centre, to where it is seen
SAME: Matrix = ((1, 0), (0, 1))
IDENTITY = "identity"  # the image as it is
EXACT: dict[str, Matrix] = {
    "identity": SAME,
    "horizontal": ((1, 0), (0, -1)),
    "vertical": ((-1, 0), (0, 1)),
    "both": ((-1, 0), (0, -1)),
    "transpose": ((0, 1), (1, 0)),
    "antitranspose": ((0, -1), (-1, 0)),
    "rot90": ((0, -1), (1, 0)),
    "rot270": ((0, 1), (-1, 0)),
}
SQUARE = ("transpose", "antitranspose", "rot90", "rot270")
PART = re.compile(r"(rotate|scale|shiftx|shifty|bright)(-?\d+(?:\.\d+)?)")
LIMITS = {"rotate": (-360, 360), "scale": (0.25, 4), "shiftx": (-64, 64), "shifty": (-64, 64), "bright": (0.1, 10)}
NOTHING = {"scale": 1.0, "bright": 1.0}  # the value that leaves an image as it is; else 0
SEEN = 0.999  # of a value's bilinear weights must belong to what the view saw of the image


@dataclass(frozen=True)
class View:
    """Pixels exchanged first, then the image resampled, then its brightness changed."""

    name: str = field(compare=False)
    exact: str = "identity"  # a key of EXACT
    linear: Matrix = SAME  # of the resampling
    shift: tuple[float, float] = (0.0, 0.0)  # rows, columns, after `linear`
    brightness: float = 1.0

    @property
    def resampled(self) -> bool:
        return self.linear != SAME or self.shift != (0, 0)

    @property
    def whole(self) -> bool:
        """Is the resampling, if any, a shift by whole pixels?"""
        return self.linear == SAME and all(float(pixels).is_integer() for pixels in self.shift)


def parse_view(name: str) -> View:
    """The view of a name; UserError for one that doesn't exist, or does nothing.

    Names of one exchange of pixels are the same view: `horizontal+vertical` is `both`.
    """
    exact, linear, shift, brightness = np.eye(2), np.eye(2), np.zeros(2), 1.0
    for part in name.split("+"):
        moves, stretch, offset, factor = _part(part, name)
        linear = stretch @ moves @ linear @ moves.T
        shift = stretch @ moves @ shift + offset
        exact, brightness = moves @ exact, brightness * factor
    if np.allclose(np.abs(linear).round() @ np.ones(2), 1) and np.allclose(linear, linear.round(), atol=1e-9):
        exact, linear = linear.round() @ exact, np.eye(2)
    shift = np.where(np.abs(shift - shift.round()) < 1e-9, shift.round(), shift)
    named = next(key for key, matrix in EXACT.items() if np.array_equal(matrix, exact))
    made = View(name, named, _matrix(linear), (float(shift[0]), float(shift[1])), brightness)
    if not made.resampled and brightness == 1:
        return View(named, named)
    return made


def _part(part: str, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Exchange of pixels, linear map, shift and brightness of one part of a name."""
    if part in EXACT:
        return np.array(EXACT[part]), np.eye(2), np.zeros(2), 1.0
    match = PART.fullmatch(part)
    if match is None:
        raise UserError(
            f"there is no view {part!r}{f' (in {name!r})' if part != name else ''}; there are {', '.join(EXACT)}, "
            "rotate10, scale0.8, shiftx4, shifty-4, bright1.2 with any number, and any of them joined by +"
        )
    kind, value = match[1], float(match[2])
    low, high = LIMITS[kind]
    if not low <= value <= high:
        raise UserError(f"view {part!r} is out of range; {kind} goes from {low:g} to {high:g}")
    if value == NOTHING.get(kind, 0):
        raise UserError(f"view {part!r} does nothing; leave it out")
    linear, shift, factor = np.eye(2), np.zeros(2), 1.0
    if kind == "rotate":
        angle = math.radians(value)
        linear = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    elif kind == "scale":
        linear = value * linear
    elif kind == "bright":
        factor = value
    else:
        shift[int(kind == "shiftx")] = value
    return np.eye(2), linear, shift, factor


def _matrix(array: np.ndarray) -> Matrix:
    (a, b), (c, d) = array.tolist()
    return (a, b), (c, d)


def parse_views(names: Iterable[str], height: int, width: int) -> tuple[View, ...]:
    """Views of images of this size; UserError where one needs a square, or two are the same."""
    views = tuple(parse_view(name) for name in names)
    if not views:
        raise UserError("no view was named; the image as it is has the name identity")
    for view in views:
        if view.exact in SQUARE and height != width:
            raise UserError(f"view {view.name!r} needs square images, these have {height}x{width} pixels")
        if sum(view == other for other in views) > 1:
            raise UserError(f"view {view.name!r} is named twice; give it more weight instead")
    return views


def at_size(view: View, sides: Sequence[int], size: tuple[int, int] | None) -> View:
    """The view of images with these sides (height, width) that does what it does at another size; None: at theirs."""
    if size is None or tuple(sides) == size:
        return view
    shift = (view.shift[0] * sides[0] / size[0], view.shift[1] * sides[1] / size[1])
    return replace(view, shift=shift)


def apply_view(view: View, images: torch.Tensor) -> torch.Tensor:
    """What the view makes of images (N, C, H, W), uint8 or float on 0..255.

    Of the same type where pixels are only exchanged or shifted whole, else float32.
    """
    seen = _exchange(images, EXACT[view.exact])
    if view.resampled and view.whole:
        for dim, pixels in zip((2, 3), view.shift, strict=True):
            at = torch.arange(seen.shape[dim], device=seen.device) - int(pixels)
            seen = seen.index_select(dim, _reflected(at, seen.shape[dim])) if pixels else seen
    elif view.resampled:
        back, _, _ = _geometry(view, *_size(seen), seen.device)
        grid = back.expand(len(seen), -1, -1, -1)
        seen = F.grid_sample(seen.float(), grid, padding_mode="reflection", align_corners=False)
    if view.brightness != 1:
        seen = (seen.float() * view.brightness).clamp(0, 255)
    return seen.contiguous(memory_format=torch.channels_last)


def undo_view(view: View, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Values (N, C, H, W) of a seen image's pixels, put back in the image's own place, and weights (1, 1, H, W).

    To the same bits where pixels were only exchanged or shifted by whole pixels. Else interpolated, so `masks` must
    be probabilities (a mean of logits is none of their mean). Where the view didn't see the image, value and
    weight are 0; elsewhere the weight is 1.
    """
    inverse = _matrix(np.array(EXACT[view.exact]).T)
    if not view.resampled:
        return _exchange(masks, inverse), masks.new_ones((1, 1, 1, 1))
    height, width = _size(masks)
    if view.whole:
        weight = masks.new_ones((1, 1, height, width))
        for dim, pixels in zip((2, 3), view.shift, strict=True):
            at = torch.arange(masks.shape[dim], device=masks.device) + int(pixels)
            inside = (at >= 0) & (at < masks.shape[dim])
            masks = masks.index_select(dim, at.clamp(0, masks.shape[dim] - 1))
            weight = weight * inside.reshape([-1 if d == dim else 1 for d in range(4)])
        masks = torch.where(weight > 0, masks, 0)
    else:
        _, forth, own = _geometry(view, height, width, masks.device)
        share = F.grid_sample(own, forth, align_corners=False)
        weight = (share > SEEN).to(masks.dtype)
        taken = F.grid_sample(masks * own, forth.expand(len(masks), -1, -1, -1), align_corners=False)
        masks = torch.where(weight > 0, taken / share.clamp_min(SEEN), 0)
    return _exchange(masks, inverse), _exchange(weight, inverse)


def seen_by(view: View, height: int, width: int) -> torch.Tensor:
    """float32 (1, 1, height, width): 1 at the pixels that the view sees, else 0."""
    return undo_view(view, torch.ones((1, 1, height, width)))[1].expand(1, 1, height, width)


def _exchange(x: torch.Tensor, matrix: Matrix) -> torch.Tensor:
    if matrix[0][0] == 0:
        x = x.transpose(2, 3)
    dims = [dim for dim, row in zip((2, 3), matrix, strict=True) if sum(row) < 0]
    return x.flip(dims) if dims else x


def _reflected(at: torch.Tensor, size: int) -> torch.Tensor:
    at = at % (2 * size)
    return torch.minimum(at, 2 * size - 1 - at)


def _size(x: torch.Tensor) -> tuple[int, int]:
    return int(x.shape[2]), int(x.shape[3])


@lru_cache(maxsize=64)
def _geometry(
    view: View, height: int, width: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Grids (1, H, W, 2) to sample the image for each seen pixel, and the seen image for each pixel; and which seen
    pixels (1, 1, H, W) lie between the image's own.
    """
    linear, shift = np.array(view.linear), np.array(view.shift)
    inverse = np.linalg.inv(linear)
    back, forth = _grid(inverse, -inverse @ shift, height, width), _grid(linear, shift, height, width)
    # beyond the outermost centres, half of a pixel is reflected
    edge = 1 - 1 / torch.tensor([width, height], dtype=torch.float64) + 1e-9
    own = (back.abs() <= edge).all(-1)[:, None].double()
    return back.float().to(device), forth.float().to(device), own.float().to(device)


def _grid(linear: np.ndarray, shift: np.ndarray, height: int, width: int) -> torch.Tensor:
    """Where the map takes each pixel, in grid_sample's coordinates: (column, row) from -1 to 1, the image's edges."""
    half = np.array([height, width]) / 2
    rows, columns = np.meshgrid(np.arange(height) + 0.5, np.arange(width) + 0.5, indexing="ij")
    places = np.stack([rows, columns], axis=-1) - half
    taken = (places @ linear.T + shift) / half
    return torch.from_numpy(taken[None, ..., ::-1].copy())


@torch.inference_mode()
def predict_views(
    network: nn.Module,
    images: np.ndarray,
    scored: Sequence[int],
    device: torch.device,
    precision: str,
    views: Sequence[str],
    weights: Sequence[float] | None = None,
    *,
    gaps: bool = False,
    batch: int = 128,
    table: np.ndarray | None = None,
) -> np.ndarray:
    """Values float32 (N, channels, ...) of images (N, H, W, C), uint8 or float16: a weighted mean over views,
    as `predict`, which also has table.

    weights: not negative, equal by default, scaled to a sum of 1 (at each pixel, over the views that see it). gaps:
    pixels of a mask that no view sees get 0 for all classes, as unscored classes do; else there may be none.

    Masks have the task's size, whatever that of the images; shifts are in pixels of that size then.

    At most `batch` images are in one forward pass, fewer where they are large. Where fewer images are left, views
    share a pass: on 2 cores passes of 8 images cost 20 to 30 % more an image than passes of 32, and beyond those a
    pass gains nothing.

    Raises UserError for views that don't fit the images, weights that don't fit the views, and gaps.
    """
    weighted = weighted_views(views, weights, images.shape[1], images.shape[2])
    outputs, size = trait(network, "outputs", ()), trait(network, "mask_size")
    chosen = [at_size(parse_view(name), images.shape[1:3], size) for name in weighted]
    shares = list(weighted.values())
    softmax = is_softmax(outputs)
    network.eval()
    parts: list[np.ndarray] = []
    batch = at_once(images, batch)
    for x, *known in beside(network, batches(images, batch, device), table):
        mean, together = Mean(size), max(1, batch // len(x))
        for first in range(0, len(chosen), together):
            seen = [apply_view(view, x) for view in chosen[first : first + together]]
            if len({part.dtype for part in seen}) > 1:
                seen = [part.float() for part in seen]
            with autocast(device, precision):
                rows = [part.repeat(len(seen), 1) for part in known]
                logits = network(torch.cat(seen) if len(seen) > 1 else seen[0], *rows).float()
            if not gaps and not parts and first == 0 and logits.ndim == 4:
                _check_covered(chosen, *_size(logits))
            said = logits[:, list(scored)] if softmax else values_of(logits, outputs, scored)
            for number, part in enumerate(said.split(len(x)), first):
                (mean.add_logits if softmax else mean.add_values)(chosen[number], part, shares[number])
        found = mean.result()
        values = torch.zeros((len(x), logits.shape[1], *found.shape[2:]), device=device)
        values[:, list(scored) if softmax else slice(None)] = found
        parts.append(values.cpu().numpy())
    return np.concatenate(parts)


def weighted_views(names: Sequence[str], weights: Sequence[float] | None, height: int, width: int) -> dict[str, float]:
    """Names of the views that have a weight, and weights that sum to 1; UserError as for `predict_views`."""
    views = parse_views(names, height, width)
    given = [1.0] * len(views) if weights is None else [float(weight) for weight in weights]
    if len(given) != len(views) or min(given) < 0 or not 0 < sum(given) < math.inf:
        raise UserError(f"{len(views)} views need as many weights, none below 0 and not all 0; got {given}")
    return {view.name: weight / sum(given) for view, weight in zip(views, given, strict=True) if weight}


def _check_covered(views: Sequence[View], height: int, width: int) -> None:
    ones = torch.ones((1, 1, height, width))
    seen = sum(undo_view(view, ones)[1] for view in views)
    if gap := int((ones * seen == 0).sum()):
        named = ", ".join(view.name for view in views)
        raise UserError(f"{gap} pixels of a mask are seen by none of the views {named}; add identity")


class Mean:
    """A weighted mean of values over views; channels are the second axis, and every one of them is scored."""

    def __init__(self, size: tuple[int, int] | None = None) -> None:
        """size: of the masks (height, width), where views are of images of another; None: of these."""
        self.size = size
        self.total: torch.Tensor | float = 0.0
        self.weight: torch.Tensor | float = 0.0

    def add_logits(self, view: View, logits: torch.Tensor, share: float) -> None:
        """What a network says (N, C, ...) about the images that `view` saw."""
        if logits.ndim == 2:
            self._add(logits.softmax(1), share)
        elif not view.resampled:
            self._add(resized(undo_view(view, logits)[0].softmax(1), self.size), share)
        else:
            self._vote(*undo_view(view, logits.softmax(1)), share)

    def add_values(self, view: View, values: torch.Tensor, share: float) -> None:
        """Values (N, channels, ...) of the images that `view` saw: of masks probabilities, else an image's own."""
        if values.ndim == 2:
            self._add(values, share)
        else:
            self._vote(*undo_view(view, values), share)

    def add(self, values: torch.Tensor, share: float, seen: torch.Tensor | None = None) -> None:
        """Values (N, channels, ...) that were put back. seen: (1, 1, H, W), 0 where the view has no vote; None: it has
        none where all are 0, as no probabilities of one of several classes are.
        """
        self._add(values, share * (values.sum(1, keepdim=True) > 0.5 if seen is None else seen))

    def result(self) -> torch.Tensor:
        """Probabilities (N, C, ...); 0 where no view had a vote."""
        weight = torch.as_tensor(self.weight)
        return torch.as_tensor(self.total) / torch.where(weight > 0, weight, 1)

    def _vote(self, values: torch.Tensor, seen: torch.Tensor, share: float) -> None:
        """What was put back by `undo_view`; of pixels of another size, those that it saw the most of have a vote."""
        if self.size is not None and tuple(values.shape[2:]) != self.size:
            part = resized(seen.expand(1, 1, *values.shape[2:]), self.size)
            values, seen = resized(values, self.size), (part > 0.5).to(values.dtype)
            values = torch.where(seen > 0, values / part.clamp_min(0.5), 0)
        self._add(values, share * seen)

    def _add(self, values: torch.Tensor, weight: torch.Tensor | float) -> None:
        self.total = self.total + weight * values
        self.weight = self.weight + weight
