"""What every next step of greedy selection would score, for metrics that no confusion matrix of classes describes.

A climb keeps the sum S of the candidates taken so far; the next one, P, makes it (S + P) / (k + 1). This one asks the
metric, a candidate at a time; those of climbs.py know quicker ways.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.decisions.decide import Decisions

if TYPE_CHECKING:
    from toolkit.blending.valued import Valued


class Climb:
    """Base: the metric asked for each candidate. values: (M, n, channels, ...), truth: (n, ...)."""

    def __init__(self, valued: "Valued", folds: Sequence[int]) -> None:
        self.valued, self.candidates = valued, valued.candidates
        self.rows = np.flatnonzero(np.isin(valued.fold, folds))
        self.metric, self.task = valued.competition.metric, valued.competition.task
        self.truth = np.asarray(valued.truth[self.rows])
        self.prepare()
        self.reset()

    def prepare(self) -> None:
        """Whatever stays the same in all steps."""
        self.parts: Any = [self.valued.values[m][self.rows] for m in range(self.candidates)]
        self.decisions = self.of_mean()

    def of_mean(self) -> Decisions:
        """Decisions that are best for the mean of all candidates: refitted in each step they gained nothing."""
        return self.valued.decisions(np.ones(self.candidates), self.rows)

    def reset(self) -> None:
        self.count, self.total = 0, np.zeros_like(self.parts[0], self.valued.sums)

    def add(self, taken: int) -> None:
        self.total = self.total + self.parts[taken]

    def merits(self) -> np.ndarray:
        """(M,): of every candidate taken next; more is better, NaN where there is no score."""
        scale, found = self.valued.scale / (self.count + 1), []
        for part in self.parts:
            mixture = ((self.total + part) * scale).astype(np.float32)
            tally = self.valued.competition.tally(self.truth, mixture, self.decisions)
            found.append(self.metric.sign * tally.as_part().score())
        return np.array(found)

    def scores(self, taken: int = -1) -> np.ndarray:
        """Merits (M,) with one added to each candidate's weight in turn, once that of `taken` was for good."""
        if taken >= 0:
            self.add(taken)
            self.count += 1
        return np.nan_to_num(self.merits(), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
