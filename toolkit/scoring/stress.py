"""The stress score: the official metric of out-of-fold predictions on corrupted images.

Each sample is predicted by the network that did not see it, under corruptions of the fixed suite. All triples
(sample, corruption, severity) are too many for every run, so they are listed in a fixed order of which any
beginning is balanced, and a run takes a beginning of 1/1, 1/2, 1/4, … of the list: of two runs, one has the triples
of the other. docs/stress.md has the suite, the definition of the score and what it costs.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from toolkit.competition import by_matrix
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.images.rows import picked
from toolkit.metrics.confusion import confusion_by_sample
from toolkit.metrics.tally import Counts, joined
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import at_once
from toolkit.probabilities import Mix, as_stored, chunks, no_values, open_probabilities, value_type
from toolkit.progress import Done
from toolkit.runs import Run
from toolkit.scoring.corruption_suite import BATCH, VERSION, corrupt_arrays, corrupt_each, count_cells
from toolkit.scoring.decided import mixed_decisions, tally_by_fold
from toolkit.scoring.out_of_fold import predict_out_of_fold
from toolkit.scoring.stress_sampling import SEED, Evidence, all_triples, cells_of, ladder, score_triples
from toolkit.store import atomic, read_manifest, write_manifest
from toolkit.task import Rgb
from toolkit.top_k import TopK

SHARE = 0.1  # of the time of a training that its stress score may take
GROWTH = 8  # times as many triples at most before the speed is measured anew
KEPT_BYTES = 2**28  # of masks' probabilities that are kept for blends


def stress_score(
    run: Run, device: torch.device, seconds: float | None = None, told: Done = lambda more: None
) -> tuple[dict[str, Any], Evidence]:
    """The stress score of a run's networks, and what it was made from. told: how many more triples are predicted.

    With `seconds` as many triples are taken as fit into them, at the speed that is measured meanwhile, and one a cell
    at least; else all.

    `score` with its 95 % interval `low` and `high` from `groups`, `by_fold`, `by_corruption`,
    `by_family`, `by_severity`, `cells` (corruption: five severities), `share` and number of `triples`, `error`
    (the standard error from taking a share of them), `seconds`, and the suite's `version`.
    """
    begun = time.monotonic()
    triples = all_triples(run.labelled)
    counts = ladder(len(triples), count_cells(run.labelled.competition.rgb))
    gathered = _Gathered(run, device, triples, told)
    done, count = 0, counts[-1] if seconds is not None else len(triples)
    while count > done:
        started = time.monotonic()
        gathered.extend(done, count)
        if seconds is not None:
            speed = (count - done) / (time.monotonic() - started)
            left = seconds - (time.monotonic() - begun)
            most = min(count + speed * max(0.0, left), count * GROWTH)
            done, count = count, next((c for c in counts if c <= most), count)
        else:
            done = count
    evidence = gathered.evidence(done)
    result = score_triples(run.labelled, evidence, len(triples), gathered.decisions)
    return {**result, "seconds": time.monotonic() - begun}, evidence


def suite_seconds(images: np.ndarray, samples: int, image: float, rgb: Rgb) -> float:
    """Seconds that so many samples take under the whole suite, a prediction taking `image` seconds; measured."""
    begun = time.monotonic()
    together = at_once(images, BATCH)
    some = images[:together]
    some = np.resize(some, (together, *some.shape[1:]))
    stressed(some, None, SEED, rgb, channels=images.shape[3])
    return samples * count_cells(rgb) * (image + (time.monotonic() - begun) / together)


class _Gathered:
    """Predictions of a growing beginning of the triples."""

    def __init__(self, run: Run, device: torch.device, triples: np.ndarray, told: Done) -> None:
        self.run, self.device, self.triples, self.told = run, device, triples, told
        self.networks = run.networks(device)
        labelled = run.labelled
        competition = labelled.competition
        self.decisions = run.fold_decisions if run.oof_path.exists() else [PLAIN] * labelled.folds
        self.matrices = by_matrix(competition)
        classes, channels, shape = len(competition.task.classes), competition.task.channels, labelled.truth.shape[1:]
        # memory that is reserved here is taken only where something is written
        self.kept = len(triples)
        if labelled.masks:
            self.kept = min(self.kept, KEPT_BYTES // (channels * math.prod(shape)))
            self.truth = np.empty((self.kept, *shape), np.uint8)
            self.counts: np.ndarray | None = None
            if self.matrices:
                self.counts = np.empty((len(triples), classes, classes), np.min_scalar_type(math.prod(shape)))
        kept_as = np.dtype(np.uint8) if labelled.masks else value_type(competition.task)
        self.probabilities = no_values(labelled.probability_shape(self.kept), kept_as)

    def extend(self, start: int, stop: int) -> None:
        """Predict triples start..stop, fold by fold, alike ones together."""
        places = np.arange(start, stop)
        places = places[np.lexsort(self.triples[places].T[:0:-1])]
        masks: list[torch.Tensor | None] = []  # of the batch that is predicted now

        def altered(at: np.ndarray) -> np.ndarray:
            images, moved = self._corrupted(places[at])
            masks[:] = [moved]
            return images

        rows = self.triples[places, 0]
        for at, predicted in predict_out_of_fold(self.run, rows, altered, self.device, self.networks):
            self._keep(places[at], predicted, masks[0])
            self.told(len(at))

    def _corrupted(self, at: np.ndarray) -> tuple[np.ndarray, torch.Tensor | None]:
        labelled, rows = self.run.labelled, self.triples[at, 0]
        images = torch.from_numpy(picked(self.run.images, rows)).to(self.device).permute(0, 3, 1, 2)
        masks = torch.from_numpy(labelled.truth[rows]).to(self.device) if labelled.masks else None
        cells, (*size, channels) = cells_of(self.triples[at]), labelled.competition.task.image_shape
        rgb = labelled.competition.rgb
        images, masks = corrupt_each(images, masks, cells, SEED, rgb, rows, (size[0], size[1]), channels)
        return images.permute(0, 2, 3, 1).cpu().numpy(), masks

    def _keep(self, at: np.ndarray, predicted: np.ndarray, masks: torch.Tensor | None) -> None:
        if masks is None:
            self.probabilities[at] = predicted
            return
        kept, truth, competition = at < self.kept, masks.cpu().numpy(), self.run.labelled.competition
        if self.matrices:
            assert self.counts is not None
            self.counts[at] = confusion_by_sample(truth, competition.decode(predicted), len(competition.task.classes))
        else:
            self._count(at, truth, predicted)
        self.truth[at[kept]] = truth[kept]
        self.probabilities[at[kept]] = as_stored(predicted[kept], np.uint8)

    def _count(self, at: np.ndarray, truth: np.ndarray, predicted: np.ndarray) -> None:
        """As the metric does; one without counts is scored on the triples whose predictions are kept."""
        labelled = self.run.labelled
        fold = labelled.fold[self.triples[at, 0]]
        made = tally_by_fold(labelled.competition, truth, predicted, fold, self.decisions)
        if isinstance(made, Counts):
            if self.counts is None:
                self.counts = np.zeros((len(self.triples), *made.counts.shape[1:]), made.counts.dtype)
            self.counts[at] = made.counts

    def evidence(self, count: int) -> Evidence:
        if not self.run.labelled.masks:
            return Evidence(self.triples[:count], self.probabilities[:count])
        kept = min(count, self.kept)
        count = kept if self.counts is None else count
        found = Evidence(self.triples[:count], self.probabilities[:kept], self.truth[:kept])
        if self.counts is None:
            return found
        return replace(found, **{"confusions" if self.matrices else "counts": self.counts[:count]})


def store_stress(run: Run, device: str, seconds: float | None, told: Done = lambda more: None) -> dict[str, Any]:
    """Stress-score a trained run and keep the evidence in its folder; told: as for `stress_score`."""
    result, evidence = stress_score(run, resolve_device(device), seconds, told)
    keep_evidence(run, evidence)
    return result


def keep_evidence(run: Run, evidence: Evidence) -> None:
    """What a run's stress score was made from, in its folder."""
    with atomic(run.stress_folder) as partial:
        partial.mkdir()
        for name, array in vars(evidence).items():
            if array is not None:
                stored = array.records if isinstance(array, TopK) else array
                np.save(partial / f"{name}.npy", stored, allow_pickle=False)
        write_manifest(partial, {"version": VERSION})


