"""Metrics of lists of the likeliest classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.metrics.metric import CountedMetric, ratio
from toolkit.task import Classification, Task

PAD = -2  # after the last entry of a list that is shorter than the others


@dataclass(frozen=True)
class MAP(CountedMetric):
    """Mean average precision at k of one right class an image: 1 / its place in the list, 0 where it isn't in it.

    The first time that a class is listed counts. UNKNOWN is a class as any other; PAD is no entry.
    """

    length: int = 5
    name: str = ""
    needs = "lists"
    tasks = (Classification,)

    def __post_init__(self) -> None:
        if self.length < 1:
            raise ValueError(f"MAP at {self.length}: at least one class has to be listed")
        object.__setattr__(self, "name", self.name or f"MAP@{self.length}")

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        """(N, 2): the precision and 1."""
        found = predicted[:, : self.length] == np.asarray(truth)[:, None]
        place = found.argmax(1) + 1.0
        return np.stack([np.where(found.any(1), 1 / place, 0), np.ones(len(found))], axis=1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        return np.nan_to_num(ratio(counts[..., 0], counts[..., 1]))
