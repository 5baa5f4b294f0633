"""A fitted blend: plain arrays (or a scikit-learn model), and what they make of any probabilities."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numba import njit

from toolkit.blending.candidates import PART, Pool
from toolkit.blending.postprocessing import biased, tempered, with_labels, without_small_regions
from toolkit.metrics import confusion_by_sample
from toolkit.probabilities import read


@dataclass(frozen=True)
class Solution:
    """A fitted blend of M seed groups with S scored classes."""

    weights: np.ndarray  # (M,), or (M, S); only their proportions matter
    biases: np.ndarray | None = None  # (S,), added to the logarithms of the mixture
    temperatures: np.ndarray | None = None  # (M,), of each seed group before it is mixed
    quantiles: np.ndarray | None = None  # (M, S, Q), by which probabilities become ranks
    smallest: int = 0  # pixels; smaller regions of a mask take their surroundings' class
    stack: Any = None  # a scikit-learn classifier on log-probabilities of the seed groups with weight

    @property
    def shares(self) -> np.ndarray:
        """float64 (M,) that sum to 1; of weights by class the mean."""
        weights: np.ndarray = self.weights if self.weights.ndim == 1 else self.weights.mean(1)
        return weights / weights.sum()

    @property
    def only_weights(self) -> bool:
        """Nothing but a weighting, so that the contested items alone say what it scores."""
        others = (self.biases, self.temperatures, self.quantiles, self.stack)
        return self.weights.ndim == 1 and not self.smallest and all(one is None for one in others)


def mixed(pool: Pool, solution: Solution, which: str, rows: np.ndarray) -> np.ndarray:
    """Blended probabilities float32 (n, C, ...) of rows of the `oof` or `test` arrays; unscored classes get 0."""
    scored = list(pool.scored)
    used = np.flatnonzero(solution.weights.reshape(len(solution.weights), -1).any(1))
    if solution.temperatures is None and solution.quantiles is None and solution.stack is None:
        values = _weighted(pool, solution, used, which, rows)
    else:
        parts = [pool.seed_groups[m].mean(which, rows)[:, scored] for m in used]
        values = mix(_only(solution, used), np.stack(parts, axis=-1))
    if solution.smallest:
        labels = without_small_regions(values.argmax(1).astype(np.uint8), solution.smallest)
        values = with_labels(values, labels)
    result = np.zeros((len(rows), pool.classes, *values.shape[2:]), np.float32)
    result[:, scored] = values
    return result


def _weighted(pool: Pool, solution: Solution, used: np.ndarray, which: str, rows: np.ndarray) -> np.ndarray:
    """As `mix`, one stored array at a time in one pass each."""
    shape = (len(rows), len(pool.scored), *pool.labelled.targets.shape[1:])
    total, scored = np.zeros((*shape[:2], int(np.prod(shape[2:]))), np.float32), np.array(pool.scored)
    weights = solution.weights / solution.weights.sum(0)
    for m in used:
        members = pool.seed_groups[m].members
        for member in members:
            part = read(getattr(member, which), rows)
            scale = 255 if part.dtype == np.uint8 else 1
            part = part if part.dtype == np.uint8 else part.astype(np.float32)
            share = np.broadcast_to(weights[m] / (scale * len(members)), scored.shape).astype(np.float32)
            _accumulate(total, part.reshape(*part.shape[:2], -1), scored, share)
    total = total.reshape(shape)
    total /= np.maximum(total.sum(1, keepdims=True), 1e-30)
    return total if solution.biases is None else biased(total, solution.biases)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _accumulate(total: np.ndarray, part: np.ndarray, scored: np.ndarray, share: np.ndarray) -> None:
    for i in range(total.shape[0]):
        for s in range(total.shape[1]):
            for p in range(total.shape[2]):
                total[i, s, p] += share[s] * part[i, scored[s], p]


def _only(solution: Solution, used: np.ndarray) -> Solution:
    def those(one: np.ndarray | None) -> np.ndarray | None:
        return None if one is None else one[used]

    return replace(
        solution,
        weights=solution.weights[used],
        temperatures=those(solution.temperatures),
        quantiles=those(solution.quantiles),
    )


def mix(solution: Solution, values: np.ndarray) -> np.ndarray:
    """Blended probabilities float32 (n, S, ...) of values (n, S, ..., M)."""
    if solution.stack is not None:
        return _stacked(solution.stack, values)
    total: Any = 0.0
    weights = solution.weights / solution.weights.sum(0)
    for m in range(values.shape[-1]):
        part = values[..., m]
        if solution.temperatures is not None:
            part = tempered(part, float(solution.temperatures[m]))
        if solution.quantiles is not None:
            ranks = np.linspace(0, 1, solution.quantiles.shape[2])
            part = np.stack([np.interp(part[:, s], q, ranks) for s, q in enumerate(solution.quantiles[m])], axis=1)
        weight = weights[m].astype(np.float32)
        total = total + part * (weight if weight.ndim == 0 else weight.reshape(-1, *[1] * (part.ndim - 2)))
    # weights by class, and ranks, do not sum to 1
    total = total / np.maximum(total.sum(1, keepdims=True), 1e-30)
    total = total if solution.biases is None else biased(total, solution.biases)
    return total.astype(np.float32)


def _stacked(model: Any, values: np.ndarray) -> np.ndarray:
    result = np.zeros(values.shape[:2], np.float32)
    result[:, model.classes_] = model.predict_proba(stack_features(values))
    return result


def stack_features(values: np.ndarray) -> np.ndarray:
    """What a stack learns from, (n, S * M), of values (n, S, M)."""
    return np.log(np.maximum(values, 1e-4)).reshape(len(values), -1)


def fold_confusions(pool: Pool, solution: Solution, fold: int) -> np.ndarray:
    """Confusion matrices (n, C, C) of one fold's samples, in order."""
    if solution.only_weights:
        return pool.contested.confusions(solution.weights, fold)
    labelled, rows, found = pool.labelled, pool.labelled.rows(fold), []
    step = max(1, PART // (4 * pool.classes * int(np.prod(labelled.targets.shape[1:]))))
    for start in range(0, len(rows), step):
        at = rows[start : start + step]
        labels = labelled.competition.decode(mixed(pool, solution, "oof", at))
        found.append(confusion_by_sample(np.asarray(labelled.targets[at]), labels, pool.classes))
    return np.concatenate(found)
