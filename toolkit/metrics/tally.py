"""What a metric needs of N samples to score any part or weighting of them.

Resampling groups, leaving some out, comparing runs and choosing among them need the score of many weightings of the
same samples. Most metrics follow from counts that can be summed (confusion matrices, sums of squares); those of ranks
need the samples themselves.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

if TYPE_CHECKING:
    from toolkit.metrics.metric import CountedMetric, WeighedMetric

DRAWS = 100  # scored at a time: they bound the memory


class Tally(ABC):
    """Rows that can be chosen, joined, summed by group and scored under any weights, the same for all metrics."""

    metric: Any

    @abstractmethod
    def __len__(self) -> int:
        """Rows: samples, or groups of them."""

    @abstractmethod
    def __getitem__(self, rows: Any) -> "Tally":
        """Of some rows: a slice, a mask or places."""

    @abstractmethod
    def joined(self, others: "Sequence[Any]") -> "Tally":
        """With the rows of others of the same metric after its own."""

    @abstractmethod
    def by_group(self, groups: np.ndarray) -> "Tally":
        """A row for each group, in the order of their numbers; groups: int64 (n,), of the rows."""

    @abstractmethod
    def score(self) -> float:
        """The official metric over all rows."""

    @abstractmethod
    def scores(self, weights: np.ndarray) -> np.ndarray:
        """The official metric (D,) with rows counted so often, weights (D, n) not negative.

        What a weighting lacks of the whole (a class without a sample) is taken as in the whole, or left out: by itself
        it moves no score. NaN where a weighting has none, as where an organisers' function fails.
        """

    @abstractmethod
    def by_class(self, weights: np.ndarray | None = None) -> np.ndarray | None:
        """A score of each class or target, (C,), or under weights (D, n) each (D, C); NaN where there is none.

        None for a metric that has none.
        """

    @abstractmethod
    def holds(self) -> np.ndarray | None:
        """bool (n, C): which rows have a sample of each class that `by_class` scores."""

    def held(self, classes: np.ndarray) -> np.ndarray:
        """bool (n, len(classes)): the same of some classes; all true for a metric that doesn't know."""
        found = self.holds()
        return np.ones((len(self), len(classes)), bool) if found is None else found[:, classes]

    @abstractmethod
    def arrays(self) -> dict[str, np.ndarray]:
        """To be stored; `Metric.tally_of` makes them a tally again."""

    def as_part(self) -> "Tally":
        """As of a part of the samples, which may have no score: NaN, where of all of them it is an error."""
        return self

    def by_held(self) -> "Tally":
        """The same rows, of which a class without a sample among them doesn't count: to compare parts of the samples.

        Officially it may count as 0 where it is said, and not at all where it isn't: on any part without it who can
        find it would seem worse than who never says it.
        """
        return self

    def without_each(self) -> np.ndarray:
        """Scores (n,) without each row in turn, as of the jackknife."""
        n = len(self)
        parts = []
        for start in range(0, n, DRAWS):
            weights = np.ones((min(DRAWS, n - start), n))
            weights[np.arange(len(weights)), start + np.arange(len(weights))] = 0
            parts.append(self.scores(weights))
        return np.concatenate(parts) if parts else np.empty(0)


def joined(tallies: Sequence[Tally]) -> Tally:
    """The rows of all, one after the other; at least one tally."""
    return tallies[0] if len(tallies) == 1 else tallies[0].joined(tallies[1:])


@dataclass(frozen=True, eq=False)
class Counts(Tally):
    """Counts that can be summed: counts (n, ...), whole numbers or, weighted, float64. scored: classes that count."""

    metric: "CountedMetric"
    counts: np.ndarray
    scored: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.counts)

    def __getitem__(self, rows: Any) -> "Counts":
        return replace(self, counts=self.counts[rows])

    def joined(self, others: Sequence["Counts"]) -> "Counts":
        return replace(self, counts=np.concatenate([self.counts, *(one.counts for one in others)]))

    def by_group(self, groups: np.ndarray) -> "Counts":
        from scipy.sparse import csr_array  # sums rows ten times as fast as np.add.at

        names, inverse = np.unique(groups, return_inverse=True)
        member = csr_array((np.ones(len(inverse)), (inverse, np.arange(len(inverse)))), (len(names), len(inverse)))
        totals = member @ self.counts.reshape(len(self.counts), -1).astype(np.float64)
        return replace(self, counts=totals.reshape(-1, *self.counts.shape[1:]))

    @property
    def whole(self) -> np.ndarray:
        """(...): the sum of all rows."""
        total: np.ndarray = self.counts.sum(0)
        return total

    def score(self) -> float:
        return float(self.metric.of_counts(self.whole, self.scored))

    def scores(self, weights: np.ndarray) -> np.ndarray:
        return self.metric.as_in(self.whole, self.weighted(weights), self.scored)

    def weighted(self, weights: np.ndarray) -> np.ndarray:
        """Counts (D, ...) summed under weights (D, n)."""
        flat = self.counts.reshape(len(self.counts), -1)
        made = [weights[at : at + DRAWS] @ flat for at in range(0, len(weights), DRAWS)]
        return np.concatenate(made).reshape(len(weights), *self.counts.shape[1:])

    def without_each(self) -> np.ndarray:
        return self.metric.as_in(self.whole, self.whole - self.counts, self.scored)

    def by_class(self, weights: np.ndarray | None = None) -> np.ndarray | None:
        counts = self.whole if weights is None else self.weighted(weights)
        return self.metric.by_class(counts, self.scored)

    def holds(self) -> np.ndarray | None:
        return self.metric.holds(self.counts)

    def by_held(self) -> "Counts":
        return HeldCounts(self.metric, self.counts, self.scored)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"counts": self.counts}


