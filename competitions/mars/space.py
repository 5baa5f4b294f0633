"""What a search tries on mars, around the hand-made recipes."""

from dataclasses import replace

from competitions.mars.recipes import (
    ATTENTION_UNET,
    DEEPLABV3PLUS,
    LIGHT,
    REFINED_ATTENTION_UNET,
    SEGFORMER,
    SMALL_UNET,
    SMALL_UNET_MUON,
    SMALL_UNET_MUON_HALF,
    SMALL_UNET_MUON_LIGHT,
    UNET3PLUS,
    UNET_RESNET18,
    UNET_RESNET34_SCSE,
)
from toolkit import Augment, Loss, LossName, Optimizer, Recipe, Suggesting, choose, strength

# the cheapest first: a step takes 0.3, 1, 1.4, 2.1, 2.1, 2.1, 2.6, 2.8, 2.9, 4 and 4.3 times the second one's on a CPU
FIRST_TRIALS = (
    SMALL_UNET_MUON_HALF,
    SMALL_UNET,
    ATTENTION_UNET,
    SMALL_UNET_MUON,
    SMALL_UNET_MUON_LIGHT,
    DEEPLABV3PLUS,
    REFINED_ATTENTION_UNET,
    UNET3PLUS,
    UNET_RESNET18,
    UNET_RESNET34_SCSE,
    SEGFORMER,
)
BASES = {
    base.model.name: base
    for base in (
        SMALL_UNET,
        UNET_RESNET18,
        ATTENTION_UNET,
        REFINED_ATTENTION_UNET,
        UNET3PLUS,
        DEEPLABV3PLUS,
        SEGFORMER,
    )
}
LOSSES: dict[str, tuple[LossName, ...]] = {
    "focal": ("focal",),
    "cross_entropy": ("cross_entropy",),
    "focal,dice": ("focal", "dice"),
    "focal,lovasz": ("focal", "lovasz"),
}
RATES = {"adamw": (3e-4, 1e-2), "lion": (5e-5, 2e-3), "muon": (3e-4, 1e-2)}


def suggest(trial: Suggesting) -> Recipe:
    base = BASES[trial.suggest_categorical("model.name", list(BASES))]
    model = replace(base.model, input_scale=trial.suggest_float("model.input_scale", 0.5, 1.5, step=0.25))
    if model.name == "unet":
        model = replace(
            model,
            encoder=trial.suggest_categorical("model.encoder@unet", ["resnet18", "resnet34"]),
            attention=trial.suggest_categorical("model.attention@unet", ["none", "scse"]),
        )
    augment, loss, optimizer = _augment(trial), _loss(trial, base.loss), _optimizer(trial, base.optimizer)
    schedule = SMALL_UNET_MUON.schedule if optimizer.name == "muon" else base.schedule
    return replace(base, model=model, augment=augment, loss=loss, optimizer=optimizer, schedule=schedule)


def _augment(trial: Suggesting) -> Augment:
    cutmix = trial.suggest_float("augment.cutmix", 0, 1, step=0.25)
    copy_paste = trial.suggest_float("augment.copy_paste", 0, 0.6, step=0.2)

    def scaled(by: float) -> Augment:
        return replace(
            LIGHT,
            rotate=LIGHT.rotate * by,
            scale=LIGHT.scale * by,
            shift=LIGHT.shift * by,
            colour=LIGHT.colour * by,
            cutmix=cutmix,
            copy_paste=copy_paste,
        )

    return strength(trial, "augment", scaled, 0, 2, 0.5)


def _loss(trial: Suggesting, base: Loss) -> Loss:
    names = choose(trial, "loss.names", LOSSES)
    gamma = trial.suggest_float("loss.gamma@focal", 0.25, 2, step=0.25) if "focal" in names else base.gamma
    return replace(base, names=names, gamma=gamma, balance=trial.suggest_float("loss.balance", 0, 0.6, step=0.1))


def _optimizer(trial: Suggesting, base: Optimizer) -> Optimizer:
    name = trial.suggest_categorical("optimizer.name", list(RATES))
    return replace(
        base,
        name=name,
        lr=trial.suggest_float(f"optimizer.lr@{name}", *RATES[name], log=True),
        weight_decay=trial.suggest_float("optimizer.weight_decay", 1e-3, 1e-1, log=True),
    )
