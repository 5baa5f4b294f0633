"""How many epochs fit into the time: what a recipe costs on this machine, measured."""

import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf

import numpy as np
import torch

from toolkit.data.image_sets import images_each, part_of
from toolkit.data.labelled import Labelled
from toolkit.data.sizes import image_shape
from toolkit.events import Tell
from toolkit.images.rows import ImageRows
from toolkit.networks.contention import quietest
from toolkit.networks.devices import CLUSTER
from toolkit.networks.growth import LEAST, pixels
from toolkit.networks.predict import BATCH, batches, predict
from toolkit.progress import SILENT, Progress, Watch
from toolkit.recipe import Recipe, Schedule
from toolkit.scoring.matched_to_test import MOST
from toolkit.scoring.stress import suite_seconds
from toolkit.training.batches import Batch
from toolkit.training.cross_validation import prepare, stress_factor
from toolkit.training.fold import WATCHED, epochs_between_looks
from toolkit.training.freezing import frozen_epochs
from toolkit.training.frozen_features import draws
from toolkit.training.jobs import FoldJob
from toolkit.training.loop import REFRESH, Training
from toolkit.training.workers import perform, turns

TRIED = 512  # images that code is run on before it is handed in, and where practice data are graded
LONG = 2.0  # seconds of steps, two at least, that are enough to know how long one takes
WHOLE = (256, 256)  # sides of an image, where nobody says


@dataclass(frozen=True)
class Cost:
    """Seconds of a training here: `epoch` of all folds, `head` of all folds where the head alone is trained, on stored
    features; `once` however many epochs, `scores` kept back for the test-like score, for trying code that is handed
    in and, if that is asked for, the whole suite of corruptions; `step` of one training step, `image` of one
    prediction. `updates` of a network's weights in an epoch; `freeze`: the share of the epochs that are trained on
    features; `grow`: of those in which images grow to sides of `whole` pixels.
    """

    epoch: float
    once: float
    scores: float = 0.0
    freeze: float = 0.0
    head: float = 0.0
    grow: float = 0.0
    whole: tuple[int, int] = WHOLE
    step: float = 0.0
    image: float = 0.0
    updates: float = 0.0

    def of(self, epochs: int) -> float:
        frozen = frozen_epochs(Schedule(epochs=epochs, freeze=self.freeze))
        trained = pixels(self.grow, self.whole, epochs, frozen)
        return self.once + self.scores + self.epoch * trained + self.head * frozen

    def times(self, pace: float) -> "Cost":
        """On a machine that takes `pace` times as long."""
        slower = {name: pace * getattr(self, name) for name in ("epoch", "once", "scores", "head", "step", "image")}
        return replace(self, **slower)

    def of_pixels(self, times: float) -> "Cost":
        """With images of so many times the pixels."""
        larger = {name: times * getattr(self, name) for name in ("epoch", "once", "scores", "step", "image")}
        return replace(self, **larger)

    def epochs_within(self, seconds: float) -> int:
        share = (1 - self.freeze) * self.epoch + self.freeze * self.head  # of an epoch, in the long run
        most = int((seconds - self.once - self.scores + self.epoch) / share / (LEAST if self.grow else 1)) + 1
        return bisect_right(range(1, most + 1), seconds, key=self.of)


@dataclass(frozen=True)
class Speed:
    """Seconds here: of a training step of the whole network, 0 where the head alone is trained; of a predicted image;
    and of a step of the head on stored features, None where there is none. here: of an image that this machine
    predicts, where a cluster has folds trained elsewhere.
    """

    step: float
    image: float
    head: float | None = None
    here: float | None = None

    @property
    def own_image(self) -> float:
        return self.image if self.here is None else self.here


def measure_speed(job: FoldJob, steps: int = 8, within: float = inf) -> Speed:
    """After a warm-up, by so many steps, or fewer where they are LONG; by the warm-up alone where it takes
    `within` seconds. Where the head alone is trained, no step of the whole network is made.
    """
    training, schedule = Training(job), job.recipe.schedule
    made, device = training.batches, training.device
    last = made.steps - 1  # of an epoch, after which weights are updated

    def seconds(batch: Callable[[int], Batch], head_only: bool) -> float:
        took = []
        for step in range(steps + 1):
            begun = time.monotonic()
            float(training.step(*batch(step % made.steps), last, head_only))  # a GPU has to finish it
            took.append(time.monotonic() - begun)
            if (step > 1 and sum(took[1:]) > LONG) or sum(took) > within:
                break
        return float(np.mean(took[1:] or took))

    whole, head = 0.0, None
    if schedule.freeze and training.keeps_features:
        images = part_of(training.dataset.images, _some(training.dataset.images, job.valid_rows))
        with torch.no_grad():
            (one,) = training.model.eval().features(next(batches(images, 1, device)))
        training.thaw(0)

        def of_features(step: int) -> Batch:
            targets = torch.from_numpy(training.dataset.targets[made.chosen(0, step)]).to(device)
            return torch.randn(len(targets), len(one)).to(device), targets

        head = seconds(of_features, True)
    if head is None or schedule.freeze < 1:
        training.thaw(schedule.epochs - 1)
        whole = seconds(lambda step: made.batch(0, step, whole=True), False)
    return Speed(whole, _image_seconds(training, job, within), head)


