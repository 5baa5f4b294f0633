"""Values of several candidates, on which blends are fitted where no confusion matrix of classes says it all."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np

from toolkit.blending.climb import Climb
from toolkit.blending.climbs import climb_of
from toolkit.blending.top_mix import common_classes
from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.decisions.fit import fit_decisions, is_decided
from toolkit.probabilities import chunks, value_type
from toolkit.task import Task
from toolkit.top_k import TopK

LENGTH = 32  # classes of a sample that are looked at, of many: five models' first five are 25 at most
WHOLE = (slice(None),)  # all channels together are probabilities that sum to 1
DECIDED = 2**28  # bytes of values that decisions are fitted on, at most


def spans_of_one(task: Task) -> tuple[slice, ...]:
    """Channels that are probabilities which sum to 1 together."""
    if task.exclusive:
        return WHOLE
    pairs = zip(task.outputs, task.spans, strict=True)
    return tuple(span for output, span in pairs if output.kind == "classes")


class Candidate(Protocol):
    def mean(self, which: str, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True, eq=False)
class Valued:
    """Samples, or some of them, that all candidates predicted.

    values: (M, n, channels, ...), float32, or of masks uint8 or uint16, a whole probability being 255 or 65,535.
    truth: (n, ...), fold: int64 (n,), rows: int64 (n,) of the data.
    """

    competition: Competition
    values: np.ndarray
    truth: np.ndarray
    fold: np.ndarray
    rows: np.ndarray
    remembered: dict[bytes, Decisions] = field(default_factory=dict)

    def slots(self, at: np.ndarray) -> np.ndarray:
        """Where in the second axis of the values the truth of some samples stands; negative where nowhere."""
        found: np.ndarray = self.truth[at].astype(np.int64)
        return found

    def classes_of(self, at: np.ndarray) -> np.ndarray:
        """(n, L): the classes of the second axis."""
        channels = self.values.shape[2]
        return np.broadcast_to(np.arange(channels), (len(at), channels))

    @property
    def candidates(self) -> int:
        return len(self.values)

    @property
    def scale(self) -> np.float32:
        """By which stored values are multiplied."""
        kind = self.values.dtype
        return np.float32(1) if kind.kind == "f" else np.float32(1 / np.iinfo(kind).max)

    @property
    def sums(self) -> np.dtype:
        """Of the sums of candidates: whole numbers stay exact."""
        return np.dtype(np.float32 if self.values.dtype.kind == "f" else np.int32)

    def part(self, at: np.ndarray) -> "Valued":
        """Some of the samples."""
        values, truth, fold, rows = self.values[:, at], self.truth[at], self.fold[at], self.rows[at]
        return replace(self, values=values, truth=truth, fold=fold, rows=rows, remembered={})

    def climb(self, folds: Sequence[int]) -> Climb:
        return climb_of(self.competition)(self, folds)

    def mixture(self, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
        """float32 (len(at), channels, ...): the weighted mean of the candidates at some of the samples."""
        total = np.zeros((len(at), *self.values.shape[2:]), np.float32)
        for m in np.flatnonzero(weights):
            total += np.float32(weights[m] / weights.sum() * self.scale) * self.values[m][at]
        return total

    def decisions(self, weights: np.ndarray, at: np.ndarray) -> Decisions:
        """The best for a weighted mean at some of the samples; PLAIN where nothing is to be decided."""
        task, metric = self.competition.task, self.competition.metric
        if not is_decided(task, metric):
            return PLAIN
        at = few(at, 4 * int(np.prod(self.values.shape[2:])))
        key = (weights / weights.sum()).tobytes() + at.tobytes()
        if key not in self.remembered:
            mixture, scored = self.mixture(weights, at), self.competition.scored
            self.remembered[key] = fit_decisions(task, metric, self.truth[at], mixture, scored)
        return self.remembered[key]

    def merit(self, weights: np.ndarray, folds: Sequence[int]) -> float:
        """Of a weighted mean, in sample; NaN where it has no score."""
        at = np.flatnonzero(np.isin(self.fold, folds))
        tally = self.competition.tally(self.truth[at], self.mixture(weights, at), self.decisions(weights, at))
        return self.competition.metric.sign * tally.as_part().score()


@dataclass(frozen=True, eq=False)
class ValuedTop(Valued):
    """Of many classes: of each sample those alone that decide, the true one and the likeliest ones.

    values: (M, n, L); classes: int32 (n, L), which those are, rising; place: int64 (n,), of the truth among them.
    """

    classes: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), np.int32))
    place: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def slots(self, at: np.ndarray) -> np.ndarray:
        return self.place[at]

    def classes_of(self, at: np.ndarray) -> np.ndarray:
        return self.classes[at]

    def part(self, at: np.ndarray) -> "ValuedTop":
        found: Any = super().part(at)
        return replace(found, classes=self.classes[at], place=self.place[at])

    def mixture(self, weights: np.ndarray, at: np.ndarray) -> np.ndarray:
        values = super().mixture(weights, at)
        order = np.argsort(-values, axis=1, kind="stable")
        made: Any = TopK(np.zeros(len(at), value_type(self.competition.task)))
        length = order.shape[1]
        made.records["value"][:, :length] = np.take_along_axis(values, order, axis=1)
        made.places[:, :length] = np.take_along_axis(self.classes[at], order, axis=1)
        return made


def gather_top(labelled: Labelled, candidates: Sequence[Candidate], rows: np.ndarray) -> ValuedTop:
    """As `gather_values`, of candidates of which the likeliest of many classes are stored."""
    truth = np.asarray(labelled.truth[rows])
    classes = np.zeros((len(rows), LENGTH), np.int32)
    values, place = np.zeros((len(candidates), *classes.shape), np.float32), np.zeros(len(rows), np.int64)
    for at in chunks(len(rows)):
        parts: Any = [one.mean("oof", rows[at]) for one in candidates]
        classes[at], values[:, at], place[at] = common_classes(parts, truth[at], LENGTH)
    return ValuedTop(labelled.competition, values, truth, labelled.fold[rows], rows, classes=classes, place=place)


def gather_values(
    labelled: Labelled, candidates: Sequence[Candidate], channels: Sequence[int], rows: np.ndarray, dtype: np.dtype
) -> Valued:
    """Out-of-fold values of some rows, read in parts; of an image as a whole, classes' probabilities sum to 1.

    All of the task's channels are there, as metrics and decisions number them; those that aren't mixed are 0.
    """
    values = np.zeros((len(candidates), *labelled.probability_shape(len(rows))), dtype)
    for number, one in enumerate(candidates):
        for at in chunks(len(rows)):
            part = one.mean("oof", rows[at])[:, list(channels)]
            for span in () if labelled.masks else spans_of_one(labelled.competition.task):
                part[:, span] /= np.maximum(part[:, span].sum(1, keepdims=True), 1e-30)
            values[number, at][:, list(channels)] = part if dtype.kind == "f" else np.rint(part * np.iinfo(dtype).max)
    return Valued(labelled.competition, values, np.asarray(labelled.truth[rows]), labelled.fold[rows], rows)


def few(rows: np.ndarray, size: int) -> np.ndarray:
    """As many of the rows, each so many bytes, as decisions are fitted on, evenly."""
    return rows[:: max(1, -(-len(rows) * size // DECIDED))]
