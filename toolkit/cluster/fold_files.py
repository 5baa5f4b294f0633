"""A fold's folder in pieces: what goes to the machine that trains it, and what is written as it comes back."""

from pathlib import Path

import numpy as np

from toolkit.leftovers import OF_A_FOLD
from toolkit.store import MANIFEST, atomic
from toolkit.training.jobs import FoldJob


def state_of(job: FoldJob) -> dict[str, np.ndarray]:
    """Files of the fold's folder that a training goes on from."""
    found: dict[str, np.ndarray] = {}
    for path in (job.folder / name for name in OF_A_FOLD):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not file.name.startswith("."):
                found[file.relative_to(job.folder).as_posix()] = np.fromfile(file, np.uint8)
    return found


def write(folder: Path, name: str, content: np.ndarray) -> None:
    """A file of the fold's folder, whole or not at all; one that is about to change is not finished."""
    parts = OF_A_FOLD if name != MANIFEST else (MANIFEST,)
    if name.partition("/")[0] not in parts:
        (folder / MANIFEST).unlink(missing_ok=True)
    with atomic(folder / name) as partial:
        content.tofile(partial)
