"""Finished runs as a table that a search can be replayed on: made, stored and read.

The file is `.npz` without pickle. Groups are merged at random into blocks, so that a table stays small; a
difference's standard error from a few dozen blocks a fold is as good as that from all groups, only less steady.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import Competition, load_competition
from toolkit.data.labelled import Labelled, confusions, open_labelled
from toolkit.errors import UserError
from toolkit.recipe import from_dict
from toolkit.run_folds import RunFold
from toolkit.runs import Run
from toolkit.scoring.selection import FoldTally
from toolkit.search_space import OutsideError, parameters
from toolkit.store import MANIFEST, Workspace, atomic, hash_json, read_json
from toolkit.tuning.trials import learning_curve

BLOCKS = 100  # a fold
LEFT_OUT = ("name", "seed")  # of a recipe: nothing that a search chooses


@dataclass(frozen=True)
class Table:
    """T runs on K folds of one competition, in the order in which they were begun.

    given: fields that all runs share, as on the command line; parameters: what the competition's `suggest` would
    have suggested for each run with these, None for a run outside its space; confusions: int64 (T, K, B, C, C) by
    block of groups; trained: bool (T, K), which folds a run has; seconds: float (T, K); curves: [T][K], learning
    curves, share of the epochs → watched score.
    """

    competition: str
    given: list[str]
    parameters: Sequence[dict[str, Any] | None]
    confusions: np.ndarray
    trained: np.ndarray
    seconds: np.ndarray
    curves: list[list[dict[float, float]]]

    def folds(self, run: int) -> list[FoldTally]:
        blocks = self.confusions.shape[2]
        has = np.flatnonzero(self.trained[run]).tolist()
        tally_of = load_competition(self.competition).tally_of
        made = ((k, tally_of({"counts": self.confusions[run, k]})) for k in has)
        return [FoldTally(k, np.arange(blocks) + k * blocks, tally) for k, tally in made]

    @property
    def complete(self) -> np.ndarray:
        """Numbers of the runs that have all folds."""
        return np.flatnonzero(self.trained.all(1))


def collect(workspace: Workspace, competition: Competition, blocks: int = BLOCKS) -> Table:
    """All runs of the workspace on its present data and folds, those with some of their folds included.

    Raises UserError with fewer than three.
    """
    labelled = open_labelled(competition, workspace)
    rows = [labelled.rows(k) for k in range(labelled.folds)]
    block_of = [_blocks(labelled.group[at], blocks, k) for k, at in enumerate(rows)]
    blocks = min(len(np.unique(one)) for one in block_of)
    block_of = [one % blocks for one in block_of]
    found = []
    for run in (Run(folder, labelled) for folder in sorted(workspace.train.glob("*/"))):
        if not run.recipe_path.exists() or not run.name.endswith(_run_hash(run)):
            continue  # the second: on other data or folds
        parts = [_fold(labelled, fold) for fold in run.folds]
        if any(part is not None for part in parts):
            found.append((min(part[0] for part in parts if part), run.recipe_fields, parts))
    if len(found) < 3:
        raise UserError(f"{workspace.train} has {len(found)} runs on the present data and folds; a table needs three")
    found.sort(key=lambda one: one[0])
    classes = len(competition.task.classes)
    by_block = np.zeros((len(found), len(rows), blocks, classes, classes), np.int64)
    seconds = np.zeros((len(found), len(rows)))
    curves: list[list[dict[float, float]]] = []
    for number, (_, _, parts) in enumerate(found):
        curves.append([{} if part is None else part[3] for part in parts])
        for k, part in enumerate(parts):
            if part is not None:
                seconds[number, k] = part[1]
                totals = competition.tally_of({"counts": part[2]}).by_group(block_of[k])
                by_block[number, k] = totals.arrays()["counts"]
    trained = np.array([[part is not None for part in parts] for _, _, parts in found])
    given, parameters = _parameters(competition, [values for _, values, _ in found])
    return Table(competition.name, given, parameters, by_block, trained, seconds, curves)


def save(table: Table, path: Path) -> None:
    text = {"competition": table.competition, "given": table.given, "parameters": list(table.parameters)}
    curves = [[[list(point) for point in one.items()] for one in run] for run in table.curves]
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file,
            text=np.array(json.dumps(text | {"curves": curves})),
            confusions=table.confusions.astype(np.uint32),
            trained=table.trained,
            seconds=table.seconds,
        )


def load(path: Path) -> Table:
    """Raises UserError where the file isn't there."""
    if not path.exists():
        raise UserError(f"{path} is not there; make it from a search's runs with --collect WORKSPACE COMPETITION")
    with np.load(path, allow_pickle=False) as file:
        text = json.loads(str(file["text"]))
        curves = [[dict(one) for one in run] for run in text["curves"]]
        arrays = file["confusions"].astype(np.int64), file["trained"], file["seconds"]
    return Table(text["competition"], text["given"], text["parameters"], *arrays, curves)


def flat(values: Mapping[str, Any], within: str = "") -> dict[str, Any]:
    """A recipe's fields by dotted name, as on the command line."""
    made: dict[str, Any] = {}
    for field, value in values.items():
        name = within + field
        if isinstance(value, Mapping):
            made |= flat(value, f"{name}.")
        elif name not in LEFT_OUT:
            made[name] = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
    return made


def _parameters(
    competition: Competition, runs: Sequence[dict[str, Any]]
) -> tuple[list[str], list[dict[str, Any] | None]]:
    """What is the same in all runs, as overrides, and what was suggested with these."""
    fields = [flat(run) for run in runs]
    given = [f"{name}={value}" for name, value in fields[0].items() if all(run[name] == value for run in fields)]
    found: list[dict[str, Any] | None] = []
    for run in runs:
        try:
            found.append(parameters(competition.suggest, from_dict(run), given) if competition.suggest else None)
        except (OutsideError, UserError):  # UserError: the run has other fields than a recipe has today
            found.append(None)
    return given, found


def _run_hash(run: Run) -> str:
    """As in the folder's name."""
    return hash_json([run.recipe.hash, run.labelled.folds_hash, run.labelled.data_hash])[:8]


def _blocks(groups: np.ndarray, blocks: int, seed: int) -> np.ndarray:
    """A block for each sample: whole groups, dealt out at random."""
    names, inverse = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % blocks)[inverse]


def _fold(labelled: Labelled, fold: RunFold) -> tuple[str, float, np.ndarray, dict[float, float]] | None:
    """When it was finished, seconds, confusions (n, C, C) and learning curve of a finished fold."""
    if not fold.complete:
        return None
    competition = labelled.competition
    found = confusions(
        competition, labelled.truth[labelled.rows(fold.number)], Run(fold.folder.parent, labelled).oof_of(fold.number)
    )
    unscored = sorted(set(range(len(competition.task.classes))) - set(competition.scored))
    found[:, unscored] = 0  # never counted, and zeros take no room
    manifest = read_json(fold.folder / MANIFEST)
    return manifest["finished"], float(manifest["inputs"]["seconds"]), found, learning_curve(fold)
