"""Segmentation networks of smp, with encoders that smp or timm have weights of."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toolkit.errors import UserError
from toolkit.networks.backbones import timm_options
from toolkit.networks.pretrained import (
    INSTALLED_WEIGHTS,
    cached,
    fitted,
    from_file,
    from_hub,
    packaged_weights,
    tensors_in,
    timm_weights,
    was_asked,
)
from toolkit.recipe import Model
from toolkit.weight_files import Wanted, find

Values = Sequence[float]
IMAGENET: tuple[Values, Values] = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# smp's encoders of which the images were scaled otherwise, by how their names begin; timm has the same weights
SCALED_AS = {
    "dpn": "dpn68",
    "inceptionresnetv2": "inception_resnet_v2",
    "inceptionv4": "inception_v4",
    "timm-tf_efficientnet_lite": "tf_efficientnet_lite0",
    "xception": "legacy_xception",
}


def build(architecture: str, model: Model, channels: int, options: Mapping[str, Any]) -> nn.Module:
    """smp's network of this architecture; options: of smp. UserError where weights can't be had, or for stochastic
    depth in an encoder without.
    """
    import segmentation_models_pytorch as smp  # a trained network runs where it isn't installed

    make, name = getattr(smp, architecture, None), timm_name(model.encoder)
    if make is None:
        raise UserError(f"smp has no architecture {architecture!r}; there are Unet, Linknet, DeepLabV3Plus, Segformer")
    if name:
        options = {**options, **timm_options(name, model.drop_path)}
    elif model.drop_path:
        raise UserError(
            f"model.drop_path does nothing in smp's own encoder {model.encoder}; leave it at 0.0, or take one of "
            "timm's, such as tu-convnext_tiny"
        )
    made: nn.Module
    if not model.pretrained:
        made = make(model.encoder, encoder_weights=None, in_channels=channels, **options)
    elif name:
        made = _of_timm(make, model.encoder, name, channels, options)
    else:
        made = _of_smp(make, model.encoder, channels, options)
    return made


def timm_name(encoder: str) -> str:
    """timm's own name of an encoder, empty where it is one of smp's."""
    from segmentation_models_pytorch.encoders import is_equivalent_to_timm_universal

    if encoder.startswith("tu-"):
        return encoder.removeprefix("tu-")
    if not is_equivalent_to_timm_universal(encoder):
        return ""
    bare = encoder.removeprefix("timm-")
    return f"tf_{bare}" if "mobilenetv3" in bare else bare


def scaling(encoder: str) -> tuple[Values, Values]:
    """Mean and standard deviation, red, green and blue on the scale 0..1, of the images of its pretrained weights."""
    import timm

    twin = timm_name(encoder) or next((name for start, name in SCALED_AS.items() if encoder.startswith(start)), "")
    config = timm.get_pretrained_cfg(twin) if twin else None
    return IMAGENET if config is None else (config.mean, config.std)


def smp_weights(encoder: str) -> Wanted:
    """Those of one of smp's own encoders; UserError where it has none."""
    return Wanted(f"encoder {encoder}", (f"{encoder}.imagenet", encoder), _settings(encoder)["repo_id"])


def _settings(encoder: str) -> dict[str, str]:
    from segmentation_models_pytorch.encoders import encoders

    found: dict[str, dict[str, str]] = encoders[encoder]["pretrained_settings"]
    if "imagenet" not in found:
        raise UserError(f"smp has no ImageNet weights of the encoder {encoder}; set model.pretrained=false")
    return found["imagenet"]


def _of_timm(make: Any, encoder: str, name: str, channels: int, options: Mapping[str, Any]) -> Any:
    wanted = timm_weights(name)
    file, asked = find(wanted), was_asked(wanted)
    overlay: dict[str, Any] = {}
    if not asked and file is None and name in INSTALLED_WEIGHTS:
        overlay = {"state_dict": packaged_weights(name)}
    elif not asked and (file := file or cached(wanted)) is not None:
        with torch.random.fork_rng(devices=[]):
            from_file(name, file, channels, {})  # as a part of it, timm would take any file
        overlay = {"file": str(file)}
    if overlay:
        options = {**options, "pretrained_cfg_overlay": overlay}
    if asked or overlay:
        with _head_unmissed():
            made = make(encoder, encoder_weights=None if asked else True, in_channels=channels, **options)
        for config in (made.encoder.model.pretrained_cfg, made.encoder.model.default_cfg):
            config.pop("state_dict", None)  # a second copy of all weights
        return made
    with from_hub(wanted), _head_unmissed():
        return make(encoder, encoder_weights=True, in_channels=channels, **options)


@contextmanager
def _head_unmissed() -> Iterator[None]:
    """Within it timm doesn't warn of tensors that an encoder has no place for."""
    log = logging.getLogger("timm.models._builder")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)


def _of_smp(make: Any, encoder: str, channels: int, options: Mapping[str, Any]) -> Any:
    """Loaded for red, green and blue, as they were trained; then the first layer is made one for other channels."""
    wanted, name = smp_weights(encoder), encoder.removeprefix("timm-")
    if was_asked(wanted):
        return make(encoder, encoder_weights=None, in_channels=channels, **options)
    file = find(wanted)
    packaged = file is None and name in INSTALLED_WEIGHTS
    if file is None and not packaged:
        file = cached(wanted, _settings(encoder)["revision"])
    if file is None and not packaged:
        with from_hub(wanted):
            return make(encoder, encoder_weights="imagenet", in_channels=channels, **options)
    made = make(encoder, encoder_weights=None, in_channels=3, **options)
    _load(made.encoder, packaged_weights(name) if file is None else file, encoder)
    made.encoder.set_in_channels(channels, pretrained=True)
    return made


def _load(encoder: Any, weights: "dict[str, torch.Tensor] | Path", name: str) -> None:
    if not isinstance(weights, Path):
        encoder.load_state_dict(weights)
        return
    fitted(lambda: encoder.load_state_dict(tensors_in(weights)), weights, f"encoder {name}")
