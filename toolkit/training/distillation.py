"""One network that learns what a blend says, for limits of time and size (Bucila et al. 2006; Hinton et al. 2015).

Fold k's student learns from what the blend's networks of fold k say of its training rows, in the shares that the blend
has without fold k. None of them has seen fold k's labels, so the student's score on fold k stays out of fold. The
blend's out-of-fold predictions would not do: of a row in another fold they come from networks that learnt fold k.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.images.rows import picked
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import BATCH, at_once, predict
from toolkit.networks.speed import give_back_memory
from toolkit.probabilities import chunks, value_type, write_probabilities
from toolkit.progress import Progress
from toolkit.runs import Boosted, Run, run_at
from toolkit.store import hash_file, hash_json, read_json, write_json
from toolkit.training.jobs import FoldJob


@dataclass(frozen=True)
class BlendTeacher:
    """A blend as a teacher: by fold, the shares of runs by name, fitted without that fold."""

    name: str
    shares: Sequence[Mapping[str, float]]

    def runs(self, labelled: Labelled, fold: int) -> dict[Run, float]:
        """Those with a share in the fold's blend, their shares summing to 1; UserError for one without networks."""
        used = {name: share for name, share in self.shares[fold].items() if share > 0}
        runs = {run_at(labelled.workspace.train / name, labelled): share for name, share in used.items()}
        for run in runs:
            if isinstance(run, Boosted):
                raise UserError(
                    f"{run.name} has no networks that could teach another; make a blend without it: `compete "
                    "ensemble … RUN RUN`"
                )
        total = sum(used.values())
        return {run: share / total for run, share in runs.items()}

    def identity(self, labelled: Labelled) -> dict[str, str]:
        """By the fold's folder, a hash of the weights that teach it and of their shares."""
        return {
            f"fold_{fold}": hash_json(
                [[hash_file(run.weights_of(fold)), share] for run, share in self.runs(labelled, fold).items()]
            )
            for fold in range(labelled.folds)
        }


def taught_by_blend(run: Run, jobs: Sequence[FoldJob], teacher: BlendTeacher, progress: Progress) -> list[FoldJob]:
    """The jobs of a run's folds with what a blend says of their training rows; what another taught is forgotten."""
    labelled = run.labelled
    if any(shares.get(run.name) for shares in teacher.shares):
        raise UserError(f"{run.name} has a share in the blend {teacher.name} that is to teach it; blend without it")
    forget_other_teacher(run, teacher.identity(labelled), progress)
    progress.say(f"{run.name}: learns from the blend {teacher.name}, in each fold from its networks of that fold")
    for job in jobs:
        if not job.place.complete:
            teach(labelled, teacher, job.fold, job.train_rows, resolve_device(job.device), job.place.taught)
    give_back_memory()
    return [replace(job, teacher=job.place.taught) for job in jobs]


def forget_other_teacher(run: Run, weights: dict[str, str], progress: Progress) -> None:
    """Remove what was learnt from another teacher, or from one that was trained on since. weights: hashes by fold."""
    known = read_json(run.teacher_path) if run.teacher_path.exists() else None
    if run.folder.exists() and known != weights:
        if known is not None:
            progress.say(f"{run.name}: begun anew, as what it had learnt was from another teacher")
        shutil.rmtree(run.folder)
    write_json(run.teacher_path, weights)


def teach(
    labelled: Labelled, teacher: BlendTeacher, fold: int, rows: np.ndarray, device: torch.device, path: Path
) -> None:
    """Write once what the blend's networks of a fold say of `rows`: (n, channels), for masks uint8 (n, K, H, W)."""
    if path.exists():
        return
    competition, task = labelled.competition, labelled.competition.task
    shares = teacher.runs(labelled, fold)
    networks = {run: run.network(fold, device) for run in shares}
    shape = (len(rows), task.channels, *(labelled.targets.shape[1:] if task.masks else ()))
    table = labelled.table_of(rows)

    def parts() -> Iterator[np.ndarray]:
        for at in chunks(len(rows), shape[2:], min(at_once(run.images, BATCH) for run in shares)):
            beside = None if table is None else table[at]
            said = [
                share
                * predict(
                    networks[run],
                    picked(run.images, rows[at]),
                    competition.scored,
                    device,
                    run.recipe.precision,
                    table=beside,
                )
                for run, share in shares.items()
            ]
            yield np.sum(said, axis=0)

    write_probabilities(path, parts(), shape, np.uint8 if task.masks else value_type(task))
