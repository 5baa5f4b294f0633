"""A search's trials as runs: trained fold by fold, given up where the others say so, the best finished and repeated.

A part of the verb `search`: it trains through the functions of `train`.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from toolkit import console
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.errors import UserError
from toolkit.recipe import Recipe, from_dict, override, with_epochs
from toolkit.scoring.stress import SHARE
from toolkit.search_space import Fixed
from toolkit.store import Workspace, read_json, read_manifest, write_json
from toolkit.train import begin, prepare, train, train_fold
from toolkit.training.fold import StoppedError
from toolkit.training.loop import FoldJob
from toolkit.tuning.board import Board
from toolkit.tuning.claims import claimed
from toolkit.tuning.pruning import Fold, pooled_score
from toolkit.tuning.study import RUN, Interrupted
from toolkit.tuning.trials import Objective, Rivals, fold_order, judge, seconds

if TYPE_CHECKING:
    import pandas as pd
    from optuna.study import Study
    from optuna.trial import Trial

SLOW = 3.0  # times the time that the epochs were chosen for, at which a trial is given up as too slow
FINALISTS, REPEATED = 3, 2
BEST = "best.recipe"
POLL = 1.0


class HopelessError(optuna.TrialPruned):
    """A trial was given up inside its first fold. end: the score that it was likely to have."""

    def __init__(self, reason: str, end: float) -> None:
        super().__init__(reason)
        self.end = end


@dataclass
class Clock:
    """Unix times that a search keeps to, and the seconds that its trainings took."""

    started: float
    begin_until: float | None = None  # no trial begins later
    cut_at: float | None = None  # a trial under way is cut here
    deadline: float | None = None
    per_trial: float | None = None  # seconds of a trial that the epochs were chosen for
    training: float = 0.0
    merging: float = 0.0  # seconds that putting a run together took at most

    @contextmanager
    def counting(self) -> Iterator[None]:
        begun = time.time()
        try:
            yield
        finally:
            self.training += time.time() - begun


@dataclass(frozen=True)
class Search:
    """All that a trial needs."""

    competition: Competition
    workspace: Workspace
    options: argparse.Namespace
    table: "pd.DataFrame"
    dataset: Dataset  # relabelled
    objectives: tuple[Objective, ...]
    study: "Study"
    rivals: Rivals
    epochs: int | None  # at most so many, where not all are frozen
    clock: Clock
    board: Board

    @property
    def folder(self) -> Path:
        return self.workspace.folder / "search"

    @property
    def folds(self) -> int:
        return self.rivals.folds


@dataclass(frozen=True)
class Final:
    """One of the best trials: its run, and those of its recipe with other seeds; their values."""

    trial: int
    runs: tuple[Path, ...]
    values: tuple[float, ...]  # of the first objective

    @property
    def mean(self) -> float:
        return sum(self.values) / len(self.values)


def recipe_of(search: Search, trial: Any) -> Recipe:
    """What the trial suggests, with the command line's fields, seed, and the epochs that the budget allows."""
    assert search.competition.suggest is not None
    options = search.options
    suggested = search.competition.suggest(Fixed(trial, options.overrides))
    if search.epochs is not None and suggested.schedule.freeze < 1:  # a head alone takes seconds
        suggested = with_epochs(suggested, min(search.epochs, suggested.schedule.epochs))
    recipe = override(replace(suggested, seed=options.seed), options.overrides)
    search.competition.rules.check(recipe)
    return recipe


def evaluate(search: Search, trial: "Trial") -> list[float]:
    """Train a trial's folds; its values. Raises TrialPruned, Interrupted where the time is up, and UserError."""
    search.board.begin(trial.number)
    recipe = recipe_of(search, trial)
    recipe = replace(recipe, name=f"{recipe.name}-t{trial.number}")
    folder, jobs = _prepared(search, recipe)
    trial.set_user_attr(RUN, folder.name)
    search.board.read()
    with _claim(search, folder, search.clock.cut_at):
        finished = (read_manifest(folder) or {}).get("complete", False)
        if finished:
            trial.set_user_attr("note", "already trained")
        order = fold_order(search.options.seed, trial.number, len(jobs))
        mine = _train_folds(search, trial, folder, [jobs[k] for k in order], finished)
        if _needs_run(search) or (not finished and recipe.schedule.average != "ema"):
            merge(search, recipe, "auto" if _needs_run(search) else "none")
            mine = {kind: [_judged(search, job, kind) for job in jobs] for kind in mine}  # averaging changed weights
            finished = True
        return [_value(search, one, folder, mine, finished) for one in search.objectives]


