"""Samples that count more or less than once: a tally with a weight a sample."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from toolkit.metrics.many_classes import ManyClasses
from toolkit.metrics.tally import Counts, Tally, held_by_row, samples_of


def weigh(tally: Tally, weights: np.ndarray) -> Tally:
    """A tally of n samples, each counted so often: weights (n,), not negative."""
    if isinstance(tally, Counts):
        return replace(tally, counts=tally.counts * weights.reshape(-1, *[1] * (tally.counts.ndim - 1)))
    return Weighted(tally, np.asarray(weights, float), np.arange(len(weights)), len(weights))


@dataclass(frozen=True, eq=False)
class Weighted(Tally):
    """Of a metric without counts. each: a row a sample (s,), with its weight; row: int64 (s,), the row of `rows` that
    it belongs to.
    """

    each: Tally
    weight: np.ndarray
    row: np.ndarray
    rows: int
    metric: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "metric", self.each.metric)

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: Any) -> "Weighted":
        chosen = np.arange(self.rows)[rows]
        places, again = samples_of(chosen, self.row, self.rows)
        return Weighted(self.each[places], self.weight[places], again, len(chosen))

    def joined(self, others: Sequence["Weighted"]) -> "Weighted":
        every = [self, *others]
        before = np.cumsum([0, *(one.rows for one in every)])
        return Weighted(
            self.each.joined([one.each for one in others]),
            np.concatenate([one.weight for one in every]),
            np.concatenate([one.row + start for one, start in zip(every, before, strict=False)]),
            int(before[-1]),
        )

    def by_group(self, groups: np.ndarray) -> "Weighted":
        names, inverse = np.unique(groups, return_inverse=True)
        return Weighted(self.each, self.weight, inverse[self.row], len(names))

    def score(self) -> float:
        if isinstance(self.each, ManyClasses):
            return self.each.weighted_score(self.weight)
        found = float(self.each.scores(self.weight[None])[0])
        # rows are repeated for a function that knows no weights: one that it needs may be gone
        return self.each.score() if np.isnan(found) else found

    def scores(self, weights: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.each.scores(weights[:, self.row] * self.weight)
        return found

    def by_class(self, weights: np.ndarray | None = None) -> np.ndarray | None:
        every = np.ones((1, self.rows)) if weights is None else weights
        found = self.each.by_class(every[:, self.row] * self.weight)
        return found if found is None or weights is not None else found[0]

    def holds(self) -> np.ndarray | None:
        return held_by_row(self.each.holds(), self.row, self.rows)

    def held(self, classes: np.ndarray) -> np.ndarray:
        return held_by_row(self.each.held(classes), self.row, self.rows)

    def arrays(self) -> dict[str, np.ndarray]:
        raise NotImplementedError("weighted tallies are made anew, not stored")
