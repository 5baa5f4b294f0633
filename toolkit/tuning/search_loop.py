"""A search from its first trial to its end: the study with its queue, the plan of the time, trial after trial."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from threading import Event, Lock
from typing import Any

import optuna
from optuna.study import Study
from optuna.trial import FrozenTrial

from toolkit.cluster.place import cluster
from toolkit.data.labelled import COMPARABLE, Labelled
from toolkit.errors import UserError
from toolkit.networks.devices import CLUSTER
from toolkit.outcome import counted, duration
from toolkit.progress import SILENT, Progress
from toolkit.recipe import to_dict
from toolkit.search_space import OutsideError, drawn, parameters
from toolkit.store import hash_json
from toolkit.training.budget import trial_epochs
from toolkit.tuning.board import Board
from toolkit.tuning.clock import RESERVE, Clock, passed, start
from toolkit.tuning.finals import finals, merge_all, missing_seconds
from toolkit.tuning.samplers import make_sampler
from toolkit.tuning.settings import UNPRUNED, SearchSettings
from toolkit.tuning.storage import storage_faults
from toolkit.tuning.study import ERROR, Told, begun_trials, enqueue, in_turn, open_study, others_running, revive, work
from toolkit.tuning.summary import SCORES, Search, summarize
from toolkit.tuning.trial_runs import POLL, TrialContext, evaluate, prepared
from toolkit.tuning.trials import Rivals

COSTLIER = 1.5  # times as much as the default recipe a trial of the space is taken to cost
HAND_MADE = 4  # one trial of so many is a recipe made by hand, at most
FAILED = 3  # trials of a process that end the search where they fail before any other
DRAWN = 32  # random recipes that a space is known by
Params = dict[str, Any]


def search(
    labelled: Labelled, settings: SearchSettings, progress: Progress = SILENT, clock: Clock | None = None
) -> Search:
    """Train trials while they are wanted, finish and repeat the best ones, leave the winner's recipe.

    clock: by `start`, where the time of a budget began before; None: it begins now.

    Every trial is a run, pruned fold by fold once it is clearly worse than the best. Killed at any moment, the same
    call goes on, to the same trials; several processes at once share the work.
    """
    with storage_faults():
        return _search(labelled, settings, progress, clock or start(settings))


def _search(labelled: Labelled, settings: SearchSettings, progress: Progress, clock: Clock) -> Search:
    settings.check(labelled.competition)
    context = _open(labelled, settings, clock, progress)
    errors: list[str | None] = []  # of this process' trials, in their order

    def ended(trial: FrozenTrial) -> None:
        context.board.ended(trial)
        errors.append(trial.user_attrs.get(ERROR))
        if len(errors) == FAILED and all(errors):
            raise UserError(f"the first {FAILED} trials failed, the last one so: {errors[-1]}")

    with context.board.live():
        again = True
        while again:
            at_once(context, ended)
            again = wait_for_others(context)
        best = finals(context)
        left = merge_all(context, best)
    return summarize(context, best, left)


def at_once(context: TrialContext, ended: Told) -> None:
    """Trials while they are wanted, on a cluster as many at a time as there are places for a fold."""
    if not context.settings.device.startswith(CLUSTER):
        _work(context, ended)
        return
    machines, turn = cluster(), Lock()

    def told(trial: FrozenTrial) -> None:
        with turn:
            ended(trial)

    def worked(stopped: Event) -> None:
        own, _ = make_sampler(
            context.settings.sampler,
            context.settings.expected_trials,
            context.settings.seed,
            len(context.rivals.objectives),
        )  # which knows whose trial it draws
        study = optuna.load_study(study_name=context.study.study_name, storage=context.study._storage, sampler=own)
        _work(replace(context, study=study, stopped=stopped), told)

    if machines.allotments.first.gpus and wanted(context, context.study.get_trials(deepcopy=False)):
        _measure(context)  # how many trials share a GPU
    most = min(machines.places, context.settings.most_trials or machines.places)
    context.board.more = machines.lines
    machines.side_by_side([worked] * most, context.clock.cut_at)


def _measure(context: TrialContext) -> None:
    """What a fold of the competition's own recipe takes there, if that can be trained."""
    with suppress(UserError), context.clock.counting():
        _, jobs = prepared(context, context.settings.example(context.labelled.competition))
        cluster().measure(jobs[0])


def _work(context: TrialContext, ended: Told) -> None:
    work(
        context.study,
        context.labelled.workspace.search,
        lambda trials: not context.stopped.is_set() and wanted(context, trials),
        lambda trial: evaluate(context, trial),
        ended,
        progress=context.progress,
    )


