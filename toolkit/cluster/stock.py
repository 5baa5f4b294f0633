"""What is sent to machines with folds, in Ray's store: once for all of them."""

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import ray

from toolkit.cluster import parcels
from toolkit.cluster.parcels import Parcel
from toolkit.partial_files import scratch
from toolkit.training.jobs import FoldJob


def needed(work: Callable[..., Any], job: FoldJob) -> dict[str, Parcel]:
    """All that a fold needs of this machine's files, by the role that it has there."""
    made = {"code": parcels.code_of(job), "data": parcels.data_of(job), "teacher": parcels.teacher_of(job, work)}
    if (weights := parcels.weights_of(job)).files:
        made["weights"] = weights
    return {role: one for role, one in made.items() if one is not None}


class Stock:
    def __init__(self) -> None:
        self._put: dict[str, list[tuple[str, list[Any]]]] = {}
        self._folders, self._left = dict[Path, Path](), ExitStack()
        self._lock = threading.Lock()

    def blocks(self, one: Parcel) -> list[tuple[str, list[Any]]]:
        """What a parcel's files are got by, block by block."""
        with self._lock:
            if one.key not in self._put:
                self._put[one.key] = [(name, [ray.put(np.array(b)) for b in blocks]) for name, blocks in one.blocks()]
            return self._put[one.key]

    def shared_folder(self, job: FoldJob) -> Path:
        """A folder in the job's workspace; who sees it shares the workspace."""
        workspace = job.data.parent.resolve()
        with self._lock:
            if workspace not in self._folders:
                self._folders[workspace] = self._left.enter_context(scratch(workspace))
            return self._folders[workspace]

    def close(self) -> None:
        """Nothing is left of it in the workspace."""
        self._left.close()
