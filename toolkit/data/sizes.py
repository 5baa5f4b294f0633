"""The size at which a recipe's network sees images: the task's, or its own."""

from pathlib import Path

from toolkit.data.data_folder import decoded_at
from toolkit.data.dataset import FIT
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
    workspace: Workspace, images: Images, task: Task, progress: Progress = SILENT, jobs: int = -1
) -> Path | None:
    """The folder of images as a recipe wants them, for `open_decoded`; they are decoded where they aren't yet.

    None where it wants them as they are audited. jobs: processes, -1: one a core. UserError where the files are gone,
    or images were given as arrays.
    """
    if not is_own(images, task):
        return None
    return decoded_at(workspace, image_shape(images, task), images.fit, progress, jobs)
