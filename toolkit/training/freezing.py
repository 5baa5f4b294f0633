"""Which weights are trained when: a network's layers, and how many of them are still frozen in an epoch."""

import re
from collections.abc import Callable
from math import ceil
from typing import Any

import torch
from torch import nn

from toolkit.errors import UserError
from toolkit.networks.network import Network, modes_kept
from toolkit.networks.table import nothing_known
from toolkit.recipe import Recipe, Schedule

Layers = list[list[tuple[str, nn.Parameter]]]

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
OTHER_NORMS = re.compile(r"^(Rms|Simple|Evo|FilterResponse|FrozenBatch)Norm")  # timm's that derive from none of these


def layers(model: Network, sides: tuple[int, int] = (64, 64)) -> Layers:
    """Named parameters by layer, from the input end to the output end; the last layer is all but the backbone.

    A backbone of timm groups itself; any other is divided at its stages, in the order in which a forward
    pass reaches them. That isn't always the order of registration: a mix transformer's is another. A layer of
    vectors alone, such as a last normalisation, is part of the one below it. sides: height and width of its images.
    """
    if not has_backbone(model):
        return [list(model.named_parameters())]
    backbone: Any = model.body.get_submodule(model.backbone)
    named = dict(backbone.named_parameters())
    divided = _grouped(backbone) or _traced(model, backbone, sides)
    prefix = f"body.{model.backbone}."
    result: Layers = []
    for names in divided:
        layer = [(prefix + name, named[name]) for name in names]
        if result and all(parameter.ndim == 1 for _, parameter in layer):
            result[-1] += layer
        else:
            result.append(layer)
    inside = {name for layer in result for name, _ in layer}
    return [*result, [(name, p) for name, p in model.named_parameters() if name not in inside]]


def _grouped(backbone: Any) -> list[list[str]]:
    """Names of the backbone's parameters by layer, as timm groups them the coarse way; none where it doesn't."""
    if not hasattr(backbone, "group_matcher"):
        return []
    from timm.models import group_parameters

    try:
        matcher = backbone.group_matcher(coarse=True)
    except AssertionError:  # timm's RDNet has a fine way alone
        return []
    groups = group_parameters(backbone, matcher)
    return [groups[depth] for depth in sorted(groups)]


def _traced(model: Network, backbone: nn.Module, sides: tuple[int, int]) -> list[list[str]]:
    """Names of the backbone's parameters by stage, in the order of a forward pass."""
    stages = dict(_stages(backbone))
    order: list[str] = []

    def reached(name: str) -> Callable[..., None]:
        return lambda *_: None if name in order else order.append(name)

    hooks = [inner.register_forward_pre_hook(reached(name)) for name in stages for inner in stages[name].modules()]
    with modes_kept(model), torch.no_grad():
        black = torch.zeros(1, model.mean.shape[1], *sides, device=model.mean.device)
        model.eval()(*nothing_known(model, black))
    for hook in hooks:
        hook.remove()
    order += [name for name in stages if name not in order]
    result = [[f"{name}.{inner}" for inner, _ in stages[name].named_parameters()] for name in order]
    known = {name for stage in result for name in stage}
    result[0] += [name for name, _ in backbone.named_parameters() if name not in known]
    return result


def _stages(module: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """The parts of `module` that have parameters; a lone part, or a list that holds most of them, is divided."""
    total = len(list(module.parameters()))
    result: list[tuple[str, nn.Module]] = []
    for name, child in module.named_children():
        size = len(list(child.parameters()))
        lone = size == total and any(True for _ in child.children())
        if lone or (isinstance(child, nn.ModuleList) and size > total / 2):
            result += _stages(child, f"{prefix}{name}.")
        elif size:
            result.append((prefix + name, child))
    return result


def has_backbone(model: nn.Module) -> bool:
    """Of a plain module nobody knows, whatever it calls its parts."""
    return isinstance(model, Network) and bool(model.backbone)


def is_norm(module: nn.Module) -> bool:
    return isinstance(module, NORMS) or OTHER_NORMS.match(type(module).__name__) is not None


def require_backbone(model: Network, recipe: Recipe) -> None:
    """UserError where the recipe treats a backbone apart and the model has none."""
    schedule, optimizer = recipe.schedule, recipe.optimizer
    asked = {
        "schedule.freeze=0": schedule.freeze > 0,
        "schedule.unfreeze=at_once": schedule.unfreeze != "at_once",
        "schedule.freeze_norm=false": schedule.freeze_norm,
        "optimizer.backbone_factor=1": optimizer.backbone_factor != 1,
        "optimizer.layer_decay=1": optimizer.layer_decay != 1,
    }
    if any(asked.values()) and not has_backbone(model):
        leave = " and ".join(word for word, set_ in asked.items() if set_)
        raise UserError(f"model {recipe.model.name} has no backbone; leave {leave}")


def frozen_epochs(schedule: Schedule) -> int:
    """Epochs at the start with only the head trained: some where any are asked for, all only where all are."""
    if schedule.freeze == 1:
        return schedule.epochs
    return min(ceil(round(schedule.freeze * schedule.epochs, 6)), schedule.epochs - 1)


def frozen_layers(count: int, schedule: Schedule, epoch: int) -> int:
    """How many of the backbone's `count` layers are still frozen in `epoch`, from the input end.

    Gradual thawing (Howard and Ruder 2018) spreads them evenly over the first half of the epochs that
    follow the frozen ones.
    """
    since = epoch - frozen_epochs(schedule)
    if since < 0:
        return count
    if schedule.unfreeze == "at_once":
        return 0
    half = max(1, (schedule.epochs - frozen_epochs(schedule)) // 2)
    return max(0, count - ceil(count * (since + 1) / half))


def thawed_from(count: int, schedule: Schedule, layer: int = 0) -> int:
    """First epoch in which this of `count` layers, 0 at the input end, is not frozen; 0 if there is none."""
    return next((e for e in range(schedule.epochs) if frozen_layers(count, schedule, e) <= layer), 0)


def thaw(model: Network, by_layer: Layers, recipe: Recipe, epoch: int) -> None:
    """Make ready for an epoch: what isn't trained keeps its statistics and drops nothing.

    Every module of the backbone whose parameters are all frozen is in eval mode. With freeze_norm its
    normalisation layers are frozen throughout. `by_layer` is from `layers`.
    """
    model.train().requires_grad_(True)
    if not has_backbone(model):
        return
    backbone = model.body.get_submodule(model.backbone)
    for layer in by_layer[: frozen_layers(len(by_layer) - 1, recipe.schedule, epoch)]:
        for _, parameter in layer:
            parameter.requires_grad_(False)
    for module in backbone.modules():
        if recipe.schedule.freeze_norm and is_norm(module):
            module.requires_grad_(False).eval()
    for module in backbone.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
