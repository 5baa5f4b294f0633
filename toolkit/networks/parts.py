"""A network of sets of images, or with a table beside them, as the parts that a tracer can follow.

How many images a set has, and which are there, is no part of what a trace can hold: sets are pooled in Python.
"""

from typing import Any

import torch
from torch import nn


class Parts(nn.Module):
    """What a `Network` says of single images, and of what is known beside them."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network
        body = network.body
        self.is_apart = isinstance(body, nn.Sequential) and [name for name, _ in body.named_children()] == [
            network.backbone,
            "head",
        ]

    def forward(self, images: torch.Tensor, *encoded: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.network.whole(images, *encoded)
        return said

    def encoded(self, rows: torch.Tensor) -> torch.Tensor:
        encoded: torch.Tensor = self.network.table.encoded(rows)
        return encoded

    def features(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network.features(images)
        return features

    def said(self, features: torch.Tensor, *encoded: torch.Tensor) -> torch.Tensor:
        said: torch.Tensor = self.network.said(features, *encoded)
        return said


Parts.__module__ = "toolkit"  # as Network's
