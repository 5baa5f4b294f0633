"""The stress score: the official metric of out-of-fold predictions on corrupted images.

Each sample is predicted by the network that did not see it, under corruptions of the fixed suite. All triples
(sample, corruption, severity) are too many for every run, so they are listed in a fixed order of which any
beginning is balanced, and a run takes a beginning of 1/1, 1/2, 1/4, … of the list: of two runs, one has the triples
of the other. docs/stress.md has the suite, the definition of the score and what it costs.
"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from toolkit.competition import Competition
from toolkit.metrics import confusion_by_sample
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import load_networks
from toolkit.networks.predict import predict
from toolkit.probabilities import open_probabilities, weighted_mean
from toolkit.recipe import Recipe
from toolkit.scoring.corruptions import VERSION, corrupt_each, suite
from toolkit.scoring.stress_sampling import SEED, SEVERITIES, Evidence, all_triples, cells_of, ladder, score_triples
from toolkit.store import atomic, read_manifest, write_manifest
from toolkit.task import Segmentation

SHARE = 0.25  # of the time of a training that its stress score may take
GROWTH = 8  # times as many triples at most before the speed is measured anew
KEPT_BYTES = 2**28  # of masks' probabilities that are kept for blends
BATCH = 128
EVIDENCE = "stress"  # the folder in a run


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
    result = score_triples(competition, targets, folds, evidence, len(triples))
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
        images, masks = corrupt_each(images, masks, cells_of(self.triples[at]), SEED, rows)
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
    networks = load_networks(competition, recipe, folder, where)
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
        mean = weighted_mean([evidence.probabilities[at] for evidence in kept], share[at])
        if blended is not None:
            blended[at] = mean
        elif truth is not None and confusions is not None:
            confusions[at] = confusion_by_sample(truth[at], competition.decode(mean), classes)
    evidence = Evidence(
        triples[:count], blended if blended is not None else kept[0].probabilities[:0], None, confusions
    )
    return score_triples(competition, targets, folds, evidence, len(triples))


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
