"""A fitted blend, plain arrays, and what it makes of any probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from toolkit.blending.candidates import SeedGroups
from toolkit.blending.pool import PART, Pool
from toolkit.blending.postprocessing import biased, sloped, tempered, with_labels, without_small_regions
from toolkit.blending.top_mix import mixed_top
from toolkit.blending.valued import WHOLE, spans_of_one
from toolkit.compiled import compiled
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.metrics.confusion import confusion_by_sample
from toolkit.metrics.tally import Counts, Tally, joined
from toolkit.probabilities import chunks, read, write_probabilities
from toolkit.top_k import ALL, TopK


@dataclass(frozen=True)
class Solution:
    """A fitted blend of M seed groups with S channels: scored classes, labels, numbers or grades."""

    weights: np.ndarray  # (M,); only their proportions matter
    biases: np.ndarray | None = None  # (S,), added to the logarithms of the mixture
    temperatures: np.ndarray | None = None  # (M,), of each seed group before it is mixed
    quantiles: np.ndarray | None = None  # (M, S, Q), by which probabilities become ranks
    smallest: int = 0  # pixels; smaller regions of a mask take their surroundings' class
    member: int | None = None  # of the one seed group that has a weight, taken alone: its place there
    slopes: np.ndarray | None = None  # (M, S, 2), by which logits are multiplied before they are mixed, and a shift
    decisions: Decisions = PLAIN  # what becomes of the mixture

    @property
    def shares(self) -> np.ndarray:
        """float64 (M,) that sum to 1."""
        shares: np.ndarray = self.weights / self.weights.sum()
        return shares

    @property
    def only_weights(self) -> bool:
        """Nothing but a weighting of seed groups, so that the contested items alone say what it scores."""
        others = (self.biases, self.temperatures, self.quantiles, self.slopes, self.member)
        return not self.smallest and all(one is None for one in others)

    @property
    def of_those_with_a_share(self) -> "Solution":
        """The same without the seed groups that have no share."""
        used = self.weights > 0
        names = ("temperatures", "quantiles", "slopes")
        kept: dict[str, Any] = {n: each if each is None else each[used] for n in names for each in (getattr(self, n),)}
        return replace(self, weights=self.weights[used], **kept)


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
    """Blended values float32 (n, channels, ...) of rows of the `oof` or `test` arrays; unscored classes get 0.

    Of many classes a TopK, of the runs' own.
    """
    if isinstance(pool.runs[0].oof, TopK):
        used = [(run, share) for run, share in zip(pool.runs, run_shares(pool, solution), strict=True) if share]
        parts: Any = [read(getattr(run, which), rows) for run, _ in used]
        top: Any = mixed_top(parts, [share for _, share in used])
        return top
    channels, task = list(pool.channels), pool.labelled.competition.task
    if solution.temperatures is None and solution.quantiles is None and solution.slopes is None:
        values = _weighted(pool, solution, which, rows)
    else:
        spans = spans_of_one(task)
        values = mix_parts(solution, lambda m: pool.seed_groups[m].mean(which, rows)[:, channels], spans)
    return whole(solution, values, channels, task.channels)


def write_mixed(path: Path, pool: SeedGroups, solution: Solution, samples: int, dtype: DTypeLike) -> None:
    """Store what `mixed` makes of the `test` arrays, of so many samples."""
    shape = pool.labelled.probability_shape(samples)
    parts = (mixed(pool, solution, "test", np.arange(at.start, at.stop)) for at in chunks(samples, shape[2:]))
    write_probabilities(path, parts, shape, dtype)


def whole(solution: Solution, values: np.ndarray, channels: Sequence[int], number: int) -> np.ndarray:
    """Mixed values (n, S, ...) as they are handed in: (n, channels, ...), small regions of masks cleaned up."""
    if solution.smallest:
        labels = without_small_regions(values.argmax(1).astype(np.uint8), solution.smallest)
        values = with_labels(values, labels)
    result = np.zeros((len(values), number, *values.shape[2:]), np.float32)
    result[:, list(channels)] = values
    return result


def _weighted(pool: SeedGroups, solution: Solution, which: str, rows: np.ndarray) -> np.ndarray:
    """As `mix`, one stored array at a time in one pass each."""
    task = pool.labelled.competition.task
    shares = run_shares(pool, solution)
    # a run without a share may have no test predictions
    used = [(getattr(run, which), share) for run, share in zip(pool.runs, shares, strict=True) if share]
    shape = (len(rows), len(pool.channels), *used[0][0].shape[2:])
    total = np.zeros((*shape[:2], int(np.prod(shape[2:]))), np.float32)
    for stored, share in used:
        part = read(stored, rows)
        scale = 255 if part.dtype == np.uint8 else 1
        part = part if part.dtype == np.uint8 else part.astype(np.float32)
        _accumulate(total, part.reshape(*part.shape[:2], -1), np.array(pool.channels), np.float32(share / scale))
    return _normalised(total.reshape(shape), solution, spans_of_one(task))


@compiled
def _accumulate(total: np.ndarray, part: np.ndarray, scored: np.ndarray, share: np.float32) -> None:
    for i in range(total.shape[0]):
        for s in range(total.shape[1]):
            for p in range(total.shape[2]):
                total[i, s, p] += share * part[i, scored[s], p]


def mix(solution: Solution, values: np.ndarray, spans: Sequence[slice] = WHOLE) -> np.ndarray:
    """Blended values float32 (n, S, ...) of values (n, S, ..., M). spans: what sums to 1."""
    return mix_parts(solution, lambda m: values[..., m], spans)


def mix_parts(solution: Solution, part_of: Callable[[int], np.ndarray], spans: Sequence[slice] = WHOLE) -> np.ndarray:
    """As `mix`, of the values (n, S, ...) of each seed group that has a share."""
    total: Any = 0.0
    for m in np.flatnonzero(solution.weights):
        part = part_of(int(m))
        if solution.temperatures is not None:
            part = tempered(part, float(solution.temperatures[m]))
        if solution.slopes is not None:
            part = sloped(part, solution.slopes[m])
        if solution.quantiles is not None:
            ranks = np.linspace(0, 1, solution.quantiles.shape[2])
            part = np.stack([np.interp(part[:, s], q, ranks) for s, q in enumerate(solution.quantiles[m])], axis=1)
        total = total + part * np.float32(solution.shares[m])
    return _normalised(total, solution, spans).astype(np.float32)


def _normalised(total: np.ndarray, solution: Solution, spans: Sequence[slice]) -> np.ndarray:
    """Sums (n, S, ...) of 1 over each span, with the solution's biases; ranks, and what was rounded, have others."""
    if spans == WHOLE:
        total = total / np.maximum(total.sum(1, keepdims=True), 1e-30)
    else:
        for span in spans:
            total[:, span] = total[:, span] / np.maximum(total[:, span].sum(1, keepdims=True), 1e-30)
    return total if solution.biases is None else biased(total, solution.biases)


def fold_tally(pool: Pool, solution: Solution, fold: int) -> Tally:
    """What the metric counts of one fold's samples, in order, under the solution's own decisions."""
    competition = pool.labelled.competition
    if pool.contested is not None:
        return Counts(competition.metric, fold_confusions(pool, solution, fold), pool.scored)  # type: ignore[arg-type]
    labelled, rows = pool.labelled, pool.labelled.rows(fold)
    pixels = int(np.prod(labelled.truth.shape[1:])) if labelled.masks else 1
    step = max(1, PART // (4 * min(competition.task.channels, ALL) * pixels))
    parts = np.split(rows, range(step, len(rows), step))
    return joined(
        [
            competition.tally(np.asarray(labelled.truth[at]), mixed(pool, solution, "oof", at), solution.decisions)
            for at in parts
        ]
    )


def fold_confusions(pool: Pool, solution: Solution, fold: int) -> np.ndarray:
    """Confusion matrices (n, C, C) of one fold's samples, in order."""
    assert pool.contested is not None
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
