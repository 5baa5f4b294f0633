"""What is handed in: from the values of a blend to what a submission says of each image.

An answer has the form that the metric needs: labels and masks in the form of the targets, values (M, channels, ...),
of grades the expected one (M,), or lists of the likeliest classes (M, k). A submission is read back into that form.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.decisions.decide import PLAIN, Decisions, decide, tidy, unpacked
from toolkit.metrics.confusion import decode
from toolkit.metrics.metric import Metric
from toolkit.probabilities import chunks, decidable, probabilities
from toolkit.task import IGNORED, UNKNOWN, Classification, Grades, Heads, Labels, Numbers, OverlappingMasks, Task
from toolkit.top_k import TopK

if TYPE_CHECKING:
    from toolkit.recipe import Recipe

NONE = np.zeros(0, np.uint8)
TINY = 1e-15  # what is written in the place of a probability of 0, where log loss asks for it
Known = tuple[np.ndarray, np.ndarray]  # rows (n,) and targets (n, ...) of images whose answer is known


@dataclass(frozen=True)
class Member:
    """One trained network of a blend: its recipe, its weights, and its share of the mean."""

    recipe: "Recipe"
    weights: Path  # safetensors
    share: float
    adapt: float = 0.0  # share of the predicted images' statistics that its batch norms take, see networks/adapted.py


@dataclass(frozen=True)
class Prediction:
    """What is known when a submission is written.

    `answer` is what it has to say; `values` is what the blend's networks say, whatever the metric needs.
    """

    images: np.ndarray  # (M, H, W, C): the test images; for a code submission, samples to check it on
    ids: np.ndarray  # (M,): what the images are called by, as `load` said; their rows where it didn't
    # uint8 (M,) or (M, H, W), int32 of more than 256 classes: the likeliest one; where several outputs may be, empty
    labels: np.ndarray
    members: tuple[Member, ...]
    views: tuple[str, ...] = ("identity",)  # of each image, as toolkit.tta names them; their probabilities averaged
    biases: tuple[float, ...] | None = None  # (C,), added to the logarithm of the mean probabilities
    half: bool = False  # a code submission's parameters rounded to float16, and stored so
    # float32 (M,): probability of the label less that of the runner-up; None for masks, and where labels are none
    margins: np.ndarray | None = None
    view_weights: tuple[float, ...] | None = None  # of the views, scaled to a sum of 1; None: equal
    answered: np.ndarray | None = None  # what `answer` is; None: the labels
    stored: np.ndarray | None = None  # (M, channels, ...): the blend's values as their file holds them
    known: Known | None = None
    task: Task | None = None
    folder: Path | None = None  # of the organisers' files; None where they aren't at hand

    @cached_property
    def values(self) -> np.ndarray:
        """float64 (M, channels, ...), of masks float32: probabilities within 0..1, of one of several classes with a
        sum of 1; or numbers.
        """
        if self.stored is None or self.task is None:
            raise ValueError("of this submission no values are known: it is code, or of labels that were made by hand")
        return tidy_values(self.task, self.stored, self.known)

    @property
    def answer(self) -> np.ndarray:
        """In the form that the metric needs; masks that each have a size of their own are `Masks`, no array."""
        return self.labels if self.answered is None else self.answered

    @property
    def sizes(self) -> np.ndarray | None:
        """int64 (M, 2), heights and widths, where masks are handed in at the size of each picture; None elsewhere."""
        return sizes_of(self.answer)

    @property
    def read_with(self) -> np.ndarray:
        """What `read_submission` is given beside path and ids: the images, or the sizes of the pictures."""
        return self.images if self.sizes is None else self.sizes

    @property
    def decided(self) -> np.ndarray | None:
        """The answer, where it is labels, masks or lists; None where it is values."""
        return None if self.sizes is None and self.answer.dtype.kind == "f" else self.answer

    @property
    def names(self) -> list[str]:
        """Of the decided classes or grades (M,), one an image."""
        if self.decided is None or self.sizes is not None or self.decided.ndim > 1 or self.task is None:
            raise ValueError("the answer isn't one class per image")
        return [self.task.classes[at] for at in self.decided]


@dataclass(frozen=True)
class SandboxRun:
    """How a code submission ran in the sandbox."""

    labels: np.ndarray  # uint8 (M,)
    seconds: float  # from the start of the import to the last label
    loading: float  # of these, until Model() was made
    peak_bytes: int  # main memory
    network: str  # how it was taken away


def tidy_values(task: Task, stored: np.ndarray, known: Known | None = None) -> np.ndarray:
    """As `Prediction.values` has them."""
    made = probabilities(stored)
    if known is not None:
        rows, targets = known
        said = values_of(task, targets)
        made[rows] = np.where(np.isnan(said), made[rows], said)
    return tidy(task, made)


def answer_of(
    task: Task,
    metric: Metric,
    scored: tuple[int, ...],
    stored: np.ndarray,
    decisions: Decisions = PLAIN,
    known: Known | None = None,
) -> np.ndarray:
    """What stored values (M, channels, ...) say, in the form that the metric needs."""
    if metric.needs == "values":
        return decide(task, metric, tidy_values(task, stored, known), scored, decisions)
    parts = [
        decide(task, metric, decidable(stored[at]), scored, decisions) for at in chunks(len(stored), stored.shape[2:])
    ]
    answer = np.concatenate(parts)
    if known is not None:
        rows, targets = known
        lists = metric.needs == "lists"
        answer[rows] = _in_front(targets, answer[rows]) if lists else _given(task, targets, answer[rows])
    return answer


def likeliest_labels(
    task: Task, scored: tuple[int, ...], stored: np.ndarray, known: Known | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(M, ...) as `decode` has them, of stored probabilities (M, C, ...) of one of several classes; of images also
    their margins.
    """
    labels, margins = [], []
    for at in chunks(len(stored), stored.shape[2:]):
        part = decidable(stored[at])
        labels.append(decode(part, scored))
        if not task.masks:
            margins.append(lead(part))
    made = np.concatenate(labels)
    if known is not None:
        made[known[0]] = _given(task, known[1], made[known[0]])
    return made, np.concatenate(margins) if margins else None


