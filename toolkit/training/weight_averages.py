"""Averages of a network's weights: while it is trained, or over its last epochs."""

from collections.abc import Callable, Iterable, Sequence
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from toolkit.networks.network import modes_kept
from toolkit.store import atomic

Weights = dict[str, torch.Tensor]

EVERY = 4  # steps an update of the moving average
EAGER = 40  # first steps, a multiple, that are averaged one by one: its memory is still shorter than some steps
MOST = 5  # snapshots that are kept


class Average:
    """Exponential moving average of a network's weights, with a short memory at the start.

    `weights` is up to date after each of the first steps, later after every fourth: then the weights of that step
    count as the ones between did too. Integers are the network's at the last update.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        current = model.state_dict()
        self.weights: Weights = {name: value.detach().clone() for name, value in current.items()}
        floats = [name for name, value in current.items() if value.is_floating_point()]
        self.mine, self.new = [self.weights[name] for name in floats], [current[name] for name in floats]
        self.others = [(self.weights[name], value) for name, value in current.items() if name not in floats]

    @torch.no_grad()
    def update(self) -> None:
        """After each step of the optimiser."""
        self.steps += 1
        since = EVERY if self.steps > EAGER else 1
        if self.steps % since:
            return
        steps = range(self.steps - since + 1, self.steps + 1)
        decay = prod(min(self.decay, (1 + step) / (10 + step)) for step in steps)
        torch._foreach_lerp_(self.mine, self.new, 1 - decay)
        for mine, new in self.others:
            mine.copy_(new)

    def state(self) -> dict[str, Any]:
        return {"weights": self.weights, "steps": self.steps}

    @torch.no_grad()
    def restore(self, saved: dict[str, Any]) -> None:
        self.steps = saved["steps"]
        for name, value in self.weights.items():
            value.copy_(saved["weights"][name])


class Snapshots(Sequence[Weights]):
    """Weights after some of the last quarter of the epochs, the last included, oldest first.

    They lie in `folder` and are read when they are asked for, so that one or two are in memory at a time.
    Where training stops early there may be fewer, or none.
    """

    def __init__(self, folder: Path, epochs: int) -> None:
        quarter = ceil(epochs / 4)
        chosen = np.linspace(epochs - quarter, epochs - 1, min(quarter, MOST)).round().astype(int)
        self.paths = {int(epoch): folder / f"snapshot_{epoch}.safetensors" for epoch in chosen}

    @property
    def first(self) -> int:
        """The first epoch that counts."""
        return min(self.paths)

    def keep(self, epoch: int, weights: Weights) -> None:
        """Store them if `epoch` (from 0) is one that counts; they are complete or not there."""
        if epoch in self.paths:
            with atomic(self.paths[epoch]) as partial:
                save_file({name: value.contiguous().cpu() for name, value in weights.items()}, partial)

    def __len__(self) -> int:
        return sum(path.exists() for path in self.paths.values())

    def __getitem__(self, at: Any) -> Any:  # one, no slice
        return load_file([path for path in self.paths.values() if path.exists()][at])


@torch.no_grad()
def put(tensors: Weights, values: Weights) -> None:
    """Have the tensors hold the values of the same names."""
    for name, tensor in tensors.items():
        tensor.copy_(values[name])


def uniform(snapshots: Sequence[Weights]) -> Weights:
    """Their mean (Izmailov et al. 2018), summed in float64; integers are the last one's.

    Batch norm's statistics in it are means as well, and not those of the mean weights: see `refresh_norm`.
    """
    return _mean(snapshots, range(len(snapshots)))


def _mean(snapshots: Sequence[Weights], chosen: Iterable[int]) -> Weights:
    chosen = sorted(chosen)
    last = snapshots[chosen[-1]]
    sums = {name: value.to(torch.float64, copy=True) for name, value in last.items() if value.is_floating_point()}
    for at in chosen[:-1]:
        other = snapshots[at]
        for name, value in sums.items():
            value += other[name]
    means = {name: (value / len(chosen)).to(last[name].dtype) for name, value in sums.items()}
    return last | means


def greedy_soup(snapshots: Sequence[Weights], score: Callable[[Weights], float]) -> Weights:
    """The mean of those snapshots that don't lower the score (Wortsman et al. 2022), tried best first.

    `score` is the higher the better. Its samples must neither be trained on nor be those that the result
    will be scored on, as it chooses. The result scores at least what the best snapshot does.
    """
    scores = [score(weights) for weights in snapshots]
    order = sorted(range(len(scores)), key=lambda at: (np.nan_to_num(scores[at], nan=-np.inf), at), reverse=True)
    chosen, best = order[:1], scores[order[0]]
    for at in order[1:]:
        gained = score(_mean(snapshots, [*chosen, at]))
        if gained >= best:
            chosen, best = [*chosen, at], gained
    return _mean(snapshots, chosen)


@torch.no_grad()
def refresh_norm(model: nn.Module, batches: Iterable[tuple[torch.Tensor, ...]], most: int | None = None) -> None:
    """Estimate batch norm's statistics anew, as means over `batches` of what `model` takes, in even parts of at most
    `most` samples (of 2: 3, as one has no spread).

    PyTorch's update_bn does it with dropout switched on, and leaves frozen layers in train mode. Here all
    else is as in prediction, frozen layers keep what they have, and modes are as before.
    """
    norms = [
        module
        for module in model.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and module.track_running_stats
        and (module.weight is None or module.weight.requires_grad)
    ]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    # what was compiled for training or prediction would be compiled anew for a mixture of both
    with modes_kept(model), torch.compiler.set_stance("force_eager"):
        model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # PyTorch's word for a cumulative mean
            norm.train()
        for inputs in batches:
            size = len(inputs[0])
            pieces = 1 if most is None else min(ceil(size / most), max(1, size // 2))
            for part in zip(*(each.tensor_split(pieces) for each in inputs), strict=True):
                model(*part)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
