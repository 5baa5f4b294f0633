"""Values of several candidates, on which blends are fitted where no confusion matrix of classes says it all."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from toolkit.blending.climb import Climb
from toolkit.blending.climbs import climb_of
from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.decisions.fit import fit_decisions, is_decided
from toolkit.probabilities import chunks
from toolkit.task import Task

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
        return Valued(self.competition, self.values[:, at], self.truth[at], self.fold[at], self.rows[at])

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
        return self.competition.metric.sign * tally.score()


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
