"""A fitted blend, plain arrays, and what it makes of any probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from toolkit.blending.candidates import PART, Pool, SeedGroups
from toolkit.blending.postprocessing import biased, tempered, with_labels, without_small_regions
from toolkit.metrics.confusion import confusion_by_sample
from toolkit.probabilities import chunks, read, write_probabilities


@dataclass(frozen=True)
class Solution:
    """A fitted blend of M seed groups with S scored classes."""

    weights: np.ndarray  # (M,); only their proportions matter
    biases: np.ndarray | None = None  # (S,), added to the logarithms of the mixture
    temperatures: np.ndarray | None = None  # (M,), of each seed group before it is mixed
    quantiles: np.ndarray | None = None  # (M, S, Q), by which probabilities become ranks
    smallest: int = 0  # pixels; smaller regions of a mask take their surroundings' class
    member: int | None = None  # of the one seed group that has a weight, taken alone: its place there

    @property
    def shares(self) -> np.ndarray:
        """float64 (M,) that sum to 1."""
        shares: np.ndarray = self.weights / self.weights.sum()
        return shares

    @property
    def only_weights(self) -> bool:
        """Nothing but a weighting of seed groups, so that the contested items alone say what it scores."""
        others = (self.biases, self.temperatures, self.quantiles, self.member)
        return not self.smallest and all(one is None for one in others)

    @property
    def of_those_with_a_share(self) -> "Solution":
        """The same without the seed groups that have no share."""
        used = self.weights > 0
        temperatures, quantiles = (
            each if each is None else each[used] for each in (self.temperatures, self.quantiles)
        )
        return replace(self, weights=self.weights[used], temperatures=temperatures, quantiles=quantiles)


def run_shares(pool: SeedGroups, solution: Solution) -> list[float]:
    """Of each of the pool's runs, that sum to 1."""
    found = []
    for group, share in zip(pool.seed_groups, solution.shares, strict=True):
        parts = np.full(len(group.members), 1 / len(group.members))
        if solution.member is not None:
            parts = np.arange(len(parts)) == solution.member
        found += [float(share * part) for part in parts]
    return found


def mixed(pool: SeedGroups, solution: Solution, which: str, rows: np.ndarray) -> np.ndarray:
    """Blended probabilities float32 (n, C, ...) of rows of the `oof` or `test` arrays; unscored classes get 0."""
    scored = list(pool.scored)
    if solution.temperatures is None and solution.quantiles is None:
        values = _weighted(pool, solution, which, rows)
    else:
        values = mix_parts(solution, lambda m: pool.seed_groups[m].mean(which, rows)[:, scored])
    return whole(solution, values, scored, pool.classes)


def write_mixed(path: Path, pool: SeedGroups, solution: Solution, samples: int, dtype: type) -> None:
    """Store what `mixed` makes of the `test` arrays, of so many samples."""
    parts = (mixed(pool, solution, "test", np.arange(at.start, at.stop)) for at in chunks(samples))
    write_probabilities(path, parts, pool.labelled.probability_shape(samples), dtype)


def whole(solution: Solution, values: np.ndarray, scored: Sequence[int], classes: int) -> np.ndarray:
    """Mixed values (n, S, ...) as they are handed in: float32 (n, C, ...), small regions of masks cleaned up."""
    if solution.smallest:
        labels = without_small_regions(values.argmax(1).astype(np.uint8), solution.smallest)
        values = with_labels(values, labels)
    result = np.zeros((len(values), classes, *values.shape[2:]), np.float32)
    result[:, list(scored)] = values
    return result


def _weighted(pool: SeedGroups, solution: Solution, which: str, rows: np.ndarray) -> np.ndarray:
    """As `mix`, one stored array at a time in one pass each."""
    shape = (len(rows), len(pool.scored), *pool.labelled.truth.shape[1:])
    total = np.zeros((*shape[:2], int(np.prod(shape[2:]))), np.float32)
    for run, share in zip(pool.runs, run_shares(pool, solution), strict=True):
        if share:
            part = read(getattr(run, which), rows)
            scale = 255 if part.dtype == np.uint8 else 1
            part = part if part.dtype == np.uint8 else part.astype(np.float32)
            _accumulate(total, part.reshape(*part.shape[:2], -1), np.array(pool.scored), np.float32(share / scale))
    return _normalised(total.reshape(shape), solution)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _accumulate(total: np.ndarray, part: np.ndarray, scored: np.ndarray, share: np.float32) -> None:
    for i in range(total.shape[0]):
        for s in range(total.shape[1]):
            for p in range(total.shape[2]):
                total[i, s, p] += share * part[i, scored[s], p]


def mix(solution: Solution, values: np.ndarray) -> np.ndarray:
    """Blended probabilities float32 (n, S, ...) of values (n, S, ..., M)."""
    return mix_parts(solution, lambda m: values[..., m])


def mix_parts(solution: Solution, part_of: Callable[[int], np.ndarray]) -> np.ndarray:
    """As `mix`, of the values (n, S, ...) of each seed group that has a share."""
    total: Any = 0.0
    for m in np.flatnonzero(solution.weights):
        part = part_of(int(m))
        if solution.temperatures is not None:
            part = tempered(part, float(solution.temperatures[m]))
        if solution.quantiles is not None:
            ranks = np.linspace(0, 1, solution.quantiles.shape[2])
            part = np.stack([np.interp(part[:, s], q, ranks) for s, q in enumerate(solution.quantiles[m])], axis=1)
        total = total + part * np.float32(solution.shares[m])
    return _normalised(total, solution).astype(np.float32)


def _normalised(total: np.ndarray, solution: Solution) -> np.ndarray:
    """Sums (n, S, ...) of 1, with the solution's biases; ranks, and what was rounded, have others."""
    total = total / np.maximum(total.sum(1, keepdims=True), 1e-30)
    return total if solution.biases is None else biased(total, solution.biases)


def fold_confusions(pool: Pool, solution: Solution, fold: int) -> np.ndarray:
    """Confusion matrices (n, C, C) of one fold's samples, in order."""
    if solution.only_weights:
        return pool.contested.confusions(solution.weights, fold)
    if solution.member is not None:
        return pool.run_confusions(run_shares(pool, solution).index(1), fold)
    labelled, rows, found = pool.labelled, pool.labelled.rows(fold), []
    step = max(1, PART // (4 * pool.classes * int(np.prod(labelled.truth.shape[1:]))))
    for start in range(0, len(rows), step):
        at = rows[start : start + step]
        labels = labelled.competition.decode(mixed(pool, solution, "oof", at))
        found.append(confusion_by_sample(np.asarray(labelled.truth[at]), labels, pool.classes))
    return np.concatenate(found)
