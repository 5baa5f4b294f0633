"""A search's trials as runs: trained fold by fold, pruned where the others say so."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Event
from typing import Any

import numpy as np
from optuna import TrialPruned
from optuna.study import Study
from optuna.trial import Trial

from toolkit.cluster.place import cluster
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError, others_code
from toolkit.events import scores_of
from toolkit.networks.devices import CLUSTER
from toolkit.outcome import duration
from toolkit.progress import Flat, Progress, Watch
from toolkit.recipe import Chosen, Recipe, override, with_epochs
from toolkit.runs import Run
from toolkit.scoring.selection import FoldTally, pooled_score
from toolkit.search_space import Fixed, Suggesting
from toolkit.training.alone import whole_run
from toolkit.training.cross_validation import begin, prepare, train, train_fold
from toolkit.training.epoch_log import EpochLog
from toolkit.training.fold import StoppedError
from toolkit.training.jobs import FoldJob
from toolkit.training.workers import each, perform
from toolkit.tuning.board import Board
from toolkit.tuning.clock import Clock, passed
from toolkit.tuning.settings import Objective, SearchSettings
from toolkit.tuning.study import NOTE, PLACE, RUN, Interrupted
from toolkit.tuning.trials import Rivals, fold_order, judge, seconds

SLOW = 3.0  # times the time that the epochs were chosen for, at which a trial is pruned as too slow
POLL = 1.0
History = Sequence[dict[str, Any]]  # the epochs so far


@dataclass(frozen=True)
class TrialContext:
    """All that a trial needs. epochs: at most so many, where not all are frozen; stopped: others were told to end."""

    settings: SearchSettings
    study: Study
    rivals: Rivals
    epochs: int | None
    clock: Clock
    board: Board
    stopped: Event = field(default_factory=Event)

    @property
    def labelled(self) -> Labelled:
        return self.rivals.labelled

    @property
    def progress(self) -> Progress:
        """What hears of a trial; of several at once none opens a phase within another's."""
        on_cluster = self.settings.device.startswith(CLUSTER)
        return Flat(self.board.progress) if on_cluster else self.board.progress

    @property
    def folds(self) -> int:
        return self.labelled.folds

    def chosen(self, trials: int) -> Chosen:
        """What a recipe of this search carries, so many trials having begun; those that its first recipe was chosen
        among count, too."""
        return Chosen(self.study.study_name, self.before + trials, self.settings.objective)

    @property
    def before(self) -> int:
        """Trials of other searches among which the first recipe was chosen."""
        study, settings, competition = self.study.study_name, self.settings, self.rivals.competition
        earlier = [] if settings.recipe is None else [one.chosen for one in settings.first_recipes(competition)]
        return sum(one.trials for one in earlier if one is not None and one.study != study)

    @property
    def needs_run(self) -> bool:
        """Is an objective only known of a run that is put together?"""
        return any(one.metric not in (None, "clean") for one in self.rivals.objectives)


def recipe_of(context: TrialContext, trial: Suggesting) -> Recipe:
    """What the trial suggests, with the given fields, the seed, and the epochs that the budget allows."""
    competition, settings = context.rivals.competition, context.settings
    assert competition.suggest is not None
    with others_code(f"{competition.name}'s suggest fails", competition.folder, TrialPruned):
        suggested = competition.suggest(Fixed(trial, settings.fields))
    if context.epochs is not None and suggested.schedule.freeze < 1:  # a head alone takes seconds
        suggested = with_epochs(suggested, min(context.epochs, suggested.schedule.epochs))
    recipe = override(replace(suggested, seed=settings.seed), settings.fields)
    competition.rules.check(recipe)
    return recipe


