"""A submission scored against the truth, where that is at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import Competition
from toolkit.data.reading import Npz, image_array, label_array, mask_array
from toolkit.errors import UserError
from toolkit.metrics.confusion import MeanIoU, confusion_matrix
from toolkit.outcome import Outcome
from toolkit.store import Workspace
from toolkit.task import Classification


@dataclass(frozen=True, repr=False)
class Grade(Outcome):
    """The official metric of a submission. readings: for mean IoU, of what is not scored."""

    submission: Path
    metric: str
    score: float
    samples: int
    readings: Mapping[str, float]

    def told(self) -> Sequence[str]:
        told = [f"{self.submission}: {self.metric} {self.score:.4f} on {self.samples:,} test samples"]
        if self.readings:
            text = ", ".join(f"{name} {value:.4f}" for name, value in self.readings.items())
            told.append(f"readings of what is not scored: {text}")
        return told

    def as_json(self) -> dict[str, Any]:
        result = {"submission": str(self.submission), "leaderboard": self.score}
        return result | ({"readings": self.readings} if self.readings else {})


def grade(competition: Competition, submission: Path, truth: Path, ids: np.ndarray | None = None) -> Grade:
    """truth: an .npz with `targets` and, where the submission is code, the test `images`. ids: of the test images, in
    the order of the truth; None: their rows.

    Raises UserError where the file isn't there, doesn't fit the task, or has another number of samples.
    """
    if not truth.exists():
        raise UserError(f"{truth} does not exist; check --truth")
    task, metric, known = competition.task, competition.metric, Npz(truth)
    classes, where = len(task.classes), f"{truth}: targets"
    if isinstance(task, Classification):
        targets = label_array(known["targets"], classes, where)
    else:
        targets = mask_array(known["targets"], task.image_shape, classes, where)
    images = np.empty((len(targets), *task.image_shape), np.uint8)
    if "images" in known.keys or competition.rules.submission_packages:  # code can't be scored without
        images = image_array(known["images"], task.image_shape, f"{truth}: images")
    if ids is None:
        ids = np.arange(len(targets))
    elif len(ids) != len(targets):
        raise UserError(f"{truth} has {len(targets)} targets, there are {len(ids)} test images")
    labels = competition.read_submission(submission, images, ids)
    if labels.shape != targets.shape:
        raise UserError(f"{submission} holds {len(labels)} predictions, {truth} has {len(targets)}")
    confusion = confusion_matrix(targets, labels, classes)
    readings = metric.readings(confusion, competition.scored) if isinstance(metric, MeanIoU) else {}
    return Grade(submission, metric.name, float(competition.score(confusion)), len(targets), readings)


def practice_truth(workspace: Workspace) -> Path:
    """The truth of drawn data; UserError where none were drawn."""
    path = workspace.practice / "truth" / "truth.npz"
    if not path.exists():
        raise UserError(f"{path} does not exist; run `python -m toolkit.audit` with --practice first")
    return path
