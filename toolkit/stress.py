"""The stress score: the official metric of out-of-fold predictions on corrupted images.

Each sample is predicted by the network that did not see it, under corruptions of the fixed suite. A triple is
(sample, corruption, severity). The score of a corruption is the official metric of one confusion matrix, in which
its five severities weigh the same; the stress score is the mean over the corruptions. For accuracy that is the mean
over severities; for mean IoU and F1 one matrix a corruption, as a mean of scores of few samples would be biased.

All triples are too many for every run, so they are listed in a fixed order of which any beginning is balanced, and a
run takes a beginning of 1/1, 1/2, 1/4, … of the list: of two runs, one has the triples of the other.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.sparse import coo_array, csr_array
from torch import nn

from toolkit.competition import Competition, Segmentation, Task
from toolkit.corruptions import VERSION, corrupt_each, suite
from toolkit.metrics import confusion_by_sample
from toolkit.models import load_network, predict, resolve_device
from toolkit.oof import open_probabilities, probabilities
from toolkit.recipe import Recipe
from toolkit.split import describe
from toolkit.store import atomic, read_manifest, write_manifest

SEED = 0  # of the suite and of the list of triples: one for all runs
SHARE = 0.25  # of the time of a training that its stress score may take
GROWTH = 8  # times as many triples at most before the speed is measured anew
KEPT_BYTES = 2**28  # of masks' probabilities that are kept for blends
BATCH = 128
PARTS = 20  # of the triples, for the error from taking a share of them
SEVERITIES = 5
EVIDENCE = "stress"  # the folder in a run


@dataclass(frozen=True)
class Evidence:
    """What a stress score was made from, triple by triple.

    triples: int32 (T, 3), row, corruption (its number in the suite), severity. probabilities: float16 (T, C) for
    labels; for masks uint8 (K, C, H, W) of the first K triples, with their corrupted masks `truth`, uint8
    (K, H, W), and `confusions` (T, C, C) of all.
    """

    triples: np.ndarray
    probabilities: np.ndarray
    truth: np.ndarray | None = None
    confusions: np.ndarray | None = None


def all_triples(targets: np.ndarray, folds: pd.DataFrame, task: Task) -> np.ndarray:
    """Every triple of the samples that are in a fold, int32 (N * cells, 3), in the order in which they are taken.

    Each N of them have every sample once, and every corruption and severity (a cell) about equally often, over
    classes and folds alike: samples are ordered by their class (masks: their rarest) and fold, and dealt to the
    cells in turn; then again, moved on.
    """
    fold = folds["fold"].to_numpy()
    rows = np.flatnonzero(fold >= 0)
    members = len(suite(task.image_shape[2]))
    cells = members * SEVERITIES
    random = np.random.default_rng(SEED)
    rows = random.permutation(rows)
    rows = rows[np.lexsort((fold[rows], _strata(targets[rows], task)))]
    dealt, moves = random.permutation(cells), random.permutation(cells)
    triples = np.empty((cells, len(rows), 3), np.int32)
    for level, move in zip(triples, moves, strict=True):
        order = random.permutation(len(rows))
        cell = dealt[(order + move) % cells]
        level[:] = np.stack([rows[order], cell // SEVERITIES, cell % SEVERITIES + 1], axis=1)
    return triples.reshape(-1, 3)


def _strata(targets: np.ndarray, task: Task) -> np.ndarray:
    if not isinstance(task, Segmentation):
        return targets
    held = describe(targets, task)[:, : len(task.classes)] > 0
    return np.where(held, held.sum(0), len(held) + 1).argmin(1)


def ladder(total: int, smallest: int) -> list[int]:
    """Numbers of triples that a run may be scored on, all of them first, halved until below `smallest`."""
    counts = [total]
    while -(-counts[-1] // 2) >= smallest:
        counts.append(-(-counts[-1] // 2))
    return counts


def stress_score(
    competition: Competition,
    images: np.ndarray,
    targets: np.ndarray,
    folds: pd.DataFrame,
    networks: Sequence[nn.Module],
    device: torch.device,
    precision: str,
    seconds: float | None = None,
) -> tuple[dict[str, Any], Evidence]:
    """The stress score of the folds' networks, and what it was made from.

    images: uint8 (N, H, W, C); targets: labels (N,) or masks (N, H, W), relabelled; networks: by fold. With
    `seconds` as many triples are taken as fit into them, at the speed that is measured meanwhile, and one a
    cell at least; else all.

    `score` with its 95 % interval `low` and `high` from resampling groups, `by_fold`, `by_corruption`,
    `by_family`, `by_severity`, `cells` (corruption: five severities), `share` and number of `triples`, `error`
    (the standard error from taking a share of them), `seconds`, and the suite's `version`.
    """
    begun = time.time()
    triples = all_triples(targets, folds, competition.task)
    counts = ladder(len(triples), len(suite(competition.task.image_shape[2])) * SEVERITIES)
    gathered = _Gathered(competition, images, targets, folds, networks, device, precision, triples)
    done, count = 0, counts[-1] if seconds is not None else len(triples)
    while count > done:
        started = time.time()
        gathered.extend(done, count)
        if seconds is not None:
            speed = (count - done) / (time.time() - started)
            left = seconds - (time.time() - begun)
            most = min(count + speed * max(0.0, left), count * GROWTH)
            done, count = count, next((c for c in counts if c <= most), count)
        else:
            done = count
    evidence = gathered.evidence(done)
    result = _score(competition, targets, folds, evidence, len(triples))
    return {**result, "seconds": time.time() - begun}, evidence


def suite_seconds(images: np.ndarray, samples: int, image: float) -> float:
    """Seconds that so many samples take under the whole suite, a prediction taking `image` seconds; measured."""
    begun = time.time()
    some = np.resize(images[:BATCH], (BATCH, *images.shape[1:]))
    stressed(some, None, SEED)
    return samples * len(suite(images.shape[3])) * SEVERITIES * (image + (time.time() - begun) / BATCH)


class _Gathered:
    """Predictions of a growing beginning of the triples."""

    def __init__(
        self,
        competition: Competition,
        images: np.ndarray,
        targets: np.ndarray,
        folds: pd.DataFrame,
        networks: Sequence[nn.Module],
        device: torch.device,
        precision: str,
        triples: np.ndarray,
    ) -> None:
        self.competition, self.images, self.targets, self.networks = competition, images, targets, networks
        self.device, self.precision, self.triples = device, precision, triples
        self.fold = folds["fold"].to_numpy()[triples[:, 0]]
        classes, shape = len(competition.task.classes), targets.shape[1:]
        self.masks = isinstance(competition.task, Segmentation)
        # memory that is reserved here is taken only where something is written
        self.kept = len(triples)
        if self.masks:
            self.kept = min(self.kept, KEPT_BYTES // (classes * math.prod(shape)))
            self.truth = np.empty((self.kept, *shape), np.uint8)
            self.confusions = np.empty((len(triples), classes, classes), np.min_scalar_type(math.prod(shape)))
        self.probabilities = np.empty((self.kept, classes, *shape), np.uint8 if self.masks else np.float16)

    def extend(self, start: int, stop: int) -> None:
        """Predict triples start..stop, fold by fold, alike ones together."""
        for fold, network in enumerate(self.networks):
            at = start + np.flatnonzero(self.fold[start:stop] == fold)
            at = at[np.lexsort(self.triples[at].T[:0:-1])]
            for first in range(0, len(at), BATCH):
                self._predict(network, at[first : first + BATCH])

    def _predict(self, network: nn.Module, at: np.ndarray) -> None:
        rows = self.triples[at, 0]
        images = torch.from_numpy(self.images[rows]).to(self.device).permute(0, 3, 1, 2)
        masks = torch.from_numpy(self.targets[rows]).to(self.device) if self.masks else None
        images, masks = corrupt_each(images, masks, _cells(self.triples[at]), SEED, rows)
        corrupted = images.permute(0, 2, 3, 1).cpu().numpy()
        predicted = predict(network, corrupted, self.competition.scored, self.device, self.precision)
        kept = at < self.kept
        if masks is None:
            self.probabilities[at] = predicted
            return
        truth = masks.cpu().numpy()
        classes = len(self.competition.task.classes)
        self.confusions[at] = confusion_by_sample(truth, self.competition.decode(predicted), classes)
        self.truth[at[kept]] = truth[kept]
        self.probabilities[at[kept]] = np.rint(predicted[kept] * 255)

    def evidence(self, count: int) -> Evidence:
        if not self.masks:
            return Evidence(self.triples[:count], self.probabilities[:count])
        kept = min(count, self.kept)
        return Evidence(self.triples[:count], self.probabilities[:kept], self.truth[:kept], self.confusions[:count])


def _cells(triples: np.ndarray) -> np.ndarray:
    return triples[:, 1] * SEVERITIES + triples[:, 2] - 1


def _score(
    competition: Competition, targets: np.ndarray, folds: pd.DataFrame, evidence: Evidence, total: int
) -> dict[str, Any]:
    """The scores of what was gathered, out of `total` triples."""
    triples, classes = evidence.triples, len(competition.task.classes)
    if evidence.confusions is None:
        which, value = np.arange(len(triples)), np.ones(len(triples))
        predicted = competition.decode(probabilities(evidence.probabilities))
        entry = targets[triples[:, 0]].astype(np.int64) * classes + predicted
    else:
        flat = evidence.confusions.reshape(len(triples), -1)
        which, entry = flat.nonzero()
        value = flat[which, entry].astype(float)
    members = suite(competition.task.image_shape[2])
    cell = _cells(triples)
    counted = _Counted(competition, len(members), cell, which, entry, value)
    row_fold, row_group = (folds[name].to_numpy()[triples[:, 0]] for name in ("fold", "group"))
    by_corruption, cells = counted.scores(np.zeros(len(triples), np.int64))
    by_fold, _ = counted.scores(row_fold)
    low, high = counted.interval(np.unique(row_group, return_inverse=True)[1])
    families = dict.fromkeys(member.family for member in members)
    in_family = {family: [member.family == family for member in members] for family in families}
    return {
        "score": _mean(by_corruption[0]),
        "low": low,
        "high": high,
        "by_fold": [_mean(scores) for scores in by_fold],
        "by_corruption": {m.name: _number(s) for m, s in zip(members, by_corruption[0], strict=True)},
        "by_family": {family: _mean(by_corruption[0][at]) for family, at in in_family.items()},
        "by_severity": [_mean(scores) for scores in cells[0].T],
        "cells": {m.name: [_number(s) for s in five] for m, five in zip(members, cells[0], strict=True)},
        "share": len(triples) / total,
        "triples": len(triples),
        "error": counted.error(1 - len(triples) / total),
        "version": VERSION,
    }


def _mean(scores: np.ndarray) -> float | None:
    return _number(np.nanmean(scores)) if np.isfinite(scores).any() else None


def _number(score: float) -> float | None:
    return float(score) if np.isfinite(score) else None


class _Counted:
    """Confusions of triples, summed by cell and by whatever they are grouped by."""

    def __init__(
        self,
        competition: Competition,
        members: int,
        cell: np.ndarray,
        which: np.ndarray,
        entry: np.ndarray,
        value: np.ndarray,
    ) -> None:
        self.competition, self.members, self.cell = competition, members, cell
        self.which, self.entry, self.value = which, entry, value
        self.classes = len(competition.task.classes)

    def sums(self, part: np.ndarray) -> tuple[csr_array, csr_array]:
        """Confusion entries (parts, cells * C * C) and numbers of triples (parts, cells)."""
        cells, parts = self.members * SEVERITIES, int(part.max()) + 1
        places = (part[self.which], self.cell[self.which] * self.classes**2 + self.entry)
        entries = coo_array((self.value, places), shape=(parts, cells * self.classes**2))
        numbers = coo_array((np.ones(len(part)), (part, self.cell)), shape=(parts, cells))
        return entries.tocsr(), numbers.tocsr()

    def scores(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of corruptions (parts, S) and of cells (parts, S, 5); NaN where there is no triple."""
        return self._scores(*(table.toarray() for table in self.sums(part)))

    def _scores(self, entries: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        numbers = numbers.reshape(-1, self.members, SEVERITIES)
        matrices = entries.reshape(*numbers.shape, self.classes, self.classes)
        cells = np.where(numbers > 0, self.competition.score(matrices), np.nan)
        # severities weigh the same, however many triples they have
        weights = (
            numbers.sum(-1, keepdims=True) / np.maximum(numbers, 1) / np.maximum((numbers > 0).sum(-1), 1)[..., None]
        )
        pooled = (matrices * weights[..., None, None]).sum(-3)
        return np.where(numbers.sum(-1) > 0, self.competition.score(pooled), np.nan), cells

    def interval(self, group: np.ndarray, draws: int = 1000) -> tuple[float, float]:
        """95 % percentile interval of the stress score under resampling of groups, as `metrics.bootstrap`."""
        entries, numbers = self.sums(group)
        groups = entries.shape[0]
        random = np.random.default_rng(0)
        made = []
        for _ in range(0, draws, 50):
            times = random.multinomial(groups, np.full(groups, 1 / groups), size=50).astype(float).T
            scores, _ = self._scores((entries.T @ times).T, (numbers.T @ times).T)
            made.append(np.nanmean(scores, axis=1))
        low, high = np.percentile(np.concatenate(made), [2.5, 97.5])
        return float(low), float(high)

    def error(self, left_out: float) -> float:
        """Standard error of the score for a share of triples: a jackknife over random parts of them.

        It leaves out that they are spread evenly, so it is rather too large. left_out: share not taken.
        """
        part = np.random.default_rng(0).permutation(len(self.cell)) % PARTS
        entries, numbers = (table.toarray() for table in self.sums(part))
        scores, _ = self._scores(entries.sum(0) - entries, numbers.sum(0) - numbers)
        without = np.nanmean(scores, axis=1)
        spread = (len(without) - 1) / len(without) * ((without - without.mean()) ** 2).sum()
        return float(np.sqrt(spread * left_out))


def score_run(
    competition: Competition,
    recipe: Recipe,
    images: np.ndarray,
    targets: np.ndarray,
    folds: pd.DataFrame,
    folder: Path,
    device: str,
    seconds: float | None,
) -> dict[str, Any]:
    """Stress-score a trained run and keep the evidence in its folder."""
    where = resolve_device(device)
    weights = [folder / f"fold_{k}" / "weights.safetensors" for k in range(int(folds["fold"].max()) + 1)]
    networks = [load_network(competition, recipe, path, where) for path in weights]
    result, evidence = stress_score(competition, images, targets, folds, networks, where, recipe.precision, seconds)
    with atomic(folder / EVIDENCE) as partial:
        partial.mkdir()
        for name, array in vars(evidence).items():
            if array is not None:
                np.save(partial / f"{name}.npy", array, allow_pickle=False)
        write_manifest(partial, {"version": VERSION})
    return result


def read_evidence(run: Path) -> Evidence | None:
    """What a run's stress score was made from, memory-mapped; None where it has none of the present suite."""
    folder = run / EVIDENCE
    if (read_manifest(folder) or {}).get("version") != VERSION:
        return None
    arrays = {name: folder / f"{name}.npy" for name in Evidence.__dataclass_fields__}
    return Evidence(**{name: open_probabilities(path) for name, path in arrays.items() if path.exists()})


def blend_stress(
    competition: Competition, targets: np.ndarray, folds: pd.DataFrame, runs: Sequence[Path], weights: np.ndarray
) -> dict[str, Any] | None:
    """The stress score of a weighted mean of runs, from what they kept: nothing is predicted again.

    weights: (runs,) or, cross-fitted, (folds, runs). It is measured on the triples for which all runs kept
    their probabilities. Keys as in `stress_score`, but for `seconds`; None where the runs have no evidence or
    it is of other folds, labels or corruptions.
    """
    kept = [evidence for run in runs if (evidence := read_evidence(run)) is not None]
    if not kept or len(kept) < len(runs):
        return None
    count = min(len(evidence.probabilities) for evidence in kept)
    triples = all_triples(targets, folds, competition.task)
    if any(not np.array_equal(evidence.triples[:count], triples[:count]) for evidence in kept):
        return None
    fold = folds["fold"].to_numpy()[triples[:count, 0]]
    share = np.broadcast_to(weights, (int(folds["fold"].max()) + 1, len(runs)))[fold]
    classes, truth = len(competition.task.classes), kept[0].truth
    blended = np.empty((count, classes), np.float16) if truth is None else None
    confusions = np.empty((count, classes, classes), np.int64) if truth is not None else None
    for start in range(0, count, BATCH):
        at = slice(start, min(start + BATCH, count))
        parts = [probabilities(evidence.probabilities[at]) for evidence in kept]
        mean = sum((w * part.T for w, part in zip(share[at].T, parts, strict=True)), np.zeros(1)).T
        if blended is not None:
            blended[at] = mean
        elif truth is not None and confusions is not None:
            confusions[at] = confusion_by_sample(truth[at], competition.decode(mean), classes)
    evidence = Evidence(
        triples[:count], blended if blended is not None else kept[0].probabilities[:0], None, confusions
    )
    return _score(competition, targets, folds, evidence, len(triples))


def stressed(images: np.ndarray, masks: np.ndarray | None, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Each sample under one random member of the suite at a random severity, for stopping by the stress score.

    images: uint8 (N, H, W, C); masks: uint8 (N, H, W). What happens to a sample follows from (seed, its place).
    """
    cells = len(suite(images.shape[3])) * SEVERITIES
    chosen = np.array([np.random.default_rng([seed, at]).integers(cells) for at in range(len(images))], np.int64)
    made, moved = np.empty_like(images), None if masks is None else np.empty_like(masks)
    order = np.argsort(chosen, kind="stable")
    for start in range(0, len(images), BATCH):
        at = order[start : start + BATCH]
        part = torch.from_numpy(images[at]).permute(0, 3, 1, 2)
        mask = None if masks is None else torch.from_numpy(masks[at])
        part, mask = corrupt_each(part, mask, chosen[at], seed, at)
        made[at] = part.permute(0, 2, 3, 1).numpy()
        if moved is not None and mask is not None:
            moved[at] = mask.numpy()
    return made, moved