def _open(labelled: Labelled, settings: SearchSettings, clock: Clock, progress: Progress) -> TrialContext:
    """The study with its queue, and the epochs of its trials."""
    objectives, expected, folder = settings.objectives, settings.expected_trials, labelled.workspace.search
    if any(one.metric == "matched" for one in objectives) and not labelled.shows_how_tests_look:
        raise UserError(
            f"{settings.objective} needs {COMPARABLE} test images that may be looked at, and "
            f"{labelled.competition.name} has fewer; search for clean or stress"
        )
    queue = _queue(labelled, settings)
    name = _study_name(labelled, settings, queue)
    sampler, words = make_sampler(settings.sampler, expected, settings.seed, len(objectives))
    competition = labelled.competition
    directions = [one.direction(competition.metric) for one in objectives]
    study = open_study(settings.storage, folder, name, directions, sampler, progress)
    if not competition.is_scored_by(study.user_attrs):  # values of two metrics can't be compared
        name = f"{name}-{hash_json(competition.scored_by)[:4]}"
        study = open_study(settings.storage, folder, name, directions, sampler, progress)
    for what, value in competition.scored_by.items():
        if what not in study.user_attrs:
            study.set_user_attr(what, value)
    study.set_metric_names([one.name for one in objectives])
    if passed(clock.begin_until) and not study.get_trials(deepcopy=False):
        raise UserError(
            f"the budget of {duration(settings.budget or 0.0)} was over before the first trial: what comes before it "
            f"took {duration(time.monotonic() - clock.started)}; that is done now and not again, so give the same "
            "command once more"
        )
    epochs = None
    if clock.per_trial is not None and settings.example(labelled.competition).schedule.freeze < 1:
        epochs = _epochs(labelled, settings, clock, clock.per_trial, study, progress)  # a head alone takes seconds
    most = min(expected, UNPRUNED) if settings.budget else expected
    first = [(params, {"recipe": made}) for made, params in queue[: max(1, most // HAND_MADE)]]
    enqueue(study, folder, first, progress)
    wanted = " and ".join(SCORES[one.name] for one in objectives)
    told = f"search {name}: {wanted} on {labelled.folds} folds, sampled {words}"
    progress.say(told + (f"; at most {counted(epochs, 'epoch')} a trial" if epochs else ""))
    board = Board(study, labelled.folds, clock.deadline, progress, settings.most_trials, settings.repeats)
    return TrialContext(settings, study, Rivals(labelled, objectives), epochs, clock, board)


def _queue(labelled: Labelled, settings: SearchSettings) -> list[tuple[str, Params]]:
    """Hand-made recipes that the rules allow and the space can make, as parameters, the cheapest first."""
    competition = labelled.competition
    assert competition.suggest is not None
    found: list[tuple[str, Params]] = []
    for recipe in settings.first_recipes(competition):
        try:
            params = parameters(competition.suggest, recipe, settings.fields)
        except OutsideError as error:
            if settings.recipe is not None:
                raise UserError(f"the search can't begin with {recipe.name}: {error}") from None
            continue
        if params not in [known for _, known in found]:
            found.append((recipe.name, params))
    return found


def _study_name(labelled: Labelled, settings: SearchSettings, queue: Sequence[tuple[str, Params]]) -> str:
    """Trials on other data, folds, objectives, fields, seeds, spaces, first recipes or epochs are another study's.

    A space is known by what it makes of the same random numbers.
    """
    suggest = labelled.competition.suggest
    assert suggest is not None
    decides = [
        labelled.data_hash,
        labelled.folds_hash,
        settings.objective,
        sorted(settings.fields),
        settings.seed,
        settings.budget_for_epochs,
        [params for _, params in queue],
        [to_dict(recipe) for recipe in drawn(suggest, settings.fields, DRAWN)],
    ]
    return f"{labelled.workspace.name}-{hash_json(decides)}"


def _epochs(
    labelled: Labelled, settings: SearchSettings, clock: Clock, per_trial: float, study: Study, progress: Progress
) -> int:
    """With so many a trial takes the time that the budget has for one, at the speed that one process measures."""
    with in_turn(labelled.workspace.search, progress):
        known: int | None = study.user_attrs.get("epochs")
        if known:
            return known
        recipe = settings.example(labelled.competition)
        share, within = per_trial / COSTLIER, clock.for_measuring
        epochs, cost = trial_epochs(labelled, recipe, share, settings.device, progress, within)
        if epochs < 1:
            budget = settings.budget or 0.0
            trials = round((1 - RESERVE) * budget / per_trial)
            needed = duration(trials / (1 - RESERVE) * COSTLIER * (cost.epoch + cost.once))
            raise UserError(
                f"the budget of {duration(budget)} is too short for {trials} trials of one epoch on {labelled.folds} "
                f"folds, which take about {needed} here; give more, or fewer trials"
            )
        progress.say(f"{recipe.name}: {duration(cost.epoch)} for an epoch of all folds")
        study.set_user_attr("epochs", epochs)
        return epochs


def wanted(context: TrialContext, trials: Sequence[FrozenTrial]) -> bool:
    """Is another trial to be begun?"""
    begun, settings, until = begun_trials(trials), context.settings, context.clock.begin_until
    if until is not None and time.monotonic() >= until - missing_seconds(context):
        return False
    if settings.most_trials is not None and len(begun) >= settings.most_trials:
        return False
    return settings.until_no_gain is None or _without_gain(context, begun) < settings.until_no_gain


def _without_gain(context: TrialContext, trials: Sequence[FrozenTrial]) -> int:
    """Ended trials since the last that was better, or with two objectives as good in its way, as all before it."""
    metric = context.rivals.competition.metric
    signs = [one.sign(metric) for one in context.rivals.objectives]
    kept: list[list[float]] = []
    since = 0
    for trial in trials:
        if trial.state.name == "COMPLETE" and trial.values:
            values = [sign * value for sign, value in zip(signs, trial.values, strict=True)]
            gains = not any(all(a >= b for a, b in zip(known, values, strict=True)) for known in kept)
            kept += [values] if gains else []
            since = 0 if gains else since + 1
        elif trial.state.name == "PRUNED":
            since += 1
    return since


def wait_for_others(context: TrialContext) -> bool:
    """Wait while other processes are at their trials; True: one of them left its trial, which is to be tried again."""
    while True:
        with in_turn(context.labelled.workspace.search, context.board.progress):
            revive(context.study)
        if wanted(context, context.study.get_trials(deepcopy=False)):
            return True
        running = others_running(context.study)
        if not running or passed(context.clock.cut_at):
            return False
        context.board.doing = f"waiting for {counted(running, 'trial')} of other processes"
        time.sleep(POLL)
