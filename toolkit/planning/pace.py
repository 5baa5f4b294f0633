"""How fast a first fold's first epochs are, beside what was expected of them: nothing is lost by looking at them, as
the fold goes on from there.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from toolkit.claims import alone
from toolkit.data.labelled import Labelled
from toolkit.networks.growth import pixels
from toolkit.progress import SILENT, Progress
from toolkit.recipe import Recipe
from toolkit.training.alone import claim_of, waiting_for
from toolkit.training.budget import Cost
from toolkit.training.cross_validation import begin, prepare, run_of, stress_factor, train_fold
from toolkit.training.epoch_log import EpochLog
from toolkit.training.fold import Stop, StoppedError
from toolkit.training.freezing import frozen_epochs
from toolkit.training.workers import perform

PROBED = 10.0  # seconds of epochs that show the speed,
PROBE = 0.1  # or this share of all epochs: the first of them warms up and isn't counted
FEWEST = 3  # epochs of the whole network: of fewer none can be looked at before the last


def first_pace(
    labelled: Labelled,
    recipe: Recipe,
    cost: Cost,
    stress: str,
    device: str = "auto",
    progress: Progress = SILENT,
) -> float:
    """Times as long as expected an epoch of the whole network takes; 1 where there are too few to look at."""
    epochs, frozen = recipe.schedule.epochs, frozen_epochs(recipe.schedule)
    if epochs - frozen < FEWEST:
        return 1.0

    def enough(history: Sequence[dict[str, Any]]) -> bool:
        counted = history[frozen + 1 :]
        return bool(counted) and (sum(map(_seconds, counted)) >= PROBED or len(history) - frozen > PROBE * epochs)

    history = _begun(labelled, recipe, enough, device, progress)
    done = len(history)
    if done < frozen + 2:
        return 1.0
    steps = [max(1, len(labelled.training_rows(fold)) // recipe.batch_size) for fold in range(labelled.folds)]
    epoch = cost.epoch / stress_factor(stress) * steps[0] / sum(steps)
    whole = [pixels(cost.grow, cost.whole, epochs, first) for first in (frozen + 1, done)]
    return sum(map(_seconds, history[frozen + 1 :])) / (epoch * (whole[0] - whole[1]))


def _begun(
    labelled: Labelled, recipe: Recipe, stop: Stop, device: str, progress: Progress, fold: int = 0
) -> list[dict[str, Any]]:
    """The epochs of a fold that is trained until `stop` says so, after which `train` goes on from there."""
    run = run_of(labelled, recipe)
    with alone(claim_of(run), waiting_for(run, progress)):
        _, jobs = prepare(labelled, recipe, device, progress)
        begin(run, jobs[fold])  # `train` tells how it is trained
    job, seen = jobs[fold], list[dict[str, Any]]()
    if job.place.finished:
        return job.place.history

    def enough(history: Sequence[dict[str, Any]]) -> bool:
        seen[:] = history
        return stop(history)

    showing = progress.training(1, recipe.schedule.epochs)
    with alone(claim_of(run, fold), waiting_for(run, progress)), suppress(StoppedError), showing as watch:
        log = EpochLog(run, progress)
        progress.say(perform(train_fold, job, lambda _, *news: watch(0, *news), log, enough))
    return seen


def _seconds(epoch: dict[str, Any]) -> float:
    return float(epoch["seconds"])


def is_new(labelled: Labelled, recipe: Recipe) -> bool:
    """Is nothing there yet of its run? What somebody trained before isn't forgotten."""
    return not run_of(labelled, recipe).folder.exists()


def forget_run(labelled: Labelled, recipe: Recipe) -> None:
    """Remove what was begun of a run, where it isn't finished."""
    run = run_of(labelled, recipe)
    if not run.finished:
        shutil.rmtree(run.folder, ignore_errors=True)
