"""Weights over runs chosen by the official metric itself, in compiled kernels.

Values are whole numbers (probabilities times 255 or 65,535), so sums are exact and a blend has the same labels on
every machine. Items (samples, or pixels) on which all candidates agree keep their label under any weights that
are not negative; they are counted once and not looked at again. The rest are the contested ones.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numba import njit

from toolkit.metrics import IGNORED, Accuracy, MacroF1, Metric, confusion_by_sample

AGREED = 255  # no label: the item is contested


@dataclass(frozen=True)
class Block:
    """Contested items of one fold. `values` may be memory-mapped."""

    fold: int
    values: np.ndarray  # uint8 or uint16 (n, S, M): probabilities of the scored classes by candidate
    truth: np.ndarray  # uint8 (n,)
    row: np.ndarray  # int64 (n,): the sample that the item is in


@dataclass(frozen=True)
class Contested:
    """Everything that any weighting of M candidates can change.

    settled: int64 (N, C, C), the confusion of the items on which all candidates agree, by sample; fold: int64 (N,);
    every: of each class's contested items only one in so many is here, and counts for as many.
    """

    blocks: tuple[Block, ...]
    settled: np.ndarray
    fold: np.ndarray
    scored: tuple[int, ...]
    metric: Metric
    candidates: int
    every: np.ndarray | None = None  # int64 (C,); None: all are here

    def base(self, folds: Sequence[int]) -> np.ndarray:
        """Confusion (C, C) of the settled items of these folds."""
        total: np.ndarray = self.settled[np.isin(self.fold, folds)].sum(0)
        return total

    def chosen(self, folds: Sequence[int]) -> list[Block]:
        return [block for block in self.blocks if block.fold in folds]


Part = tuple[int, np.ndarray, np.ndarray, np.ndarray]  # fold, rows (n,), values (M, n, S, ...), targets (n, ...)


def gather(
    parts: Iterable[Part],
    fold: np.ndarray,
    classes: int,
    metric: Metric,
    scored: Sequence[int],
    scratch: Path | None = None,
    limit: int = 2**30,
) -> Contested:
    """Divide all items into settled and contested ones, reading part by part.

    Each part's values are uint8 or uint16 of the scored classes alone. Contested ones beyond `limit` bytes lie in
    files under `scratch`.
    """
    settled = np.zeros((len(fold), classes, classes), np.int64)
    counted = np.zeros(256, np.bool_)  # a truth whose row no score reads need not be followed
    counted[list(range(classes)) if isinstance(metric, MacroF1) else list(scored)] = True
    labels = np.array([*scored], np.uint8)
    blocks: list[Block] = []
    held, candidates = 0, 0
    for number, rows, values, targets in parts:
        candidates, count = len(values), len(rows)
        if not count:
            continue
        flat = values.reshape(candidates, count, values.shape[2], -1)
        truth = targets.reshape(count, -1).astype(np.uint8)
        if flat.shape[3] == 1:  # labels: one row of many items is faster than many rows of one
            flat, truth = np.ascontiguousarray(flat[..., 0].transpose(0, 2, 1))[:, None], truth.reshape(1, -1)
        agreed = np.full(truth.shape, AGREED, np.uint8)
        _agree(flat, agreed)
        known = agreed != AGREED
        predicted = np.where(known, labels[np.where(known, agreed, 0)], 0)
        masked = np.where(known, truth, IGNORED)
        settled[rows] += confusion_by_sample(masked.reshape(count, -1), predicted.reshape(count, -1), classes)
        kept = np.flatnonzero((~known & (truth != IGNORED) & counted[truth]).ravel())
        taken = np.empty((len(kept), flat.shape[2], candidates), flat.dtype)
        _take(flat, kept, taken)
        held += taken.nbytes
        if held > limit and scratch is not None and len(taken):
            taken = _filed(taken, scratch / f"contested_{len(blocks)}.npy")
        blocks.append(Block(number, taken, truth.ravel()[kept], rows[kept // (truth.size // count)]))
    return Contested(tuple(blocks), settled, fold, tuple(scored), metric, candidates)


def _filed(values: np.ndarray, path: Path) -> np.ndarray:
    np.save(path, values, allow_pickle=False)
    filed: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return filed


def read(stored: np.ndarray, rows: np.ndarray | slice = np.s_[:]) -> np.ndarray:
    """Rows of a memory-mapped array through a map of their own: pages once read would count as memory held."""
    if isinstance(stored, np.memmap) and stored.filename is not None:
        again: np.memmap = np.memmap(stored.filename, stored.dtype, "r", stored.offset, stored.shape)
        return np.array(again[rows])
    return stored[rows]


def thinned(contested: Contested, most: int) -> Contested:
    """At most about `most` contested items of each true class; the rarest classes stay whole."""
    classes = contested.settled.shape[1]
    number = np.sum([np.bincount(b.truth, minlength=classes) for b in contested.blocks], axis=0)
    every = np.maximum(1, -(-number // most))
    if (every == 1).all():
        return contested
    seen = np.zeros(classes, np.int64)
    blocks = []
    for block in contested.blocks:
        keep = np.zeros(len(block.truth), np.bool_)
        for c in range(classes):
            at = np.flatnonzero(block.truth == c)
            keep[at[(seen[c] + np.arange(len(at))) % every[c] == 0]] = True
            seen[c] += len(at)
        blocks.append(Block(block.fold, read(block.values)[keep], block.truth[keep], block.row[keep]))
    return replace(contested, blocks=tuple(blocks), every=every)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _agree(values: np.ndarray, agreed: np.ndarray) -> None:
    """Into `agreed` (n, P), the position of the largest class where all candidates of (M, n, S, P) share it."""
    candidates, rows, classes, items = values.shape
    best = np.empty(items, values.dtype)
    label = np.empty(items, np.uint8)
    for i in range(rows):
        for m in range(candidates):
            for p in range(items):
                best[p] = values[m, i, 0, p]
                label[p] = 0
            for c in range(1, classes):
                for p in range(items):
                    larger = values[m, i, c, p] > best[p]
                    best[p] = values[m, i, c, p] if larger else best[p]
                    label[p] = c if larger else label[p]
            if m == 0:
                for p in range(items):
                    agreed[i, p] = label[p]
            else:
                for p in range(items):
                    agreed[i, p] = agreed[i, p] if agreed[i, p] == label[p] else 255


@njit(cache=True)  # type: ignore[untyped-decorator]
def _take(values: np.ndarray, kept: np.ndarray, taken: np.ndarray) -> None:
    candidates, _, classes, items = values.shape
    for k in range(len(kept)):
        i, p = kept[k] // items, kept[k] % items
        for c in range(classes):
            for m in range(candidates):
                taken[k, c, m] = values[m, i, c, p]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _tally(
    values: np.ndarray,
    truth: np.ndarray,
    state: np.ndarray,
    step: int,
    moved: int,
    move: int,
    place: np.ndarray,
    best: np.ndarray,
    label: np.ndarray,
    part: np.ndarray,
    counts: np.ndarray,
    still: np.ndarray,
) -> None:
    """Add to counts (C, S, M) the labels after `step` times each candidate is added to state (n, S).

    Before that `move` times candidate `moved` is added to the state for good, so that values are read once. An item
    that no candidate can turn is added to still (C, S) instead, and classes that lie too far behind are passed over.
    Where place (C,) is a class's position among the scored ones, and not -1, only the right ones are counted, which
    is all that accuracy asks for; the others go to the next class. best, label (M,) and part (C, S, M) are work
    space, int16 where steps fit.
    """
    items, classes, candidates = values.shape
    reach = abs(step) * (255 if values.itemsize == 1 else 65535)
    kind = best.dtype.type  # without these casts all is computed in 64 bits, four at a time
    step_, one, none = kind(step), kind(1), kind(0)
    for start in range(0, items, 16384):  # int16 counts can't overflow in so many
        part[:] = 0
        for i in range(start, min(start + 16384, items)):
            if move:
                for c in range(classes):
                    state[i, c] += move * np.int32(values[i, c, moved])
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
                        best[m] = kind(behind_ + kind(step_ * kind(values[i, c, m])))
                        label[m] = c_
                else:
                    for m in range(candidates):
                        value = kind(behind_ + kind(step_ * kind(values[i, c, m])))
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


@njit(cache=True)  # type: ignore[untyped-decorator]
def _add(values: np.ndarray, step: int, candidate: int, state: np.ndarray) -> None:
    for i in range(values.shape[0]):
        for c in range(values.shape[1]):
            state[i, c] += step * np.int32(values[i, c, candidate])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _weighted(values: np.ndarray, weights: np.ndarray, label: np.ndarray) -> None:
    for i in range(values.shape[0]):
        best = np.int64(-1)
        for c in range(values.shape[1]):
            total = np.int64(0)
            for m in range(values.shape[2]):
                total += weights[m] * np.int64(values[i, c, m])
            if total > best:
                best = total
                label[i] = c


class Search:
    """Whole-number weights over the candidates, and the metric of every single step away from them."""

    def __init__(self, contested: Contested, folds: Sequence[int], weights: np.ndarray | None = None) -> None:
        self.contested, self.blocks = contested, contested.chosen(folds)
        self.base = contested.base(folds)
        table = (len(self.base), len(contested.scored), contested.candidates)
        self._work = ((table[2],), (table[2],), table)
        self.weights = np.zeros(contested.candidates, np.int64)
        self.states = [np.zeros(block.values.shape[:2], np.int32) for block in self.blocks]
        self.waiting = (0, 0)  # a move that the next scores make on their way
        for candidate in np.flatnonzero(weights) if weights is not None else ():
            self.move(int(candidate), int(weights[candidate]))  # type: ignore[index]

    def _parts(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        for block, state in zip(self.blocks, self.states, strict=True):
            yield read(block.values), block.truth, state

    def move(self, candidate: int, step: int) -> None:
        if self.waiting[1]:
            for values, _, state in self._parts():
                _add(values, self.waiting[1], self.waiting[0], state)
        self.weights[candidate] += step
        self.waiting = (candidate, step)

    def scores(self, step: int) -> np.ndarray:
        """Scores (M,) of the weights with `step` added to each candidate's in turn; 0: without any (all alike)."""
        own, classes = self.contested, len(self.base)
        counts = np.zeros((classes, len(own.scored), own.candidates), np.int64)
        still = np.zeros((classes, len(own.scored)), np.int64)
        place = np.full(256, -1)
        if isinstance(own.metric, Accuracy):
            place[list(own.scored)] = np.arange(len(own.scored))
        for values, truth, state in self._parts():
            small = values.dtype == np.uint8 and abs(step) * 255 * 2 < 2**15
            best, label, part = (np.zeros(shape, np.int16 if small else np.int32) for shape in self._work)
            _tally(values, truth, state, step, *self.waiting, place, best, label, part, counts, still)
        self.waiting = (0, 0)
        confusion = np.repeat(self.base[None], own.candidates, 0)
        every = 1 if own.every is None else own.every[:, None]
        confusion[:, :, list(own.scored)] += every * (counts.transpose(2, 0, 1) + still)
        return own.metric.score(confusion, own.scored)


