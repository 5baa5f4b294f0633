"""timm's networks as backbones: for images of any number of channels and, where they can, of any size."""

import inspect
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch

from toolkit.errors import UserError, listed
from toolkit.networks.pretrained import pretrained_backbone
from toolkit.recipe import Model


@dataclass(frozen=True)
class Backbone:
    """A timm network without its classifier. mean, std: of a channel of its images, on the scale 0..1; stride: what
    each side of an image is to be a multiple of; fixed_size: height and width where it takes no others.
    """

    module: Any
    mean: list[float]
    std: list[float]
    stride: int = 1
    fixed_size: tuple[int, int] | None = None


def make_backbone(timm_name: str, model: Model, channels: int) -> Backbone:
    """With the recipe's stochastic depth, and pretrained where the recipe asks so; UserError where weights can't be
    had.

    channels: of the images; pretrained filters of the first layer are for red, green and blue, and are summed for grey
    and repeated for others, as timm does, and so are mean and std. A transformer of one image size takes others too:
    its embeddings of positions are resampled to each batch's, as timm does once when it is asked for that size, and
    windows that reach beyond an image are filled up.
    """
    import timm

    _check_known(timm_name)
    options = timm_options(timm_name, model.drop_path)
    if model.pretrained:
        made: Any = pretrained_backbone(timm_name, channels, options)
    else:
        made = timm.create_model(timm_name, in_chans=channels, **options)
    made.reset_classifier(0)
    config = made.pretrained_cfg
    mean, std = ([config[name][channel % 3] for channel in range(channels)] for name in ("mean", "std"))
    if not config.get("fixed_input_size"):
        return Backbone(made, mean, std)
    if options.keys() <= {"drop_path_rate"}:
        height, width = config["input_size"][1:]
        return Backbone(made, mean, std, fixed_size=(height, width))
    return Backbone(made, mean, std, stride=int(made.patch_embed.feat_ratio()))


def _check_known(timm_name: str) -> None:
    """UserError for a network, or weights of it, that timm doesn't know."""
    import timm

    name, _, weights = timm_name.partition(".")
    if ":" in timm_name:  # in a folder or on the hub, where timm looks for it for half a minute
        raise UserError(
            f"{timm_name} is an address: name the network as timm.list_models() does, and say --weights FOLDER for a "
            "folder with a file of its weights"
        )
    if not timm.is_model(name):
        near = get_close_matches(name.lower(), timm.list_models(), 3)
        meant = f"did you mean {listed(near)}?" if near else "timm.list_models() has all"
        raise UserError(f"timm has no network {timm_name!r}; {meant}")
    try:
        timm.get_pretrained_cfg(timm_name)
    except RuntimeError:
        known = [one.partition(".")[2] for one in timm.list_pretrained(f"{name}.*")]
        raise UserError(f"timm has no weights {weights!r} of {name}; there are {listed(known) or 'none'}") from None


def timm_options(timm_name: str, drop_path: float) -> dict[str, Any]:
    """What timm is asked for beyond the name: images of any size, where it can, and stochastic depth (Huang et al.
    2016), whose probability rises from 0 at the first residual branch to `drop_path` at the last. UserError for
    networks that have none.
    """
    import timm

    config = timm.get_pretrained_cfg(timm_name)
    fixed = config is not None and config.fixed_input_size
    if not fixed and not drop_path:
        return {}
    known, options = _options_of(timm_name), dict[str, Any]()
    if fixed and "dynamic_img_size" in known:
        options["dynamic_img_size"] = True
    if drop_path:
        if "drop_path_rate" not in known:
            raise UserError(
                f"model.drop_path does nothing in {timm_name}, for which timm has no stochastic depth; leave it at 0.0"
            )
        options["drop_path_rate"] = drop_path
    return options


def _options_of(timm_name: str) -> set[str]:
    """Names of the options that the network's class takes, its bases included."""
    import timm

    with torch.random.fork_rng(devices=[]), torch.device("meta"):  # without memory, and without draws of ours
        made = type(timm.create_model(timm_name))
    bases = [base for base in made.__mro__ if "__init__" in vars(base) and base is not torch.nn.Module]
    return {name for base in bases for name in inspect.signature(vars(base)["__init__"]).parameters}