@dataclass(frozen=True, eq=False)
class HeldCounts(Counts):
    """Scored as `by_held` has it, every weighting too: nothing is taken from the whole."""

    def score(self) -> float:
        return float(self.metric.of_held(self.whole, self.scored))

    def scores(self, weights: np.ndarray) -> np.ndarray:
        return self.metric.of_held(self.weighted(weights), self.scored)

    def without_each(self) -> np.ndarray:
        return self.metric.of_held(self.whole - self.counts, self.scored)


@dataclass(frozen=True, eq=False)
class Samples(Tally):
    """The samples themselves, for metrics that have no counts.

    truth (s, ...) and predicted (s, ...) of s samples; row: int64 (s,), the row that each belongs to, of `rows`.
    """

    metric: "WeighedMetric"
    truth: np.ndarray
    predicted: np.ndarray
    row: np.ndarray
    rows: int

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, rows: Any) -> "Samples":
        chosen = np.arange(self.rows)[rows]
        if self.rows == len(self.row) and np.array_equal(self.row, np.arange(self.rows)):
            return replace(
                self,
                truth=self.truth[chosen],
                predicted=self.predicted[chosen],
                row=np.arange(len(chosen)),
                rows=len(chosen),
            )
        places, again = samples_of(chosen, self.row, self.rows)
        return replace(self, truth=self.truth[places], predicted=self.predicted[places], row=again, rows=len(chosen))

    def joined(self, others: Sequence["Samples"]) -> "Samples":
        every = [self, *others]
        before = np.cumsum([0, *(one.rows for one in every)])
        return replace(
            self,
            truth=np.concatenate([one.truth for one in every]),
            predicted=np.concatenate([one.predicted for one in every]),
            row=np.concatenate([one.row + start for one, start in zip(every, before, strict=False)]),
            rows=int(before[-1]),
        )

    def by_group(self, groups: np.ndarray) -> "Samples":
        names, inverse = np.unique(groups, return_inverse=True)
        return replace(self, row=inverse[self.row], rows=len(names))

    def score(self) -> float:
        return float(self.metric.weighted(self.truth, self.predicted, np.ones((1, len(self.truth))))[0])

    def scores(self, weights: np.ndarray) -> np.ndarray:
        parts = [
            self.metric.weighted(self.truth, self.predicted, self._of_samples(weights[at : at + DRAWS]))
            for at in range(0, len(weights), DRAWS)
        ]
        return np.concatenate(parts) if parts else np.empty(0)

    def by_held(self) -> "Samples":
        said = self.metric.said_of_held(self.truth, self.predicted)
        return self if said is self.predicted else replace(self, predicted=said)

    def _of_samples(self, weights: np.ndarray) -> np.ndarray:
        """Weights of rows (D, n) as those of their samples (D, s)."""
        single = self.rows == len(self.row) and np.array_equal(self.row, np.arange(self.rows))
        return weights if single else weights[:, self.row]

    def by_class(self, weights: np.ndarray | None = None) -> np.ndarray | None:
        every = np.ones((1, len(self.truth))) if weights is None else self._of_samples(weights)
        found = self.metric.by_class(self.truth, self.predicted, every)
        return found if found is None or weights is not None else found[0]

    def holds(self) -> np.ndarray | None:
        return held_by_row(self.metric.holds(self.truth), self.row, self.rows)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"truth": self.truth, "predicted": self.predicted, "row": self.row, "rows": np.array(self.rows)}


def samples_of(chosen: np.ndarray, row: np.ndarray, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the samples (s,) that belong to the chosen (n,) of so many rows, and which of the n they belong to."""
    order = np.argsort(row, kind="stable")
    starts = np.searchsorted(row[order], np.arange(rows + 1))
    picked = [order[starts[one] : starts[one + 1]] for one in chosen]
    places = np.concatenate(picked) if picked else order[:0]
    return places, np.repeat(np.arange(len(chosen)), [len(one) for one in picked])


@overload
def held_by_row(sample: np.ndarray, row: np.ndarray, rows: int) -> np.ndarray: ...
@overload
def held_by_row(sample: None, row: np.ndarray, rows: int) -> None: ...
def held_by_row(sample: np.ndarray | None, row: np.ndarray, rows: int) -> np.ndarray | None:
    """bool (rows, C) of what samples hold, (s, C)."""
    if sample is None:
        return None
    found = np.zeros((rows, sample.shape[1]), bool)
    np.logical_or.at(found, row, sample)
    return found
