"""verb: score a submission against truth that is at hand.

    python -m toolkit.grade competitions/mars --practice
    python -m toolkit.grade competitions/mars --submission file.csv --truth truth.npz

The truth is an .npz with `targets` and, where the submission is code, the test `images`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import Workspace
from toolkit.submission import ledger

if TYPE_CHECKING:
    from toolkit.competition import Competition


def grade(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """The submission's score in the official metric."""
    import numpy as np

    from toolkit.data.reading import Npz, image_array, label_array, mask_array
    from toolkit.metrics import MeanIoU, confusion_matrix
    from toolkit.task import Classification

    task = competition.task
    truth = Npz(_truth(workspace, options))
    classes, where = len(task.classes), f"{truth.path}: targets"
    if isinstance(task, Classification):
        targets = label_array(truth["targets"], classes, where)
    else:
        targets = mask_array(truth["targets"], task.image_shape, classes, where)
    images = np.empty((len(targets), *task.image_shape), np.uint8)
    if "images" in truth.keys or competition.rules.submission_packages:  # code can't be scored without
        images = image_array(truth["images"], task.image_shape, f"{truth.path}: images")
    path = options.submission or latest(options.submissions, workspace)
    labels = competition.read_submission(path, images)
    if labels.shape != targets.shape:
        raise UserError(f"{path} holds {len(labels)} predictions, {truth.path} has {len(targets)}")
    confusion = confusion_matrix(targets, labels, classes)
    score = float(competition.score(confusion))
    result: dict[str, Any] = {"submission": str(path), "leaderboard": score}
    console.say(f"{path}: {competition.metric.name} {score:.4f} on {len(targets):,} test samples")
    if isinstance(competition.metric, MeanIoU):
        result["readings"] = competition.metric.readings(confusion, competition.scored)
        text = ", ".join(f"{name} {value:.4f}" for name, value in result["readings"].items())
        console.say(f"readings of what is not scored: {text}")
    return result


def latest(submissions: Path, workspace: Workspace) -> Path:
    """The newest submission in the ledger."""
    book = submissions / "ledger.csv"
    return submissions / ledger.find(ledger.read(book), workspace.name, None, book)["submission"]


def _truth(workspace: Workspace, options: argparse.Namespace) -> Path:
    if options.truth is None and not options.practice:
        raise UserError("the truth is not at hand: give --truth FILE, or --practice for practice data")
    path: Path = options.truth or workspace.practice / "truth" / "truth.npz"
    if not path.exists():
        hint = "check --truth" if options.truth else "run `python -m toolkit.audit` with --practice first"
        raise UserError(f"{path} does not exist; {hint}")
    return path


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--submission", type=Path, metavar="FILE", help="default: the newest in the ledger")
    made.add_argument("--truth", type=Path, metavar="FILE", help="default: the practice data's truth")


if __name__ == "__main__":
    made = console.parser("grade", "Score a submission against truth that is at hand.")
    add_options(made)
    console.main(made, grade)