def evaluate(context: TrialContext, trial: Trial) -> list[float]:
    """Train a trial's folds; its values. Raises TrialPruned, Interrupted where the time is up, and UserError."""
    context.board.begin(trial.number)
    recipe = recipe_of(context, trial)
    place = trial.user_attrs[PLACE]
    recipe = replace(recipe, name=f"{recipe.name}-t{place}", chosen=context.chosen(place + 1))
    run, jobs = prepared(context, recipe)
    trial.set_user_attr(RUN, run.name)
    context.board.read()
    with claim(context, run, context.clock.cut_at):
        finished = run.complete
        if run.recipe_path.exists():  # trained or begun before, perhaps by hand
            run.store_recipe(replace(recipe, name=run.recipe.name))
        if finished:
            trial.set_user_attr(NOTE, "already trained")
        order = fold_order(context.settings.seed, place, len(jobs))
        mine = _train_folds(context, trial, run, [jobs[k] for k in order], finished)
        if context.needs_run or (not finished and recipe.schedule.average != "ema"):
            merge(context, recipe, context.needs_run)
            mine = judged(context, run)  # averaging changed weights
        return [objective_value(context, one, run, mine) for one in context.rivals.objectives]


def prepared(context: TrialContext, recipe: Recipe) -> tuple[Run, list[FoldJob]]:
    with context.clock.counting():  # it may decode images at a size, or measure the speed of a network, new here
        within = context.clock.for_measuring
        try:
            return prepare(context.labelled, recipe, context.settings.device, context.progress, within)
        except StoppedError:  # no machine of a cluster had room in time
            raise Interrupted from None


def _train_folds(
    context: TrialContext, trial: Trial, run: Run, jobs: Sequence[FoldJob], finished: bool
) -> dict[str, list[FoldTally]]:
    """Train what isn't trained, in this order; each fold as it is judged. Stops where the verdict is clear."""
    study, rivals = context.study, context.rivals
    mine: dict[str, list[FoldTally]] = {kind: [] for kind in rivals.kinds}
    for position, job in enumerate(jobs):
        reason = partial(_reason_to_prune, context, trial, job) if position == 0 else None
        train_one(context, run, job, position, "", context.clock.cut_at, reason)
        for kind, folds in mine.items():
            folds.append(judge(run, job.fold, kind, job.device))
        trial.set_user_attr("folds", position + 1)
        if len(rivals.objectives) == 1:
            ((kind, folds),) = mine.items()
            trial.report(rivals.expected(study, kind, folds), position + 1)
        context.board.read()
        verdict = None if finished else rivals.verdict(study, run, mine)
        if verdict and position + 1 < len(jobs):
            raise TrialPruned(f"after {position + 1} of {len(jobs)} folds: {verdict}")
    return mine


def judged(context: TrialContext, run: Run) -> dict[str, list[FoldTally]]:
    """All folds of a run, by what they are judged by."""
    device = context.settings.device
    return {kind: [judge(run, k, kind, device) for k in range(context.folds)] for kind in context.rivals.kinds}


def train_one(
    context: TrialContext,
    run: Run,
    job: FoldJob,
    position: int,
    what: str,
    until: float | None,
    reason_to_prune: Callable[[History], TrialPruned | None] | None = None,
) -> None:
    """Train a fold unless it is; what: a trial or a final, as it is shown. Interrupted where the time is up."""
    if job.place.complete:
        if context.board.progress.listeners:  # which may not have heard of it
            EpochLog(run, context.board.progress).stored(job.fold)
        return
    ended: list[Exception] = []

    def stop(history: History) -> bool:
        if passed(until):
            ended.append(Interrupted())
        elif reason_to_prune is not None and (reason := reason_to_prune(history)) is not None:
            ended.append(reason)
        return bool(ended)

    if passed(until):
        raise Interrupted
    with context.clock.counting():
        if not run.settings_path.exists():
            begin(run, job)
        watch = context.board.watch(what, job.recipe.schedule.epochs, position)
        try:
            _fit(job, watch, EpochLog(run, context.board.progress), stop, context.stopped)
        except StoppedError:  # or no machine of a cluster had room in time
            raise ended[0] if ended else Interrupted from None
        context.board.fold_ended()


