"""Probabilities of several candidates, divided into what any weighting of them can change and what none can.

Values are whole numbers (probabilities times 255 or 65,535), so sums are exact and a blend has the same labels on
every machine. Items (samples, or pixels) on which all candidates agree keep their label under any weights that
are not negative; they are counted once and not looked at again. The rest are the contested ones.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.compiled import compiled
from toolkit.metrics.confusion import Accuracy, ConfusionMetric, MeanIoU, confusion_by_sample
from toolkit.probabilities import open_probabilities, read
from toolkit.task import IGNORED

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
    metric: ConfusionMetric
    candidates: int
    every: np.ndarray | None = None  # int64 (C,); None: all are here

    def base(self, folds: Sequence[int]) -> np.ndarray:
        """Confusion (C, C) of the settled items of these folds."""
        total: np.ndarray = self.settled[np.isin(self.fold, folds)].sum(0)
        return total

    def chosen(self, folds: Sequence[int]) -> list[Block]:
        return [block for block in self.blocks if block.fold in folds]

    def confusions(self, weights: np.ndarray, fold: int) -> np.ndarray:
        """Confusion matrices int64 (n, C, C) of a fold's samples under weights (M,)."""
        if self.every is not None:
            raise ValueError("a part of the contested items can't tell the confusion of a sample")
        result = self.settled.copy()
        for block in self.chosen([fold]):
            label = np.zeros(len(block.truth), np.uint8)
            _weighted(read(block.values), weights.astype(np.int64), label)
            np.add.at(result, (block.row, block.truth, np.array(self.scored)[label]), 1)
        return result[self.fold == fold]


Part = tuple[int, np.ndarray, np.ndarray, np.ndarray]  # fold, rows (n,), values (M, n, S, ...), targets (n, ...)


def gather(
    parts: Iterable[Part],
    fold: np.ndarray,
    classes: int,
    metric: Any,
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
    counted[list(scored) if isinstance(metric, Accuracy | MeanIoU) else list(range(classes))] = True
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
            path = scratch / f"contested_{len(blocks)}.npy"
            np.save(path, taken, allow_pickle=False)
            taken = open_probabilities(path)
        blocks.append(Block(number, taken, truth.ravel()[kept], rows[kept // (truth.size // count)]))
    return Contested(tuple(blocks), settled, fold, tuple(scored), metric, candidates)


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


@compiled
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


@compiled
def _take(values: np.ndarray, kept: np.ndarray, taken: np.ndarray) -> None:
    candidates, _, classes, items = values.shape
    for k in range(len(kept)):
        i, p = kept[k] // items, kept[k] % items
        for c in range(classes):
            for m in range(candidates):
                taken[k, c, m] = values[m, i, c, p]


@compiled
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
