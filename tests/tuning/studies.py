"""Searches of the tiny competition, and a study of nothing but numbers."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from tests.tiny import competition, project
from toolkit.competition import Competition
from toolkit.progress import Progress
from toolkit.runs import Run
from toolkit.tuning.samplers import make_sampler
from toolkit.tuning.study import RUN, begun_trials, open_study
from toolkit.tuning.summary import Search

EPOCH = "schedule.epochs=1"


def search(
    root: Path,
    *assignments: str,
    of: Competition = competition,
    seed: int = 0,
    progress: Progress | None = None,
    **settings: Any,
) -> Search:
    return project(root, of=of, seed=seed, progress=progress).search(assignments=assignments, **settings)


def runs(found: Search) -> list[Run]:
    """All that lie there, finished or not, by name."""
    return [Run(folder, found.labelled) for folder in sorted(found.labelled.workspace.train.iterdir())]


def run_of(found: Search, trial: FrozenTrial) -> Run:
    return Run(found.labelled.workspace.train / trial.user_attrs[RUN], found.labelled)


def opened(folder: Path, where: str = "sqlite", sampler: str = "random") -> Study:
    made, _ = make_sampler(sampler, 30, 0)
    return open_study(where, folder, "study", ["maximize"], made)


def up_to(number: int) -> Callable[[Sequence[FrozenTrial]], bool]:
    return lambda trials: len(begun_trials(trials)) < number


def suggested(trial: Trial) -> list[float]:
    x = trial.suggest_float("x", 0, 1)
    branch = trial.suggest_categorical("branch", ["a", "b"])
    return [x + (trial.suggest_float("y@b", 0, 1) if branch == "b" else 0)]


def expected(trial: FrozenTrial) -> float:
    """What `suggested` gave."""
    return float(trial.params["x"] + trial.params.get("y@b", 0))