def _image_seconds(training: Training, job: FoldJob, within: float) -> float:
    """Of a predicted image."""
    some = _some(training.dataset.images, job.valid_rows)
    images = part_of(training.dataset.images, some)
    scored = training.competition.scored
    table = None if training.dataset.table is None else training.dataset.table[some]
    for _ in range(2):  # the first warms up
        begun = time.monotonic()
        predict(training.model, images, scored, training.device, job.recipe.precision, table=table)
        took = time.monotonic() - begun
        if took > within:
            break
    return took / len(images)


def speed_of(job: FoldJob, within: float = inf) -> Speed:
    """As it is measured where the job's device is."""
    found: Speed = perform(partial(_measured, within=within), job, lambda fold, epoch, news: None)
    if job.device.startswith(CLUSTER):
        return replace(found, here=_image_seconds(Training(job), job, within))
    return found


def _measured(job: FoldJob, watch: Watch, tell: Tell, within: float) -> Speed:
    return measure_speed(job, within=within)


def _some(images: ImageRows, rows: np.ndarray) -> np.ndarray:
    """As many of the rows as have BATCH images, one at least."""
    each = images_each(images)
    return rows[:BATCH] if each is None else rows[: max(1, int((each[rows].cumsum() <= BATCH).sum()))]


def training_cost(jobs: Sequence[FoldJob], speed: Speed, test_images: int, whole: tuple[int, int] = WHOLE) -> Cost:
    """What the folds alone cost, of images with sides of `whole` pixels.

    A fold over several devices is counted as if it had one: what they gain isn't measured.
    """
    batch = jobs[0].recipe.batch_size
    each = [max(1, len(job.train_rows) // batch) for job in jobs]
    steps = sum(each)
    side_by_side = turns(jobs[0].device, len(jobs)) / len(jobs)
    freeze = 0.0 if speed.head is None else jobs[0].recipe.schedule.freeze
    head = steps * (speed.head or 0.0) * side_by_side
    if freeze == 1:  # from features, those of the test images are asked for once
        return Cost(head, test_images * speed.own_image, freeze=freeze, head=head)
    # images that go through the network for a score: also those that its statistics are from
    looks = [
        min(WATCHED, len(job.valid_rows)) + batch * min(REFRESH, one) for job, one in zip(jobs, each, strict=True)
    ]
    often = [1 / epochs_between_looks(1, batch, one) for one in each]  # an epoch, at most
    watched = sum(look * share for look, share in zip(looks, often, strict=True))
    epoch = (steps * speed.step + watched * speed.image) * side_by_side
    predicted = (sum(len(job.valid_rows) for job in jobs) + sum(looks)) * speed.image
    predicted += len(jobs) * test_images * speed.own_image
    grow = jobs[0].recipe.images.grow
    return Cost(epoch, predicted, freeze=freeze, head=head, grow=grow, whole=whole)


def run_cost(
    labelled: Labelled, recipe: Recipe, stress: str, device: str, progress: Progress = SILENT, within: float = inf
) -> Cost:
    """What a run with all its scores costs, at the speed that is measured now, on a busy machine again `within` so
    many seconds.
    """
    whole = image_shape(recipe.images, labelled.competition.task)[:2]
    _, jobs = prepare(labelled, recipe, device, progress)
    with progress.phase(f"how fast {recipe.name} is here"):
        speed = quietest(lambda: speed_of(jobs[0]), within)
    image = speed.own_image
    predicted = len(labelled.test_images) + int(labelled.held_out.sum())  # by all networks
    cost = training_cost(jobs, speed, predicted, whole)
    taught, longer = recipe.pseudo.rounds, stress_factor(stress)
    once = cost.once * (1 + taught)
    if cost.freeze:
        once += (1 + draws(recipe.schedule)) * len(labelled.images) * image
    samples = int(labelled.inside.sum())
    matched = stress != "none" and labelled.shows_how_tests_look
    scores = min(samples, MOST) * image if matched else 0.0
    if stress == "full":
        scores += suite_seconds(jobs[0].open()[1].images, samples, image, labelled.competition.rgb)
    if labelled.competition.try_submission is not None:
        scores += TRIED * len(jobs) * image
    more = 1 + taught / (1 - recipe.pseudo.share)  # taught networks see more images
    step = speed.step or recipe.batch_size * image  # where only features are asked of the network
    head = cost.head * (1 + taught) * longer
    updates = sum(len(job.train_rows) for job in jobs) / len(jobs) / recipe.batch_size / recipe.optimizer.accumulate
    return replace(
        cost,
        epoch=cost.epoch * more * longer,
        once=once,
        scores=scores,
        head=head,
        step=step,
        image=image,
        updates=updates,
    )


def trial_epochs(
    labelled: Labelled,
    recipe: Recipe,
    seconds: float,
    device: str = "auto",
    progress: Progress = SILENT,
    within: float = inf,
) -> tuple[int, Cost]:
    """Epochs of the folds alone that fit into `seconds`, 0 where not one does; and what they cost.

    within: seconds that finding out may take; where it takes more than a few images tell, these decide.
    """
    begun = time.monotonic()
    _, jobs = prepare(labelled, recipe, device, progress, within)
    left = within - (time.monotonic() - begun)
    whole = image_shape(recipe.images, labelled.competition.task)[:2]
    with progress.phase(f"how fast {recipe.name} is here"):
        cost = training_cost(jobs, quietest(lambda: speed_of(jobs[0], left), left), 0, whole)
    return cost.epochs_within(seconds), cost
