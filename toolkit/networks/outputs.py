"""From what a network says to values: probabilities, or numbers in their own units."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from toolkit.competition import Competition
from toolkit.data.sizes import image_shape
from toolkit.data.tables import Column
from toolkit.errors import UserError, others_code, said_by
from toolkit.networks.growth import sides
from toolkit.networks.plain import is_plain, tell
from toolkit.networks.pooling import Pooling
from toolkit.networks.table import join_table, nothing_known
from toolkit.outcome import counted
from toolkit.recipe import Recipe
from toolkit.task import Numbers, Output, Task

POOLING = "pooling.kind"  # among a network's tensors: how sets of images are pooled
SMALLEST = 1e-6  # of a number's spread over the training rows: it is no constant, but a part of the rows may be


class Scale(nn.Module):
    """From a network's own numbers (N, T), of about unit size, to those of the targets.

    Mean and spread of the training rows are buffers, stored with the weights. bounded: the numbers are a share of the
    way from low to high, by a sigmoid; else what is predicted is only cut off there.
    """

    def __init__(self, targets: int, low: float | None, high: float | None, bounded: bool) -> None:
        super().__init__()
        self.low, self.high, self.bounded = low, high, bounded
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.zeros(targets))
        self.register_buffer("std", torch.ones(targets))

    def learn(self, targets: np.ndarray) -> None:
        """From numbers (n, T) that are trained on; NaN where there is none."""
        known = np.where(np.isnan(targets).all(0), 0, targets).astype(np.float64)
        mean, std = np.nanmean(known, axis=0), np.nanstd(known, axis=0)
        self.mean.copy_(torch.from_numpy(mean))
        self.std.copy_(torch.from_numpy(np.where(std > SMALLEST * (1 + abs(mean)), std, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.bounded:
            assert self.low is not None and self.high is not None
            return self.low + (self.high - self.low) * torch.sigmoid(x.float())
        x = x.float() * self.std + self.mean
        return x if self.training else x.clamp(self.low, self.high) if self.limited else x

    @property
    def limited(self) -> bool:
        return self.low is not None or self.high is not None


Scale.__module__ = "toolkit"  # as Network's


def build_network(
    competition: Competition, recipe: Recipe, columns: Sequence[Column] = (), in_sets: bool = False
) -> Any:
    """The competition's network, which from then on knows what its channels mean, `outputs`, and the `mask_size`
    (height, width) at which they are stored and scored, whatever that of its images. columns: of the table beside
    these, which it takes too unless the recipe leaves it aside. in_sets: it pools sets of images. What a plain
    module knows is read by `trait`; it has no backbone, whatever its attributes.
    """
    with others_code(f"{competition.name} can't build the network of recipe {recipe.name}", competition.folder):
        made = competition.build_model(recipe)
    if not isinstance(made, nn.Module):
        raise UserError(f"build_model must return a torch.nn.Module, such as toolkit.Network, not {made!r}")
    task = competition.task
    network: Any = made  # whose attributes may have any type
    tell(network, outputs=task.outputs, **({"mask_size": task.image_shape[:2]} if task.masks else {}))
    if isinstance(task, Numbers):
        if is_plain(network):
            raise UserError("build_model must give a toolkit.Network where numbers are predicted")
        bounded = "bce" in recipe.loss.names
        if bounded and (task.low is None or task.high is None):
            raise UserError("loss bce of numbers needs a lowest and a highest one: Numbers(…, low=…, high=…)")
        network.scale = Scale(len(task.targets), task.low, task.high, bounded)
    if in_sets:
        network.pooling = _pooling(network, competition, recipe)
    if columns and recipe.table.width:
        join_table(network, columns, recipe.table)
    return network


def _pooling(network: Any, competition: Competition, recipe: Recipe) -> Pooling:
    """UserError where the network can't pool; `auto` begins with the mean, and folds choose once they are trained."""
    if is_plain(network):
        raise UserError("build_model must give a toolkit.Network where samples are sets of images")
    pool = recipe.sets.pool
    if pool == "features":
        parts = [name for name, _ in network.body.named_children()] if isinstance(network.body, nn.Sequential) else []
        if parts != [network.backbone, "head"]:
            raise UserError(
                f"sets.pool=features needs a network of a backbone and a head, which {recipe.model.name} isn't; set "
                "sets.pool to mean, max or auto"
            )
    return Pooling("mean" if pool == "auto" else pool, competition.task.outputs, competition.scored)