def _train_folds(
    search: Search, trial: "Trial", folder: Path, jobs: Sequence[FoldJob], finished: bool
) -> dict[str, list[Fold]]:
    """Train what isn't trained, in this order; each fold as it is judged. Stops where the verdict is clear."""
    kinds = {one.judged for one in search.objectives if one.judged}
    mine: dict[str, list[Fold]] = {kind: [] for kind in kinds}
    for position, job in enumerate(jobs):
        try:
            _train_one(search, job, search.clock.cut_at, f"trial {trial.number}", position)
        except HopelessError as stopped:
            trial.report(stopped.end, 0)
            raise
        for kind in kinds:
            mine[kind].append(_judged(search, job, kind))
        trial.set_user_attr("folds", position + 1)
        if len(search.objectives) == 1:
            ((kind, judged),) = mine.items()
            trial.report(search.rivals.expected(search.study, kind, judged), position + 1)
        search.board.read()
        reason = None if finished else search.rivals.verdict(search.study, folder, mine)
        if reason and position + 1 < len(jobs):
            raise optuna.TrialPruned(f"after {position + 1} of {len(jobs)} folds: {reason}")
    return mine


def _judged(search: Search, job: FoldJob, kind: str) -> Fold:
    return judge(search.competition, search.dataset, search.table["group"].to_numpy(), job, kind)


def _train_one(
    search: Search, job: FoldJob, until: float | None, what: str, position: int, final: bool = False
) -> None:
    """Train a fold unless it is; of a final, to its end, however it goes. Interrupted where the time is up."""
    if (read_manifest(job.folder) or {}).get("complete"):
        return
    epochs = job.recipe.schedule.epochs
    ended: list[Exception] = []

    def stop(history: Sequence[dict[str, Any]]) -> bool:
        if until is not None and time.time() > until:
            ended.append(Interrupted())
        elif position == 0 and not final:
            limit, spent = search.clock.per_trial, history[-1]["seconds"] * epochs * search.folds
            steady = len(history) > 1 or not job.recipe.schedule.freeze  # features are computed in the first
            if limit is not None and steady and spent > SLOW * limit:
                told = f"too slow for the budget, all folds would take {console.duration(spent)}"
                ended.append(optuna.TrialPruned(told))
            elif (end := search.rivals.hopeless(search.study, job.fold, history, epochs)) is not None:
                told = f"after {len(history)} of {epochs} epochs: below the others at that point"
                ended.append(HopelessError(told, end))
        return bool(ended)

    if until is not None and time.time() > until:
        raise Interrupted
    over_several = "+" in job.device  # processes of their own, which can't be asked to stop
    with console.quiet(), search.clock.counting():
        if not (job.folder.parent / "settings.json").exists():
            begin(job.folder.parent, job)
        watch = search.board.watch(what, epochs, position)
        try:
            if over_several:
                _over_several(job, watch)
            else:
                train_fold(job, watch, stop=stop)
        except StoppedError:
            raise ended[0] from None


def _over_several(job: FoldJob, watch: Any) -> None:
    from toolkit.training.workers import each

    each(train_fold, [job], job.device, watch, lambda job, said: None)


def _needs_run(search: Search) -> bool:
    """Is an objective only known of a run that is put together?"""
    return any(one.metric not in (None, "clean") for one in search.objectives)


def merge(search: Search, recipe: Recipe, stress: str) -> Path:
    """Put a run's trained folds together, with predictions of the test images: what a blend takes."""
    stress = search.options.stress if stress == "auto" else stress
    options = argparse.Namespace(**{**vars(search.options), "stress": stress})
    begun = time.time()
    with console.quiet(), search.clock.counting():
        folder = train(search.competition, search.workspace, recipe, options, search.clock.deadline)
    search.clock.merging = max(search.clock.merging, time.time() - begun)
    return folder


def _value(search: Search, one: Objective, folder: Path, mine: dict[str, list[Fold]], finished: bool) -> float:
    if one.name == "seconds":
        return seconds(folder, range(search.folds))
    if not finished:
        assert one.judged is not None
        return pooled_score(search.competition, mine[one.judged])
    return metric(folder, one)


def metric(folder: Path, one: Objective) -> float:
    """A finished run's score; UserError where it has none."""
    found = read_json(folder / "metrics.json").get(one.metric)
    if found is None:
        raise UserError(f"{folder.name} has no {one.name} score in its metrics.json; search for clean or stress")
    return float(found["score"])


