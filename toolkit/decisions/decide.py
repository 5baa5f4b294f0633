"""From what networks say to what is handed in: thresholds, cuts between grades, smallest regions, "none of these".

What can be chosen here is fitted out of fold, never on the samples that it is scored on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.metrics.confusion import decode
from toolkit.metrics.lists import PAD
from toolkit.metrics.metric import Metric
from toolkit.task import UNKNOWN, Grades, Heads, Labels, Numbers, OverlappingMasks, Task
from toolkit.top_k import TopK, highest

HALF = 0.5


@dataclass(frozen=True)
class Decisions:
    """None: as one would without looking, a half everywhere; what the task has no use for is not looked at.

    thresholds: of each label, from which on it is given. cuts: between the expected grades, one fewer than grades,
    rising. smallest: of each label of overlapping masks, the pixels below which its whole mask is left empty. unknown:
    the probability that "none of these" counts as, in a list of the likeliest.
    """

    thresholds: tuple[float, ...] | None = None
    cuts: tuple[float, ...] | None = None
    smallest: tuple[int, ...] | None = None
    unknown: float | None = None

    @classmethod
    def stored(cls, fields: Mapping[str, Any]) -> "Decisions":
        """From JSON, in which tuples are lists."""
        made: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in fields.items()}
        return cls(**made)


PLAIN = Decisions()


def decide(
    task: Task, metric: Metric, values: np.ndarray, scored: tuple[int, ...], decisions: Decisions = PLAIN
) -> np.ndarray:
    """What the metric needs of values float (N, channels, ...).

    `labels`: in the form of the task's targets. `values`: themselves, of grades the expected one, float (N,). `lists`:
    places of the likeliest classes int64 (N, k), UNKNOWN for none of them.
    """
    if metric.needs == "lists":
        return likeliest(values, getattr(metric, "length", 5), decisions.unknown)
    if metric.needs == "values":
        if isinstance(task, Grades):
            return values.sum(1)
        return tidy(task, np.asarray(values)) if metric.tidy else values
    return as_targets(task, values, scored, decisions)


def as_targets(task: Task, values: np.ndarray, scored: tuple[int, ...], decisions: Decisions = PLAIN) -> np.ndarray:
    """Values float (N, channels, ...) in the form of the task's targets."""
    if isinstance(task, Grades):
        return grades(values.sum(1), decisions.cuts, len(task.grades))
    if isinstance(task, Numbers):
        return values
    if isinstance(task, Heads):
        return np.stack([values[:, span].argmax(1) for span in task.spans], axis=1)
    if isinstance(task, Labels | OverlappingMasks):
        given = above(values, decisions.thresholds)
        return given.astype(np.int8) if isinstance(task, Labels) else packed(given, decisions.smallest)
    return decode(values, scored)


def tidy(task: Task, values: np.ndarray) -> np.ndarray:
    """Values (N, channels, ...), float64, of masks float32: probabilities within 0..1, of one of several classes with
    a sum of 1. Rows stored in 16 bits miss it by up to 3e-4, which graders refuse.
    """
    made = values.astype(np.float32 if task.masks else np.float64)
    for output, span in zip(task.outputs, task.spans, strict=True):
        if output.kind != "numbers":
            np.clip(made[:, span], 0, 1, out=made[:, span])
        if output.kind == "classes":
            sums = made[:, span].sum(1, keepdims=True)
            np.divide(made[:, span], sums, out=made[:, span], where=sums > 0)
    return made


def grades(expected: np.ndarray, cuts: tuple[float, ...] | None, number: int) -> np.ndarray:
    """Grades int64 (N,) of expected ones (N,), from 0."""
    edges = np.arange(number - 1) + HALF if cuts is None else np.asarray(cuts)
    return np.searchsorted(edges, expected, side="right").astype(np.int64)


def above(values: np.ndarray, thresholds: tuple[float, ...] | None) -> np.ndarray:
    """bool (N, L, ...): from which probability on each label is given."""
    limits = np.full(values.shape[1], HALF) if thresholds is None else np.asarray(thresholds)
    found: np.ndarray = values >= limits.astype(np.float32).reshape(-1, *[1] * (values.ndim - 2))
    return found


def packed(given: np.ndarray, smallest: tuple[int, ...] | None = None) -> np.ndarray:
    """Overlapping masks bool (N, L, H, W) as bits, uint8 (N, H, W); a label of fewer pixels is left out."""
    if smallest is not None:
        given = given & (given.sum((2, 3)) >= np.asarray(smallest))[:, :, None, None]
    bits = (1 << np.arange(given.shape[1])).astype(np.uint8).reshape(-1, 1, 1)
    result: np.ndarray = (given * bits).sum(1, dtype=np.uint8)
    return result


def unpacked(masks: np.ndarray, labels: int) -> np.ndarray:
    """bool (N, L, H, W) of masks as bits, uint8 (N, H, W)."""
    result: np.ndarray = (masks[:, None] >> np.arange(labels, dtype=np.uint8).reshape(-1, 1, 1)) & 1 == 1
    return result


def likeliest(values: np.ndarray, length: int, unknown: float | None) -> np.ndarray:
    """Places of the likeliest classes int64 (N, length), the likeliest first; UNKNOWN where `unknown` is likelier.

    Of fewer classes than that the list ends with PAD.
    """
    if isinstance(values, TopK):
        order, known = values.places[:, :length].astype(np.int64), values.values[:, :length]
        if unknown is None:
            return np.pad(order, ((0, 0), (0, length - order.shape[1])), constant_values=PAD)
        # few columns, in the order of their values already
        return _with_unknown(order, known, length, unknown)
    if unknown is not None:
        values = np.concatenate([np.full((len(values), 1), unknown, values.dtype), values], axis=1)
    order = highest(np.asarray(values, np.float32), min(length, values.shape[1]))
    order = order if unknown is None else np.where(order == 0, UNKNOWN, order - 1)
    return np.pad(order, ((0, 0), (0, length - order.shape[1])), constant_values=PAD)


def _with_unknown(order: np.ndarray, values: np.ndarray, length: int, unknown: float) -> np.ndarray:
    """Lists (N, length) of classes (N, k), by falling values, with UNKNOWN before the first that isn't likelier."""
    before = (values > np.float32(unknown)).sum(1)[:, None]
    places = np.arange(order.shape[1] + 1)
    shifted = np.take_along_axis(order, np.maximum(places - (places > before), 0), axis=1)
    lists = np.where(places == before, UNKNOWN, shifted)[:, :length]
    return np.pad(lists, ((0, 0), (0, length - lists.shape[1])), constant_values=PAD)
