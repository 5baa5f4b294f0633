"""Networks with layers: real ones, and a small one to take steps with."""

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import nn

from competitions.mars.unets import UNet
from toolkit import Model, Network, Recipe, classifier, from_scratch, segmenter

PLAIN = Recipe(name="plain", model=Model(name="made"))
NETWORKS: dict[str, Callable[[], Network]] = {
    "efficientnet_lite0": lambda: classifier("tf_efficientnet_lite0", Model(name=""), 8, 3),
    "resnet18": lambda: classifier("resnet18", Model(name=""), 8, 3),
    "convnext_tiny": lambda: classifier("convnext_tiny", Model(name="", head="mlp"), 8, 3),
    "unet_resnet18": lambda: segmenter("Unet", Model(name="", encoder="resnet18"), 5, 1),
    "unet_regnet": lambda: segmenter("Unet", Model(name="", encoder="tu-regnetx_002"), 5, 1),
    "segformer_mit": lambda: segmenter("Segformer", Model(name="", encoder="mit_b0"), 5, 1),
}


def without_backbone() -> Network:
    return from_scratch(UNet(5, 1), Model(name=""), 1, UNet.stride)


def made() -> Network:
    """Three small layers with two kinds of norms and a dropout, then a head."""
    torch.manual_seed(0)
    stages = (
        nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
        nn.Sequential(nn.Conv2d(8, 16, 3), nn.GroupNorm(2, 16), nn.Dropout(0.1)),
        nn.Sequential(nn.Conv2d(16, 16, 1), nn.BatchNorm2d(16), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    head = nn.Sequential(nn.Dropout(0.1), nn.Linear(16, 3))
    body = nn.Sequential(OrderedDict(backbone=nn.Sequential(*stages), head=head))
    return Network(body, "backbone", (0.5,) * 3, (0.25,) * 3)


def step(model: Network, optimizer: torch.optim.Optimizer, number: int, lr: float = 1e-2) -> None:
    torch.manual_seed(number)
    images, targets = torch.randint(256, (6, 3, 8, 8), dtype=torch.uint8), torch.arange(6) % 3
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]
    optimizer.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(model(images), targets).backward()
    optimizer.step()