def sizes_of(answer: np.ndarray) -> np.ndarray | None:
    """Of `Masks`, int64 (M, 2); None of an array."""
    sizes: np.ndarray | None = getattr(answer, "sizes", None)
    return sizes


def misfit(found: np.ndarray, answer: np.ndarray) -> str:
    """What is wrong with the form of what was read back, in words after "the submission"; empty where it fits."""
    if sizes_of(answer) is not None:
        if isinstance(found, np.ndarray) or len(found) != len(answer):
            kind = f"an array of shape {found.shape}" if isinstance(found, np.ndarray) else f"{len(found):,} masks"
            return f"reads back as {kind}, expected {len(answer):,} masks, each of the size of its picture"
        return ""
    if found.shape != answer.shape:
        return f"reads back with shape {found.shape}, expected {answer.shape}"
    if (found.dtype.kind == "f") != (answer.dtype.kind == "f"):
        expected = "values, of type float64" if answer.dtype.kind == "f" else "whole numbers"
        return f"reads back with type {found.dtype}, expected {expected}"
    return ""


def differences(found: np.ndarray, answer: np.ndarray, tolerance: float) -> np.ndarray:
    """bool, of the answer's shape: where what was read back isn't the answer.

    Labels and lists must be the same; values may differ by `tolerance`, relative to the larger of their size and the
    mean size of their column, and by TINY and what that costs the others of a sum. Of masks of sizes of their own,
    int64 (M,): how many of each one's pixels differ.
    """
    if sizes_of(answer) is not None:
        return np.array(list(map(_different, found, answer)), np.int64)
    if answer.dtype.kind != "f":
        return np.asarray(found != answer)
    size = np.abs(answer)
    usual = size.mean(0, keepdims=True) if len(size) else size
    return ~(np.abs(found - answer) <= tolerance * np.maximum(size, usual) + 2 * TINY)


def _different(one: np.ndarray, other: np.ndarray) -> int:
    """How many pixels of two masks are, line by line: nothing else is as large as masks can be."""
    if one.shape != other.shape:
        return other.size
    return sum(int(np.count_nonzero(a != b)) for a, b in zip(one, other, strict=True))


def lead(values: np.ndarray) -> np.ndarray:
    """Of the likeliest class over the runner-up (N,), of probabilities (N, C)."""
    if isinstance(values, TopK):
        best = values.values
        return best[:, 0] - best[:, 1]
    ranked = np.sort(values, axis=1)
    first: np.ndarray = ranked[:, -1] - (ranked[:, -2] if values.shape[1] > 1 else 0)
    return first


def _given(task: Task, targets: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """The targets where there are any, else what was answered."""
    return np.where(_missing(task, targets), answer, targets).astype(answer.dtype)


def _missing(task: Task, targets: np.ndarray) -> np.ndarray:
    found: np.ndarray = targets == IGNORED if task.masks else targets < 0
    return found


def _in_front(targets: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """Lists (n, k) that begin with the targets (n,)."""
    made = lists.copy()
    for row, target in enumerate(targets):
        made[row] = [target, *(one for one in lists[row] if one != target)][: lists.shape[1]]
    return made


def values_of(task: Task, targets: np.ndarray) -> np.ndarray:
    """What a network that knows targets (n, ...) says: float32 (n, channels, ...), NaN where one is missing."""
    if isinstance(task, Numbers):
        return targets.astype(np.float32)
    if isinstance(task, Labels):
        return np.where(targets < 0, np.nan, targets).astype(np.float32)
    if isinstance(task, OverlappingMasks):
        given = unpacked(targets, len(task.labels)).astype(np.float32)
        return np.where(targets[:, None] == IGNORED, np.float32(np.nan), given)
    if isinstance(task, Grades):
        return (targets[:, None] > np.arange(task.channels)).astype(np.float32)
    if isinstance(task, Heads):
        parts = [_one_hot(task, targets[:, head], span.stop - span.start) for head, span in enumerate(task.spans)]
        return np.concatenate(parts, axis=1)
    made = _one_hot(task, targets, len(task.classes))
    if isinstance(task, Classification) and task.unknown is not None:
        made[targets == UNKNOWN] = 1 / len(task.classes)
    return made


def _one_hot(task: Task, targets: np.ndarray, classes: int) -> np.ndarray:
    """float32 (n, classes, ...) of targets (n, ...); NaN where one is missing."""
    made = (targets[:, None] == np.arange(classes).reshape(-1, *[1] * (targets.ndim - 1))).astype(np.float32)
    return np.where(_missing(task, targets[:, None]), np.float32(np.nan), made)
