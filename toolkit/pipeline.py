"""All steps in order, from raw files to a checked submission, within a time budget."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolkit.data.labelled import Labelled
from toolkit.outcome import Outcome, Table, duration, interval
from toolkit.recipe import Recipe
from toolkit.reporting.page import Report
from toolkit.scoring.matched_to_test import open_match
from toolkit.submission.build import Submission
from toolkit.submission.clean_environment import clean_python
from toolkit.submission.grading import Grade
from toolkit.training.budget import train_within
from toolkit.training.workers import places

if TYPE_CHECKING:
    from toolkit.project import Project

SCORES = {"clean": "local score", "stress": "under corruptions", "matched": "as the test images are"}


@dataclass(frozen=True, repr=False)
class Result(Outcome):
    """What came of it. grade: of practice data; seconds: taken, of `budget`."""

    title: str
    submission: Submission
    grade: Grade | None
    report: Report
    seconds: float
    budget: float

    def told(self) -> list[Table]:
        scores = self.submission.scores
        rows = [["submission", str(self.submission.path)]]
        rows += [[text, interval(scores[kind])] for kind, text in SCORES.items() if scores[kind]]
        if self.grade is not None:
            rows.append(["practice leaderboard", f"{self.grade.score:.4f}"])
        rows.append(["report", str(self.report.path)])
        rows.append(["time", f"{duration(self.seconds)} of {duration(self.budget)}"])
        return [Table(self.title, ["", ""], rows)]

    def as_json(self) -> dict[str, Any]:
        scores = {kind: self.submission.scores[kind] for kind in SCORES}
        result: dict[str, Any] = {"submission": str(self.submission.path), **scores}
        if self.grade is not None:
            result["leaderboard"] = self.grade.score
        return result | {"seconds": self.seconds}


def run_all(
    project: "Project", recipes: Sequence[Recipe], folds: int, repeats: int, holdout: float, budget: float, stress: str
) -> Result:
    """Audit, folds, as many of the recipes as fit into `budget` seconds, blend, submission, report."""
    started, show = time.time(), project.progress.show
    places(project.device)
    show(project.audit())
    show(project.folds(folds, repeats, holdout))
    labelled = project.labelled()
    _prepare(project, labelled, stress)
    how: dict[str, Any] = {"device": project.device, "stress": stress, "progress": project.progress}
    runs = train_within(labelled, recipes, budget, started, **how)
    show(project.ensemble(runs, views=["none"]))
    submission = project.submit()
    show(submission)
    grade = project.grade(submission.path) if project.practice else None
    if grade is not None:
        show(grade)
    report = project.report()
    show(report)
    title = f"{project.workspace.name}: {project.competition.metric.name}"
    return Result(title, submission, grade, report, time.time() - started, budget)


def _prepare(project: "Project", labelled: Labelled, stress: str) -> None:
    """What takes its time once comes before the time that is left is planned."""
    packages = project.competition.rules.submission_packages
    if packages:
        clean_python(packages)
    if stress != "none" and labelled.may_look_at_test_images:
        project.progress.say(open_match(labelled).words(labelled.images.shape[3]))
