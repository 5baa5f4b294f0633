"""What is predicted: of an image or of each pixel, as classes, yes/no labels, numbers or grades.

A task says what its outputs are. The network's head, the loss, what is stored, averaged and decoded, and what folds
keep even follow from it.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

IGNORED = 255  # a mask value that belongs to no class: padding, never scored and never learnt
MISSING = -1  # a label that nobody gave: neither learnt nor scored; of numbers that is NaN
UNKNOWN = -1  # of an identity: none of those that are known
MATRICES = 20  # classes of an image up to which a sample is counted in a confusion matrix of its own
MOST_MASKS = 7  # labels of overlapping masks, a bit of a byte each, so that IGNORED stays apart

Kind = Literal["classes", "labels", "numbers", "grades"]
Rgb = tuple[int, ...]  # the channels of an image that are red, green and blue; () where none are


@dataclass(frozen=True)
class Output:
    """Channels of a network that belong together.

    classes: one of `names`, by softmax. labels: each of `names` or not, by sigmoid. numbers: a value each.
    grades: one of `names` in their order; a channel each but for the lowest has the probability of being above the one
    before it (Frank & Hall 2001).
    """

    kind: Kind
    names: tuple[str, ...]
    weight: float = 1.0  # in the loss, beside other outputs

    @property
    def channels(self) -> int:
        return len(self.names) - (self.kind == "grades")


class Task:
    """Base of all tasks. image_shape: height, width, channels; classes: names of what is predicted, of all outputs."""

    image_shape: tuple[int, int, int]
    classes: tuple[str, ...]

    @property
    def outputs(self) -> tuple[Output, ...]:
        """Side by side, in the order of the network's channels."""
        raise NotImplementedError

    @property
    def channels(self) -> int:
        """Of the network's logits and of what is stored: values (N, channels, ...)."""
        return sum(output.channels for output in self.outputs)

    @property
    def spans(self) -> list[slice]:
        """The channels of each output."""
        ends = [0]
        for output in self.outputs:
            ends.append(ends[-1] + output.channels)
        return [slice(*pair) for pair in pairwise(ends)]

    @property
    def masks(self) -> bool:
        """Is each pixel predicted, not the image as a whole?"""
        return False

    @property
    def exclusive(self) -> bool:
        """Is it one of several classes, an image or a pixel: what confusion matrices describe?"""
        return False


@dataclass(frozen=True)
class Classification(Task):
    """One label an image. Targets: int64 (N,).

    unknown: what a submission calls an image that shows none of the classes (of identities: somebody new), whose
    target is UNKNOWN; None: there are none.
    """

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    unknown: str | None = None

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output("classes", self.classes),)

    @property
    def exclusive(self) -> bool:
        return True


@dataclass(frozen=True)
class Segmentation(Task):
    """One label a pixel. Targets: uint8 (N, H, W)."""

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output("classes", self.classes),)

    @property
    def masks(self) -> bool:
        return True

    @property
    def exclusive(self) -> bool:
        return True


@dataclass(frozen=True)
class Labels(Task):
    """Several yes/no labels an image, none or many of them at once. Targets: int8 (N, L), 0, 1 or MISSING."""

    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.labels

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output("labels", self.labels),)


@dataclass(frozen=True)
class OverlappingMasks(Task):
    """Several masks an image that may overlap, each may be empty.

    Targets: uint8 (N, H, W), bit l set where label l is; IGNORED: not scored. At most MOST_MASKS labels.
    """

    labels: tuple[str, ...]
    image_shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        if len(self.labels) > MOST_MASKS:
            raise ValueError(f"{len(self.labels)} overlapping masks an image; at most {MOST_MASKS} are supported")

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.labels

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output("labels", self.labels),)

    @property
    def masks(self) -> bool:
        return True


@dataclass(frozen=True)
class Numbers(Task):
    """Numbers an image. Targets: float32 (N, T), NaN where one is missing.

    low, high: what a number never is below or above; with both, a loss may take it for a share of the way.
    """

    targets: tuple[str, ...]
    image_shape: tuple[int, int, int]
    low: float | None = None
    high: float | None = None

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.targets

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output("numbers", self.targets),)


@dataclass(frozen=True)
class Grades(Task):
    """One of several grades in their order, an image. Targets: int64 (N,)."""

    grades: tuple[str, ...]
    image_shape: tuple[int, int, int]

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.grades

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output("grades", self.grades),)


@dataclass(frozen=True)
class Heads(Task):
    """Several labels an image, each one of its own classes. Targets: int64 (N, heads), MISSING where one is.

    heads: name of each, its classes; weights: in the loss, equal if none are given.
    """

    heads: tuple[tuple[str, tuple[str, ...]], ...]
    image_shape: tuple[int, int, int]
    weights: tuple[float, ...] = ()

    @property
    def outputs(self) -> tuple[Output, ...]:
        weights = self.weights or (1.0,) * len(self.heads)
        return tuple(
            Output("classes", classes, weight) for (_, classes), weight in zip(self.heads, weights, strict=True)
        )

    @property
    def classes(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"{name} {one}" for name, classes in self.heads for one in classes)


def check_task(task: Task) -> None:
    """ValueError, one sentence, for a task whose outputs can't be told apart, or that leaves nothing to predict."""
    kind = type(task).__name__
    if len(task.image_shape) != 3:
        raise ValueError(f"{kind} has image_shape={task.image_shape}, expected (height, width, channels)")
    if isinstance(task, Heads) and task.weights and len(task.weights) != len(task.heads):
        raise ValueError(f"{kind} has {len(task.weights)} weights for {len(task.heads)} heads")
    if isinstance(task, Numbers) and None not in (task.low, task.high) and not task.low < task.high:  # type: ignore[operator]
        raise ValueError(f"{kind} has low={task.low:g} and high={task.high:g}, expected low below high")
    if not task.outputs:
        raise ValueError(f"{kind} has no outputs, so there is nothing to predict")
    for output in task.outputs:
        if isinstance(output.names, str):
            raise ValueError(f"{kind} has the text {output.names!r} for names, expected several: ({output.names!r},)")
        least = 2 if output.kind in ("classes", "grades") else 1
        if len(output.names) < least:
            raise ValueError(f"{kind} has {len(output.names)} {output.kind}, expected at least {least}")
        twice, times = Counter(output.names).most_common(1)[0]
        if times > 1:
            raise ValueError(f"{kind} has the name {twice!r} twice; a submission couldn't tell the two apart")
