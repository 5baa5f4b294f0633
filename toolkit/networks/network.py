"""Networks: timm and smp backbones with heads, a competition's own, and trained ones loaded again."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from toolkit.checked import checked, train_again
from toolkit.competition import Competition
from toolkit.data.tables import Column
from toolkit.errors import UserError
from toolkit.networks import encoders
from toolkit.networks.backbones import make_backbone
from toolkit.networks.outputs import POOLING, build_network
from toolkit.networks.table import TabledHead
from toolkit.recipe import Model, Recipe
from toolkit.task import Output, Task

SCALING = {"mean", "std"}  # buffers of a network


class Network(nn.Module):
    """A body between its input scaling and the image's own resolution.

    Takes images (N, C, H, W), uint8 or float on the scale 0..255, so that training, prediction and code
    submissions cannot disagree on normalisation. `backbone` names the part of the body that is frozen or
    trained at its own learning rate; empty where there is none. Images are resized by `input_scale`, each
    side to the nearest multiple of `stride`; `fixed_size` (height, width) is what it takes where that is one size
    alone. With `stores_scaling`, mean and std are among its tensors. `outputs` are its task's, () where nobody said;
    `scale` takes numbers to the targets' own units. Where samples are sets of images, `pooling` makes one of what is
    said of each image of a set: images are (N, k * C, H, W) then, k images side by side. With `table` it takes what is
    known beside the images as well, encoded by it (N, D), a row a sample.
    """

    def __init__(
        self,
        body: nn.Module,
        backbone: str,
        mean: Sequence[float],
        std: Sequence[float],
        input_scale: float = 1.0,
        stride: int = 1,
        fixed_size: tuple[int, int] | None = None,
        stores_scaling: bool = False,
    ) -> None:
        super().__init__()
        self.body = body
        self.backbone = backbone
        self.input_scale, self.stride, self.fixed_size = input_scale, stride, fixed_size
        self.outputs: tuple[Output, ...] = ()
        self.scale: nn.Module | None = None
        self.pooling: nn.Module | None = None
        self.table: nn.Module | None = None
        self.mean: torch.Tensor
        self.std: torch.Tensor
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).reshape(1, -1, 1, 1) * 255, persistent=stores_scaling)

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """What the backbone of a classifier says of images: (N, F)."""
        result: torch.Tensor = self.body.get_submodule(self.backbone)(self._scaled(images))
        return result

    def _scaled(self, images: torch.Tensor) -> torch.Tensor:
        x = (images.float() - self.mean) / self.std
        height, width = (self._input_side(int(side)) for side in images.shape[-2:])
        if (height, width) != images.shape[-2:]:
            x = F.interpolate(x, size=(height, width), mode="bilinear", align_corners=False)
        return x

    def forward(self, images: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        if self.pooling is not None and images.shape[1] > self.mean.shape[1]:
            pooled: torch.Tensor = self.pooling(self, images, *beside)
            return pooled
        return self.whole(images, *beside)

    def whole(self, images: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        """What it says of single images (N, C, H, W)."""
        if self.table is not None:
            return self.said(self.features(images), *beside)
        logits: torch.Tensor = self.body(self._scaled(images))
        if logits.ndim == 4 and logits.shape[-2:] != images.shape[-2:]:
            logits = F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return logits if self.scale is None else self.scale(logits)

    def said(self, features: torch.Tensor, *beside: torch.Tensor) -> torch.Tensor:
        """What the head says of the backbone's features (N, F), and of what is known beside the images."""
        joined = features if self.table is None else self.table(features, *beside)
        logits: torch.Tensor = self.body.get_submodule("head")(joined)
        return logits if self.scale is None else self.scale(logits)

    def _input_side(self, side: int) -> int:
        return max(1, round(side * self.input_scale / self.stride)) * self.stride


def head_of(network: nn.Module, task: Task) -> nn.Module | None:
    """From a backbone's features, and the table beside them, to what the network says; None of masks, and where the
    body is more than both.
    """
    body = getattr(network, "body", None)
    if task.masks or not isinstance(network, Network) or not isinstance(body, nn.Sequential):
        return None
    if [name for name, _ in body.named_children()] != [network.backbone, "head"]:
        return None
    head = body.get_submodule("head")
    head = head if network.scale is None else nn.Sequential(head, network.scale)
    return head if network.table is None else TabledHead(network.table, head)


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Afterwards each of its modules is in training or not, as before."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


# its name is written into every exported network, whose bytes must not follow from the room it lies in
Network.__module__ = "toolkit"


