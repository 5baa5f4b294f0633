"""What is strange about a submission beside what is said out of fold: told, never refused."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from toolkit.competition import Competition
from toolkit.decisions.decide import unpacked
from toolkit.formats.readers import FAR, suspicions
from toolkit.task import Heads, Labels, OverlappingMasks, Task

PIXELS = 1 << 24  # of a large mask at a time
FEW = 5  # samples of a label: fewer may be missing by chance
SHIFT = 1.0  # standard deviations that the mean of a value may be away from that out of fold


@dataclass(frozen=True, eq=False)
class Said:
    """Sums over samples of what is said of them, by column: float64 (C,) each.

    Columns are classes, of lists the first; or, of an answer in values, these. total: how often a class is said, or
    the sum of the values; squares: of the values; low, high: the least and largest of a column.
    """

    samples: int
    total: np.ndarray
    squares: np.ndarray
    low: np.ndarray
    high: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        return self.total / max(self.samples, 1)

    @property
    def spread(self) -> np.ndarray:
        """Standard deviations."""
        return np.sqrt(np.maximum(self.squares / max(self.samples, 1) - self.mean**2, 0))


def parts_of(answer: np.ndarray, task: Task) -> Iterator[np.ndarray]:
    """An answer (M, ...) as `said` takes it; of masks that each have a size of their own a few rows at a time, of
    overlapping ones the labels alone that each has.
    """
    if isinstance(answer, np.ndarray):
        yield answer
        return
    for row in range(len(answer)):
        yield from _parts(answer[row], task)


def _parts(mask: np.ndarray, task: Task) -> Iterator[np.ndarray]:
    """Of one mask (h, w), none of which keeps it alive while the next is made."""
    rows = max(1, PIXELS // max(1, mask.shape[1])) if task.exclusive else len(mask)
    for at in range(0, len(mask), rows):
        part = mask[None, at : at + rows]
        yield part.copy() if task.exclusive else np.bitwise_or.reduce(part, axis=(1, 2), keepdims=True)


def said(competition: Competition, parts: Iterable[np.ndarray]) -> Said:
    """Of answers (n, ...), part by part."""
    nothing = np.zeros(0)
    found = Said(0, nothing, nothing, nothing, nothing)
    for part in parts:
        if not len(part):
            continue
        samples, total, squares, (low, high) = _columns(competition, part)
        if not found.samples:
            found = Said(samples, total, squares, low, high)
        else:
            found = Said(
                found.samples + samples,
                found.total + total,
                found.squares + squares,
                np.minimum(found.low, low),
                np.maximum(found.high, high),
            )
    return found


def doubts(competition: Competition, ours: Said, expected: Said) -> list[str]:
    """In sentences. ours: what the submission says; expected: what is said out of fold."""
    task = competition.task
    if not ours.samples or not expected.samples:
        return []
    if competition.metric.needs == "values":
        return _odd_values(competition, ours, expected)
    if isinstance(task, Labels | OverlappingMasks):
        return _odd_labels(task.classes, ours, expected)
    counts, other = ours.total.astype(np.int64), expected.total.astype(np.int64)
    if not isinstance(task, Heads):
        return suspicions(counts, other, task.classes)
    parts = zip(task.heads, task.spans, strict=True)
    return [
        f"{name}: {one}" for (name, classes), span in parts for one in suspicions(counts[span], other[span], classes)
    ]


def _columns(
    competition: Competition, answer: np.ndarray
) -> tuple[int, np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    """Samples, their sums by column (C,) and those of squares, and the least and largest."""
    task = competition.task
    if competition.metric.needs == "values":
        channels = answer.shape[1] if answer.ndim > 1 else 1
        split = np.moveaxis(answer.reshape(len(answer), channels, -1), 2, 1)
        flat = split.reshape(-1, channels).astype(np.float64)
        return len(flat), flat.sum(0), (flat**2).sum(0), (flat.min(0), flat.max(0))
    if isinstance(task, Labels):
        given = answer == 1
    elif isinstance(task, OverlappingMasks):
        given = unpacked(answer, len(task.labels)).any((2, 3))
    elif isinstance(task, Heads):
        sizes = [len(classes) for _, classes in task.heads]
        given = np.concatenate([column[:, None] == np.arange(n) for column, n in zip(answer.T, sizes, strict=True)], 1)
    else:
        labels = answer[:, 0] if competition.metric.needs == "lists" else answer.ravel()
        counts = np.bincount(labels[labels >= 0], minlength=len(task.classes)).astype(np.float64)
        return len(labels), counts, counts, (np.zeros(len(counts)), np.ones(len(counts)))
    counts = given.sum(0).astype(np.float64)
    return len(answer), counts, counts, (given.min(0).astype(float), given.max(0).astype(float))


def _odd_labels(names: tuple[str, ...], ours: Said, expected: Said) -> list[str]:
    found = []
    for name, here, there in zip(names, ours.mean, expected.mean, strict=True):
        if here in (0, 1) and abs(there - here) * ours.samples >= FEW:
            found.append(f"label {name!r} is {'always' if here else 'never'} given; out of fold to {there:.1%}")
        elif abs(here - there) > FAR:
            found.append(f"label {name!r} is given to {here:.1%}, far from {there:.1%} out of fold")
    return found


def _odd_values(competition: Competition, ours: Said, expected: Said) -> list[str]:
    """Columns that are always the same, or whose mean is far away."""
    names = competition.task.classes if len(ours.total) == len(competition.task.classes) else ()
    found = []
    for at, (here, there, spread) in enumerate(zip(ours.mean, expected.mean, expected.spread, strict=True)):
        name = f" of {names[at]!r}" if len(names) > 1 else ""
        if ours.samples > 1 and ours.low[at] == ours.high[at] and spread > 0:
            found.append(f"every value{name} is {here:.4g}")
        elif abs(here - there) > SHIFT * spread > 0:
            found.append(f"the mean{name} is {here:.4g}, far from {there:.4g} ± {spread:.2g} out of fold")
    return found
