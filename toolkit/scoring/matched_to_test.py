"""Validation images made to look like the test images, where those are at hand: the test-like score.

Corrupted copies of validation images are mixed such that the mean of their features is that of the test images
(kernel mean matching over a mixture: Gretton et al. 2009; Iyer, Nath and Sarawagi 2014); then each validation
image goes through one corruption, or none, drawn from the mixture. What still differs, a classifier that tells the
two sets apart weighs (Bickel, Brückner and Scheffer 2009). How well it can tell them, before and after, is the AUC of
that classifier (Lopez-Paz and Oquab 2017). Only images are looked at, never a test label.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.appearance import properties
from toolkit.auditing.train_vs_test import tell_apart
from toolkit.checked import opened
from toolkit.data.image_sets import shown
from toolkit.data.labelled import Labelled
from toolkit.data.preview import Preview, find_preview
from toolkit.decisions.decide import Decisions
from toolkit.images.rows import picked
from toolkit.networks.devices import resolve_device
from toolkit.probabilities import Mix, chunks, no_values, open_probabilities, value_type, write_probabilities
from toolkit.progress import Done
from toolkit.runs import Run
from toolkit.scoring.corruption_suite import SEVERITIES, VERSION, corrupt_arrays, count_cells, suite
from toolkit.scoring.decided import mixed_decisions, tally_by_fold
from toolkit.scoring.out_of_fold import defined, predict_out_of_fold, with_interval
from toolkit.scoring.stress_sampling import SEED
from toolkit.scoring.weighted import weigh
from toolkit.store import atomic, hash_json, read_json, read_manifest, write_json, write_manifest
from toolkit.task import Rgb

MOST = 4096  # images of each side
EACH = 8, 40  # images that show what a corruption at a severity looks like, at least and at most
CLEAN = -1  # in place of a corruption's cell
ALIKE = 0.55  # AUC up to which test images look like training images
GAIN = 0.02  # of AUC, from which on corruptions are believed to be what is different
CLIP = 10.0  # greatest weight of an image, relative to the mean
WAVES = 1024  # random features that stand for the kernel
# of the median distance: on real cells and tiles a width of the whole median, or of half, found fewer of the clean
# images among corrupted ones, and left the two sets easier to tell apart
NARROW = 3.0
ARRAYS = ("rows", "cells", "truth", "weights")
STORED = "probabilities.npy"  # in a run's folder for it


@dataclass(frozen=True)
class Match:
    """What makes validation images look like the test images.

    rows: int64 (n,) of the dataset, all in a fold. cells: int64 (n,), as `count_cells` numbers them, or CLEAN. truth:
    labels (n,), or masks (n, H, W) moved with their images. weights: float64 (n,) of mean 1. auc: how well test images
    can be told from validation images as they are, and once matched (0.5: not at all).
    """

    rows: np.ndarray
    cells: np.ndarray
    truth: np.ndarray
    weights: np.ndarray
    auc_before: float
    auc_after: float

    @property
    def effective(self) -> float:
        """Size of an unweighted sample that says as much (Kish 1965)."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    @property
    def alike(self) -> bool:
        """Test images look like training images: the clean score stands."""
        return bool((self.cells == CLEAN).all() and (self.weights == 1).all())

    @property
    def hash(self) -> str:
        return hash_json([zlib.crc32(getattr(self, name).tobytes()) for name in ARRAYS])

    def mixture(self, rgb: Rgb) -> dict[str, float]:
        """Share of each corruption, at any severity, largest first."""
        members = suite(rgb)
        names = ["clean" if cell == CLEAN else members[cell // SEVERITIES].name for cell in self.cells]
        shares = pd.Series(names).value_counts(normalize=True)
        return {str(name): float(share) for name, share in shares.items()}

    def words(self, rgb: Rgb) -> str:
        """What was found, for the user."""
        before = f"{self.auc_before:.2f} (up to 0.5: not at all)"
        told = f"test images can be told from validation images with an AUC of {before}"
        size = f"weighted, {len(self.rows):,} validation images are worth {self.effective:,.0f}"
        if self.alike:
            return f"{told}: they look alike, so the CV score is the test-like score as well"
        if (self.cells == CLEAN).all():
            return f"{told}; no mix of corruptions explains it, so images are weighted, not corrupted; {size}"
        shares = [f"{name} {share:.0%}" for name, share in list(self.mixture(rgb).items())[:5]]
        return f"{told}, and with {self.auc_after:.2f} once matched ({', '.join(shares)}, …); {size}"


def find_match(labelled: Labelled, seed: int = 0) -> Match:
    """What makes the validation images look like the test images; of sets of images the first of each."""
    rng = np.random.default_rng(seed)
    truth, group = labelled.truth, labelled.group
    rows = np.sort(rng.permutation(np.flatnonzero(labelled.inside))[:MOST])
    rgb = labelled.competition.rgb
    images, tests = shown(labelled.images), shown(labelled.test_images)
    preview = find_preview(images, rgb)
    test = features(preview(tests[np.sort(rng.permutation(len(tests))[:MOST])]))
    clean = features(preview(images[rows]))
    before, probabilities = tell_apart(clean, test, group[rows], rng)
    untouched = Match(rows, np.full(len(rows), CLEAN), np.array(truth[rows]), np.ones(len(rows)), before, before)
    # of two samples of one kind (Mann and Whitney 1947)
    chance = 2 * np.sqrt((len(clean) + len(test) + 1) / (12 * len(clean) * len(test)))
    if before <= max(ALIKE, 0.5 + chance):
        return untouched
    shares = _mix(labelled, rows, clean, test, preview, rng)
    cells = rng.permutation(np.repeat(np.arange(CLEAN, len(shares) - 1), _whole(shares, len(rows))))
    made, masks = corrupted(images, truth if labelled.masks else None, rows, cells, rgb)
    after, mixed = tell_apart(features(preview(made)), test, group[rows], rng)
    if after > before - GAIN:  # other scenes, not corruptions: weights alone have to do
        return replace(untouched, weights=_weights(probabilities[: len(rows)]))
    moved = untouched.truth if masks is None else masks
    return Match(rows, cells, moved, _weights(mixed[: len(rows)]), before, after)


def _weights(probabilities: np.ndarray) -> np.ndarray:
    """Density ratios of mean 1 from the probabilities (n,) of a classifier."""
    clipped = np.clip(probabilities, 0.01, 0.99)
    odds = clipped / (1 - clipped)
    weights = np.minimum(odds / odds.mean(), CLIP)
    return np.asarray(weights / weights.mean())


def features(images: np.ndarray) -> np.ndarray:
    """What a corruption changes in pictures uint8 (N, H, W, 1 or 3): float64 (N, F)."""
    grey = images.astype(np.float32).mean(-1)
    grey -= grey.mean((1, 2), keepdims=True)
    height, width = grey.shape[1:]
    power = np.abs(np.fft.rfft2(grey)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    ring = np.digitize(frequency, [0.03, 0.06, 0.1, 0.15, 0.2, 0.27, 0.35, 0.45])
    rings = np.stack([np.log1p(power[:, ring == at].mean(1)) for at in np.unique(ring)], axis=1)
    y, x = (np.linspace(-1, 1, side) for side in (height, width))
    inside = (np.abs(y)[:, None] < 0.5) & (np.abs(x) < 0.5)
    light = [grey[:, inside].mean(1) - grey[:, ~inside].mean(1), np.abs((grey * y[:, None]).mean((1, 2)))]
    ends = [np.mean(images.reshape(len(images), -1) == value, axis=1) for value in (0, 255)]
    return np.column_stack([properties(images).to_numpy(), rings, *light, np.abs((grey * x).mean((1, 2))), *ends])


def corrupted(
    images: np.ndarray,
    masks: np.ndarray | None,
    rows: np.ndarray,
    cells: np.ndarray,
    rgb: Rgb,
    size: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Copies of `images[rows]` (n, H, W, C), and of their masks, each under its cell; size: as for `corrupt`. Each
    image of a set is corrupted by itself.
    """
    made, moved = picked(images, rows), None if masks is None else np.array(masks[rows])
    touched = cells != CLEAN
    mask = None if moved is None else moved[touched]
    cell, channels = cells[touched], images.shape[3]
    made[touched], mask = corrupt_arrays(made[touched], mask, cell, SEED, rgb, rows[touched], size, channels)
    if moved is not None:
        moved[touched] = mask
    return made, moved


def _mix(
    labelled: Labelled,
    rows: np.ndarray,
    clean: np.ndarray,
    test: np.ndarray,
    preview: Preview,
    rng: np.random.Generator,
) -> np.ndarray:
    """Shares (1 + cells,) of clean images and of each cell, whose mean embedding is nearest to the test images'."""
    from scipy.optimize import nnls
    from scipy.spatial.distance import pdist

    each = int(np.clip(len(rows) // 30, *EACH))
    rgb = labelled.competition.rgb
    cells = np.repeat(np.arange(count_cells(rgb)), each)
    seen = features(preview(corrupted(shown(labelled.images), None, rng.choice(rows, len(cells)), cells, rgb)[0]))
    # ranks: a few extreme images must not set the scale
    scale = np.sort(np.concatenate([clean, test]), axis=0)

    def ranked(values: np.ndarray) -> np.ndarray:
        found = [np.searchsorted(column, value) for column, value in zip(scale.T, values.T, strict=True)]
        return np.stack(found, axis=1) / len(scale) * 2 - 1

    some = ranked(np.concatenate([clean[:500], test[:500]]))
    waves = rng.standard_normal((clean.shape[1], WAVES)) * NARROW / np.median(pdist(some))
    phases = rng.uniform(0, 2 * np.pi, WAVES)

    def embedded(values: np.ndarray) -> np.ndarray:
        return np.sqrt(2 / WAVES) * np.cos(ranked(values) @ waves + phases)

    parts = embedded(seen).reshape(-1, each, WAVES)
    means = np.column_stack([embedded(clean).mean(0), parts.mean(1).T])
    whole = 100.0  # weight of the condition that the shares sum to one
    shares, _ = nnls(np.vstack([means, np.full(means.shape[1], whole)]), np.append(embedded(test).mean(0), whole))
    return np.asarray(shares / shares.sum())


def _whole(shares: np.ndarray, total: int) -> np.ndarray:
    """Whole numbers in these shares that sum to `total`: the largest remainders are rounded up."""
    exact = shares * total
    counts = np.floor(exact).astype(int)
    counts[np.argsort(counts - exact)[: total - counts.sum()]] += 1
    return counts


def open_match(labelled: Labelled) -> Match:
    """The match of a workspace, found once for its data and folds."""
    folder = labelled.workspace.match
    made_from = {"data": labelled.data_hash, "folds": labelled.folds_hash, "version": str(VERSION)}
    if read_manifest(folder) != made_from:
        match = find_match(labelled)
        with atomic(folder) as partial:
            partial.mkdir()
            for name in ARRAYS:
                np.save(partial / f"{name}.npy", getattr(match, name), allow_pickle=False)
            write_json(partial / "match.json", {"auc_before": match.auc_before, "auc_after": match.auc_after})
            write_manifest(partial, made_from)
    found = read_match(folder)
    assert found is not None
    return found


def read_match(folder: Path) -> Match | None:
    """The match that a workspace has, whatever it was made from."""
    if read_manifest(folder) is None:
        return None
    remedy = f"remove {folder} and run `compete train` again"
    arrays: dict[str, Any] = {name: np.array(opened(folder / f"{name}.npy", remedy)) for name in ARRAYS}
    return Match(**arrays, **read_json(folder / "match.json", "auc_before", "auc_after"))


def predict_matched(run: Run, match: Match, device: str, told: Done = lambda more: None) -> np.ndarray:
    """Values (n, channels, ...) of the matched images, each by the network of its own fold; told: how many more."""
    competition = run.labelled.competition
    task, rgb = competition.task, competition.rgb

    def made(at: np.ndarray) -> np.ndarray:
        return corrupted(run.images, None, match.rows[at], match.cells[at], rgb, task.image_shape[:2])[0]

    predicted = no_values(run.labelled.probability_shape(len(match.rows)), value_type(task))
    for at, part in predict_out_of_fold(run, match.rows, made, resolve_device(device)):
        predicted[at] = part
        told(len(at))
    return predicted


def store_matched(run: Run, match: Match, predicted: np.ndarray) -> dict[str, Any]:
    """Keep probabilities (n, C, ...) of the matched images in the run's folder, for blends; its test-like score."""
    with atomic(run.matched_folder) as partial:
        partial.mkdir()
        kept = np.dtype(np.uint8) if run.labelled.masks else value_type(run.labelled.competition.task)
        write_probabilities(partial / STORED, [predicted], predicted.shape, kept)
        write_manifest(partial, {"match": match.hash})
    stored = open_probabilities(run.matched_folder / STORED)
    return matched_score(run.labelled, match, stored, run.fold_decisions)


def kept_of_match(run: Run, match: Match) -> np.ndarray | None:
    """Stored values (n, channels, ...) of the matched images; None where the run has those of no or another match."""
    known = read_manifest(run.matched_folder) == {"match": match.hash}
    path = run.matched_folder / STORED
    return open_probabilities(path, run.remedy(path)) if known else None


def blend_matched(
    match: Match, runs: Sequence[Run], mix: Mix, decisions: Sequence[Decisions] | None = None
) -> dict[str, Any] | None:
    """The test-like score of what a blend makes of its runs, from what they kept; None where one kept nothing.

    decisions: of each fold; fitted on what the blend makes of the runs out of fold, if there are none.
    """
    parts = [part for run in runs if (part := kept_of_match(run, match)) is not None]
    if len(parts) < len(runs):
        return None
    labelled = runs[0].labelled
    fold = labelled.fold[match.rows]
    mixed = no_values(parts[0].shape, value_type(labelled.competition.task))
    for at in chunks(len(mixed), mixed.shape[2:]):
        mixed[at] = mix([part[at] for part in parts], fold[at])
    decided = mixed_decisions(runs, mix) if decisions is None else decisions
    return matched_score(labelled, match, mixed, decided)


def matched_score(
    labelled: Labelled, match: Match, stored: np.ndarray, decisions: Sequence[Decisions] = ()
) -> dict[str, Any]:
    """The weighted official metric of stored values (n, channels, ...) of the matched images, decided as clean ones
    of the same fold are: decisions of each fold, none where nothing has to be decided.

    `score` with its 95 % interval `low` and `high` from `groups`, `by_fold`; how it came about: `auc_before`,
    `auc_after`, `effective` of so many `samples`, and the `mixture`. The interval knows nothing of errors in the
    mixture.
    """
    competition = labelled.competition
    fold, group = labelled.fold[match.rows], labelled.group[match.rows]
    weighted = weigh(tally_by_fold(competition, match.truth, stored, fold, decisions), match.weights)
    return {
        **with_interval(weighted, group),
        "by_fold": [defined(weighted[fold == k].score()) for k in range(int(fold.max()) + 1)],
        "auc_before": match.auc_before,
        "auc_after": match.auc_after,
        "effective": match.effective,
        "samples": len(match.rows),
        "mixture": match.mixture(competition.rgb),
        "match": match.hash,
    }
