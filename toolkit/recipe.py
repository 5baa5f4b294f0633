"""Everything that decides one training, as frozen dataclasses that are checked when made."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, field, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from toolkit.errors import UserError
from toolkit.outcome import counted
from toolkit.store import hash_json, read_json
from toolkit.task import Kind, Rgb, Task

RECIPE = "recipe.json"  # in the folder of a run

STRICT = ConfigDict(extra="forbid")
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
LossName = Literal[
    "cross_entropy", "focal", "dice", "lovasz", "bce", "asymmetric", "mse", "l1", "smooth_l1", "ordinal"
]
# by what a task puts out; the first is what cross_entropy stands for there: the natural one
LOSSES: dict[Kind, tuple[LossName, ...]] = {
    "classes": ("cross_entropy", "focal"),
    "labels": ("bce", "focal", "asymmetric"),
    "numbers": ("mse", "l1", "smooth_l1", "bce"),
    "grades": ("ordinal", "mse", "l1", "smooth_l1"),
}
MASK_LOSSES: tuple[LossName, ...] = ("dice", "lovasz")
# families of corruptions, as the suite of the stress score has them
Family = Literal["noise", "blur", "light", "colour", "resolution", "geometry", "occlusion"]
LIST = BeforeValidator(lambda value: [part for part in value.split(",") if part] if isinstance(value, str) else value)
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
    dropout: Share = 0.2  # before the last layer of a classifier
    pretrained: bool = False  # does training begin with weights of ImageNet or another large set?
    input_scale: Annotated[float, Field(ge=0.25, le=8)] = 1.0  # images are resized by it inside the model
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0  # stochastic depth: probability at the last residual branch


@dataclass(frozen=True, config=STRICT)
class Images:
    """How images in files are decoded for this recipe; of arrays there is one size, and `model.input_scale`."""

    size: Annotated[int, Field(ge=0, le=4096)] = 0  # of the longer side, the task's aspect kept; 0: as the task has it
    fit: Literal["letterbox", "crop", "stretch"] = "letterbox"  # of another aspect than the task's
    grow: Share = 0.0  # of the epochs, at the start, in which images grow from half their size (Howard 2018)


@dataclass(frozen=True, config=STRICT)
class Augment:
    flip: Literal["none", "horizontal", "both"] = "horizontal"  # both: vertical flips too
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0  # degrees, either way
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0  # 0.2: 0.8 to 1.2 times
    shift: Share = 0.0  # of the image's side, either way
    shear: Annotated[float, Field(ge=0, le=45)] = 0.0  # degrees
    colour: Share = 0.0  # strength of brightness, contrast, gamma and, for colour images, hue and saturation
    degrade: Share = 0.0  # probability of blur, noise, compression or a loss of resolution
    erase: Share = 0.0  # probability of missing rectangles or a grid mask
    randaugment: Count = 0  # random operations an image (Cubuk et al. 2020)
    magnitude: Share = 0.5  # of those operations, and of AugMix's
    augmix: Share = 0.0  # probability of a mixture of chains of operations (Hendrycks et al. 2020)
    mixup: Share = 0.0  # probability, a batch; not for masks
    cutmix: Share = 0.0  # probability, a batch
    copy_paste: Share = 0.0  # probability, an image, of rare classes' pixels from another; exclusive masks only
    leave_out: Annotated[tuple[Family, ...], LIST] = ()  # what is like these corruptions is not trained on

    def families(self, rgb: Rgb) -> tuple[Family, ...]:
        """The families of corruptions that it trains on, in a form of its own."""
        policies = self.randaugment > 0 or self.augmix > 0
        moved = self.rotate or self.scale or self.shift or self.shear
        trained: dict[Family, bool] = {
            "noise": self.degrade > 0,
            "blur": self.degrade > 0 or self.randaugment > 0,
            "light": self.colour > 0 or policies,
            "colour": bool(rgb) and (self.colour > 0 or self.randaugment > 0),
            "resolution": self.degrade > 0,
            "geometry": moved > 0 or policies,
            "occlusion": self.erase > 0,
        }
        return tuple(family for family, is_trained in trained.items() if is_trained and family not in self.leave_out)

    def reduced(self) -> "Augment":
        """Words that belong to one family alone are off where it is left out."""
        reduced = self
        if "geometry" in self.leave_out:
            reduced = replace(reduced, rotate=0, scale=0, shift=0, shear=0)
        return replace(reduced, erase=0) if "occlusion" in self.leave_out else reduced


@dataclass(frozen=True, config=STRICT)
class Loss:
    """cross_entropy is the natural loss of whatever a task puts out: over the softmax for classes, bce for labels, mse
    for numbers, ordinal for grades.
    """

    names: LossNames = ("cross_entropy",)  # their sum
    label_smoothing: Share = 0.0  # of the target, spread over all classes
    gamma: NotNegative = 2.0  # of the focal loss
    balance: Share = 0.0  # weights of classes, of yes and no = frequency ** -balance, from the training folds


@dataclass(frozen=True, config=STRICT)
class Optimizer:
    name: Literal["adamw", "lion", "muon"] = "adamw"  # muon: matrices by Muon, all else by AdamW
    lr: Positive = 1e-3  # the highest learning rate, reached after the warm-up
    backbone_factor: Positive = 1.0  # the backbone's or encoder's learning rate, relative to lr
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # each layer's rate relative to the one above it
    weight_decay: NotNegative = 1e-2  # decoupled from the gradient
    clip: NotNegative = 1.0  # largest gradient norm; 0: none
    accumulate: Annotated[int, Field(ge=1)] = 1  # batches an update


@dataclass(frozen=True, config=STRICT)
class Schedule:
    """Linear warm-up, then cosine decay to zero; with `average` swa no further than where the mean begins."""

    epochs: Annotated[int, Field(ge=1)] = 30  # passes over the training images of a fold
    warmup: Share = 0.1  # of all steps; what thaws later warms up as long
    freeze: Share = 0.0  # of the epochs, rounded up, at the start, with only the head trained; the last only if 1
    unfreeze: Literal["at_once", "gradual"] = "at_once"  # gradual: layer by layer from the head down
    freeze_norm: bool = False  # the backbone's normalisation layers keep their weights and statistics
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.99  # decay of the weights' moving average, 0: none
    average: Literal["ema", "swa", "soup"] = "ema"  # swa, soup: of the last epochs, kept where they gain out of fold
    patience: Count = 0  # epochs without gain before stopping, counted once nothing is frozen; 0: never


@dataclass(frozen=True, config=STRICT)
class Pseudo:
    """Test images labelled by a teacher. Fold k's student sees only what fold k's teacher predicts (Lee 2013)."""

    rounds: Count = 0  # teachers of teachers, while they gain out of fold; 0: none
    share: Annotated[float, Field(ge=0, lt=1)] = 0.5  # of the rows of an epoch
    confidence: Share = 0.5  # an image or pixel counts from this probability on, weighted by it


@dataclass(frozen=True, config=STRICT)
class Distil:
    """A blend of runs as the teacher of one network. Fold k's student sees only what the blend's networks of fold k
    say of its training images (Hinton et al. 2015).
    """

    blend: str = ""  # its name in ensemble/, or `chosen`, the one that is handed in; empty: none
    share: Annotated[float, Field(gt=0, lt=1)] = 0.5  # of the rows of an epoch, which are learnt from it


@dataclass(frozen=True, config=STRICT)
class Sets:
    """How samples that are sets of images are learnt and pooled. Values are pooled late: a training step sees one
    image of a set, a prediction is the mean or maximum over all. Features are pooled early: a step sees several.
    """

    pool: Literal["auto", "mean", "max", "features"] = "auto"  # auto: mean or max of values, by what other folds gain
    together: Annotated[int, Field(ge=0, le=256)] = 0  # images of a set in a step where features are pooled; 0: 4
    same_augment: bool = False  # are all images of a set in a step augmented by the same draw?

    @property
    def drawn(self) -> int:
        """Images of a set in a training step."""
        return (self.together or 4) if self.pool == "features" else 1


@dataclass(frozen=True, config=STRICT)
class Table:
    """What a network makes of the table beside the images, where the data have one."""

    width: Annotated[int, Field(ge=0, le=4096)] = 32  # numbers beside the backbone's features; 0: it isn't looked at
    dropout: Share = 0.1  # within what makes them


@dataclass(frozen=True, config=STRICT)
class Chosen:
    """Which search a recipe comes from: its scores on these samples were looked at among those of so many trials."""

    study: str
    trials: Annotated[int, Field(ge=1)]  # begun by then
    objective: str  # as the search was asked for it

    @property
    def words(self) -> str:
        return f"chosen among {counted(self.trials, 'trial')}"


@dataclass(frozen=True, config=STRICT)
class Recipe:
    name: Annotated[str, Field(pattern=r"^[\w-]+$")]  # part of the run's folder name
    model: Model
    augment: Augment = Augment()
    loss: Loss = Loss()
    optimizer: Optimizer = Optimizer()
    schedule: Schedule = Schedule()
    pseudo: Pseudo = Pseudo()
    distil: Distil = Distil()
    images: Images = Images()
    sets: Sets = Sets()
    table: Table = Table()
    batch_size: Annotated[int, Field(ge=2)] = 32  # images a step
    sampling: Share = 0.0  # rows are drawn by frequency ** -sampling of their class, masks by their rarest class
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"  # auto: the fastest, measured
    seed: Count = 0  # of weights, order and augmentation; runs that differ in it alone are one family in a blend
    chosen: Chosen | None = field(default=None, compare=False)  # nothing of the training: written by searches alone

    @property
    def hash(self) -> str:
        """Names the training itself: recipes that differ in name, or in where they come from, share it."""
        settings = to_dict(self)
        return hash_json({name: value for name, value in settings.items() if name not in ("name", "chosen")})


def to_dict(recipe: Recipe) -> dict[str, Any]:
    """All fields, but for `chosen` where no search chose it, and of newer fields what is as usual."""
    values = asdict(recipe)
    if not recipe.model.drop_path:
        del values["model"]["drop_path"]
    if recipe.chosen is None:
        del values["chosen"]
    if recipe.distil == Distil():
        del values["distil"]
    if recipe.images == Images():
        del values["images"]
    if recipe.sets == Sets():
        del values["sets"]
    if recipe.table == Table():
        del values["table"]
    return values


def from_dict(values: dict[str, Any]) -> Recipe:
    """UserError, naming the field, if a value doesn't fit."""
    try:
        return TypeAdapter(Recipe).validate_python(values)
    except ValidationError as error:
        unknown = [_field(each) for each in error.errors() if each["type"] == "unexpected_keyword_argument"]
        if unknown:
            raise UserError(
                f"recipe has no field {' or '.join(unknown)}; remove {'it' if len(unknown) == 1 else 'them'}"
            ) from None
        first = error.errors()[0]
        raise UserError(f"recipe field {_field(first)}: {first['msg']}, got {first['input']!r}") from None


