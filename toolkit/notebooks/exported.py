"""Networks that were written as TorchScript, in the place of those that they were made from."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolkit.competition import Competition
from toolkit.networks.pooling import Pooling


class Exported(nn.Module):
    """What `toolkit.submission.torchscript` wrote, called as a `Network` is: with outputs, table and pooling of sets.

    columns: of the table that it takes, 0 for none; pool: how it makes one of the images of a set; empty where samples
    are images.
    """

    def __init__(self, path: Path, competition: Competition, device: torch.device, columns: int, pool: str) -> None:
        super().__init__()
        task = competition.task
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that newer ways are recommended, which older versions can't read
            self.script = _on(device, torch.jit.load(str(path), map_location=device)).eval()
        self.outputs = task.outputs
        if task.masks:
            self.mask_size = task.image_shape[:2]
        self.pooling = Pooling(pool, task.outputs, competition.scored).to(device).eval() if pool else None
        self.mean = torch.zeros((1, task.image_shape[2], 1, 1))  # by which sets know how many channels an image has
        self.table = _Encoder(self.script, columns) if columns else None

    def forward(self, images: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        if self.pooling is not None and images.shape[1] > self.mean.shape[1]:
            pooled: torch.Tensor = self.pooling(self, images, *beside)
            return pooled
        return self.whole(images, *beside)

    def whole(self, images: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        """What it says of single images."""
        said: torch.Tensor = self.script(images.float(), *beside)
        return said

    def features(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.script.features(images.float())
        return features

    def said(self, features: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.script.said(features, *beside)
        return said


class _Encoder(nn.Module):
    """Of rows of a table, as `TableInput` is asked for it."""

    def __init__(self, script: Any, columns: int) -> None:
        super().__init__()
        self.script, self.columns = script, columns

    def encoded(self, rows: torch.Tensor) -> torch.Tensor:
        encoded: torch.Tensor = self.script.encoded(rows)
        return encoded


def _on(device: torch.device, script: Any) -> Any:
    """With all that it makes while it computes on that device: a trace remembers where it was traced."""
    for module in script.modules():
        for name in module._c._method_names():
            for node in module._c._get_method(name).graph.findAllNodes("prim::Constant"):
                if node.output().type().kind() == "DeviceObjType":
                    node.s_("value", str(device))
    return script