def read_evidence(run: Run) -> Evidence | None:
    """What a run's stress score was made from, memory-mapped; None where it has none of the present suite."""
    folder = run.stress_folder
    if (read_manifest(folder) or {}).get("version") != VERSION:
        return None
    arrays = {name: folder / f"{name}.npy" for name in Evidence.__dataclass_fields__}
    return Evidence(
        **{name: open_probabilities(path, run.remedy(path)) for name, path in arrays.items() if path.exists()}
    )


def blend_stress(runs: Sequence[Run], mix: Mix, decisions: Sequence[Decisions] | None = None) -> dict[str, Any] | None:
    """The stress score of what a blend makes of its runs, from what they kept: nothing is predicted again.

    It is measured on the triples for which all runs kept their probabilities. Keys as in `stress_score`, but for
    `seconds`; None where the runs have no evidence or it is of other folds, labels or corruptions. decisions: of each
    fold; fitted on what the blend makes of the runs out of fold, if there are none.
    """
    kept = [evidence for run in runs if (evidence := read_evidence(run)) is not None]
    if not kept or len(kept) < len(runs):
        return None
    labelled = runs[0].labelled
    competition, count = labelled.competition, min(len(evidence.probabilities) for evidence in kept)
    triples = all_triples(labelled)
    if any(not np.array_equal(evidence.triples[:count], triples[:count]) for evidence in kept):
        return None
    fold = labelled.fold[triples[:count, 0]]
    decided = mixed_decisions(runs, mix) if decisions is None else decisions
    truth, kind = kept[0].truth, value_type(competition.task)
    size = kept[0].probabilities.shape[2:]
    parts = ((at, mix([evidence.probabilities[at] for evidence in kept], fold[at])) for at in chunks(count, size))
    if truth is None:
        blended = no_values((count, *kept[0].probabilities.shape[1:]), kind)
        for at, mixed in parts:
            blended[at] = mixed
        evidence = Evidence(triples[:count], blended)
    elif by_matrix(competition):
        classes = len(competition.task.classes)
        matrices = [confusion_by_sample(truth[at], competition.decode(mixed), classes) for at, mixed in parts]
        evidence = Evidence(triples[:count], kept[0].probabilities[:0], None, np.concatenate(matrices))
    else:
        made = joined([tally_by_fold(competition, truth[at], mixed, fold[at], decided) for at, mixed in parts])
        if not isinstance(made, Counts):
            return None
        evidence = Evidence(triples[:count], kept[0].probabilities[:0], counts=made.counts)
    return score_triples(labelled, evidence, len(triples), decided)


def stressed(
    images: np.ndarray,
    masks: np.ndarray | None,
    seed: int,
    rgb: Rgb,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Each sample under one random member of the suite at a random severity, for stopping by the stress score.

    images: uint8 or float16 (N, H, W, C); masks: uint8 (N, H, W); size: of the masks, as for `corrupt`; channels: as
    for `corrupt_each`. What happens to a sample follows from (seed, its place).
    """
    cells = count_cells(rgb)
    chosen = np.array([np.random.default_rng([seed, at]).integers(cells) for at in range(len(images))], np.int64)
    return corrupt_arrays(images, masks, chosen, seed, rgb, np.arange(len(images)), size, channels)
