"""Train one recipe on one fold. Killed at any moment, it goes on from its last saved epoch to the same bits.

Every random draw follows from (seed, fold, epoch, step), never from what ran before; the state lies in the
job's folder until the fold is finished.
"""

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZipFile

import numpy as np
import torch

from toolkit.augmentation.mixing import mix_batch
from toolkit.data.targets import class_counts
from toolkit.errors import UserError
from toolkit.events import Tell, epoch_of, unheard
from toolkit.networks.speed import give_back_memory
from toolkit.progress import Watch
from toolkit.store import atomic
from toolkit.task import Task
from toolkit.training import distributed
from toolkit.training.batches import MIX, WATCH, Batch, Batches, generator, rarest_class
from toolkit.training.freezing import thawed_from
from toolkit.training.jobs import FoldJob, Trained
from toolkit.training.loop import REFRESH, Training

SAVE_SECONDS = 20.0  # between saved states: short epochs would spend more time on the disk than on training
WATCHED = 256  # validation samples scored now and then: a search may give a trial up by it, nothing else is decided
LOOKS = 10  # how often, in a whole training
LOOKING = 0.1  # of the time between two looks, at most, is what one of them takes
BACKWARD = 3  # times what a prediction takes is what a training step takes
Stop = Callable[[Sequence[dict[str, Any]]], bool]  # the epochs so far, as in history.json


@dataclass(frozen=True)
class FoldResult:
    """What one fold gave. `averaged`: the recipe's average over epochs, to be kept where it gains. `pooled`: the same
    two by the maximum over a set's images, `last_max` and `averaged_max`, where the recipe leaves it to the folds.
    """

    main: Trained
    averaged: Trained | None
    history: list[dict[str, Any]]
    complete: bool  # False: the deadline came first, and the state is kept to go on from
    seconds: float
    anew: bool = False  # what was saved is of another version, and no epoch of it counts
    pooled: dict[str, Trained] = field(default_factory=dict)


class StoppedError(Exception):
    """A fold was told to stop; its state lies in the job's folder, to go on from."""


def fit_fold(
    job: FoldJob,
    watch: Watch = lambda fold, epoch, news: None,
    stop: Stop = lambda history: False,
    tell: Tell = unheard,
) -> FoldResult:
    """Train, or go on training, and predict the validation rows.

    `stop` is asked after every epoch but the last, with the epochs so far; a fold over several devices has none.
    `tell` hears of every epoch, those first that it goes on from.
    Raises StoppedError where it says so, and UserError where the loss is no longer a number, or the recipe can't
    be built.
    """
    if job.teacher is None and (job.recipe.distil.blend or job.recipe.pseudo.rounds):  # no run may lack it unnoticed
        raise UserError(f"{job.recipe.name} learns from a teacher, and fold {job.fold} has none; train all folds anew")
    started = time.monotonic()
    training, schedule = Training(job), job.recipe.schedule
    best, best_epoch, best_weights = -np.inf, -1, None
    history: list[dict[str, Any]] = []
    saved = _saved(training)
    anew = saved is None and job.place.state.exists()
    if anew and distributed.rank() == 0:
        shutil.rmtree(job.place.snapshots, ignore_errors=True)
    if saved is not None:
        training.restore(saved)
        history, best, best_epoch, best_weights = (saved[k] for k in ("history", "best", "best_epoch", "best_weights"))
        best = best if best_epoch >= 0 else -np.inf  # states of older versions began at -1
    run = job.folder.parent.name
    for number, line in enumerate(history, start=1):
        tell(epoch_of(run, job.fold, number, line, replayed=True))
    sign = training.competition.metric.sign
    thawed = thawed_from(len(training.layers) - 1, schedule)
    competition = training.competition
    watched = watched_rows(training.dataset.targets, job.valid_rows, competition.scored, job.fold, competition.task)
    pause, looked = epochs_between_looks(schedule.epochs, job.recipe.batch_size, training.batches.steps), None
    saved_at, saved_epochs, complete = time.monotonic(), len(history), True

    def save() -> None:
        nonlocal saved_at, saved_epochs
        saved_at, saved_epochs = time.monotonic(), len(history)
        so_far = {"history": history, "best": best, "best_epoch": best_epoch, "best_weights": best_weights}
        with atomic(job.place.state) as partial:
            torch.save(training.state() | so_far, partial)

    training.thaw(len(history))
    _ = training.stored  # features are computed once: no part of an epoch, by which the next one's time is known
    for epoch in range(len(history), schedule.epochs):
        if schedule.patience and epoch - max(best_epoch, thawed - 1) > schedule.patience:
            break
        if job.deadline is not None and history:
            took, until = _next_seconds(history, training), job.deadline
            complete = distributed.first(lambda: time.monotonic() + took <= until)  # noqa: B023
            if not complete:
                break
        begun = time.monotonic()
        loss = training.run_epoch(epoch, history, watch)
        trained = time.monotonic() - begun
        score = loss_there = looked = None
        if schedule.patience:
            weights = training.current()  # by all processes, as statistics of batch norm may be common
            score, loss_there = distributed.first(lambda: training.look(training.stop_rows, weights))  # noqa: B023
            if sign * score > best:
                best, best_epoch, best_weights = sign * score, epoch, weights
        elif (epoch + 1) % pause == 0 or epoch + 1 == schedule.epochs:
            weights = looked = training.current()
            score, loss_there = distributed.first(lambda: training.look(watched, weights))  # noqa: B023
        if score is not None and np.isnan(score):  # the metric isn't defined there, as AUC of one class
            score = None
        line = {"loss": loss, "validation_loss": loss_there, "score": score, "lr": training.lr}
        history.append(line | {"train_seconds": trained, "seconds": time.monotonic() - begun})
        tell(epoch_of(run, job.fold, len(history), history[-1]))
        if distributed.rank() == 0 and time.monotonic() - saved_at > SAVE_SECONDS:
            save()
        if epoch + 1 < schedule.epochs and stop(history):
            save()
            raise StoppedError
    distributed.leave()
    if len(history) > saved_epochs:
        save()
    training.thaw(len(history) - 1)
    give_back_memory()  # more images at a time are predicted, which wouldn't fit between what training left free
    last = best_weights or looked or training.current()
    main = training.trained(last, job.valid_rows)
    averaged = training.average_of_epochs()
    pooled = {
        f"{name}_max": training.trained(training.pooled_by_maximum(weights), job.valid_rows)
        for name, weights in (("last", last), ("averaged", averaged))
        if weights is not None and training.chooses_pooling
    }
    return FoldResult(
        main,
        training.trained(averaged, job.valid_rows) if averaged else None,
        history,
        complete,
        time.monotonic() - started,
        anew,
        pooled,
    )