def _field(error: Mapping[str, Any]) -> str:
    return ".".join(str(part) for part in error["loc"])


def check_fits(recipe: Recipe, task: Task) -> None:
    """UserError for words of the recipe that the task has no use for."""
    for output in task.outputs:
        names = LOSSES[output.kind]
        known = ("cross_entropy", *names, *(MASK_LOSSES if task.masks else ()))
        for name in recipe.loss.names:
            if name not in known:
                which = "masks" if task.masks else output.kind
                raise UserError(f"loss {name} is not for {which}; there are {', '.join(dict.fromkeys(known))}")
        if output.kind == "numbers":
            useless = {
                "loss.balance": recipe.loss.balance,
                "loss.label_smoothing": recipe.loss.label_smoothing,
                "sampling": recipe.sampling,
            }
            for field_name, value in useless.items():
                if value:
                    raise UserError(f"{field_name} does nothing for numbers, which have no classes; set it to 0")
    if recipe.augment.copy_paste and not (task.masks and task.exclusive) and not _plain(task):
        raise UserError("augment.copy_paste is for masks that exclude each other; set it to 0")
    if recipe.distil.blend:
        _check_distilled(recipe)
        if recipe.schedule.freeze == 1 and not task.masks:
            raise UserError("distil.blend teaches no head trained on features alone: set schedule.freeze below 1")
    if recipe.sets != Sets() and task.masks:
        raise UserError("samples that are sets of images have no masks; leave out sets.…")
    if recipe.sets.pool != "features" and (recipe.sets.together > 1 or recipe.sets.same_augment):
        word = "together" if recipe.sets.together > 1 else "same_augment"
        raise UserError(
            f"sets.{word} is for sets.pool=features; a step sees one image of a set where values are pooled"
        )


