"""Which optimiser updates which weights, at what rate."""

import fnmatch
from math import cos, inf, pi
from typing import Any

import torch
from torch import nn

from toolkit.networks.network import Network, modes_kept
from toolkit.networks.table import nothing_known
from toolkit.recipe import Recipe
from toolkit.training.freezing import has_backbone, layers, require_backbone, thawed_from


def build_optimizer(
    model: Network, recipe: Recipe, sides: tuple[int, int] = (64, 64), channels: int = 3
) -> torch.optim.Optimizer:
    """The recipe's optimiser. Each group's learning rate is to be set before a step: `lr * group["factor"]` times the
    `lr_factor` of weights that are trained from epoch `group["begins"]` on.

    `factor` is 1 for the head and backbone_factor * layer_decay ** depth in the backbone, whose last layer
    has depth 1. Norms, biases and what timm exempts have no weight decay. AdamW is PyTorch's. Lion (Chen et
    al. 2023) is timm's and wants a learning rate 3 to 10 times lower, a weight decay as much higher. Muon
    (Jordan et al. 2024) is timm's, as PyTorch's takes no convolutions: for all matrices but those of the first
    layer and of the layers that give logits, its steps scaled to AdamW's size (Liu et al. 2025), AdamW for the rest.
    On a CPU an update of ResNet-18 by Muon took 0.5 s, by the others 0.013 s, a batch of 32 at 96 x 96 0.35 s
    (bfloat16, one thread). sides: height and width of an image, for a look at which layers those are; channels:
    its own, of a plain module, which doesn't say.

    Raises UserError where the recipe treats a backbone apart and the model has none.
    """
    require_backbone(model, recipe)
    settings = recipe.optimizer
    exempt = _exempt(model)
    by_layer = layers(model, sides)
    hidden = _hidden(model, (channels, *sides)) if settings.name == "muon" else set[nn.Parameter]()
    groups: dict[tuple[float, int, bool, bool], list[nn.Parameter]] = {}
    count = len(by_layer) - 1
    for depth, layer in enumerate(reversed(by_layer)):
        factor = settings.backbone_factor * settings.layer_decay**depth if depth else 1.0
        begins = thawed_from(count, recipe.schedule, count - depth) if depth else 0
        for name, parameter in layer:
            decayed = parameter.ndim > 1 and name not in exempt
            groups.setdefault((factor, begins, decayed, parameter in hidden), []).append(parameter)
    made: list[dict[str, Any]] = [
        {
            "params": parameters,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "factor": factor,
            "begins": begins,
            "lr": settings.lr * factor,
        }
        | (_muon(orthogonal) if settings.name == "muon" else {})
        for (factor, begins, decayed, orthogonal), parameters in groups.items()
    ]
    if settings.name == "adamw":
        return torch.optim.AdamW(made, fused=True)
    from timm.optim import Lion, Muon

    return Lion(made) if settings.name == "lion" else Muon(made)


def _exempt(model: Network) -> set[str]:
    """Names of parameters with more than one axis that timm leaves without weight decay: tokens, positions."""
    if not has_backbone(model):
        return set()
    backbone: Any = model.body.get_submodule(model.backbone)
    patterns = backbone.no_weight_decay() if hasattr(backbone, "no_weight_decay") else ()
    names = [name for name, _ in backbone.named_parameters()]
    return {f"body.{model.backbone}.{name}" for pattern in patterns for name in fnmatch.filter(names, pattern)}


def _hidden(model: Network, shape: tuple[int, int, int]) -> set[nn.Parameter]:
    """The matrices but for those of the ends; depthwise filters and tokens are none."""
    ends = {p for module in _ends(model, shape) for p in module.parameters(recurse=False)}
    return {p for p in model.parameters() if p.ndim > 1 and min(p.shape[:2]) > 1 and p not in ends}


def _ends(model: Network, shape: tuple[int, int, int]) -> set[nn.Module]:
    """The modules with matrices of their own that see the image first, or whose results no other has on the way to
    the logits: a network may add up several such. shape: channels (a `Network` knows its own), height and width."""
    ran: list[nn.Module] = []
    made_by: dict[Any, list[nn.Module]] = {}  # by the node of the graph that stands for the result

    def ended(module: nn.Module, _: Any, result: Any) -> None:
        ran.append(module)
        for each in result if isinstance(result, tuple) else (result,):
            if isinstance(each, torch.Tensor):
                made_by.setdefault(each.grad_fn, []).append(module)

    owners = [m for m in model.modules() if any(p.ndim > 1 for p in m.parameters(recurse=False))]
    hooks = [module.register_forward_hook(ended) for module in owners]
    with modes_kept(model), torch.enable_grad():
        channels = model.mean.shape[1] if isinstance(model, Network) else shape[0]
        black = torch.zeros(1, channels, *shape[1:], device=next(model.parameters()).device)
        logits = model.eval()(*nothing_known(model, black))
    for hook in hooks:
        hook.remove()
    ends, seen, waiting = set(ran[:1]), {None}, [logits.grad_fn]
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if node in made_by:
            ends.update(made_by[node])
        else:
            waiting += [before for before, _ in node.next_functions]
    return ends


def _muon(orthogonal: bool) -> dict[str, Any]:
    """Options of a group: timm's Muon takes AdamW's from the same fields, and NAdamW's rule with `nesterov`."""
    if orthogonal:
        return {"use_muon": True, "nesterov": True}
    return {"use_muon": False, "nesterov": False, "betas": (0.9, 0.999), "eps": 1e-8}


def layout_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """A network's tensors, and which of them the optimiser updates how.

    An older version may have grouped them otherwise; PyTorch would refuse that, or take its options over.
    """
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = [
        {option: value for option, value in group.items() if option not in ("params", "lr")}
        | {"names": [names[parameter] for parameter in group["params"]]}
        for group in optimizer.param_groups
    ]
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    return {"model": shapes, "optimizer": type(optimizer).__name__, "groups": groups}


def lr_factor(step: int, total: int, warmup: float, begins: int = 0, held: float = inf) -> float:
    """Linear warm-up over `warmup` of all steps, then a cosine to zero.

    begins: the step from which on the weights are trained. What thaws later warms up as long, below the same cosine:
    its optimiser knows nothing of it yet. held: the step from which on the cosine stays as it is.
    """
    rise = round(warmup * total)
    risen = min(1.0, max(0, step - begins + 1) / (rise + 1))
    return risen * 0.5 * (1 + cos(pi * max(0, min(step, held) - rise) / max(1, total - rise)))
