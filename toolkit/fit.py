"""Train one recipe on one fold. Killed at any moment, it goes on from its last epoch to the same bits.

Every random draw follows from (seed, fold, epoch, step), never from what ran before; the state after each
epoch lies in the job's folder until the fold is finished.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.utils.deterministic
from torch import nn
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from toolkit.augment import augment_batch
from toolkit.competition import Competition, load_competition
from toolkit.dataset import Dataset, class_counts, open_dataset, relabel
from toolkit.errors import UserError
from toolkit.losses import LossFunction, build_loss
from toolkit.metrics import confusion_matrix
from toolkit.mix import mix_batch
from toolkit.models import autocast, predict, resolve_device
from toolkit.pipeline import augment_images, build_pipeline
from toolkit.recipe import Recipe
from toolkit.split import HELD_OUT, assign, describe
from toolkit.store import atomic

STATE = "state.pt"
ORDER, AUGMENT, MIX, NETWORK = range(4)  # what random numbers are drawn for
WATCHED = 256  # validation samples scored after each epoch, for the eye alone: nothing is chosen by them
Watch = Callable[[int, float, str], None]  # fold, epochs done (with a fraction), news


@dataclass(frozen=True)
class FoldJob:
    """One fold of one run: small, picklable, and all that `fit_fold` needs."""

    competition: Path
    data: Path
    recipe: Recipe
    fold: int
    train_rows: np.ndarray  # int64, rows of the dataset
    train_groups: np.ndarray  # int64, their groups
    valid_rows: np.ndarray
    folder: Path  # where the state lies between epochs
    device: str = "auto"
    workers: int | None = None  # processes that augment; None: as many as help
    deadline: float | None = None  # Unix time; no epoch begins that would end after it
    # int64 (n, 2): rows of the dataset and the labels they get in place of the file's
    relabels: np.ndarray = field(default_factory=lambda: np.empty((0, 2), np.int64))


@dataclass(frozen=True)
class FoldResult:
    """probabilities: float32 (n, C, ...) of the validation rows; weights: the network's tensors."""

    probabilities: np.ndarray
    weights: dict[str, torch.Tensor]
    history: list[dict[str, float]]
    complete: bool  # False: the deadline came first, and the state is kept to go on from
    seconds: float


