"""A blend as it lies in its folder: whose shares it took, how it was counted, and what it predicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.blending.blenders import Solution, mixed
from toolkit.blending.candidates import Pool
from toolkit.blending.crossfit import Outcome
from toolkit.blending.view_choice import ViewChoice, read_choice
from toolkit.data.labelled import Labelled
from toolkit.probabilities import CHUNK, chunks, open_probabilities, write_probabilities
from toolkit.runs import Run
from toolkit.scoring.matching import blend_matched, read_match
from toolkit.scoring.stress import blend_stress
from toolkit.store import Workspace, read_json, read_manifest, write_json

CHOSEN = "chosen.json"  # beside the blends: which of them the submission follows


@dataclass(frozen=True)
class Blend:
    """Weights over runs, and how the mixture becomes labels."""

    folder: Path
    labelled: Labelled

    @property
    def name(self) -> str:
        """That of the way it was made."""
        return self.folder.name

    @property
    def manifest(self) -> dict[str, Any] | None:
        """What it was made from: `runs` with their manifests, `views` that were tried, `limits`; None: unfinished."""
        return read_manifest(self.folder)

    @property
    def described(self) -> dict[str, Any]:
        """`method`, `runs` (their shares), `biases`, `smallest_region`, `linear`, and each fold's own in `folds`."""
        found: dict[str, Any] = read_json(self.folder / "blend.json")
        return found

    @property
    def shares(self) -> dict[str, float]:
        """Of each run by name, those without any too."""
        shares: dict[str, float] = self.described["runs"]
        return shares

    @property
    def metrics(self) -> dict[str, Any]:
        """All scores, as a run has them, and what the choice of the blend is worth (see `counted`)."""
        metrics: dict[str, Any] = read_json(self.folder / "metrics.json")
        return metrics

    @property
    def score(self) -> float:
        """The official metric, cross-fitted."""
        return float(self.metrics["clean"]["score"])

    @property
    def oof(self) -> np.ndarray:
        """Stored probabilities (N, C, ...): each fold's by the blend that was fitted without it."""
        return open_probabilities(self.folder / "oof.npy")

    @property
    def test(self) -> np.ndarray | None:
        """Stored probabilities (M, C, ...) of the test images; None where there are none."""
        path = self.folder / "test.npy"
        return open_probabilities(path) if path.exists() else None

    @property
    def views(self) -> ViewChoice | None:
        """Which test-time views are averaged; None: the image as it is."""
        return read_choice(self.folder)

    def run(self, name: str) -> Run:
        return Run(self.labelled.workspace.train / name, self.labelled)


def chosen_blend(labelled: Labelled) -> Blend | None:
    """The blend that was chosen last, or of the plain mean where none was; None where it isn't finished."""
    blend = Blend(chosen_folder(labelled.workspace), labelled)
    return blend if blend.manifest is not None else None


def chosen_folder(workspace: Workspace) -> Path:
    pointer = workspace.ensemble / CHOSEN
    return workspace.ensemble / (read_json(pointer)["blend"] if pointer.exists() else "mean")


def choose(blend: Blend) -> None:
    write_json(blend.labelled.workspace.ensemble / CHOSEN, {"blend": blend.name})


def cross_fitted(pool: Pool, outcome: Outcome, scratch: Path) -> np.ndarray:
    """float16 (N, C, ...) on disk: each fold as it was predicted by the blend that was fitted without it."""
    shape = (len(pool.fold), pool.classes, *pool.targets.shape[1:])
    values: np.ndarray = np.lib.format.open_memmap(scratch / "oof.npy", "w+", np.float16, shape)
    for k, (_, solution) in zip(pool.folds, outcome.parts, strict=True):
        rows = np.flatnonzero(pool.fold == k)
        for start in range(0, len(rows), CHUNK):
            at = rows[start : start + CHUNK]
            values[at] = mixed(pool, solution, "oof", at)
    return values


def write_test(pool: Pool, solution: Solution, path: Path) -> None:
    first = pool.families[0].members[0].test
    assert first is not None
    parts = (mixed(pool, solution, "test", np.arange(at.start, at.stop)) for at in chunks(len(first)))
    write_probabilities(path, parts, first.shape, first.dtype.type)


def description(pool: Pool, name: str, solution: Solution) -> dict[str, Any]:
    """What `blend.json` says of a solution: `runs` has every run's share, those without any too."""
    weights = solution.weights if solution.weights.ndim == 1 else solution.weights.mean(1)
    weights = weights / weights.sum()
    scored = list(pool.scored)
    biases = None
    if solution.biases is not None:
        biases = [0.0] * pool.classes
        for c, value in zip(scored, solution.biases, strict=True):
            biases[c] = float(value)
    described: dict[str, Any] = {
        "method": name,
        "runs": {
            member.name: float(weight) / len(family.members)
            for family, weight in zip(pool.families, weights, strict=True)
            for member in family.members
        },
        "biases": biases,
        "smallest_region": solution.smallest,
    }
    if solution.weights.ndim == 2:
        by_family = zip(pool.families, (solution.weights / solution.weights.sum(0)).tolist(), strict=True)
        described["by_class"] = {family.members[0].name: shares for family, shares in by_family}
    return described


def counted(outcome: Outcome) -> dict[str, Any]:
    return {
        "naive": outcome.naive,
        "optimism": outcome.naive - outcome.score,
        "single": outcome.single,
        "gain": outcome.score - outcome.single,
        "gain_is_real": outcome.real,
        "blenders": [
            {
                "name": line.blender.name,
                "score": line.score,
                "naive": line.naive,
                "eligible": line.eligible,
                "within": line.within,
            }
            for line in outcome.table
        ],
    }


def further_scores(blend_of: dict[str, Any], labelled: Labelled) -> dict[str, Any]:
    """The stress and test-matched score of what blend.json describes, from what its runs keep; None where one of
    them has kept nothing.
    """
    shares = np.array([list(part["runs"].values()) for part in blend_of["folds"]])  # (folds, runs)
    used = np.flatnonzero(shares.any(0))
    names = list(blend_of["runs"])
    runs = [Run(labelled.workspace.train / names[at], labelled) for at in used]
    match = read_match(labelled.workspace.match)
    matched = match and blend_matched(match, runs, shares[:, used])
    return {"stress": blend_stress(runs, shares[:, used]), "matched": matched}


def score_anew(blend: Blend) -> None:
    """Runs may have got scores since they were blended."""
    metrics = blend.metrics
    found = metrics | further_scores(blend.described, blend.labelled)
    if found != metrics:
        write_json(blend.folder / "metrics.json", found)
