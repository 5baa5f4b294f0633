"""A network in training: its steps, its epochs, and all that changes meanwhile."""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import inf
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.augmentation.mixing import mix_batch, mixed_rows
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.tables import columns_of
from toolkit.data.targets import class_counts
from toolkit.errors import UserError
from toolkit.images.rows import Chosen
from toolkit.networks.devices import autocast, resolve_device
from toolkit.networks.fast_convolution import use_products
from toolkit.networks.network import Network, head_of
from toolkit.networks.outputs import POOLING, Scale, build_network, check_channels
from toolkit.networks.plain import trait
from toolkit.networks.pooling import KINDS
from toolkit.networks.predict import predict, predict_features
from toolkit.networks.speed import keep_freed_memory, same_bits
from toolkit.networks.table import TableRows
from toolkit.outcome import number
from toolkit.probabilities import value_type
from toolkit.progress import Watch
from toolkit.scoring.decided import tally_within
from toolkit.training import distributed
from toolkit.training.batches import MIX, NETWORK, Batch, Batches, generator, seed_of
from toolkit.training.freezing import frozen_epochs, layers, thaw
from toolkit.training.frozen_features import Features, frozen_features, images_source, network_source
from toolkit.training.jobs import FoldJob, Trained
from toolkit.training.losses import LossFunction
from toolkit.training.optimizers import build_optimizer, layout_of, lr_factor
from toolkit.training.plain_loss import plain_loss
from toolkit.training.pseudo_labels import Taught, Teacher
from toolkit.training.task_losses import build_soft_task_loss, build_task_loss
from toolkit.training.watched import watched_part, watches
from toolkit.training.weight_averages import Average, Snapshots, Weights, greedy_soup, put, refresh_norm, uniform
from toolkit.weight_files import look_in

RESCUE = 0.3  # of the learning rate is left after the loss was no number
REFRESH = 16  # batches for the statistics of batch norm of the weights that are predicted with
Inputs = tuple[torch.Tensor, ...]  # images or features, and with a table what it has beside them
LossOf = Callable[[torch.Tensor, slice], torch.Tensor]  # from logits, and where in the batch they lie


class DivergedError(Exception):
    """The loss is no longer a number."""