@contextmanager
def _claim(search: Search, folder: Path, until: float | None) -> Iterator[None]:
    """Have the run's folder alone: wait until whoever trains the same recipe has ended."""
    path = search.folder / "claims" / folder.name.rpartition("-")[2]
    while True:
        with claimed(path) as mine:
            if mine:
                yield
                return
        search.board.now = f"{folder.name} is being trained by another process"
        if until is not None and time.time() > until:
            raise Interrupted
        time.sleep(POLL)


def finals(search: Search) -> list[Final]:
    """Finish the best trials on all folds and repeat the best of them with other seeds; the best mean first.

    With a budget, what doesn't fit any more is left out. Repeated ones come before others, in the order of their means
    over the seeds that all of them have; the first one's recipe is left as BEST.
    """
    done: list[Final] = []
    for trial, _ in search.rivals.ranking(search.study)[:FINALISTS]:
        run = search.rivals.train / trial.user_attrs[RUN]
        if (value := finish(search, from_dict(read_json(run / "recipe.json")))) is not None:
            done.append(Final(trial.number, (run,), (value,)))
    done.sort(key=lambda final: -final.mean)
    for repeat in range(search.options.repeats):
        for at, final in enumerate(done[:REPEATED]):
            recipe = from_dict(read_json(final.runs[0] / "recipe.json"))
            seed = recipe.seed + repeat + 1
            again = replace(recipe, seed=seed, name=f"{recipe.name}-s{seed}")
            if not _fits(search, seconds(final.runs[0], range(search.folds))):
                continue
            value = finish(search, again)
            if value is not None:
                run, _ = _prepared(search, again)
                done[at] = replace(final, runs=(*final.runs, run), values=(*final.values, value))
    shared = min((len(final.values) for final in done[:REPEATED]), default=1)
    done = sorted(done[:REPEATED], key=lambda final: -sum(final.values[:shared])) + done[REPEATED:]
    if done:
        write_json(search.folder / BEST, read_json(done[0].runs[0] / "recipe.json"))
    return done


def _prepared(search: Search, recipe: Recipe) -> tuple[Path, list[FoldJob]]:
    with console.quiet(), search.clock.counting():  # it may measure the speed of a network that is new here
        return prepare(search.competition, search.workspace, recipe, search.options)


def finish(search: Search, recipe: Recipe) -> float | None:
    """Train the folds that are missing; the first objective. None: the time was up.

    The run is put together only where that decides on the score: there may be better uses of the time.
    """
    folder, jobs = _prepared(search, recipe)
    deadline, first = search.clock.deadline, search.objectives[0]
    trained = [job.fold for job in jobs if (read_manifest(job.folder) or {}).get("complete", False)]
    missing = len(jobs) - len(trained)
    if not _fits(search, seconds(folder, trained) / len(trained) * missing if trained else 0.0):
        return None
    search.board.now = f"{folder.name}: finishing"
    try:
        with _claim(search, folder, deadline):
            for position, job in enumerate(jobs):
                _train_one(search, job, deadline, folder.name, position, final=True)
            decides = _needs_run(search) or recipe.schedule.average != "ema"
            if decides:
                merge(search, recipe, "auto" if _needs_run(search) else "none")
            kinds = {one.judged for one in search.objectives if one.judged}
            mine = {kind: [_judged(search, job, kind) for job in jobs] for kind in kinds}
        whole = decides or (read_manifest(folder) or {}).get("complete", False)
        return _value(search, first, folder, mine, whole)
    except Interrupted:
        return None
    except UserError as error:  # another seed may diverge; what is there is still worth a winner
        console.warn(f"{folder.name}: {error}")
        return None


def _fits(search: Search, more: float) -> bool:
    return search.clock.deadline is None or time.time() + more < search.clock.deadline


def merge_all(search: Search, best: Sequence[Final]) -> int:
    """Put the finals' runs together, with their scores under corruptions, and the other finished trials', the best
    first, while there is time; how many are left.
    """
    wanted = {run: "auto" if run == final.runs[0] else "none" for final in best for run in final.runs}
    for trial, _ in search.rivals.ranking(search.study):
        if trial.state == optuna.trial.TrialState.COMPLETE:
            wanted.setdefault(search.rivals.train / trial.user_attrs[RUN], "none")
    left = 0
    for run, stress in wanted.items():
        if stress == "none" and (read_manifest(run) or {}).get("complete"):
            continue
        if not _fits(search, search.clock.merging or SHARE * seconds(run, range(search.folds))):
            left += 1
            continue
        search.board.now = f"{run.name}: predicting the test images"
        try:
            with _claim(search, run, search.clock.deadline):
                merge(search, from_dict(read_json(run / "recipe.json")), stress)
        except Interrupted:
            left += 1
        except UserError as error:
            console.warn(f"{run.name}: {error}")
            left += 1
    return left
