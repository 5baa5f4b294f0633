"""The same training in fastai, Lightning and skorch, at their defaults and as their documentation shows it.

Each function trains `network` on images uint8 (N, H, W, C) and targets for some epochs, with the recipe's
augmentation by albumentations in the data set, as users do, and returns images/s of the epochs but for the first.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks.albumentations_pipeline import build_pipeline
from toolkit.recipe import Recipe

WORKERS = 2


class Pictures(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """One augmented image and its target at a time."""

    def __init__(self, images: np.ndarray, targets: np.ndarray, recipe: Recipe) -> None:
        self.images, self.targets = images, targets
        self.pipeline = build_pipeline(recipe.augment, images.shape[-1])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        # worker processes have copies of one pipeline: another draw in each, and in each epoch
        seed = int(torch.randint(2**31, ()))
        self.pipeline.set_random_state(np.random.default_rng(seed), Random(seed))
        image, target = self.images[row], self.targets[row]
        if target.ndim:
            moved = self.pipeline(image=image, mask=target)
            image, target = moved["image"], moved["mask"]
        else:
            image = self.pipeline(image=image)["image"]
        return torch.from_numpy(image).permute(2, 0, 1).float(), torch.as_tensor(target).long()


def loss_of(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, targets, ignore_index=255)


def fastai(network: nn.Module, images: np.ndarray, targets: np.ndarray, recipe: Recipe, epochs: int) -> float:
    from fastai.callback import progress, schedule  # noqa: F401, they add methods to Learner
    from fastai.callback.core import Callback
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    stamps: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def before_train(self) -> None:
            stamps.append(time.perf_counter())

        def after_train(self) -> None:
            stamps.append(time.perf_counter())

    data = Pictures(images, targets, recipe)
    loaders = DataLoaders.from_dsets(
        data, torch.utils.data.Subset(data, range(32)), bs=recipe.batch_size, num_workers=WORKERS
    )
    learner = Learner(loaders, network, loss_func=loss_of, cbs=[Clock()])
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, 1e-3)
    return _rate(stamps, len(images))


def lightning(network: nn.Module, images: np.ndarray, targets: np.ndarray, recipe: Recipe, epochs: int) -> float:
    import lightning as L

    stamps: list[float] = []

    class Module(L.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: Any, number: int) -> torch.Tensor:
            return loss_of(self.network(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.AdamW(self.parameters(), lr=1e-3)

        def on_train_epoch_start(self) -> None:
            stamps.append(time.perf_counter())

        def on_train_epoch_end(self) -> None:
            stamps.append(time.perf_counter())

    loader = DataLoader(Pictures(images, targets, recipe), recipe.batch_size, shuffle=True, num_workers=WORKERS)
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        L.Trainer(max_epochs=epochs, **quiet).fit(Module(), loader)
    return _rate(stamps, len(images))


def skorch(network: nn.Module, images: np.ndarray, targets: np.ndarray, recipe: Recipe, epochs: int) -> float:
    from skorch import NeuralNet
    from skorch.callbacks import Callback

    stamps: list[float] = []

    class Clock(Callback):  # type: ignore[misc]
        def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
            stamps.append(time.perf_counter())

        def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
            stamps.append(time.perf_counter())

    class Loss(nn.Module):
        def forward(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return loss_of(logits, targets)

    net = NeuralNet(
        network,
        Loss,
        optimizer=torch.optim.AdamW,
        lr=1e-3,
        batch_size=recipe.batch_size,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        callbacks=[Clock()],
        verbose=0,
    )
    net.fit(Pictures(images, targets, recipe), None)
    return _rate(stamps, len(images))


def _rate(stamps: list[float], images: int) -> float:
    seconds = [end - begin for begin, end in zip(stamps[::2], stamps[1::2], strict=True)]
    return images / statistics.median(seconds[1:])


PEERS: dict[str, Callable[[nn.Module, np.ndarray, np.ndarray, Recipe, int], float]] = {
    "fastai": fastai,
    "lightning": lightning,
    "skorch": skorch,
}
