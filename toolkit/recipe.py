"""Everything that decides one training, as frozen dataclasses that are checked when made."""

from collections.abc import Iterable
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from toolkit.errors import UserError
from toolkit.store import hash_json

STRICT = ConfigDict(extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
LossName = Literal["cross_entropy", "focal", "dice", "jaccard", "lovasz"]
LossNames = Annotated[
    tuple[LossName, ...],
    Field(min_length=1),
    BeforeValidator(lambda value: value.split(",") if isinstance(value, str) else value),
]


@dataclass(frozen=True, config=STRICT)
class Model:
    name: str  # a key of the competition's models
    encoder: str = "resnet18"  # for segmentation models that have one
    attention: Literal["none", "scse"] = "none"  # in the decoder of a U-Net
    head: Literal["linear", "mlp"] = "linear"  # of a classifier; mlp: 512 and 128 units
    dropout: Share = 0.2
    pretrained: bool = False
    input_scale: Annotated[float, Field(ge=0.25, le=8)] = 1.0  # images are resized by it inside the model


@dataclass(frozen=True, config=STRICT)
class Augment:
    flip: Literal["none", "horizontal", "both"] = "horizontal"
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, either way
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0  # 0.2: 0.8 to 1.2 times
    shift: Share = 0.0  # of the image's side, either way
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0  # degrees
    colour: Share = 0.0  # strength of brightness, contrast, gamma and, for colour images, hue and saturation
    degrade: Share = 0.0  # probability of blur, noise, compression or a loss of resolution
    erase: Share = 0.0  # probability of missing rectangles or a grid mask
    mixup: Share = 0.0  # probability, a batch; classification only
    cutmix: Share = 0.0  # probability, a batch


@dataclass(frozen=True, config=STRICT)
class Loss:
    names: LossNames = ("cross_entropy",)  # their sum
    label_smoothing: Share = 0.0
    gamma: NotNegative = 2.0  # of the focal loss
    balance: Share = 0.0  # class weights = frequency ** -balance, from the training folds


@dataclass(frozen=True, config=STRICT)
class Optimizer:
    """AdamW."""

    lr: Positive = 1e-3
    backbone_factor: Positive = 1.0  # the backbone's or encoder's learning rate, relative to lr
    weight_decay: NotNegative = 1e-2
    clip: NotNegative = 1.0  # largest gradient norm; 0: none


@dataclass(frozen=True, config=STRICT)
class Schedule:
    """Linear warm-up, then cosine decay to zero."""

    epochs: Annotated[int, Field(ge=1)] = 30
    warmup: Share = 0.1  # of all steps
    freeze: Share = 0.0  # of the epochs, at the start, with only the head trained
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99  # decay of the weights' moving average, 0: none
    patience: Count = 0  # epochs without gain before stopping, counted once nothing is frozen; 0: never
    stop_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.1  # of the training folds, watched for stopping


@dataclass(frozen=True, config=STRICT)
class Recipe:
    name: Annotated[str, Field(pattern=r"^[\w-]+$")]  # part of the run's folder name
    model: Model
    augment: Augment = Augment()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    batch_size: Annotated[int, Field(ge=2)] = 32
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 on a GPU
    seed: Count = 0

    @property
    def hash(self) -> str:
        """Names the training itself: recipes that differ in name alone share it."""
        settings = to_dict(self)
        del settings["name"]
        return hash_json(settings)


def to_dict(recipe: Recipe) -> dict[str, Any]:
    return asdict(recipe)


def from_dict(values: dict[str, Any]) -> Recipe:
    """UserError, naming the field, if a value doesn't fit."""
    try:
        return TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise UserError(f"recipe field {field}: {first['msg']}, got {first['input']!r}") from None


def override(recipe: Recipe, assignments: Iterable[str]) -> Recipe:
    """`recipe` with fields replaced, each assignment as on the command line: `optimizer.lr=1e-3`.

    Raises UserError for a name that doesn't exist, saying which do, or a value that doesn't fit.
    """
    values = to_dict(recipe)
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise UserError(f"{assignment!r} is not an override; write recipe.field=value, such as optimizer.lr=1e-3")
        part: Any = recipe
        target = values
        *parents, leaf = name.split(".")
        for parent in parents:
            _expect(parent, part, name)
            part = getattr(part, parent)
            target = target[parent]
        _expect(leaf, part, name)
        if is_dataclass(getattr(part, leaf)):
            known = ", ".join(f"{name}.{f.name}" for f in fields(getattr(part, leaf)))
            raise UserError(f"recipe field {name} is a group; set one of {known}")
        target[leaf] = value
    return from_dict(values)


def _expect(field: str, part: Any, name: str) -> None:
    known = [f.name for f in fields(part)] if is_dataclass(part) else []
    if field not in known:
        raise UserError(f"recipe has no field {name!r}; there {'are ' + ', '.join(known) if known else 'is none'}")


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    return replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
