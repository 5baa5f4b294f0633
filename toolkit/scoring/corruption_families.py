"""The score under each family of corruptions, with its interval, from what a run's stress score was made from.

It imports no torch: a table of runs and what is advised of them are shown in a moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.probabilities import open_probabilities
from toolkit.runs import Run
from toolkit.scoring.bootstrap import score_interval
from toolkit.scoring.decided import tally_by_fold
from toolkit.store import read_manifest

FAMILIES = {  # of each corruption of the suite, in its order
    "gaussian_noise": "noise",
    "shot_noise": "noise",
    "speckle_noise": "noise",
    "impulse_noise": "noise",
    "defocus_blur": "blur",
    "motion_blur": "blur",
    "zoom_blur": "blur",
    "brightness": "light",
    "contrast": "light",
    "gamma": "light",
    "illumination": "light",
    "vignetting": "light",
    "saturation": "colour",
    "hue": "colour",
    "stain": "colour",
    "jpeg": "resolution",
    "pixelate": "resolution",
    "scaling": "resolution",
    "rotation": "geometry",
    "shear": "geometry",
    "translation": "geometry",
    "elastic": "geometry",
    "occlusion": "occlusion",
    "grid_mask": "occlusion",
    "mixture_of_two": "mixture",
    "mixture_of_three": "mixture",
}

FEW = 3  # families that may be called the weakest together


@dataclass(frozen=True)
class FamilyScore:
    """The official metric of all corrupted images of a family together, and its 95 % interval."""

    name: str
    score: float
    low: float
    high: float
    images: int


@dataclass(frozen=True)
class CorruptedScores:
    """Of the families that have images, the worst first, and how many images each (corruption, severity) has."""

    families: tuple[FamilyScore, ...]
    images: Mapping[str, tuple[int, ...]]

    @property
    def weakest(self) -> tuple[FamilyScore, ...]:
        """The fewest that are surely worse than all others, FEW at most; empty where the intervals don't say so."""
        parts = ((self.families[:at], self.families[at:]) for at in range(1, min(len(self.families), FEW + 1)))
        return next((worse for worse, better in parts if _apart(worse, better)), ())


def _apart(some: Sequence[FamilyScore], others: Sequence[FamilyScore]) -> bool:
    """Does no interval of the ones meet one of the others?"""
    return all(one.high < other.low or other.high < one.low for one in some for other in others)


def corrupted_scores(run: Run) -> CorruptedScores | None:
    """None where the run keeps nothing of its stress score, or of another version of the suite."""
    stress, folder = run.metrics.get("stress"), run.stress_folder
    if not stress or (read_manifest(folder) or {}).get("version") != stress.get("version"):
        return None
    stored = {
        name: open_probabilities(folder / f"{name}.npy", run.remedy(folder / f"{name}.npy"))
        for name in ("triples", "probabilities", "truth", "confusions", "counts")
        if (folder / f"{name}.npy").exists()
    }
    triples, labelled = stored["triples"], run.labelled
    competition, rows = labelled.competition, triples[:, 0]
    counts = stored.get("counts", stored.get("confusions"))
    if counts is not None:
        tally = competition.tally_of({"counts": counts})
    else:
        truth = stored.get("truth", labelled.truth[rows])
        tally = tally_by_fold(
            competition, truth, stored["probabilities"], labelled.fold[rows], run.fold_decisions
        ).as_part()
    names = list(stress["cells"])
    of_family = np.array([FAMILIES[name] for name in names])[triples[:, 1]]
    group, found = labelled.group[rows], []
    for family in dict.fromkeys(FAMILIES.values()):
        at = np.flatnonzero(of_family == family)
        if len(at):
            part = tally[at]
            score = part.score()
            low, high = score_interval(part, group[at]) if np.isfinite(score) else (score, score)
            found.append(FamilyScore(family, score, low, high, len(at)))
    sign = competition.metric.sign
    known = sorted((one for one in found if np.isfinite(one.score)), key=lambda one: sign * one.score)
    severities = max(map(len, stress["cells"].values()))
    cells = np.bincount(triples[:, 1] * severities + triples[:, 2] - 1, minlength=len(names) * severities)
    images = {name: tuple(row) for name, row in zip(names, cells.reshape(-1, severities).tolist(), strict=True)}
    return CorruptedScores(tuple(known), images)