def _refuse_unused(model: Model, what: str, *fields: str) -> None:
    """UserError for a field that was set and would do nothing."""
    for field in fields:
        if getattr(model, field) != getattr(Model(name=model.name), field):
            raise UserError(f"model.{field} does nothing in {what}; leave it at {getattr(Model(name=''), field)!s}")


def classifier(timm_name: str, model: Model, classes: int, channels: int) -> Network:
    """A timm backbone with pooled features and the recipe's head. classes: of the head, the task's `channels`.

    channels: of the images. Normalisation is that of the network's pretrained weights, as timm has it; see
    `make_backbone`.
    """
    _refuse_unused(model, f"the classifier {timm_name}", "encoder", "attention")
    made = make_backbone(timm_name, model, channels)
    body = nn.Sequential(OrderedDict(backbone=made.module, head=_head(model, made.module.head_hidden_size, classes)))
    return Network(body, "backbone", made.mean, made.std, model.input_scale, made.stride, made.fixed_size)


def _head(model: Model, features: int, classes: int) -> nn.Module:
    if model.head == "linear":
        return nn.Sequential(nn.Dropout(model.dropout), nn.Linear(features, classes))
    layers: list[nn.Module] = []
    for width in (512, 128):
        layers += [nn.Linear(features, width), nn.GELU(), nn.GroupNorm(16, width), nn.Dropout(model.dropout)]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def segmenter(architecture: str, model: Model, classes: int, channels: int) -> Network:
    """An smp network (Unet, Linknet, DeepLabV3Plus, Segformer) with the recipe's encoder: one of smp's own, or, by
    `tu-` and its name, one of timm's.

    classes: the task's `channels`; channels: of the images. With pretrained weights images are scaled as these ask,
    which is stored with what is trained.
    """
    _refuse_unused(model, architecture, "head", "dropout")
    options = {"decoder_attention_type": "scse"} if model.attention == "scse" else {}
    if options and architecture != "Unet":
        raise UserError(f"model.attention=scse is for a U-Net, not for {architecture}")
    try:
        body: Any = encoders.build(architecture, model, channels, {"classes": classes, **options})
    except (KeyError, RuntimeError, ValueError) as error:
        reason = f" for {architecture}: {str(error).strip().rstrip('.!')}" if isinstance(error, ValueError) else ""
        raise UserError(
            f"smp can't build the encoder {model.encoder!r}{reason}; try resnet18, resnet34 or timm-regnetx_002"
        ) from None
    stride = body.encoder.output_stride if body.requires_divisible_input_shape else 1
    mean, std = encoders.scaling(model.encoder) if model.pretrained else ((0.5,) * 3, (0.25,) * 3)
    mean, std = ([values[channel % 3] for channel in range(channels)] for values in (mean, std))
    return Network(body, "encoder", mean, std, model.input_scale, stride, stores_scaling=model.pretrained)


def from_scratch(body: nn.Module, model: Model, channels: int, stride: int) -> Network:
    """A competition's own network, which has no part that a recipe could choose and no weights but random ones."""
    if model.pretrained:
        raise UserError(f"{model.name} has no pretrained weights; set model.pretrained=false")
    _refuse_unused(model, model.name, "encoder", "attention", "head", "dropout", "drop_path")
    return Network(body, "", (0.5,) * channels, (0.25,) * channels, model.input_scale, stride)


def load_network(
    competition: Competition, recipe: Recipe, weights: Path, device: torch.device, columns: Sequence[Column] = ()
) -> nn.Module:
    """The recipe's network with trained weights, ready to predict; columns: of the table beside the images.

    UserError where the weights are gone or damaged, or the competition's code builds another network now.
    """
    bare = replace(recipe, model=replace(recipe.model, pretrained=False))  # every weight is about to be replaced
    fold, run = weights.parent, weights.parent.parent
    remedy = train_again(run, remove=fold)
    try:
        stored = load_file(checked(weights, remedy))
    except SafetensorError as error:
        raise UserError(f"{weights} is damaged ({error}); {remedy}") from None
    network: nn.Module = build_network(competition, bare, columns, in_sets=POOLING in stored)
    for name in SCALING & stored.keys():  # of the pretrained weights that it began with
        network.register_buffer(name, torch.zeros_like(stored[name]))
    try:
        network.load_state_dict(stored)
    except RuntimeError as error:
        what = str(error).strip().splitlines()[-1].strip()
        raise UserError(
            f"{weights} doesn't fit the network that build_model of {competition.name} makes of {recipe.name} now "
            f"({what}): bring back the code that it was trained by, or {train_again(run, remove=run / 'fold_*')}"
        ) from None
    return network.to(memory_format=torch.channels_last).to(device).eval()