def _next_seconds(history: Sequence[dict[str, Any]], training: Training) -> float:
    """Of the next epoch, by the last one; by a step where that is the first, in which the network was compiled."""
    seconds: float = history[-1]["seconds"]
    step = training.settings.seconds
    if len(history) > 1 or not training.settings.compiled or step is None:
        return seconds
    return min(seconds, seconds - history[-1]["train_seconds"] + step * training.batches.steps)


def _saved(training: Training) -> dict[str, Any] | None:
    """What an interrupted training goes on from; None where there is nothing, or what is damaged or older."""
    path = training.job.place.state
    if not _is_whole(path):
        return None
    try:
        saved: dict[str, Any] = torch.load(path, map_location=training.device, weights_only=True)
    except (UnpicklingError, EOFError):
        return None
    return saved if isinstance(saved, dict) and saved.get("layout") == training.layout else None


def _is_whole(path: Path) -> bool:
    """Is it a file of torch's, a zip, in which each part has the checksum that was written with it?"""
    try:
        with ZipFile(path) as parts:
            return parts.testzip() is None
    except (FileNotFoundError, IsADirectoryError):
        return False
    except Exception as error:  # a damaged zip ends in all kinds of them: of names, lengths, ways of packing
        if getattr(error, "errno", None) is not None:  # of the disk, or of rights
            raise
        return False


def epochs_between_looks(epochs: int, batch: int, steps: int) -> int:
    """After how many epochs of so many steps a score is looked at: LOOKS times a training, rarer where an epoch is
    short, as predicting what is watched and gathering statistics of batch norm would take longer than LOOKING.
    """
    look = (WATCHED + batch * min(REFRESH, steps)) / BACKWARD  # images trained on in the time
    return max(1, epochs // LOOKS, ceil(look / (LOOKING * batch * steps)))


def watched_rows(
    targets: np.ndarray, rows: np.ndarray, scored: Sequence[int], fold: int, task: Task | None = None
) -> np.ndarray:
    """WATCHED of the rows, or all if there are fewer: drawn at random, each class with its share (masks: the rarest).

    They follow from the fold alone, so that the curves of all recipes are of the same samples.
    """
    if len(rows) <= WATCHED:
        return rows
    rng = generator(WATCH, fold)
    rarest, _ = rarest_class(targets[rows], scored, task)
    by_class = np.lexsort((rng.random(len(rows)), rarest))
    evenly = (np.arange(WATCHED) + rng.random()) * len(rows) / WATCHED  # of rows that are in the order of their class
    return np.sort(rows[by_class[evenly.astype(int)]])


def first_batch(job: FoldJob) -> Batch:
    """Images and targets as the network sees them first: augmented and mixed."""
    competition, dataset = job.open()
    scored, task = competition.scored, competition.task
    cpu = torch.device("cpu")
    batches = Batches(dataset, job.train_rows, job.recipe, job.fold, cpu, scored, task=task, rgb=competition.rgb)
    counts = class_counts(dataset.targets[job.train_rows], task) if task.exclusive else None
    rng = generator(MIX, job.recipe.seed, job.fold, 0)
    images, targets, _, _ = mix_batch(job.recipe.augment, *batches[(0, 0)], rng, counts)
    return images, targets
