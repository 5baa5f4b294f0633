"""What a blend leaves in its folder: whose shares it took, how it was counted, and what it predicts."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.blending.blenders import Solution, mixed
from toolkit.blending.candidates import Pool
from toolkit.blending.crossfit import Outcome
from toolkit.competition import Competition
from toolkit.data.dataset import open_dataset, relabel
from toolkit.data.folds import relabels
from toolkit.probabilities import CHUNK, chunks, write_probabilities
from toolkit.scoring.matching import blend_matched, read_match
from toolkit.scoring.stress import blend_stress
from toolkit.store import Workspace, read_json, write_json


def runs_and_shares(workspace: Workspace, blend: dict[str, Any]) -> tuple[list[Path], np.ndarray]:
    """The blend's runs, and their shares in each fold's own blend, float64 (folds, runs)."""
    shares = np.array([list(part["runs"].values()) for part in blend["folds"]])
    used = np.flatnonzero(shares.any(0))
    names = list(blend["runs"])
    return [workspace.train / names[at] for at in used], shares[:, used]


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


def further_scores(
    competition: Competition,
    workspace: Workspace,
    table: pd.DataFrame,
    targets: np.ndarray,
    blend: dict[str, Any],
) -> dict[str, Any]:
    """The blend's stress and test-matched score, from what its runs keep; None where one of them has none."""
    runs, shares = runs_and_shares(workspace, blend)
    match = read_match(workspace.match)
    matched = match and blend_matched(competition, table, match, runs, shares)
    return {"stress": blend_stress(competition, targets, table, runs, shares), "matched": matched}


def score_anew(competition: Competition, workspace: Workspace, table: pd.DataFrame, folder: Path) -> None:
    """Runs may have got scores since they were blended."""
    blend, metrics = read_json(folder / "blend.json"), read_json(folder / "metrics.json")
    targets = relabel(open_dataset(workspace.data).targets, relabels(table))
    found = metrics | further_scores(competition, workspace, table, targets, blend)
    if found != metrics:
        write_json(folder / "metrics.json", found)