def _check_distilled(recipe: Recipe) -> None:
    """UserError for what can't be together with a blend as the teacher."""
    schedule, alone = recipe.schedule, "distil.blend is a teacher of single images, and the only one"
    if recipe.sets != Sets() or recipe.pseudo.rounds:
        raise UserError(f"{alone}: leave out sets.… and pseudo.rounds")
    if schedule.patience or schedule.average == "soup":
        raise UserError(
            "schedule.patience and schedule.average=soup choose by training samples, whose labels the teacher of "
            "distil.blend has learnt; set schedule.patience=0 and schedule.average=ema"
        )


def check_sizes(images: Images, task: Task, code: bool) -> None:
    """UserError for images that the task, or a submission of code, can't have."""
    if task.masks and images.fit != "letterbox":
        raise UserError("images.fit is letterbox for masks, which lie in their image as it was fitted to the task")
    if code and (images.size or images.fit != "letterbox"):
        raise UserError(
            "a code submission gets images of the task's size; leave images.size and images.fit, set model.input_scale"
        )


def _plain(task: Task) -> bool:
    """Is it one label per image? Its recipes have always been taken with words for masks, which do nothing."""
    return task.exclusive and not task.masks


def read_recipe(path: Path) -> Recipe:
    """The recipe in a file; UserError, naming the file, where there is none or a value doesn't fit."""
    values = read_json(path, kind=object)
    if not isinstance(values, dict):
        raise UserError(f"{path} holds no recipe: expected a JSON object of its fields, as in a run's recipe.json")
    try:
        return from_dict(values)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def stored_choice(path: Path) -> Chosen | None:
    """The search that a recipe's file names."""
    return read_recipe(path).chosen if path.exists() else None


