"""Weights over candidates chosen by the official metric itself, in compiled kernels."""

from collections.abc import Sequence

import numpy as np

from toolkit.blending.climb import Climb
from toolkit.blending.contested import Contested
from toolkit.blending.valued import Valued
from toolkit.compiled import compiled
from toolkit.metrics.confusion import Accuracy
from toolkit.probabilities import read


@compiled
def _tally(
    values: np.ndarray,
    truth: np.ndarray,
    state: np.ndarray,
    taken: int,
    place: np.ndarray,
    best: np.ndarray,
    label: np.ndarray,
    part: np.ndarray,
    counts: np.ndarray,
    still: np.ndarray,
) -> None:
    """Add to counts (C, S, M) the labels after each candidate in turn is added to state (n, S).

    Before that the candidate `taken` (none: -1) is added to the state for good, so that values are read once. An item
    that no candidate can turn is added to still (C, S) instead, and classes that lie too far behind are passed over.
    Where place (C,) is a class's position among the scored ones, and not -1, only the right ones are counted, which
    is all that accuracy asks for; the others go to the next class. best, label (M,) and part (C, S, M) are work
    space, int16 for values in bytes.
    """
    items, classes, candidates = values.shape
    reach = 255 if values.itemsize == 1 else 65535
    kind = best.dtype.type  # without these casts all is computed in 64 bits, four at a time
    one, none = kind(1), kind(0)
    for start in range(0, items, 16384):  # int16 counts can't overflow in so many
        part[:] = 0
        for i in range(start, min(start + 16384, items)):
            if taken >= 0:
                for c in range(classes):
                    state[i, c] += np.int32(values[i, c, taken])
            first, leader = state[i, 0], 0
            for c in range(1, classes):
                if state[i, c] > first:
                    first, leader = state[i, c], c
            near, lowest = 0, -1
            for c in range(classes):
                behind = np.int64(state[i, c]) - first
                if behind < -reach:
                    continue
                near += 1
                behind_, c_ = kind(behind), kind(c)
                if lowest < 0:
                    lowest = c
                    for m in range(candidates):
                        best[m] = kind(behind_ + kind(values[i, c, m]))
                        label[m] = c_
                else:
                    for m in range(candidates):
                        value = kind(behind_ + kind(values[i, c, m]))
                        larger = value > best[m]
                        best[m] = value if larger else best[m]
                        label[m] = c_ if larger else label[m]
            own = truth[i]
            if near == 1:
                still[own, leader] += 1
            elif place[own] >= 0:
                right = place[own]
                other, c_ = (right + 1) % classes, kind(right)
                for m in range(candidates):
                    hit = one if label[m] == c_ else none
                    part[own, right, m] = kind(part[own, right, m] + hit)
                    part[own, other, m] = kind(part[own, other, m] + kind(one - hit))
            else:
                for c in range(lowest, classes):
                    if np.int64(state[i, c]) - first >= -reach:
                        c_ = kind(c)
                        for m in range(candidates):
                            part[own, c, m] = kind(part[own, c, m] + (one if label[m] == c_ else none))
        counts += part


class HillClimb:
    """The metric of every single step away from whole-number weights over the candidates, all 0 in the beginning."""

    def __init__(self, contested: Contested, folds: Sequence[int]) -> None:
        self.contested, self.blocks = contested, contested.chosen(folds)
        self.base = contested.base(folds)
        self.reset()

    def reset(self) -> None:
        self.states = [np.zeros(block.values.shape[:2], np.int32) for block in self.blocks]

    def scores(self, taken: int = -1) -> np.ndarray:
        """Merits (M,) with one added to each candidate's weight in turn, once that of `taken` was for good."""
        own, many = self.contested, self.contested.candidates
        counts = np.zeros((len(self.base), len(own.scored), many), np.int64)
        still = np.zeros(counts.shape[:2], np.int64)
        place = np.full(256, -1)
        if isinstance(own.metric, Accuracy):
            place[list(own.scored)] = np.arange(len(own.scored))
        for block, state in zip(self.blocks, self.states, strict=True):
            kind = np.int16 if block.values.dtype == np.uint8 else np.int32
            best, label, part = np.zeros(many, kind), np.zeros(many, kind), np.zeros(counts.shape, kind)
            _tally(read(block.values), block.truth, state, taken, place, best, label, part, counts, still)
        confusion = np.repeat(self.base[None], many, 0)
        every = 1 if own.every is None else own.every[:, None]
        confusion[:, :, list(own.scored)] += every * (counts.transpose(2, 0, 1) + still)
        return own.metric.sign * own.metric.of_counts(confusion, own.scored)


def climb_from(among: Contested | Valued, folds: Sequence[int]) -> HillClimb | Climb:
    """All weights 0, on these folds."""
    return HillClimb(among, folds) if isinstance(among, Contested) else among.climb(folds)


def greedy(
    among: Contested | Valued,
    folds: Sequence[int],
    steps: int,
    allowed: np.ndarray | None = None,
    costs: np.ndarray | None = None,
    limits: np.ndarray | None = None,
    paths: int = 2,
) -> np.ndarray:
    """Greedy selection with replacement (Caruana et al. 2004), weights int64 (M,) that sum to at most `steps`.

    The best of the steps by the metric's own direction is taken, the earliest of equals; where no step has a score,
    the first that may be. Among candidates that are equal, one already in comes
    first, then the better one alone. Where there were such, other ones of them are tried on up to `paths` paths
    in all: with accuracy, what is drawn there made differences of .001. allowed: bool (M,). costs (L, M) of each
    candidate in several currencies, which count once however often it is taken, never exceed limits (L,).
    """
    allowed = np.ones(among.candidates, np.bool_) if allowed is None else allowed
    best, found = -np.inf, np.zeros(among.candidates, np.int64)
    climb = climb_from(among, folds)
    alone = climb.scores()
    for path in range(paths):
        climb.reset()
        rng, tied = np.random.default_rng(path), False
        weights, taken = np.zeros(among.candidates, np.int64), -1
        for number in range(steps):
            open_now = allowed
            if costs is not None and limits is not None:
                spent = costs @ (weights > 0)
                fits = (spent[:, None] + costs <= limits[:, None]).all(0)
                open_now = allowed & (fits | (weights > 0))
            if not open_now.any():
                break
            scores = np.where(open_now, climb.scores(taken) if number else alone, -np.inf)
            equal = np.flatnonzero(open_now & (scores == scores.max()))
            used = equal[weights[equal] > 0]
            equal = used if len(used) else equal
            tied |= len(equal) > 1
            taken = int(rng.choice(equal) if path else equal[alone[equal].argmax()])
            weights[taken] += 1
            if scores.max() > best or not found.any():
                best, found = float(scores.max()), weights.copy()
        if not tied:
            break
    return found
