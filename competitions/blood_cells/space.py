"""What a search tries on blood_cells, around the hand-made recipes.

Networks whose ImageNet weights would have to be fetched are left out; those in timm's cache take part.
"""

from dataclasses import replace
from functools import cache

from competitions.blood_cells.recipes import AGGRESSIVE, LITE0, RECIPES, RESNET18
from toolkit import Augment, Loss, LossName, Model, Optimizer, Recipe, Schedule, Suggesting, choose, strength

# Only a head, on features that are computed once and shared: a trial takes seconds.
HEAD_EPOCHS = 30
HEAD_MLP = replace(
    LITE0,
    name="efficientnet_lite0_head",
    model=replace(LITE0.model, head="mlp"),
    optimizer=replace(LITE0.optimizer, lr=1e-3),
    schedule=replace(LITE0.schedule, epochs=HEAD_EPOCHS, freeze=1),
)
HEAD_LINEAR = replace(
    HEAD_MLP,
    name="efficientnet_lite0_linear",
    model=LITE0.model,
    optimizer=replace(LITE0.optimizer, lr=5e-3),
)
FIRST_TRIALS = (
    HEAD_MLP,
    HEAD_LINEAR,
    LITE0,
    *(recipe for recipe in RECIPES.values() if recipe not in (LITE0, RESNET18)),
    RESNET18,
)
BASES = {recipe.model.name: recipe for recipe in RECIPES.values()}
LOSSES: dict[str, tuple[LossName, ...]] = {"cross_entropy": ("cross_entropy",), "focal": ("focal",)}
RATES = {"adamw": (3e-4, 1e-2), "lion": (3e-5, 1e-3)}


def suggest(trial: Suggesting) -> Recipe:
    base = BASES[trial.suggest_categorical("model.name", networks())]
    model = replace(base.model, dropout=trial.suggest_float("model.dropout", 0, 0.5, step=0.1))
    model = replace(model, head=trial.suggest_categorical("model.head", ["linear", "mlp"]))
    loss = _loss(trial, base.loss)
    schedule = _schedule(trial, base.schedule) if model.pretrained else base.schedule
    if schedule.freeze == 1:  # features are shared as long as images are augmented and scaled alike
        rate = trial.suggest_float("optimizer.lr@head", 3e-4, 2e-2, log=True)
        return replace(base, model=model, loss=loss, schedule=schedule, optimizer=replace(base.optimizer, lr=rate))
    return replace(
        base,
        model=replace(model, input_scale=trial.suggest_float("model.input_scale@all", 0.75, 1.5, step=0.25)),
        augment=_augment(trial),
        loss=loss,
        schedule=schedule,
        optimizer=_optimizer(trial, base.optimizer, model),
    )


@cache
def networks() -> tuple[str, ...]:
    """Those that can be built here without a network, the default first."""
    from competitions.blood_cells.models import TIMM_NAMES
    from toolkit import has_weights

    return tuple(name for name, base in BASES.items() if not base.model.pretrained or has_weights(TIMM_NAMES[name]))


def _schedule(trial: Suggesting, base: Schedule) -> Schedule:
    """How much of the training is the head's alone: 1 is all of it."""
    freeze = trial.suggest_categorical("schedule.freeze", [0.0, 0.1, 0.3, 0.5, 1.0])
    return replace(base, freeze=freeze, epochs=HEAD_EPOCHS if freeze == 1 else base.epochs)


def _augment(trial: Suggesting) -> Augment:
    mixup = trial.suggest_float("augment.mixup@all", 0, 0.6, step=0.2)
    cutmix = trial.suggest_float("augment.cutmix@all", 0, 0.6, step=0.1)
    augmix = trial.suggest_float("augment.augmix@all", 0, 0.5, step=0.25)

    def scaled(by: float) -> Augment:
        return replace(
            AGGRESSIVE,
            scale=AGGRESSIVE.scale * by,
            shift=AGGRESSIVE.shift * by,
            shear=AGGRESSIVE.shear * by,
            colour=AGGRESSIVE.colour * by,
            degrade=AGGRESSIVE.degrade * by,
            erase=AGGRESSIVE.erase * by,
            mixup=mixup,
            cutmix=cutmix,
            augmix=augmix,
        )

    return strength(trial, "augment@all", scaled, 0.25, 1.5, 0.25)


def _loss(trial: Suggesting, base: Loss) -> Loss:
    return replace(
        base,
        names=choose(trial, "loss.names", LOSSES),
        label_smoothing=trial.suggest_float("loss.label_smoothing", 0, 0.2, step=0.05),
        balance=trial.suggest_float("loss.balance", 0, 0.5, step=0.25),
    )


def _optimizer(trial: Suggesting, base: Optimizer, model: Model) -> Optimizer:
    name = trial.suggest_categorical("optimizer.name@all", list(RATES))
    factor = base.backbone_factor
    if model.pretrained:
        factor = trial.suggest_float("optimizer.backbone_factor@pretrained", 5e-3, 1, log=True)
    return replace(
        base,
        name=name,
        lr=trial.suggest_float(f"optimizer.lr@{name}", *RATES[name], log=True),
        backbone_factor=factor,
        weight_decay=trial.suggest_float("optimizer.weight_decay@all", 1e-4, 1e-1, log=True),
    )