class Batches(TorchDataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented batches by (epoch, step): images (B, C, H, W) and targets."""

    def __init__(self, dataset: Dataset, rows: np.ndarray, recipe: Recipe, fold: int) -> None:
        self.dataset, self.rows, self.recipe, self.fold = dataset, rows, recipe, fold
        self.pipeline = None
        if recipe.augment.engine == "albumentations":
            self.pipeline = build_pipeline(recipe.augment, dataset.images.shape[-1])
        # an incomplete last batch is left to the next epochs: batch norm can't learn from one sample
        self.steps = max(1, len(rows) // recipe.batch_size)

    def __getitem__(self, at: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        epoch, step = at
        order = _random(ORDER, self.recipe.seed, self.fold, epoch).permutation(self.rows)
        rows = np.sort(order[step * self.recipe.batch_size : (step + 1) * self.recipe.batch_size])
        seed = int(_random(AUGMENT, self.recipe.seed, self.fold, epoch, step).integers(2**31))
        images, targets = self.dataset.images[rows], self.dataset.targets[rows]
        if self.pipeline is not None:
            images, targets = augment_images(self.pipeline, images, targets, seed)
        batch = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(targets)
        return batch if self.pipeline is not None else augment_batch(self.recipe.augment, *batch, seed)

    def epoch(self, epoch: int, workers: int, pin: bool) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        order = [(epoch, step) for step in range(self.steps)]
        return iter(DataLoader(self, batch_size=None, sampler=order, num_workers=workers, pin_memory=pin))


class Average:
    """Exponential moving average of a network's weights, with a short memory at the start."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.steps = decay, 0
        current = model.state_dict()
        self.weights = {name: value.detach().clone() for name, value in current.items()}
        floats = [name for name, value in current.items() if value.is_floating_point()]
        self.floats = [(self.weights[name], current[name]) for name in floats]
        self.others = [(self.weights[name], current[name]) for name in current.keys() - set(floats)]

    @torch.no_grad()
    def update(self) -> None:
        self.steps += 1
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_([mine for mine, _ in self.floats], [new for _, new in self.floats], 1 - decay)
        for mine, new in self.others:
            mine.copy_(new)

    @torch.no_grad()
    def restore(self, weights: dict[str, torch.Tensor], steps: int) -> None:
        self.steps = steps
        for name, value in self.weights.items():
            value.copy_(weights[name])


def fit_fold(job: FoldJob, watch: Watch = lambda fold, epoch, news: None) -> FoldResult:
    """Train, or go on training, and predict the validation rows.

    Raises UserError where the loss is no longer a number, or the recipe can't be built.
    """
    started = time.time()
    competition, dataset, recipe = load_competition(job.competition), _open(job), job.recipe
    training = _Training(competition, dataset, job)
    schedule = recipe.schedule
    best, best_epoch, best_weights = -1.0, -1, None
    history: list[dict[str, float]] = []
    if (job.folder / STATE).exists():
        saved = torch.load(job.folder / STATE, map_location=training.device, weights_only=True)
        training.restore(saved)
        history, best, best_epoch, best_weights = (saved[k] for k in ("history", "best", "best_epoch", "best_weights"))
    watched = training.stop_rows if schedule.patience else job.valid_rows[:WATCHED]
    thawed = training.freeze_epochs % schedule.epochs  # first epoch of the whole network; 0 if there is none
    complete = True
    for epoch in range(len(history), schedule.epochs):
        if schedule.patience and epoch - max(best_epoch, thawed - 1) > schedule.patience:
            break
        if job.deadline is not None and history and time.time() + history[-1]["seconds"] > job.deadline:
            complete = False
            break
        begun = time.time()
        loss = training.run_epoch(epoch, history, watch)
        score = training.score(watched)
        history.append({"loss": loss, "score": score, "lr": training.lr, "seconds": time.time() - begun})
        if schedule.patience and score > best:
            best, best_epoch, best_weights = score, epoch, training.averaged()
        state = {"history": history, "best": best, "best_epoch": best_epoch, "best_weights": best_weights}
        with atomic(job.folder / STATE) as partial:
            torch.save(training.state() | state, partial)
    weights = best_weights or training.averaged()
    training.model.load_state_dict(weights)
    images = dataset.images[job.valid_rows]
    probabilities = predict(training.model, images, competition.scored, training.device, recipe.precision)
    if not np.isfinite(probabilities).all():  # the last step's loss was measured before its update
        raise training.diverged(len(history))
    weights = {name: value.contiguous().cpu() for name, value in weights.items()}
    return FoldResult(probabilities, weights, history, complete, time.time() - started)


def measure_speed(job: FoldJob, steps: int = 4) -> tuple[float, float]:
    """Seconds a training step and seconds a predicted image, on this machine, after a warm-up."""
    competition, dataset = load_competition(job.competition), _open(job)
    training = _Training(competition, dataset, job)
    training.unfreeze()
    took = []
    for step in range(steps + 1):
        begun = time.time()
        training.step(*training.batches[(0, step % training.batches.steps)], step)
        took.append(time.time() - begun)
    images = dataset.images[job.valid_rows[:128]]
    predict(training.model, images, competition.scored, training.device, job.recipe.precision)
    begun = time.time()
    predict(training.model, images, competition.scored, training.device, job.recipe.precision)
    return float(np.mean(took[1:])), (time.time() - begun) / len(images)


def _open(job: FoldJob) -> Dataset:
    dataset = open_dataset(job.data)
    return replace(dataset, targets=relabel(dataset.targets, job.relabels))


class _Training:
    """The network and all that changes while it is trained."""

    def __init__(self, competition: Competition, dataset: Dataset, job: FoldJob) -> None:
        self.competition, self.dataset, self.job, self.recipe = competition, dataset, job, job.recipe
        self.device = resolve_device(job.device)
        self.workers = _workers(self.device) if job.workers is None else job.workers
        torch.use_deterministic_algorithms(True, warn_only=True)
        # filling memory that is about to be overwritten cost EfficientNet-Lite0 a sixth of its speed
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark = False
        torch.manual_seed(_seed(NETWORK, self.recipe.seed, job.fold))
        model: Any = competition.build_model(self.recipe)
        # channels last trained 1 to 2 times as fast in float32 on AVX2 (EfficientNet-Lite0: 59 to 119 images/s)
        self.model = model.to(memory_format=torch.channels_last).to(self.device)
        self.backbone = model.body.get_submodule(model.backbone) if model.backbone else None
        self.freeze_epochs = round(self.recipe.schedule.freeze * self.recipe.schedule.epochs)
        if self.backbone is None and (self.freeze_epochs or self.recipe.optimizer.backbone_factor != 1):
            raise UserError(
                f"model {self.recipe.model.name} has no backbone; "
                "leave schedule.freeze=0 and optimizer.backbone_factor=1"
            )
        rows, self.stop_rows = job.train_rows, job.train_rows[:0]
        if self.recipe.schedule.patience:
            rows, self.stop_rows = _stop_split(dataset, competition, job)
        self.batches = Batches(dataset, rows, self.recipe, job.fold)
        self.counts = class_counts(dataset.targets[rows], competition.task)
        self.loss: LossFunction = build_loss(
            self.recipe.loss,
            self.counts,
            competition.scored,
            masks=dataset.targets.ndim > 1,
        )
        self.average = Average(self.model, self.recipe.schedule.ema)
        self.optimizer = torch.optim.AdamW(self._parameters(), fused=True)
        self.lr = 0.0

    def _parameters(self) -> list[dict[str, Any]]:
        """Groups for head and backbone, with and without weight decay (none for norms and biases)."""
        settings = self.recipe.optimizer
        inner = {id(p) for p in self.backbone.parameters()} if self.backbone is not None else set()
        groups = []
        for in_backbone in (False, True):
            for decayed in (False, True):
                chosen = [
                    p for p in self.model.parameters() if (id(p) in inner) == in_backbone and (p.ndim > 1) == decayed
                ]
                factor = settings.backbone_factor if in_backbone else 1.0
                decay = settings.weight_decay if decayed else 0.0
                if chosen:
                    groups.append({"params": chosen, "weight_decay": decay, "factor": factor, "lr": settings.lr})
        return groups

    def run_epoch(self, epoch: int, history: Sequence[dict[str, float]], watch: Watch) -> float:
        """Mean loss of one pass over the training rows."""
        torch.manual_seed(_seed(NETWORK, self.recipe.seed, self.job.fold, epoch + 1))
        if epoch < self.freeze_epochs:
            self.freeze()
        else:
            self.unfreeze()
        steps = self.batches.steps
        total = torch.zeros((), device=self.device)
        before = f"score {history[-1]['score']:.4f}" if history else ""
        for step, (images, targets) in enumerate(self.batches.epoch(epoch, self.workers, self.device.type == "cuda")):
            total += self.step(images, targets, epoch * steps + step)
            if step % 10 == 0 or step == steps - 1:  # reading the loss makes a GPU wait
                mean = float(total) / (step + 1)
                if not np.isfinite(mean):
                    raise self.diverged(epoch + 1)
                watch(self.job.fold, epoch + (step + 1) / steps, f"loss {mean:.4f} {before}")
        return float(total) / steps

    def step(self, images: torch.Tensor, targets: torch.Tensor, number: int) -> torch.Tensor:
        """One update with the learning rate of step `number`; the loss, on the device."""
        total = self.batches.steps * self.recipe.schedule.epochs
        self.lr = self.recipe.optimizer.lr * lr_factor(number, total, self.recipe.schedule.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr * group["factor"]
        images = images.to(self.device, non_blocking=True, memory_format=torch.channels_last)
        targets = targets.to(self.device, non_blocking=True)
        random = _random(MIX, self.recipe.seed, self.job.fold, number)
        images, targets, others, share = mix_batch(self.recipe.augment, images, targets, random, self.counts)
        with autocast(self.device, self.recipe.precision):
            logits = self.model(images)
        loss = self.loss(logits, targets)
        if share < 1:
            loss = share * loss + (1 - share) * self.loss(logits, others)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.optimizer.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip)
        self.optimizer.step()
        self.average.update()
        return loss.detach()

    def diverged(self, epoch: int) -> UserError:
        return UserError(
            f"the loss is no longer a number in fold {self.job.fold}, epoch {epoch}; "
            f"lower optimizer.lr (now {self.recipe.optimizer.lr:g})"
        )

    def freeze(self) -> None:
        self.model.train()
        if self.backbone is not None:
            self.backbone.requires_grad_(False).eval()

    def unfreeze(self) -> None:
        self.model.train().requires_grad_(True)

    def averaged(self) -> dict[str, torch.Tensor]:
        source = self.average.weights if self.recipe.schedule.ema else self.model.state_dict()
        return {name: value.clone() for name, value in source.items()}

    def score(self, rows: np.ndarray) -> float:
        """Official metric of the averaged weights on `rows`."""
        if len(rows) == 0:
            return float("nan")
        current = {name: value.clone() for name, value in self.model.state_dict().items()}
        self.model.load_state_dict(self.averaged())
        images = self.dataset.images[rows]
        probabilities = predict(self.model, images, self.competition.scored, self.device, self.recipe.precision)
        self.model.load_state_dict(current)
        predicted = self.competition.decode(probabilities)
        confusion = confusion_matrix(self.dataset.targets[rows], predicted, len(self.competition.task.classes))
        return float(self.competition.score(confusion))

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average.weights,
            "average_steps": self.average.steps,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.average.restore(saved["average"], saved["average_steps"])


def _workers(device: torch.device) -> int:
    """On a CPU the network needs every core, and augmentation is under a tenth of the time."""
    return 0 if device.type == "cpu" else min(8, max(1, (os.cpu_count() or 1) - 1))


def lr_factor(step: int, total: int, warmup: float) -> float:
    """Linear warm-up over `warmup` of all steps, then a cosine to zero."""
    rise = round(warmup * total)
    if step < rise:
        return (step + 1) / (rise + 1)
    return 0.5 * (1 + float(np.cos(np.pi * (step - rise) / max(1, total - rise))))


def _stop_split(dataset: Dataset, competition: Competition, job: FoldJob) -> tuple[np.ndarray, np.ndarray]:
    """Training rows and the rows watched for stopping, groups whole.

    The validation fold must not decide when training stops: its score would then be chosen, not measured.
    """
    contents = describe(dataset.targets[job.train_rows], competition.task)
    part = assign(contents, job.train_groups, 1, job.fold, job.recipe.schedule.stop_share)
    return job.train_rows[part != HELD_OUT], job.train_rows[part == HELD_OUT]


def _random(purpose: int, *numbers: int) -> np.random.Generator:
    return np.random.default_rng([purpose, *numbers])


def _seed(purpose: int, *numbers: int) -> int:
    return int(_random(purpose, *numbers).integers(2**31))