def check_channels(network: nn.Module, recipe: Recipe, task: Task, device: torch.device, folder: Path) -> None:
    """UserError unless the network takes the recipe's images, and where they grow the smallest ones, and says as much
    as the task asks; it is shown black ones. folder: of the competition's code.
    """
    *whole, channels = image_shape(recipe.images, task)
    smallest = sides(recipe.images.grow, (whole[0], whole[1]), recipe.schedule.epochs, 0)
    for height, width in dict.fromkeys(((whole[0], whole[1]), smallest)):
        _check_channels(network, (height, width, channels), task, device, folder)


def _check_channels(
    network: nn.Module, shape: tuple[int, int, int], task: Task, device: torch.device, folder: Path
) -> None:
    height, width, channels = shape
    training = network.training
    try:
        with torch.no_grad():
            black = torch.zeros((1, channels, height, width), device=device)
            found = network.eval()(*nothing_known(network, black)).shape[1:]
    except UserError:
        raise
    except Exception as error:  # of code that isn't ours
        mend = "build_model must make it for TASK.image_shape"
        if not is_plain(network):
            mend += ", or the recipe show it images of the size that it takes"
            fixed: Any = network.fixed_size
            mend += f", {fixed[0]}x{fixed[1]}" if fixed else ""
            mend += " (model.input_scale, images.size)"
        if (height, width) != task.image_shape[:2]:
            mend = "build_model must make it for images of any size, or leave images.size=0 images.grow=0"
        raise UserError(
            f"the network can't take images of {height}x{width} with {counted(channels, 'channel')} "
            f"({said_by(error, folder)}); {mend}"
        ) from None
    network.train(training)
    wanted = (task.channels, *((height, width) if task.masks else ()))
    if tuple(found) != wanted:
        raise UserError(
            f"of an image the network gives {tuple(found)} numbers, the task needs {wanted}; "
            "build_model must give the network TASK.channels"
        )


def is_softmax(outputs: Sequence[Output]) -> bool:
    """Is it one of several classes alone, as also of a network that says nothing of its outputs?"""
    return not outputs or (len(outputs) == 1 and outputs[0].kind == "classes")


def values_of(logits: torch.Tensor, outputs: Sequence[Output], scored: Sequence[int]) -> torch.Tensor:
    """Values (N, channels, ...) of float32 logits of the same shape; classes that aren't scored get 0.

    scored: places among the classes of all outputs.
    """
    if is_softmax(outputs):
        if logits.ndim == 2 and len(scored) == logits.shape[1]:
            return logits.softmax(1)
        values = torch.zeros_like(logits)
        values[:, list(scored)] = logits[:, list(scored)].softmax(1)
        return values
    parts, first = [], 0
    for output in outputs:
        part = logits[:, first : first + output.channels]
        if output.kind == "classes":
            own = [at - first for at in scored if first <= at < first + output.channels]
            parts.append(values_of(part, (), own or range(output.channels)))
        else:
            parts.append(part if output.kind == "numbers" else part.sigmoid())
        first += output.channels
    return torch.cat(parts, 1)


def resized(values: torch.Tensor, size: tuple[int, int] | None) -> torch.Tensor:
    """Values (N, channels, h, w) of masks at another size: means of pixels where it is smaller, else bilinear.

    A mean of logits is none of their mean, so they must be values. None, and values of whole images: as they are.
    """
    if size is None or values.ndim < 4 or tuple(values.shape[2:]) == size:
        return values
    return F.interpolate(values, size, mode="bilinear", antialias=True)
