"""Batch norm's statistics moved towards those of the images that are predicted: without a label, without training.

What a batch norm subtracts and divides by becomes (1 - w) times what training left and w times what the images to be
predicted have there, all together (Schneider et al., "Improving robustness against common corruptions by covariate
shift adaptation", NeurIPS 2020; Nado et al., "Evaluating prediction-time batch normalization for robustness under
covariate shift", 2020). w = share * n / (n + STEADY) of n images: of few, statistics are noise.

Each layer is looked at behind layers that are moved already, in one pass over parts of the images in the order of a
hash of theirs: neither the order in which images come, nor how many are predicted at a time, changes what is found.
"""

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from toolkit.data.image_sets import images_each
from toolkit.images.rows import ImageRows, picked
from toolkit.networks.devices import autocast
from toolkit.networks.predict import at_once, batches
from toolkit.networks.table import beside

STEADY = 16  # images as many as which what training left counts
MOST = 2048  # images that are looked at: those with the lowest hashes
PART = 64  # of them at a time, fewer of large ones


def adapts(network: nn.Module) -> bool:
    """Has it batch norms with statistics of their own? Layer and group norm have none."""
    return bool(norms(network))


def norms(network: nn.Module) -> list[_BatchNorm]:
    """Its batch norms with statistics, in the order of its modules."""
    return [one for one in network.modules() if isinstance(one, _BatchNorm) and one.running_mean is not None]


def weight_of(share: float, images: int) -> float:
    """What statistics of so many images weigh."""
    return share * images / (images + STEADY)


def moments(network: nn.Module, weight: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
    """Means and variances float32 (2, F) of what reaches each batch norm, one after the other, F features in all.

    given: a batch of images (B, C, H, W), and what is known beside them. Each batch norm normalises by its statistics
    with as much of this batch's in them as `weight`, a scalar, says; afterwards all is as before. One that isn't
    reached has its own. Nothing but tensors takes part, so that a tracer can follow.
    """
    found: dict[nn.Module, list[torch.Tensor]] = {}

    def settle(norm: Any, reaching: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """The input by which a batch norm that isn't moved gives what a moved one gives of `reaching`."""
        x = reaching[0].float()
        dims = [0, *range(2, x.ndim)]
        mean, variance = x.mean(dims), x.var(dims, correction=0)
        found.setdefault(norm, []).append(torch.stack([mean, variance]))
        shape = [1, -1, *[1] * (x.ndim - 2)]
        moved = torch.lerp(norm.running_mean, mean, weight)
        wider = torch.lerp(norm.running_var, variance, weight)
        scale = ((norm.running_var + norm.eps) / (wider + norm.eps)).sqrt()
        shift = norm.running_mean - moved * scale
        return (x * scale.reshape(shape) + shift.reshape(shape)).to(reaching[0].dtype)

    every: list[Any] = norms(network)
    hooks = [norm.register_forward_pre_hook(settle) for norm in every]
    try:
        network(*given)
    finally:
        for hook in hooks:
            hook.remove()
    own = [torch.stack([norm.running_mean, norm.running_var]) for norm in every]
    parts = [torch.stack(found.get(norm, [left])).mean(0) for norm, left in zip(every, own, strict=True)]
    return torch.cat(parts, 1)


class Adapting(nn.Module):
    """A network as a tracer follows it, for where this program isn't: what it says, and what it takes to adapt it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.network(images)
        return said

    def moments(self, images: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """As `moments`; the statistics lie in buffers that end with running_mean and running_var, in this order."""
        return moments(self.network, weight, images)


Adapting.__module__ = "toolkit"  # as Network's


@torch.inference_mode()
def adapt(
    network: nn.Module,
    images: ImageRows,
    share: float,
    device: torch.device,
    precision: str,
    table: np.ndarray | None = None,
) -> None:
    """Move a network's statistics, in place, towards those of images (n, H, W, C), uint8 or float16.

    share: of theirs in the mixture where images are many. precision and table as for `predict`.
    """
    every: list[Any] = norms(network)
    if not share or not every or not len(images):
        return
    network.eval()
    weight, rows = weight_of(share, len(images)), looked_at(images)
    together = at_once(images, PART)
    count, total = 0, torch.zeros(0)
    for part in np.array_split(rows, -(-len(rows) // together)):
        seen = batches(picked(images, part), len(part), device)
        given = next(beside(network, seen, None if table is None else table[part]))
        with autocast(device, precision):
            found = moments(network, torch.tensor(weight, device=device), *given)
        total = joined(count, total, len(part), found.double().cpu())
        count += len(part)
    at = 0
    for norm in every:
        mean, variance = total[:, at : (at := at + norm.num_features)].to(device, norm.running_mean.dtype)
        norm.running_mean.lerp_(mean, weight)
        norm.running_var.lerp_(variance, weight)


def joined(count: int, total: torch.Tensor, more: int, part: torch.Tensor) -> torch.Tensor:
    """Means and variances float64 (2, F) of all `count + more` images, from those of either (Chan et al. 1979)."""
    if not count:
        return part
    of, apart = more / (count + more), part[0] - total[0]
    mean = total[0] + of * apart
    variance = (1 - of) * total[1] + of * part[1] + of * (1 - of) * apart**2
    return torch.stack([mean, variance])


def looked_at(images: ImageRows) -> np.ndarray:
    """Rows int64 (m,) of the images that statistics are taken of, in an order that follows from what they show."""
    step = 1 if images_each(images) is not None else at_once(images, PART)  # a set is as wide as its neighbours
    hashes: list[int] = []
    for start in range(0, len(images), step):
        part = np.array(picked(images, np.s_[start : start + step]), np.float32)  # as a server may get them
        hashes += [zlib.crc32(one.tobytes()) for one in part]
    return np.argsort(hashes, kind="stable")[:MOST]


@contextmanager
def adapted(
    network: nn.Module,
    images: ImageRows,
    share: float,
    device: torch.device,
    precision: str,
    table: np.ndarray | None = None,
) -> Iterator[nn.Module]:
    """The network as `adapt` leaves it; afterwards its statistics are what they were."""
    every: list[Any] = norms(network)
    kept = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in every]
    try:
        adapt(network, images, share, device, precision, table)
        yield network
    finally:
        with torch.inference_mode():
            for norm, (mean, variance) in zip(every, kept, strict=True):
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(variance)
