"""A fold's folder in pieces: what goes to the machine that trains it, and what is written as it comes back."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.commits import commit_words
from toolkit.leftovers import OF_A_FOLD
from toolkit.store import MANIFEST, SEAL, atomic, write_json
from toolkit.training.jobs import FoldJob


def state_of(job: FoldJob) -> dict[str, np.ndarray]:
    """Files of the fold's folder that a training goes on from."""
    found: dict[str, np.ndarray] = {}
    for path in (job.folder / name for name in OF_A_FOLD):
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and not file.name.startswith("."):
                found[file.relative_to(job.folder).as_posix()] = np.fromfile(file, np.uint8)
    return found


def write(job: FoldJob, name: str, content: np.ndarray) -> None:
    """A file of the fold's folder, whole or not at all; one that is about to change is not finished."""
    parts = OF_A_FOLD if name != MANIFEST else (MANIFEST,)
    if name.partition("/")[0] not in parts:
        (job.folder / MANIFEST).unlink(missing_ok=True)
    if name == MANIFEST:
        write_json(job.folder / name, _with_commit(json.loads(content.tobytes()), job))
        return
    with atomic(job.folder / name) as partial:
        content.tofile(partial)


def _with_commit(manifest: dict[str, Any], job: FoldJob) -> dict[str, Any]:
    """The commit of the code is known here, where its repository is."""
    rest = {name: value for name, value in manifest.items() if name not in (SEAL, "commit")}
    commit = commit_words(job.competition, Path())
    return rest | ({"commit": commit} if commit else {})
