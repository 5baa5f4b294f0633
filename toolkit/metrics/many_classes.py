"""What a metric needs of images of one of very many classes: a number a sample, in place of counts of all classes."""

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from toolkit.metrics.tally import DRAWS, Samples, held_by_row


class OfMany(Protocol):
    """What a metric does where an image is of one of many classes."""

    def of_all(self, many: "ManyClasses", weights: np.ndarray) -> float:
        """The score of all samples under weights (s,)."""

    def of_many(self, many: "ManyClasses", weights: np.ndarray) -> np.ndarray:
        """Scores (D,) under weights (D, s); what a weighting lacks is taken as in all samples, or left out."""

    def by_class_of_many(self, many: "ManyClasses", weights: np.ndarray) -> np.ndarray | None:
        """Scores (D, C)."""


@dataclass(frozen=True, eq=False)
class ManyClasses(Samples):
    """Samples of one of so many classes that a count of each class for each sample would not fit in memory.

    truth: int (s,); predicted: (s,), one number each: the class that is said, or a loss. scored: classes that count.
    """

    classes: int = 0
    scored: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, metric: Any, truth: np.ndarray, predicted: np.ndarray, classes: int, scored: tuple[int, ...]
    ) -> "ManyClasses":
        """A row a sample."""
        return cls(
            metric, np.asarray(truth), np.asarray(predicted), np.arange(len(truth)), len(truth), classes, scored
        )

    def score(self) -> float:
        return self.weighted_score(np.ones(len(self.truth)))

    def weighted_score(self, weights: np.ndarray) -> float:
        """The official metric, samples weighted by (s,): what these lack is not taken from anywhere."""
        return self._metric.of_all(self, weights)

    @property
    def _metric(self) -> OfMany:
        found: Any = self.metric
        return found

    def scores(self, weights: np.ndarray) -> np.ndarray:
        parts = [
            self._metric.of_many(self, self._of_samples(weights[at : at + DRAWS]))
            for at in range(0, len(weights), DRAWS)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def by_held(self) -> "ManyClasses":
        if not getattr(self.metric, "fills", True):  # of all decisions together: no class can be left out
            return self
        held = np.bincount(self.truth[self.truth >= 0], minlength=self.classes) > 0
        return replace(self, scored=tuple(at for at in self.scored if held[at]))

    def by_class(self, weights: np.ndarray | None = None) -> np.ndarray | None:
        every = np.ones((1, len(self.truth))) if weights is None else self._of_samples(weights)
        found = self._metric.by_class_of_many(self, every)
        return found if found is None or weights is not None else found[0]

    def of_those_there(self) -> "ManyClasses":
        """The same of the classes that are true or predicted somewhere, numbered anew in their order: of thousands a
        part has a few.
        """
        there, number = np.unique(np.concatenate([self.truth, self.predicted]), return_inverse=True)
        every = len(self.scored) == self.classes
        scored = np.arange(len(there)) if every else np.flatnonzero(np.isin(there, self.scored))
        truth, predicted = np.split(number, [len(self.truth)])
        return replace(self, truth=truth, predicted=predicted, classes=len(there), scored=tuple(scored.tolist()))

    def held(self, classes: np.ndarray) -> np.ndarray:
        return held_by_row(self.truth[:, None] == classes, self.row, self.rows)

    def holds(self) -> np.ndarray:
        return self.held(np.arange(self.classes))

    def arrays(self) -> dict[str, np.ndarray]:
        return super().arrays() | {"classes": np.array(self.classes)}
