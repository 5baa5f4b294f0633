"""A submission scored against the truth, where that is at hand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.competition import Competition
from toolkit.data.masks import most_of
from toolkit.data.native import Native, starts_of
from toolkit.data.targets import check_values
from toolkit.errors import UserError, others_code
from toolkit.images.arrays import Npz, image_array, label_array, mask_array
from toolkit.images.places import Places
from toolkit.metrics.confusion import MeanIoU
from toolkit.metrics.lists import PAD
from toolkit.metrics.tally import Counts, Tally, joined
from toolkit.outcome import Outcome, number
from toolkit.probabilities import chunks
from toolkit.scoring.bootstrap import score_interval
from toolkit.store import Workspace
from toolkit.task import IGNORED, MISSING, UNKNOWN, Grades, Heads, Labels, Numbers, OverlappingMasks, Task

# of mean IoU where the prediction isn't scored, as people read them
READINGS = {"strict": "ignored", "keras": "as in Keras", "kept": "kept as errors"}


@dataclass(frozen=True, repr=False)
class Grade(Outcome):
    """The official metric of a submission, and its 95 % interval: what another such test set may say.

    readings: for mean IoU, of what is not scored.
    """

    submission: Path
    metric: str
    score: float
    samples: int
    readings: Mapping[str, float]
    low: float
    high: float

    def told(self) -> Sequence[str]:
        score = f"{number(self.score)} ({number(self.low)} to {number(self.high)})"
        told = [f"{self.submission}: {self.metric} {score} on {self.samples:,} test samples"]
        if self.readings:
            text = ", ".join(f"{READINGS.get(name, name)} {value:.4f}" for name, value in self.readings.items())
            told.append(f"{self.metric} if unscored pixels are: {text}")
        return told

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        return [("compete report", "sets it beside the scores that were expected")]

    def as_json(self) -> dict[str, Any]:
        result = {"submission": str(self.submission), "leaderboard": self.score, "low": self.low, "high": self.high}
        return result | ({"readings": self.readings} if self.readings else {})


def grade(
    competition: Competition,
    submission: Path,
    truth: Path,
    ids: np.ndarray | None = None,
    sizes: np.ndarray | None = None,
) -> Grade:
    """truth: an .npz with `targets`, in the form of the training targets, and, where the submission is code, the test
    `images`; `groups` (M,), where several are of one origin; or, of a submission that isn't code, a file in its form
    that says what is right. ids: of the test images, in the order of the truth; None: their rows. sizes: int64 (M, 2),
    where masks are handed in at the size of each picture: then `targets` are these masks' pixels, uint8, one after the
    other.

    Raises UserError where the file isn't there, doesn't fit the task, or has another number of samples.
    """
    if not truth.exists():
        raise UserError(f"{truth} does not exist; check where the truth lies")
    if truth.suffix != ".npz" and competition.rules.submission_packages:
        raise UserError(f"{truth}: the truth is an .npz with `targets`, in the form that `load` returns (--help)")
    if sizes is not None:
        rows = np.arange(len(sizes))
        return _grade_at_own_sizes(competition, submission, truth, rows if ids is None else ids, sizes)
    task, metric = competition.task, competition.metric
    if truth.suffix == ".npz":
        known = Npz(truth)
        targets = truth_array(task, known["targets"], f"{truth}: targets")
        images = _unseen(len(targets), task)
        if "images" in known.keys or competition.rules.submission_packages:  # code can't be scored without
            images = image_array(known["images"], task.image_shape, f"{truth}: images")
    elif ids is None:
        raise UserError(f"{truth}: which test images it is about is known after `compete audit`")
    else:
        images = _unseen(len(ids), task)
        targets = _targets_said(competition, truth, images, ids)
    if ids is None:
        ids = np.arange(len(targets))
    elif len(ids) != len(targets):
        raise UserError(f"{truth} has {len(targets)} targets, there are {len(ids)} test images")
    said = _said(competition, submission, images, ids)
    if len(said) != len(targets) or (metric.needs == "labels" and said.shape != targets.shape):
        raise UserError(f"{submission} holds {len(said)} predictions, {truth} has {len(targets)}")
    return _graded(competition, submission, truth, answers_tally(competition, targets, said))


def _unseen(number: int, task: Task) -> np.ndarray:
    """So many images of which readers need no more than the shape; they take no memory."""
    return np.broadcast_to(np.uint8(0), (number, *task.image_shape))


def _said(competition: Competition, path: Path, images: np.ndarray, ids: np.ndarray) -> Any:
    with others_code(f"{competition.name}'s read_submission fails on {path}", competition.folder):
        return competition.read_submission(path, images, ids)


def _targets_said(competition: Competition, truth: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """What a file in the form of a submission says, as targets; UserError where it guesses."""
    task, said = competition.task, np.asarray(_said(competition, truth, images, ids))
    doubt = f"{truth} guesses: what is right is"
    instead = "give the organisers' answers in the form of a submission, or an .npz with `targets` (--help)"
    if competition.metric.needs == "lists":
        if (said[:, 1:] != PAD).any():
            raise UserError(f"{doubt} one class per image, and here are several; {instead}")
        said = said[:, 0]
    elif competition.metric.needs == "values" and not isinstance(task, Numbers | Grades):
        spans = task.spans if isinstance(task, Heads) else [slice(None)] * task.exclusive
        if not np.isin(said, (0, 1)).all() or any((said[:, span].sum(1) > 1).any() for span in spans):
            raise UserError(f"{doubt} 0 or 1, a probability that is sure, and here are others; {instead}")
        if isinstance(task, Heads):
            said = np.stack([_sure(said[:, span], MISSING) for span in spans], axis=1)
        elif task.exclusive:
            said = _sure(said, UNKNOWN)  # which a task without it refuses
    return truth_array(task, said, str(truth))


def _sure(values: np.ndarray, none: int) -> np.ndarray:
    found: np.ndarray = np.where(values.sum(1) == 1, values.argmax(1), none)
    return found


def _graded(competition: Competition, submission: Path, truth: Path, tally: Tally) -> Grade:
    metric, readings = competition.metric, {}
    known = Npz(truth) if truth.suffix == ".npz" else None
    groups = np.arange(len(tally)) if known is None or "groups" not in known.keys else known["groups"]
    if groups.shape != (len(tally),):
        raise UserError(f"{truth}: groups have shape {groups.shape}, expected ({len(tally)},)")
    if isinstance(metric, MeanIoU) and isinstance(tally, Counts):
        readings = metric.readings(tally.whole, competition.scored)
    low, high = score_interval(tally, groups)
    return Grade(submission, metric.name, tally.score(), len(tally), readings, low, high)


def _grade_at_own_sizes(
    competition: Competition, submission: Path, truth: Path, ids: np.ndarray, sizes: np.ndarray
) -> Grade:
    starts = starts_of(sizes)
    if truth.suffix == ".npz":
        targets = Npz(truth)["targets"]
    else:
        masks = _said(competition, truth, sizes, ids)
        right = [np.asarray(masks[at]) for at in range(len(masks))]
        if [mask.shape for mask in right] != [tuple(size) for size in sizes.tolist()]:
            raise UserError(f"{truth}: its masks have other sizes than the test pictures")
        targets = np.concatenate([mask.ravel() for mask in right])
    if targets.dtype != np.uint8 or targets.shape != (starts[-1],):
        raise UserError(
            f"{truth}: targets are {targets.dtype} {targets.shape}, expected uint8 ({starts[-1]},): the pixels of all "
            "masks, one mask after the other, np.concatenate([mask.ravel() for mask in masks])"
        )
    most = most_of(competition.task)
    if ((targets > most) & (targets != IGNORED)).any():
        raise UserError(
            f"{truth}: targets have values above {most} that aren't {IGNORED}, which the task doesn't know"
        )
    said = _said(competition, submission, sizes, ids)
    if len(said) != len(sizes):
        raise UserError(f"{submission} holds {len(said)} predictions, {truth} has {len(sizes)}")
    native = Native(Places.whole(sizes), targets)
    metric: Any = competition.metric
    counts = []
    for at in range(len(said)):
        mask = said[at]
        size = tuple(sizes[at].tolist())
        if mask.shape != size:
            raise UserError(
                f"{submission}: the mask of {ids[at]} reads back as {mask.shape}, its picture is {size}; "
                f"mend read_submission in {competition.folder / '__init__.py'}"
            )
        counts.append(metric.counts_in_parts(competition.task, native.beside(at, mask)))
    return _graded(competition, submission, truth, Counts(metric, np.concatenate(counts), competition.scored))


def answers_tally(competition: Competition, targets: np.ndarray, said: np.ndarray) -> Tally:
    """What the metric counts of targets (M, ...) and of what a submission says in the form that it needs."""
    task, metric, scored = competition.task, competition.metric, competition.scored
    return joined([metric.tally(task, targets[at], said[at], scored) for at in chunks(len(targets))])


def truth_array(task: Task, array: np.ndarray, where: str) -> np.ndarray:
    """Targets in the form of the training targets; UserError, with row and column, for what the task doesn't know."""
    if task.masks and not isinstance(task, OverlappingMasks):
        return mask_array(array, task.image_shape, len(task.classes), where)
    if isinstance(task, Grades) or (task.exclusive and getattr(task, "unknown", None) is None):
        return label_array(array, len(task.classes), where)
    if array.dtype.kind not in "uif":
        raise UserError(f"{where} has type {array.dtype}, expected numbers")
    kind: type = np.float32 if isinstance(task, Numbers) else np.int8 if isinstance(task, Labels) else np.int64
    kind = np.uint8 if task.masks else kind
    with np.errstate(invalid="ignore"):
        made: np.ndarray = array.astype(kind)
    if not isinstance(task, Numbers) and not np.array_equal(made, array):
        made = array  # what can't be told in that type is named as it is
    check_values(made, task, where, np.arange(len(made)))
    return made


def practice_truth(workspace: Workspace) -> Path:
    """The truth of practice data; UserError where there are none."""
    path = workspace.practice / "truth" / "truth.npz"
    if not path.exists():
        raise UserError(f"{path} does not exist; run `compete audit` with --practice first")
    return path