def greedy(
    contested: Contested,
    folds: Sequence[int],
    steps: int = 50,
    allowed: np.ndarray | None = None,
    costs: np.ndarray | None = None,
    limits: np.ndarray | None = None,
    paths: int = 2,
) -> np.ndarray:
    """Greedy selection with replacement (Caruana et al. 2004), weights int64 (M,) that sum to at most `steps`.

    The best of the steps is taken, the earliest of equals. Among candidates that are equal, one already in comes
    first, then the better one alone. Where there were such, other ones of them are tried on up to `paths` paths
    in all: with accuracy, what is drawn there made differences of .001. allowed: bool (M,). costs (L, M) of each
    candidate in several currencies, which count once however often it is taken, never exceed limits (L,).
    """
    allowed = np.ones(contested.candidates, np.bool_) if allowed is None else allowed
    best, taken, first = -1.0, np.zeros(contested.candidates, np.int64), None
    for path in range(paths):
        search, random, tied = Search(contested, folds), np.random.default_rng(path), False
        for number in range(steps):
            open_now = allowed
            if costs is not None and limits is not None:
                spent = costs @ (search.weights > 0)
                fits = (spent[:, None] + costs <= limits[:, None]).all(0)
                open_now = allowed & (fits | (search.weights > 0))
            if not open_now.any():
                break
            if number == 0:
                first = search.scores(1) if first is None else first
            scores = search.scores(1) if number else first
            assert first is not None and scores is not None
            found = np.where(open_now, scores, -np.inf)
            equal = np.flatnonzero(found == found.max())
            used = equal[search.weights[equal] > 0]
            equal = used if len(used) else equal
            tied |= len(equal) > 1
            search.move(int(random.choice(equal) if path else equal[first[equal].argmax()]), 1)
            if found.max() > best:
                best, taken = float(found.max()), search.weights.copy()
        if not tied:
            break
    return taken


