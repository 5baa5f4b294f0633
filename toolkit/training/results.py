"""What a run leaves: its folds' networks and predictions, stored, chosen and merged."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import save_file

from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.metrics import confusion_matrix
from toolkit.networks.devices import resolve_device
from toolkit.networks.network import load_networks
from toolkit.networks.predict import predict
from toolkit.probabilities import chunks, open_probabilities, probabilities, write_probabilities
from toolkit.scoring.out_of_fold import write_oof
from toolkit.store import MANIFEST, atomic, write_json, write_manifest
from toolkit.training.fold import STATE, FoldResult
from toolkit.training.loop import SNAPSHOTS, FoldJob, Trained

LAST, AVERAGED = "last_", "averaged_"  # a fold's two sets of weights, until one is chosen


def store_fold(job: FoldJob, result: FoldResult) -> None:
    """Leave `weights.safetensors`, `oof.npy` and `history.json` in the fold's folder, and remove what it needed."""
    (job.folder / MANIFEST).unlink(missing_ok=True)
    _store_trained(job.folder, "", result.main)
    if result.averaged is not None:
        _store_trained(job.folder, LAST, result.main)
        _store_trained(job.folder, AVERAGED, result.averaged)
    write_json(job.folder / "history.json", result.history)
    write_manifest(job.folder, {"fold": job.fold, "complete": result.complete, "seconds": result.seconds})
    if result.complete:
        (job.folder / STATE).unlink(missing_ok=True)
        (job.folder / "taught.npy").unlink(missing_ok=True)
        shutil.rmtree(job.folder / SNAPSHOTS, ignore_errors=True)


def _store_trained(folder: Path, prefix: str, trained: Trained) -> None:
    values = trained.probabilities
    write_probabilities(folder / f"{prefix}oof.npy", [values], values.shape, np.float16)
    with atomic(folder / f"{prefix}weights.safetensors") as partial:
        save_file(trained.weights, partial)


def choose_averages(competition: Competition, targets: np.ndarray, jobs: list[FoldJob]) -> list[int]:
    """The folds that keep the recipe's average over epochs: those where it gained on the *other* folds.

    A fold's own score decides on nothing, so it stays out of fold for this choice too.
    """
    if not all((job.folder / f"{AVERAGED}oof.npy").exists() for job in jobs) or len(jobs) < 2:
        return []
    confusions = {
        kind: [
            confusion_matrix(
                targets[job.valid_rows],
                competition.decode(probabilities(open_probabilities(job.folder / f"{kind}oof.npy"))),
                len(competition.task.classes),
            )
            for job in jobs
        ]
        for kind in (LAST, AVERAGED)
    }
    chosen = []
    for k, job in enumerate(jobs):
        others = {kind: float(competition.score(sum(each) - each[k])) for kind, each in confusions.items()}
        kind = AVERAGED if others[AVERAGED] > others[LAST] else LAST
        chosen += [k] if kind == AVERAGED else []
        for name in ("oof.npy", "weights.safetensors"):
            with atomic(job.folder / name) as partial:
                shutil.copyfile(job.folder / f"{kind}{name}", partial)
    return chosen


def store_oof(
    competition: Competition, targets: np.ndarray, table: pd.DataFrame, jobs: list[FoldJob], folder: Path
) -> dict[str, Any]:
    """Merge the folds' predictions into `oof.npy` in the order of the dataset; the clean score."""
    parts = [open_probabilities(job.folder / "oof.npy") for job in jobs]
    merged = np.zeros((len(targets), *parts[0].shape[1:]), np.float16)
    for job, part in zip(jobs, parts, strict=True):
        merged[job.valid_rows] = part
    return write_oof(folder / "oof.npy", merged, competition, targets, table)


def store_test(competition: Competition, dataset: Dataset, jobs: list[FoldJob], folder: Path) -> None:
    """Average the folds' predictions of the test images into `test.npy`."""
    recipe = jobs[0].recipe
    device = resolve_device(jobs[0].device)
    networks = load_networks(competition, recipe, folder, device)

    def averages() -> Iterator[np.ndarray]:
        for at in chunks(len(dataset.test_images)):
            images = dataset.test_images[at]
            parts = [predict(network, images, competition.scored, device, recipe.precision) for network in networks]
            yield np.mean(parts, axis=0)

    kind = open_probabilities(folder / "oof.npy").dtype.type  # uint8 where that does not change the score
    shape = (len(dataset.test_images), len(competition.task.classes), *dataset.targets.shape[1:])
    write_probabilities(folder / "test.npy", averages(), shape, kind)