@lru_cache(maxsize=8)  # each run asks all others
def choices_in(train: Path, changed: int) -> dict[str, list[tuple[Path, Chosen]]]:
    """By search the folders of its runs in one folder, by name; changed: when one came or went. Who writes a recipe
    clears the cache.
    """
    found: dict[str, list[tuple[Path, Chosen]]] = {}
    for path in sorted(train.glob(f"[!.]*/{RECIPE}")):
        if (chosen := stored_choice(path)) is not None:
            found.setdefault(chosen.study, []).append((path.parent, chosen))
    return found


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
            target = target.setdefault(parent, {})  # left out where all of it is as usual
        _expect(leaf, part, name)
        if is_dataclass(getattr(part, leaf)):
            known = ", ".join(f"{name}.{f.name}" for f in fields(getattr(part, leaf)))
            raise UserError(f"recipe field {name} is a group; set one of {known}")
        target[leaf] = value
    return from_dict(values)


def assignments(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Fields given in Python (`optimizer__lr=1e-3`) as on the command line, for `override`."""
    return tuple(f"{name.replace('__', '.')}={_text(value)}" for name, value in values.items())


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _expect(leaf: str, part: Any, name: str) -> None:
    known = [f.name for f in fields(part) if f.compare] if is_dataclass(part) else []
    if leaf not in known:
        from toolkit.recipe_fields import fields_meant  # which imports this

        near = [name.removesuffix(leaf) + one for one in get_close_matches(leaf, known, 1)]
        meant = " or ".join(fields_meant(name) or near)
        if meant:
            raise UserError(f"recipe has no field {name!r}; did you mean {meant}?")
        raise UserError(f"recipe has no field {name!r}; there {'are ' + ', '.join(known) if known else 'is none'}")


def with_epochs(recipe: Recipe, epochs: int) -> Recipe:
    return replace(recipe, schedule=replace(recipe.schedule, epochs=epochs))
