"""What came of all steps in order, from raw files to a checked submission, and what is done before they are timed."""

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from toolkit import needs
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.outcome import MENDED, RESIZED, Outcome, Table, duration, interval, mended, resized, seconds
from toolkit.planning.ending import closing_seconds
from toolkit.planning.planned import Planned
from toolkit.planning.spending import Spending
from toolkit.preflight import try_answers, try_beside, try_networks
from toolkit.progress import Progress
from toolkit.recipe import Recipe
from toolkit.reporting.page import Report
from toolkit.scoring.matched_to_test import open_match
from toolkit.submission.build import Submission
from toolkit.submission.clean_environment import clean_python
from toolkit.submission.grading import Grade
from toolkit.training.workers import places

if TYPE_CHECKING:
    from toolkit.project import Project

TRYING = 0.02  # of the budget, in which the networks of further recipes are tried
CODE_FROM = 600.0  # seconds of a budget, from which on code is run before its networks are trained
FEW_FOLDS = (
    3  # where epochs are few: each network gets about twice as many, on 5/6 of the samples that 5 folds give it
)
STARTS = 3  # processes of a code submission: it is exported, tried, and in practice graded
SCORES = {
    "clean": "CV score",
    "stress": "stress score",
    "matched": "test-like score",
    "holdout": "held-out score",
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

    @property
    def next(self) -> list[tuple[str, str]]:
        page = (str(self.report.path), "open it: scores, mistakes, and what to try next")
        return [page] if self.grade is not None else [page, *self.submission.next]

    def as_json(self) -> dict[str, Any]:
        scores = {kind: self.submission.scores[kind] for kind in SCORES}
        result: dict[str, Any] = {"submission": str(self.submission.path), **scores}
        if self.grade is not None:
            result["leaderboard"] = self.grade.score
        return result | {"seconds": self.seconds}


@dataclass(frozen=True)
class Wishes:
    """recipe, fields: that one recipe alone; split: arguments of `Project.folds`. None: as the competition has it."""

    budget: float
    recipe: Recipe | str | None
    fields: Mapping[str, Any]
    stress: str
    split: tuple[Any, ...]

    @property
    def alone(self) -> bool:
        """Is nothing but one recipe trained?"""
        return self.recipe is not None or bool(self.fields)

    def recipes(self, project: "Project") -> list[Recipe]:
        if self.alone:
            return [project.recipe(self.recipe, **self.fields)]
        return [replace(each, seed=project.seed) for each in project.competition.recipes.values()]


def wishes(
    budget: float | str = "30m",
    recipe: Recipe | str | None = None,
    stress: str = "auto",
    folds: int | None = None,
    repeats: int | None = None,
    holdout: float | str = "auto",
    split: str | None = None,
    again: bool = False,
    **fields: Any,
) -> Wishes:
    """As `Project.run` takes them."""
    return Wishes(seconds(budget), recipe, fields, stress, (folds, repeats, holdout, split, again))


def run(project: "Project", wishes: Wishes) -> Result:
    """All steps of a project in order, within the budget; what is trained is chosen part by part, see `planning`."""
    started = time.monotonic()
    with project.progress.phase(f"run {project.workspace.name}", budget=wishes.budget, begun=started):
        return _run(project, wishes, started)


def _run(project: "Project", wishes: Wishes, started: float) -> Result:
    show = project.progress.show
    spent = _opened(project, wishes, started).spend()
    show(project.ensemble(spent.runs, views=spent.views, adapt=spent.adapt))
    submission = project.submit()
    show(submission)
    with project.progress.phase("practice leaderboard"):
        grade = project.grade(submission.path) if project.practice else None
    if grade is not None:
        show(grade)
    report = project.report()
    show(report)
    title = f"{project.workspace.name}: {project.competition.metric.name}"
    return Result(title, submission, grade, report, time.monotonic() - started, wishes.budget)


def plan(project: "Project", wishes: Wishes) -> Planned:
    """What `run` would spend the budget on, at speeds that are measured; nothing is trained."""
    return _opened(project, wishes, time.monotonic()).forecast()


def _opened(project: "Project", wishes: Wishes, started: float) -> Spending:
    """All that comes before training."""
    show, budget, recipes = project.progress.show, wishes.budget, wishes.recipes(project)
    if recipes[0].distil.blend:
        raise UserError(
            f"{recipes[0].name} learns from a blend, which `run` makes in the end alone; train it by `compete "
            "train`, or set distil.blend="
        )
    needs.files(project)
    places(project.device)
    if budget <= (closing := closing_seconds(budget)):
        raise UserError(
            f"the budget of {duration(budget)} is too short: {duration(closing)} are kept for blending, writing, "
            "checking and the report, and audit and training come before them; give 1m or more"
        )
    wanted = recipes
    recipes = try_networks(project.competition, recipes, project.workspace, project.progress, TRYING * budget)
    show(project.audit())
    undecided = project.workspace.undecided
    there = project.workspace.folds.exists() and not undecided.exists()
    chosen = wishes.split[0] is not None or there
    if not chosen:
        undecided.touch()  # a call that is killed before it has looked at the epochs leaves them so
    show(project.folds(*wishes.split))
    labelled = project.labelled()
    recipes = try_beside(labelled, recipes, project.progress)
    tried = recipes[0] if budget >= CODE_FROM else None
    try_answers(project.competition, project.workspace, tried, project.progress)
    how: Any = {"device": project.device, "progress": project.progress, "stress": wishes.stress, "alone": wishes.alone}
    how["wanted"] = wanted
    spending = Spending(labelled, recipes, budget, started, **how)
    if not chosen and labelled.folds > FEW_FOLDS and (few := spending.few_epochs()):
        project.progress.say(
            f"{FEW_FOLDS} folds, not {labelled.folds}, as {few}: with fewer folds each gets more of them"
        )
        show(project.folds(FEW_FOLDS, *wishes.split[1:]))
        spending = Spending(project.labelled(), recipes, budget, started, **how)
    undecided.unlink(missing_ok=True)
    spending.more = prepare(spending.labelled, wishes.stress, project.progress)
    return spending


def prepare(labelled: Labelled, stress: str, progress: Progress) -> float:
    """What takes its time once, and so comes before the time that is left is planned.

    Returns the seconds that the processes take to start in which code is exported, tried and graded; 0 without code.
    """
    with progress.phase("loading what is needed later"):
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
        with progress.phase("finding out how test images look"):
            match = open_match(labelled)
        progress.say(match.words(labelled.competition.rgb))
    return starting
