"""One network that learns what a blend says, for limits of time and size (Bucila et al. 2006; Hinton et al. 2015).

Fold k's student learns from what the blend's networks of fold k say of its training rows, in the shares that the blend
has without fold k. None of them has seen fold k's labels, so the student's score on fold k stays out of fold. The
blend's out-of-fold predictions would not do: of a row in another fold they come from networks that learnt fold k.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.images.rows import picked
from toolkit.networks.predict import BATCH, at_once, predict
from toolkit.probabilities import chunks, value_type, write_probabilities
from toolkit.runs import Run, run_at
from toolkit.store import hash_file, hash_json


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
            if not run.weights:
                raise UserError(
                    f"{run.name} has no networks that could teach another; make a blend without it: `python -m "
                    "toolkit.ensemble … RUN RUN`"
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
