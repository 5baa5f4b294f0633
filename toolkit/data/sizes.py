"""Images at a recipe's own size: decoded once for each size and fit, then memory-mapped as the task's own are."""

from pathlib import Path

import numpy as np

from toolkit.competition import Competition
from toolkit.data.cache import decode_all
from toolkit.data.dataset import FIT, open_files
from toolkit.progress import SILENT, Progress
from toolkit.recipe import Images
from toolkit.store import Workspace
from toolkit.task import Task


def image_shape(images: Images, task: Task) -> tuple[int, int, int]:
    """Height, width and channels of what a recipe's network is shown."""
    height, width, channels = task.image_shape
    if not images.size:
        return task.image_shape
    share = images.size / max(height, width)
    return max(1, round(height * share)), max(1, round(width * share)), channels


def is_own(images: Images, task: Task) -> bool:
    """Are a recipe's images decoded apart from those that are audited?"""
    return image_shape(images, task) != task.image_shape or images.fit != FIT


def decoded(
    competition: Competition, workspace: Workspace, images: Images, progress: Progress = SILENT, jobs: int = -1
) -> Path | None:
    """The folder of `images.npy` and `test_images.npy` as a recipe wants them; they are decoded where they aren't yet.

    None where it wants them as they are audited. jobs: processes, -1: one a core. UserError where the files are gone,
    or the competition has arrays.
    """
    task = competition.task
    if not is_own(images, task):
        return None
    files = open_files(workspace.data)
    return decode_all(files, workspace.decoded, image_shape(images, task), images.fit, progress, jobs)


def open_decoded(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Images and test images, memory-mapped read-only."""
    images, tests = (np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in NAMES)
    return images, tests


NAMES = ("images", "test_images")