class Training:
    """The network and all that changes while it is trained."""

    def __init__(self, job: FoldJob) -> None:
        for folder in reversed(job.weights):  # which another process knows nothing of
            look_in(folder)
        competition, dataset = self.competition, self.dataset = job.open()
        task, self.lr = competition.task, 0.0
        self.truth = open_dataset(job.data).targets
        self.group_of = dict(zip(job.train_rows.tolist(), job.train_groups.tolist(), strict=True))
        self.job, self.recipe = job, job.recipe
        self.device, self.settings = resolve_device(job.device), job.settings
        keep_freed_memory()
        same_bits()
        torch.manual_seed(seed_of(NETWORK, self.recipe.seed, job.fold))
        columns, in_sets = columns_of(dataset.columns), dataset.sets is not None
        model: Any = distributed.common_norm(build_network(competition, self.recipe, columns, in_sets), self.device)
        self.model: Network = model.to(memory_format=self.settings.memory_format).to(self.device)
        use_products(model, self.settings.products)
        check_channels(self.model, self.recipe, task, self.device, competition.folder)
        height, width = dataset.images.shape[1:3]
        self.layers = layers(self.model, (height, width))
        rows, self.stop_rows = job.train_rows, job.train_rows[:0]
        if watches(self.recipe):
            watched = watched_part(dataset.targets[rows], job.train_groups, job.fold, task)
            rows, self.stop_rows = rows[~watched], rows[watched]
        memory, rgb = self.settings.memory_format, competition.rgb
        self.batches = Batches(
            dataset, rows, self.recipe, job.fold, self.device, competition.scored, memory, task, rgb=rgb
        )
        # of rare classes, for copy-paste
        self.counts = class_counts(dataset.targets[rows], task) if task.exclusive else None
        scale: Scale | None = trait(model, "scale")
        if scale is not None:
            scale.learn(dataset.targets[rows])
        self.table = TableRows(self.model, dataset.table, self.device)
        self.table.learn(rows)
        self.loss: LossFunction = build_task_loss(
            task, self.recipe.loss, dataset.targets[rows], competition.scored, scale
        )
        self.teacher = (
            Teacher(dataset, job.teacher, self.recipe, job.fold, self.device, rgb, task.outputs, job.distilled_rows)
            if job.teacher
            else None
        )
        self.soft_loss = build_soft_task_loss(task, competition.scored, scale)
        self.replica = distributed.Replica()
        distributed.check(min(self.recipe.batch_size, len(rows), self.teacher.size if self.teacher else len(rows)))
        self.ema = Average(self.model, self.recipe.schedule.ema)
        self.snapshots = Snapshots(job.place.snapshots, self.recipe.schedule.epochs)
        self.optimizer = build_optimizer(self.model, self.recipe, (height, width), task.image_shape[2])
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.settings.precision == "float16")
        self.frozen = False  # is the head alone trained?
        self.rate = 1.0  # RESCUE once the loss was no number
        if self.settings.compiled and not in_sets:  # how many images there are differs from set to set
            self.model.compile(dynamic=False)

    def run_epoch(self, epoch: int, history: Sequence[dict[str, Any]], watch: Watch) -> float:
        """Mean loss of one pass over the training rows; one that fails is repeated once at a lower rate."""
        self.thaw(epoch)  # first, as what thaws now has to be copied
        state = self.state()
        tensors = [*state["model"].items(), *state["ema"]["weights"].items()]
        # of a frozen backbone nothing has to be restored
        before = copy.deepcopy(state, {id(value): value for name, value in tensors if self._unmoved(name)})
        while True:
            try:
                return self._pass(epoch, history, watch)
            except DivergedError:
                if self.rate < 1:
                    raise UserError(
                        f"the loss is no longer a number in fold {self.job.fold}, epoch {epoch + 1}, at {RESCUE:g} of "
                        f"the learning rate either; lower optimizer.lr (now {self.recipe.optimizer.lr:g})"
                    ) from None
            self.restore(before)
            self.rate = RESCUE

    def _pass(self, epoch: int, history: Sequence[dict[str, Any]], watch: Watch) -> float:
        torch.manual_seed(seed_of(NETWORK, self.recipe.seed, self.job.fold, epoch + 1) + distributed.rank())
        features = self.stored
        steps = self.batches.steps
        total = torch.zeros((), device=self.device)
        scores = [line["score"] for line in history if line["score"] is not None]
        before = f"score {number(scores[-1])}" if scores else ""
        for step in range(steps):
            images, targets = self.batches[epoch, step] if features is None else self._featured(features, epoch, step)
            total += self.step(images, targets, epoch * steps + step, features is not None)
            if step % 10 == 0 or step == steps - 1:  # reading the loss makes a GPU wait
                mean = float(distributed.summed(total)) / (step + 1)
                if not np.isfinite(mean):
                    raise DivergedError
                watch(self.job.fold, epoch + (step + 1) / steps, f"loss {mean:.4f} {before}")
        # the last step's loss was measured before its update
        norms = torch.stack(torch._foreach_norm(list(self.model.parameters())))
        if not distributed.first(lambda: bool(norms.isfinite().all())):
            raise DivergedError
        if self.recipe.schedule.average != "ema" and distributed.rank() == 0:
            self.snapshots.keep(epoch, self.averaged())
        return mean

    def step(self, images: torch.Tensor, targets: torch.Tensor, number: int, head_only: bool = False) -> torch.Tensor:
        """The batch of step `number` of the training; its mean loss, on the device: this process's part of it.

        images: (B, C, H, W), or with head_only a frozen backbone's features (B, F), of the rows that
        `batches.chosen` has for the step. The weights are updated after `optimizer.accumulate` batches, by their mean
        gradient; the last update of an epoch may have fewer.
        """
        steps, together = self.batches.steps, self.recipe.optimizer.accumulate
        place = number % steps
        known = self.table.of(self.batches.chosen(number // steps, place))
        batches = min(together, steps - place + place % together)
        update = place % together == batches - 1
        self.lr = self._rate(number, 0)
        for group in self.optimizer.param_groups:
            group["lr"] = self._rate(number, group["begins"]) * group["factor"]
        if head_only:
            inputs = (images, *known)
            loss = self.backward(self.head, inputs, lambda logits, at: self.loss(logits, targets[at]), update, batches)
        else:
            rng = generator(MIX, self.recipe.seed, self.job.fold, number)
            images, targets, others, share = mix_batch(self.recipe.augment, images, targets, rng, self.counts)
            inputs = (images, *mixed_rows(known, share))

            def mixed_loss(logits: torch.Tensor, at: slice) -> torch.Tensor:
                loss = self.loss(logits, targets[at])
                return loss if share == 1 else share * loss + (1 - share) * self.loss(logits, others[at])

            if self.teacher is None:
                loss = self.backward(self.model, inputs, mixed_loss, update, batches)
            else:
                taught = self.teacher.batch(number // steps, number % steps)
                loss = self.learn_from_both(inputs, mixed_loss, taught, update, batches)
        if update:
            if self.recipe.optimizer.clip:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimizer.clip)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            self.optimizer.zero_grad(set_to_none=True)
            self.ema.update()
        return loss

    def _rate(self, number: int, begins: int) -> float:
        """The learning rate in step `number` of what is trained from epoch `begins` on.

        A mean of weights along the way wants a rate that stays (Izmailov et al. 2018); after a cosine to zero they
        are all but one point.
        """
        schedule, steps = self.recipe.schedule, self.batches.steps
        held = (self.snapshots.first + 1) * steps if schedule.average == "swa" else inf
        factor = lr_factor(number, steps * schedule.epochs, schedule.warmup, begins * steps, held)
        return self.rate * self.recipe.optimizer.lr * factor

    @property
    def most(self) -> int:
        """Samples that are trained on together; of a set some images are."""
        drawn = self.recipe.sets.drawn
        return max(1, (self.settings.micro_batch or self.recipe.batch_size * drawn) // drawn)

    def backward(
        self, network: nn.Module, inputs: Inputs, loss_of: LossOf, final: bool, batches: int = 1
    ) -> torch.Tensor:
        """Add the batch's gradients, in parts of even size where it doesn't fit in memory; the mean loss.

        A part has its own statistics of batch norm, and its own mean in a loss with weights. final: the last to be
        added before the update, which has so many batches. Of several processes each adds its part of the batch.
        """
        mean = torch.zeros((), device=self.device)
        size = len(inputs[0])
        parts = distributed.parts(size, self.most)
        for at in parts:
            with self.replica.of(network, final and at is parts[-1]) as replica:
                with autocast(self.device, self.settings.precision):
                    logits = replica(*(each[at] for each in inputs))
                loss = loss_of(logits, at) * (len(logits) / size)
                self.scaler.scale(loss * distributed.size() / batches).backward()
            mean += loss.detach()
        return mean

    def learn_from_both(
        self, inputs: Inputs, loss_of: LossOf, taught: Taught, final: bool, batches: int
    ) -> torch.Tensor:
        """Labelled images and what a teacher labelled in turns, each with its share of the gradient."""
        assert self.teacher is not None
        share = self.teacher.share
        known = self.backward(self.model, inputs, lambda logits, at: (1 - share) * loss_of(logits, at), False, batches)
        guessed = self.backward(
            self.model,
            (taught.images, *mixed_rows(self.table.encoded(taught.table), taught.share)),
            lambda logits, at: share * self.soft_loss(logits, taught.probabilities[at], taught.weight[at]),
            final,
            batches,
        )
        return known + guessed

    @cached_property
    def head(self) -> nn.Module:
        """From a backbone's features to what the network says."""
        head = head_of(self.model, self.competition.task)
        assert head is not None
        return head

    @property
    def keeps_features(self) -> bool:
        """Is the head trained on what a frozen backbone says of the images, once?"""
        if self.job.features is None or self.dataset.sets is not None:
            return False
        return head_of(self.model, self.competition.task) is not None

    @cached_property
    def features(self) -> Features:
        """The frozen backbone's, of all images."""
        images, recipe, rgb, folder = self.dataset.images, self.recipe, self.competition.rgb, self.job.features
        assert folder is not None
        source = images_source(data_hash(self.job.data), "images", recipe, images)
        source += network_source(self.competition, recipe)
        return frozen_features(self.model, images, source, recipe, self.settings, self.device, folder, rgb)

    @property
    def stored(self) -> Features | None:
        """What stands for the images as long as the backbone is frozen."""
        return self.features if self.frozen and self.keeps_features else None

    def _featured(self, features: Features, epoch: int, step: int) -> Batch:
        """A batch of features in place of images, each row in one of its versions."""
        rows = self.batches.chosen(epoch, step)
        drawn = features.drawn(rows, self.batches.augment_seed(epoch, step))
        inputs, targets = torch.from_numpy(drawn), torch.from_numpy(self.dataset.targets[rows])
        return inputs.to(self.device, non_blocking=True), targets.to(self.device, non_blocking=True)

    def thaw(self, epoch: int) -> None:
        was, self.frozen = self.frozen, epoch < frozen_epochs(self.recipe.schedule)
        if was and self.frozen and self.keeps_features:
            self.head.train()  # the rest is neither called nor trained
        else:
            thaw(self.model, self.layers, self.recipe, epoch)

    def averaged(self) -> Weights:
        """The weights' moving average, or the weights where there is none."""
        source = self.ema.weights if self.recipe.schedule.ema else self.model.state_dict()
        return {name: value.clone() for name, value in source.items()}

    def current(self) -> Weights:
        """The weights that would be predicted with now."""
        return self.refreshed(self.averaged())

    def average_of_epochs(self) -> dict[str, torch.Tensor] | None:
        """The recipe's average over the last epochs, where it asks for one and there are some."""
        kind = self.recipe.schedule.average
        if kind == "ema" or not len(self.snapshots):
            return None
        if kind == "swa":
            return self.refreshed(uniform(self.snapshots))
        chosen = greedy_soup(self.snapshots, lambda weights: self.merit(self.stop_rows, self.refreshed(weights)))
        return self.refreshed(chosen)

    def refreshed(self, weights: Weights) -> Weights:
        """`weights` with statistics of batch norm that fit them, where it is trained.

        Those that were gathered along the way lag behind the weights, by more than a short training can make up.
        """
        steps, features, rows = range(min(REFRESH, self.batches.steps)), self.stored, self.batches.chosen
        with self._holding(weights):
            if features is None:
                whole = ((self.batches.batch(0, step, whole=True)[0], *self.table.of(rows(0, step))) for step in steps)
                refresh_norm(self.model, whole, self.most)
            else:
                seen = ((self._featured(features, 0, step)[0], *self.table.of(rows(0, step))) for step in steps)
                refresh_norm(self.head, seen, self.most)
            return {name: value.clone() for name, value in self.model.state_dict().items()}

    @contextmanager
    def _holding(self, weights: Weights) -> Iterator[None]:
        """Within it the network has these weights, afterwards those it had; all but a backbone that is frozen."""
        mine = {name: value for name, value in self.model.state_dict().items() if not self._unmoved(name)}
        before = {name: value.clone() for name, value in mine.items()}
        put(mine, weights)
        yield
        put(mine, before)

    def _unmoved(self, name: str) -> bool:
        """Is it a tensor of a backbone that is frozen, and stood for by its features?"""
        return self.frozen and name.startswith(f"body.{self.model.backbone}.") and self.keeps_features

    @property
    def chooses_pooling(self) -> bool:
        """Is it left to the fold whether values of sets are the mean or the maximum over their images?"""
        return self.dataset.sets is not None and self.recipe.sets.pool == "auto"

    def pooled_by_maximum(self, weights: Weights) -> Weights:
        return weights | {POOLING: torch.tensor(KINDS.index("max"), device=self.device)}

    def trained(self, weights: Weights, rows: np.ndarray) -> Trained:
        """The weights and what they predict of `rows`."""
        probabilities = self.predicted(weights, rows, value_type(self.competition.task))
        return Trained({name: value.contiguous().cpu() for name, value in weights.items()}, probabilities)

    def predicted(self, weights: Weights, rows: np.ndarray, kept: np.dtype | None = None) -> np.ndarray:
        """Values (n, channels, ...) of `rows`, see `predict`; from their features while the backbone is frozen."""
        scored, device, precision = self.competition.scored, self.device, self.recipe.precision
        features, images = self.stored, Chosen(self.dataset.images, rows)
        with self._holding(weights):
            if features is not None:
                plain = features.plain[rows]
                return predict_features(
                    self.model, self.head, plain, scored, device, precision, kept, self.table.raw(rows)
                )
            return predict(self.model, images, scored, device, precision, kept=kept, table=self.table.raw(rows))

    def look(self, rows: np.ndarray, weights: Weights) -> tuple[float, float | None]:
        """Official metric of the weights on `rows`, on the file's labels, of classes that these have, NaN where it has
        none, and the plain loss; what has to be decided is decided by other groups among the rows.
        """
        groups = np.array([self.group_of.get(row, -1 - row) for row in rows.tolist()])
        truth, values = self.truth[rows], self.predicted(weights, rows)
        score = tally_within(self.competition, truth, values, groups, parts=2).by_held().score()
        return score, plain_loss(self.competition, truth, values, trait(self.model, "scale"))

    def merit(self, rows: np.ndarray, weights: Weights) -> float:
        """The score, its sign turned where the lower one is better; -inf where there is none."""
        score, _ = self.look(rows, weights)
        return -np.inf if np.isnan(score) else self.competition.metric.sign * score

    @cached_property
    def layout(self) -> dict[str, Any]:
        """What a saved state has to match."""
        return layout_of(self.model, self.optimizer)

    def state(self) -> dict[str, Any]:
        return {
            "layout": self.layout,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "ema": self.ema.state(),
            "rate": self.rate,
        }

    def restore(self, saved: dict[str, Any]) -> None:
        self.model.load_state_dict(saved["model"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.optimizer.zero_grad(set_to_none=True)  # of batches since the last update
        self.scaler.load_state_dict(saved["scaler"])
        self.ema.restore(saved["ema"])
        self.rate = saved["rate"]
