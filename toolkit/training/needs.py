"""What a run takes, reckoned before it begins: refused where the disk can't hold it, said where it is much."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from toolkit.data.labelled import Labelled
from toolkit.disk import bytes_in, in_bytes, need
from toolkit.networks.outputs import build_network
from toolkit.probabilities import value_type
from toolkit.progress import Progress
from toolkit.recipe import Recipe
from toolkit.runs import Run

MUCH = 10**9  # bytes: less is not worth a word
STATE = 4  # as many times its weights is what a fold keeps between epochs: with two of the optimiser, and an average
TENSOR = 4  # bytes a number while it is computed


@dataclass(frozen=True)
class Needs:
    """Bytes. predictions: out of fold, by fold and of the test images; weights: of all folds, and what training keeps
    between epochs; memory: what the largest fold's predictions take while they are made.
    """

    predictions: int
    weights: int
    memory: int


def needs(labelled: Labelled, recipe: Recipe) -> Needs:
    """Of one run; predictions of masks as they are stored at most."""
    bare = replace(recipe, model=replace(recipe.model, pretrained=False))  # as large, and no weights are looked for
    network: nn.Module = build_network(labelled.competition, bare, labelled.columns)
    weights = TENSOR * sum(value.numel() for value in network.state_dict().values())
    kind = np.dtype(value_type(labelled.competition.task))
    values = 1 if kind.names else int(np.prod(labelled.probability_shape(1)))  # of many classes: a record a sample
    samples, folds = len(labelled.truth), [len(labelled.rows(k)) for k in range(labelled.folds)]
    return Needs(
        predictions=(samples + sum(folds) + len(labelled.test_images)) * values * kind.itemsize,
        weights=weights * (labelled.folds + STATE),
        memory=max(folds) * values * max(kind.itemsize, TENSOR),
    )


def ask_for_room(run: Run, recipe: Recipe, progress: Progress) -> None:
    """UserError where the run finds no room on the disk; what it takes is said where that is much."""
    found, workspace = needs(run.labelled, recipe), run.labelled.workspace
    there = bytes_in(run.folder) if run.folder.exists() else 0
    size = max(0, found.predictions + found.weights - there)
    parts = f"predictions {in_bytes(found.predictions)}, weights {in_bytes(found.weights)}"
    told = need(workspace, size, f"{run.name} ({parts})")
    if size > MUCH:
        progress.say(told)
    free = available_memory()
    if found.memory > MUCH and free is not None and found.memory > free / 2:
        progress.warn(
            f"{run.name}: the predictions of a fold take {in_bytes(found.memory)} of memory, of which "
            f"{in_bytes(free)} are free; more folds, or smaller masks, take less"
        )


def available_memory() -> int | None:
    """Bytes that programs may take; None where the system doesn't tell."""
    path = Path("/proc/meminfo")
    found = re.search(r"MemAvailable: +(\d+) kB", path.read_text()) if path.exists() else None
    return int(found[1]) * 1024 if found else None
