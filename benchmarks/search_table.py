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

from toolkit.competition import Competition
from toolkit.data.dataset import data_hash, open_dataset, relabel
from toolkit.data.folds import folds_hash, read_folds, relabels
from toolkit.errors import UserError
from toolkit.metrics import confusion_by_sample
from toolkit.probabilities import chunks, open_probabilities, probabilities
from toolkit.recipe import from_dict
from toolkit.search_space import OutsideError, parameters
from toolkit.store import MANIFEST, Workspace, atomic, hash_json, read_json, read_manifest
from toolkit.tuning.pruning import Fold, by_group

BLOCKS = 100  # a fold
LEFT_OUT = ("name", "seed")  # of a recipe: nothing that a search chooses


@dataclass(frozen=True)
class Table:
    """T runs on K folds of one competition, in the order in which they were begun.

    given: fields that all runs share, as on the command line; parameters: what the competition's `suggest` would
    have suggested for each run with these, None for a run outside its space; confusions: int64 (T, K, B, C, C) by
    block of groups; trained: bool (T, K), which folds a run has; seconds: float (T, K); courses: [T][K], share of
    the epochs → watched score.
    """

    competition: str
    given: list[str]
    parameters: Sequence[dict[str, Any] | None]
    confusions: np.ndarray
    trained: np.ndarray
    seconds: np.ndarray
    courses: list[list[dict[float, float]]]

    def folds(self, run: int) -> list[Fold]:
        blocks = self.confusions.shape[2]
        has = np.flatnonzero(self.trained[run]).tolist()
        return [Fold(k, np.arange(blocks) + k * blocks, self.confusions[run, k]) for k in has]

    @property
    def complete(self) -> np.ndarray:
        """Numbers of the runs that have all folds."""
        return np.flatnonzero(self.trained.all(1))


def collect(workspace: Workspace, competition: Competition, blocks: int = BLOCKS) -> Table:
    """All runs of the workspace on its present data and folds, those with some of their folds included.

    Raises UserError with fewer than three.
    """
    dataset, table = open_dataset(workspace.data), read_folds(workspace)
    targets = relabel(dataset.targets, relabels(table))
    fold, group = table["fold"].to_numpy(), table["group"].to_numpy()
    rows = [np.flatnonzero(fold == k) for k in range(int(fold.max()) + 1)]
    block_of = [_blocks(group[at], blocks, k) for k, at in enumerate(rows)]
    blocks = min(len(np.unique(one)) for one in block_of)
    block_of = [one % blocks for one in block_of]
    here = [folds_hash(table), data_hash(workspace.data)]
    found = []
    for folder in sorted(workspace.train.glob("*/")):
        if not (folder / "recipe.json").exists():
            continue
        values = read_json(folder / "recipe.json")
        if not folder.name.endswith(_run_hash(values, here)):
            continue  # on other data or folds
        parts = [_fold(competition, targets, folder / f"fold_{k}", at) for k, at in enumerate(rows)]
        if any(part is not None for part in parts):
            found.append((min(part[0] for part in parts if part), values, parts))
    if len(found) < 3:
        raise UserError(f"{workspace.train} has {len(found)} runs on the present data and folds; a table needs three")
    found.sort(key=lambda one: one[0])
    classes = len(competition.task.classes)
    confusions = np.zeros((len(found), len(rows), blocks, classes, classes), np.int64)
    seconds = np.zeros((len(found), len(rows)))
    courses: list[list[dict[float, float]]] = []
    for number, (_, _, parts) in enumerate(found):
        courses.append([{} if part is None else part[3] for part in parts])
        for k, part in enumerate(parts):
            if part is not None:
                seconds[number, k] = part[1]
                confusions[number, k] = by_group(k, block_of[k], part[2]).confusions
    trained = np.array([[part is not None for part in parts] for _, _, parts in found])
    given, parameters = _parameters(competition, [values for _, values, _ in found])
    return Table(competition.name, given, parameters, confusions, trained, seconds, courses)


def save(table: Table, path: Path) -> None:
    text = {"competition": table.competition, "given": table.given, "parameters": list(table.parameters)}
    courses = [[[list(point) for point in one.items()] for one in run] for run in table.courses]
    with atomic(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(
            file,
            text=np.array(json.dumps(text | {"courses": courses})),
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
        courses = [[dict(one) for one in run] for run in text["courses"]]
        arrays = file["confusions"].astype(np.int64), file["trained"], file["seconds"]
    return Table(text["competition"], text["given"], text["parameters"], *arrays, courses)


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


def _run_hash(values: dict[str, Any], here: list[str]) -> str:
    """As in the folder's name."""
    return hash_json([from_dict(values).hash, *here])[:8]


def _blocks(groups: np.ndarray, blocks: int, seed: int) -> np.ndarray:
    """A block for each sample: whole groups, dealt out at random."""
    names, inverse = np.unique(groups, return_inverse=True)
    return (np.random.default_rng(seed).permutation(len(names)) % blocks)[inverse]


def _fold(
    competition: Competition, targets: np.ndarray, folder: Path, rows: np.ndarray
) -> tuple[str, float, np.ndarray, dict[float, float]] | None:
    """When it was finished, seconds, confusions (n, C, C) and course of a finished fold."""
    done = read_manifest(folder)
    if done is None or not done["complete"]:
        return None
    stored = open_probabilities(folder / "oof.npy")
    classes = len(competition.task.classes)
    confusions = np.concatenate(
        [
            confusion_by_sample(targets[rows[at]], competition.decode(probabilities(stored[at])), classes)
            for at in chunks(len(rows))
        ]
    )
    unscored = sorted(set(range(classes)) - set(competition.scored))
    confusions[:, unscored] = 0  # never counted, and zeros take no room
    history = read_json(folder / "history.json")
    scores = {(at + 1) / len(history): line["score"] for at, line in enumerate(history) if line["score"] is not None}
    return read_json(folder / MANIFEST)["finished"], float(done["seconds"]), confusions, scores
