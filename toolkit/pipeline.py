"""What came of all steps in order, from raw files to a checked submission, and what is done before they are timed."""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.outcome import MENDED, RESIZED, Outcome, Table, duration, interval, mended, resized
from toolkit.preflight import try_answers, try_networks
from toolkit.progress import Progress
from toolkit.recipe import Recipe
from toolkit.reporting.page import Report
from toolkit.scoring.matched_to_test import open_match
from toolkit.submission.build import Submission
from toolkit.submission.clean_environment import clean_python
from toolkit.submission.grading import Grade
from toolkit.training.budget import closing_seconds, train_within
from toolkit.training.workers import places

if TYPE_CHECKING:
    from toolkit.project import Project

TRYING = 0.02  # of the budget, in which the networks of further recipes are tried
CODE_FROM = 600.0  # seconds of a budget, from which on code is run before its networks are trained
STARTS = 3  # processes of a code submission: it is exported, tried, and in practice graded
SCORES = {
    "clean": "local score",
    "stress": "under corruptions",
    "matched": "as the test images are",
    "holdout": "held out, as handed in",
}


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
        known = {kind: text for kind, text in SCORES.items() if scores[kind]}
        unseen = self.submission.beside
        rows += [[text, interval(scores[kind]) + unseen * (kind != "holdout")] for kind, text in known.items()]
        rows[2:2] = [[MENDED, text] for text in mended(scores["clean"])]
        rows[2:2] = [[RESIZED, text] for text in resized(scores["clean"])]
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


def run(
    project: "Project", recipes: Sequence[Recipe], budget: float, stress: str, split: Callable[[], Outcome]
) -> Result:
    """All steps of a project in order: the first recipe gets as many epochs as fit into `budget` seconds, what is left
    goes to the next ones. split: makes the folds."""
    started, show = time.monotonic(), project.progress.show
    places(project.device)
    if budget <= (closing := closing_seconds(budget)):
        raise UserError(
            f"the budget of {duration(budget)} is too short: {duration(closing)} are kept for blending, writing, "
            "checking and the report, and audit and training come before them; give 1m or more"
        )
    recipes = try_networks(project.competition, recipes, project.workspace, project.progress, TRYING * budget)
    show(project.audit())
    show(split())
    labelled = project.labelled()
    tried = recipes[0] if budget >= CODE_FROM else None
    try_answers(project.competition, project.workspace, tried, project.progress)
    more = prepare(labelled, stress, project.progress)
    how: Any = {"device": project.device, "progress": project.progress}
    runs = train_within(labelled, recipes, budget, started, stress=stress, more=more, **how)
    show(project.ensemble(runs, views=["none"]))
    submission = project.submit()
    show(submission)
    grade = project.grade(submission.path) if project.practice else None
    if grade is not None:
        show(grade)
    report = project.report()
    show(report)
    title = f"{project.workspace.name}: {project.competition.metric.name}"
    return Result(title, submission, grade, report, time.monotonic() - started, budget)


def prepare(labelled: Labelled, stress: str, progress: Progress) -> float:
    """What takes its time once, and so comes before the time that is left is planned.

    Returns the seconds that the processes take to start in which code is exported, tried and graded; 0 without code.
    """
    for name in ("toolkit.blending.blend", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        import_module(name)
    starting = 0.0
    packages = labelled.competition.rules.submission_packages
    if packages:
        python = clean_python(packages)
        begun = time.monotonic()
        subprocess.run([python, "-I", "-c", f"import {', '.join(packages)}"], check=False)
        starting = STARTS * (time.monotonic() - begun)
    if stress != "none" and labelled.shows_how_tests_look:
        progress.say(open_match(labelled).words(labelled.competition.rgb))
    return starting