def polish(
    contested: Contested, folds: Sequence[int], weights: np.ndarray, steps: Sequence[int], rounds: int = 30
) -> np.ndarray:
    """Weights int64 (M,) after moves of one candidate at a time, each the best that gains in the metric itself."""
    search = Search(contested, folds, weights)
    inside = weights > 0  # no new candidate: limits stay kept
    score = float(search.scores(0)[0])
    for _ in range(rounds):
        best, move = score, (0, 0)
        for step in steps:
            found = np.where(inside & (search.weights + step >= 0), search.scores(step), -np.inf)
            if step < 0 and (search.weights > 0).sum() == 1:
                continue
            if found.max() > best + 1e-12:
                best, move = float(found.max()), (int(found.argmax()), step)
        if not move[1]:
            break
        search.move(*move)
        score = best
    return search.weights


def confusions(contested: Contested, weights: np.ndarray, fold: int) -> np.ndarray:
    """Confusion matrices int64 (n, C, C) of a fold's samples under weights (M,)."""
    if contested.every is not None:
        raise ValueError("a part of the contested items can't tell the confusion of a sample")
    result = contested.settled.copy()
    for block in contested.chosen([fold]):
        label = np.zeros(len(block.truth), np.uint8)
        _weighted(read(block.values), weights.astype(np.int64), label)
        predicted = np.array(contested.scored)[label]
        np.add.at(result, (block.row, block.truth, predicted), 1)
    return result[contested.fold == fold]