def train_all(context: TrialContext, run: Run, jobs: Sequence[FoldJob], what: str, until: float | None) -> None:
    """The folds that aren't trained, as `train_one` each: on a cluster side by side, else one after the other."""

    def trained(position: int, job: FoldJob, stopped: Event) -> None:
        train_one(replace(context, stopped=stopped), run, job, position, what, until)

    if context.settings.device.startswith(CLUSTER):
        if not run.settings_path.exists():
            begin(run, jobs[0])
        cluster().side_by_side([partial(trained, position, job) for position, job in enumerate(jobs)], until)
        return
    for position, job in enumerate(jobs):
        trained(position, job, context.stopped)


def _reason_to_prune(context: TrialContext, trial: Trial, job: FoldJob, history: History) -> TrialPruned | None:
    """Why a trial's first fold is not trained on, after these epochs; what it is likely to have is reported."""
    epochs, limit = job.recipe.schedule.epochs, context.clock.per_trial
    took = history[-1]["seconds"] * epochs * context.folds
    steady = len(history) > 1 or not job.recipe.schedule.freeze  # features are computed in the first
    if limit is not None and steady and took > SLOW * limit:
        return TrialPruned(f"too slow for the budget, all folds would take {duration(took)}")
    end = context.rivals.end_if_pruned(context.study, job.fold, history, epochs)
    if end is None:
        return None
    trial.report(end, 0)
    return TrialPruned(f"after {len(history)} of {epochs} epochs: below the others at that point")


def _fit(job: FoldJob, watch: Watch, log: EpochLog, stop: Callable[[History], bool], ended: Event) -> None:
    if "+" in job.device:  # processes of their own, which can't be asked to stop
        each(train_fold, [job], job.device, watch, lambda job, told: None, tell=log)
    else:
        perform(train_fold, job, watch, log, stop, ended)
    log.stored(job.fold)


def merge(context: TrialContext, recipe: Recipe, with_stress: bool, test_images: bool = False) -> None:
    """Put a run's trained folds together, so that a blend can take it."""
    settings, clock = context.settings, context.clock
    begun = time.monotonic()
    with context.clock.counting():
        run = train(
            context.labelled,
            recipe,
            device=settings.device,
            stress=settings.stress if with_stress else "none",
            deadline=clock.deadline,
            test_images=test_images,
        )
    context.board.progress.tell(scores_of(run.name, run.metrics))
    took = time.monotonic() - begun
    if with_stress or test_images:
        clock.merging = max(clock.merging, took)
    else:
        clock.joining = max(clock.joining, took)


def objective_value(context: TrialContext, one: Objective, run: Run, mine: dict[str, list[FoldTally]]) -> float:
    """An objective's, from the folds, or of the run where the search puts all together; UserError where it has none.

    Of the folds also where the run is put together already: its own score is at the size of each picture and decided
    by other folds, and the other trials' are not.
    """
    if one.name == "seconds":
        return seconds(run, range(context.folds))
    if not context.needs_run:
        assert one.judged is not None
        score = pooled_score(mine[one.judged])
        if np.isnan(score):
            metric = context.rivals.competition.metric.name
            raise UserError(f"{metric} isn't defined on the samples out of fold; are there some of each class?")
        return score
    assert one.metric is not None
    found = run.metrics.get(one.metric)
    if found is None:
        raise UserError(f"{run.name} has no {one.name} score in its metrics.json; search for clean or stress")
    return float(found["score"])


@contextmanager
def claim(context: TrialContext, run: Run, until: float | None) -> Iterator[None]:
    """Have the run's folder alone: wait until whoever trains the same recipe has ended."""

    def waiting(who: str) -> None:
        context.board.doing = f"{run.name} is being trained by {who}"
        if passed(until):
            raise Interrupted

    with whole_run(run, waiting):
        yield
