"""What a network says of a set of images, from what it says of each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from toolkit.task import Output

if TYPE_CHECKING:
    from toolkit.networks.network import Network

KINDS = ("mean", "max", "features")  # of values over the images, or the mean of what the backbone says of them
PIXELS = 128 * 128 * 128  # that go through a network together, where nothing is learnt


class Pooling(nn.Module):
    """From images of sets side by side, (B, k * C, H, W), to logits (B, channels).

    Black images are absent, but in training, where all were drawn. `kind`, a place in KINDS, is a buffer: it is stored
    with the weights, as each fold may have its own. Logits are such that the values that follow from them are the mean
    or maximum of those of the single images: probabilities, or numbers in their own units; of several classes the
    maxima are scaled to a sum of 1. beside: what is known of each set, (B, …). scored: places of the classes
    that count, as for `values_of`.
    """

    def __init__(self, kind: str, outputs: Sequence[Output], scored: Sequence[int]) -> None:
        super().__init__()
        self.outputs, self.scored = tuple(outputs), tuple(scored)
        self.kind: torch.Tensor
        self.register_buffer("kind", torch.tensor(KINDS.index(kind)))

    def forward(self, network: "Network", images: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        channels, (height, width) = network.mean.shape[1], images.shape[2:]
        each = images.reshape(len(images), -1, channels, height, width)
        there = torch.ones(each.shape[:2], dtype=torch.bool, device=images.device)
        if not self.training:
            there = (each.flatten(2) != 0).any(2)
            there[:, 0] |= ~there.any(1)  # of a set that is all black, one has to do
        sets, places = there.nonzero(as_tuple=True)
        together = len(sets) if self.training else max(1, PIXELS // (height * width))
        kind, said = KINDS[int(self.kind)], []
        for of, place in zip(sets.split(together), places.split(together), strict=True):
            part = each[of, place].contiguous(memory_format=torch.channels_last)
            if kind == "features":
                said.append(network.features(part))
            else:
                said.append(network.whole(part, *(one[of] for one in beside)).float())
        if kind == "features":
            return network.said(_mean(torch.cat(said), there), *beside)
        split = self._split(torch.cat(said))
        return torch.cat([self._pooled(part, there, output, kind) for part, output in split], 1)

    def _split(self, logits: torch.Tensor) -> list[tuple[torch.Tensor, tuple[str, tuple[int, ...]]]]:
        """Logits (n, channels) of each output, its kind, and its classes that count."""
        if not self.outputs:
            return [(logits, ("classes", self.scored))]
        parts: list[tuple[torch.Tensor, tuple[str, tuple[int, ...]]]] = []
        first = 0
        for output in self.outputs:
            last = first + output.channels
            own = tuple(at - first for at in self.scored if first <= at < last) or tuple(range(output.channels))
            parts.append((logits[:, first:last], (output.kind, own)))
            first = last
        return parts

    def _pooled(
        self, logits: torch.Tensor, there: torch.Tensor, output: tuple[str, tuple[int, ...]], kind: str
    ) -> torch.Tensor:
        what, scored = output
        if what == "classes":
            shares = torch.zeros_like(logits)  # what doesn't count is left out later
            shares[:, scored] = logits[:, scored].log_softmax(1)
            return _largest(shares, there) if kind == "max" else _log_mean(shares, there)
        if kind == "max":
            return _largest(logits, there)
        if what == "numbers":
            return _mean(logits, there)
        return _log_mean(F.logsigmoid(logits), there) - _log_mean(F.logsigmoid(-logits), there)


Pooling.__module__ = "toolkit"  # as Network's


def _spread(each: torch.Tensor, there: torch.Tensor, absent: float) -> torch.Tensor:
    """(B, k, F) of the images (n, F) that are there."""
    made = each.new_full((*there.shape, each.shape[1]), absent)
    made[there] = each
    return made


def _mean(each: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    return _spread(each, there, 0).sum(1) / there.sum(1, keepdim=True)


def _largest(each: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    return _spread(each, there, -torch.inf).amax(1)


def _log_mean(logs: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
    """The logarithm of the mean of what has these logarithms."""
    return _spread(logs, there, -torch.inf).logsumexp(1) - there.sum(1, keepdim=True).log()
