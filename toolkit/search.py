"""verb: look for better recipes in the competition's search space.

    python -m toolkit.search competitions/mars --budget 2h
    python -m toolkit.search competitions/mars --trials 40 schedule.epochs=8 --objective stress

Every trial is a run like any other, trained fold by fold and given up once it is clearly worse than the best. The best
are finished and repeated with other seeds; the winner is left as `search/best.recipe`, which `train --recipe` takes.
Killed at any moment, the same command goes on; several of them at once share the work.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.errors import UserError
from toolkit.store import Workspace, hash_json

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from toolkit.competition import Competition
    from toolkit.recipe import Recipe
    from toolkit.tuning.trial_runs import Clock, Search

TRIALS = 30  # where neither a number nor a budget is given
UNPRUNED = 16  # trials without pruning that a budget's epochs are chosen for, where no number is given
COSTLIER = 1.5  # times as much as the default recipe a trial of the space is taken to cost
RESERVE = 0.2  # of a budget is kept for finishing and repeating the best,
MOST_RESERVE = 0.4  # and up to so much where the best take long
CLOSING = 10.0  # seconds at most for tables and pictures
HAND_MADE = 4  # one trial of so many is a recipe made by hand, at most
HOPELESS = 3  # trials of a process that end the search where they fail before any other
DRAWN = 32  # random recipes that a space is known by
POLL = 1.0


def search(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    from toolkit.tuning.study import work
    from toolkit.tuning.summary import report
    from toolkit.tuning.trial_runs import Clock, evaluate, finals, merge_all

    clock = Clock(time.time())
    _check(competition, options)
    context = _open(competition, workspace, options, clock)
    ended: list[str | None] = []  # what each trial of this process failed by

    def told(trial: "FrozenTrial") -> None:
        context.board.told(trial)
        ended.append(trial.user_attrs.get("error"))
        if len(ended) == HOPELESS and all(ended):
            raise UserError(f"the first {HOPELESS} trials failed, the last one so: {ended[-1]}")

    with context.board:
        while True:
            work(
                context.study,
                context.folder,
                lambda trials: _wanted(context, trials),
                lambda trial: evaluate(context, trial),
                told,
            )
            if not _wait_for_others(context):
                break
        best = finals(context)
        left = merge_all(context, best)
    return report(context, best, left)


def _check(competition: "Competition", options: argparse.Namespace) -> None:
    """UserError for what can't be searched, before time is spent."""
    from toolkit.recipe import override
    from toolkit.tuning.trials import read_objectives

    if competition.suggest is None:
        raise UserError(f"{competition.name} has no search space; give its Competition a suggest(trial) -> Recipe")
    for name in ("trials", "until_no_gain"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    if options.repeats < 0:
        raise UserError(f"--repeats must not be negative, got {options.repeats}")
    if "," in options.device:
        raise UserError(f"a search trains on one device; start one search for each of {options.device}, they share it")
    objectives = read_objectives(options.objective)
    if options.stress == "none" and any(one.metric in ("stress", "matched") for one in objectives):
        raise UserError(f"--objective {options.objective} needs the scores under corruptions; leave out --stress none")
    example = override(next(iter(competition.recipes.values())), options.overrides)
    if example.pseudo.rounds:
        raise UserError("a search trains without pseudo-labels; leave out pseudo.rounds and train the winner with it")
    if any(text.startswith(("seed=", "name=")) for text in options.overrides):
        raise UserError("seed and name of a trial are not overridden; use --seed")


def _open(competition: "Competition", workspace: Workspace, options: argparse.Namespace, clock: "Clock") -> "Search":
    """The study with its queue, and the plan of the time."""
    from toolkit.data.dataset import open_dataset, relabel
    from toolkit.data.folds import read_folds, relabels
    from toolkit.training.run_scores import can_match
    from toolkit.tuning.board import Board
    from toolkit.tuning.claims import turn
    from toolkit.tuning.study import enqueue, make_sampler, open_study
    from toolkit.tuning.trial_runs import Search
    from toolkit.tuning.trials import Rivals, read_objectives

    dataset, table = open_dataset(workspace.data), read_folds(workspace)
    dataset = replace(dataset, targets=relabel(dataset.targets, relabels(table)))
    folds = int(table["fold"].max()) + 1
    objectives = read_objectives(options.objective)
    if any(one.metric == "matched" for one in objectives) and not can_match(competition, workspace):
        raise UserError(
            f"{options.objective} needs test images that may be looked at, and {competition.name} has none; "
            "search for clean or stress"
        )
    if options.trials is None and options.budget is None:
        options.trials = TRIALS
    expected = options.trials or UNPRUNED
    queue = _queue(competition, options)
    fitted = options.budget is not None and not any(o.startswith("schedule.epochs=") for o in options.overrides)
    name = _name(competition, workspace, options, queue, options.budget if fitted else None)
    folder = workspace.folder / "search"
    sampler, words = make_sampler(options.sampler, expected, options.seed, len(objectives))
    study = open_study(options.storage, folder, name, [one.direction for one in objectives], sampler)
    study.set_metric_names([one.name for one in objectives])
    epochs = None
    if options.budget is not None:
        clock.deadline = clock.started + options.budget - min(CLOSING, 0.05 * options.budget)
        clock.begin_until = clock.started + (1 - RESERVE) * options.budget
        clock.cut_at = clock.started + (1 - RESERVE / 2) * options.budget
        if fitted:
            clock.per_trial = (1 - RESERVE) * options.budget / min(expected, UNPRUNED)
            with turn(folder / "turn.lock"):  # measured by one process, for all
                epochs = study.user_attrs.get("epochs") or _fit_epochs(competition, workspace, options, clock)
                study.set_user_attr("epochs", epochs)
    first = queue[: max(1, min(expected, UNPRUNED if options.budget else expected) // HAND_MADE)]
    enqueue(study, folder, [(params, {"recipe": made}) for made, params in first])
    told = f"search {name}: {options.objective} on {folds} folds, drawn {words}"
    console.say(told + (f"; at most {epochs} epochs a trial" if epochs else ""))
    return Search(
        competition,
        workspace,
        options,
        table,
        dataset,
        objectives,
        study,
        Rivals(competition, objectives, workspace.train, folds),
        epochs,
        clock,
        Board(study, folds, clock.deadline),
    )


def _queue(competition: "Competition", options: argparse.Namespace) -> list[tuple[str, dict[str, Any]]]:
    """Hand-made recipes that the rules allow and the space can make, as parameters, the cheapest first."""
    from toolkit.search_space import OutsideError, parameters
    from toolkit.train import named_recipe

    assert competition.suggest is not None
    first: Sequence[Recipe] = competition.first_trials or tuple(competition.recipes.values())
    if options.recipe is not None:
        first = [named_recipe(competition, options.recipe)]
    found: list[tuple[str, dict[str, Any]]] = []
    for recipe in first:
        try:
            params = parameters(competition.suggest, recipe, options.overrides)
        except OutsideError as error:
            if options.recipe is not None:
                raise UserError(f"the search can't begin with {recipe.name}: {error}") from None
            continue
        if params not in [known for _, known in found]:
            found.append((recipe.name, params))
    return found


def _name(
    competition: "Competition",
    workspace: Workspace,
    options: argparse.Namespace,
    queue: Sequence[tuple[str, dict[str, Any]]],
    budget: float | None,
) -> str:
    """Trials on other data, folds, objectives, fields, seeds, spaces, first recipes or epochs are another study's.

    budget: where it decides on the epochs. A space is known by what it makes of the same random numbers.
    """
    from toolkit.data.dataset import data_hash
    from toolkit.data.folds import folds_hash, read_folds
    from toolkit.recipe import to_dict
    from toolkit.search_space import drawn

    assert competition.suggest is not None
    space = [to_dict(recipe) for recipe in drawn(competition.suggest, options.overrides, DRAWN)]
    decides = [
        data_hash(workspace.data),
        folds_hash(read_folds(workspace)),
        options.objective,
        sorted(options.overrides),
        options.seed,
        budget,
        [params for _, params in queue],
        space,
    ]
    return f"{workspace.name}-{hash_json(decides)}"


def _fit_epochs(competition: "Competition", workspace: Workspace, options: argparse.Namespace, clock: "Clock") -> int:
    """Epochs with which a trial takes the time that the budget has for one, at the speed that is measured now."""
    from toolkit.recipe import override
    from toolkit.train import named_recipe, prepare
    from toolkit.training.fold import measure_speed, training_cost

    recipe = override(named_recipe(competition, None), options.overrides)
    _, jobs = prepare(competition, workspace, recipe, options)
    step, image = measure_speed(jobs[0])
    epoch, fixed = training_cost(jobs, step, image, 0)
    assert clock.per_trial is not None
    possible = int((clock.per_trial / COSTLIER - fixed) / epoch)
    if possible < 1:
        trials = round((1 - RESERVE) * options.budget / clock.per_trial)
        needed = trials / (1 - RESERVE) * COSTLIER * (epoch + fixed)
        raise UserError(
            f"the budget of {console.duration(options.budget)} is too short for {trials} trials of one epoch on "
            f"{len(jobs)} folds, which take about {console.duration(needed)} here; give more, or fewer --trials"
        )
    console.say(f"{recipe.name}: {console.duration(epoch)} for an epoch of all folds")
    return possible


def _wanted(context: "Search", trials: "Sequence[FrozenTrial]") -> bool:
    """Is another trial to be begun?"""
    from toolkit.tuning.study import counted

    begun, clock, options = counted(trials), context.clock, context.options
    if clock.begin_until is not None and time.time() >= clock.begin_until - _more_for_finals(context):
        return False
    if options.trials is not None and len(begun) >= options.trials:
        return False
    return options.until_no_gain is None or _without_gain(context, begun) < options.until_no_gain


def _more_for_finals(context: "Search") -> float:
    """Seconds by which the finals need more than what is kept for them, with one more trial like the best before."""
    from toolkit.scoring.stress import SHARE
    from toolkit.tuning.study import RUN
    from toolkit.tuning.trial_runs import FINALISTS, REPEATED
    from toolkit.tuning.trials import seconds

    clock, options = context.clock, context.options
    assert clock.deadline is not None and clock.begin_until is not None
    whole = [t for t, _ in context.rivals.ranking(context.study) if t.state.name == "COMPLETE"][:REPEATED]
    took = [seconds(context.rivals.train / t.user_attrs[RUN], range(context.folds)) for t in whole]
    longest, repeats = max(took, default=0.0), options.repeats * REPEATED
    needed = (repeats + 1) * longest + FINALISTS * (clock.merging or SHARE * longest)
    return max(0.0, min(needed, MOST_RESERVE * options.budget) - (clock.deadline - clock.begin_until))


def _without_gain(context: "Search", trials: "Sequence[FrozenTrial]") -> int:
    """Ended trials since the last that was better, or with two objectives as good in its way, as all before it."""
    signs = [1.0 if one.direction == "maximize" else -1.0 for one in context.objectives]
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


def _wait_for_others(context: "Search") -> bool:
    """Wait while other processes are at their trials; True: one of them left its trial, which is to be tried again."""
    from toolkit.tuning.claims import turn
    from toolkit.tuning.study import others_running, revive

    while True:
        with turn(context.folder / "turn.lock"):
            revive(context.study)
        if _wanted(context, context.study.get_trials(deepcopy=False)):
            return True
        running = others_running(context.study)
        if not running or (context.clock.cut_at is not None and time.time() > context.clock.cut_at):
            return False
        context.board.now = f"waiting for {running} trials of other processes"
        time.sleep(POLL)


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--trials", type=int, metavar="N", help=f"of the study (default: {TRIALS}, or as the budget allows)"
    )
    made.add_argument("--budget", type=console.parse_duration, metavar="TIME", help="such as 40m, of this command")
    made.add_argument("--until-no-gain", type=int, metavar="N", help="end after so many trials without a better one")
    made.add_argument(
        "--objective",
        default="clean",
        metavar="NAME",
        help="clean, stress, test-matched, or two such as clean,stress or clean,seconds (default: clean)",
    )
    samplers = "auto, tpe, gp, cmaes, qmc or random"
    made.add_argument("--sampler", default="auto", metavar="NAME", help=f"{samplers} (default: auto)")
    made.add_argument(
        "--storage",
        default="sqlite",
        metavar="WHERE",
        help="sqlite, journal (for shared folders) or postgresql://user@host/database (default: sqlite)",
    )
    made.add_argument("--repeats", type=int, default=1, metavar="N", help="other seeds for the best (default: 1)")


if __name__ == "__main__":
    parser = console.parser("search", "Look for better recipes in the competition's search space.", overrides=True)
    add_options(parser)
    console.main(parser, search)
