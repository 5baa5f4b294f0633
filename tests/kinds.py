"""A drawn competition of each kind of output: 16x16 pictures whose colours say what is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from torch import nn

from tests import tiny
from toolkit import (
    Augment,
    Classification,
    Competition,
    Dataset,
    Grades,
    Heads,
    Labels,
    Model,
    Network,
    Numbers,
    Optimizer,
    OverlappingMasks,
    Recipe,
    Rules,
    Schedule,
    Segmentation,
)
from toolkit.data.data_folder import save_dataset
from toolkit.metrics.metric import CountedMetric
from toolkit.recipe import override
from toolkit.task import IGNORED, Task
from toolkit.training.jobs import FoldJob

SHAPE = (16, 16, 3)
NUMBER = 96
RECIPE = Recipe(
    name="kinds",
    model=Model(name="small", dropout=0),
    augment=Augment(flip="horizontal"),
    optimizer=Optimizer(lr=2e-2),
    schedule=Schedule(epochs=3, ema=0.5),
    batch_size=16,
    precision="float32",
)
Targets = Callable[[np.ndarray], np.ndarray]  # of colours float (N, 3) from 0 to 1


@dataclass(frozen=True)
class Far(CountedMetric):
    """How far the first channel is from a half: any score of any values."""

    needs = "values"

    name: str = "far"
    ignore: tuple[str, ...] = ()
    lower_is_better: bool = True

    def counts(self, task: Task, truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
        far = np.abs(np.asarray(predicted, np.float64).reshape(len(predicted), -1)[:, 0] - 0.5)
        return np.stack([far, np.ones(len(far))], 1)

    def of_counts(self, counts: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        result: np.ndarray = counts[..., 0] / np.maximum(counts[..., 1], 1)
        return result


def _labels(colours: np.ndarray) -> np.ndarray:
    given = (colours > 0.5).astype(np.int8)
    given[::7, 1] = -1
    return given


def _numbers(colours: np.ndarray) -> np.ndarray:
    numbers = (1000 + 50 * colours[:, :2]).astype(np.float32)
    numbers[::9, 0] = np.nan
    return numbers


def _overlapping(colours: np.ndarray) -> np.ndarray:
    bits = (colours[:, 0] > 0.5) + 2 * (colours[:, 1] > 0.5)
    masks = np.broadcast_to(bits[:, None, None], (len(bits), 16, 16)).astype(np.uint8)
    masks[:, 0, 0] = IGNORED
    return masks


def _heads(colours: np.ndarray) -> np.ndarray:
    heads = np.stack([colours[:, 0] > 0.5, (3 * colours[:, 1]).astype(int)], 1).astype(np.int64)
    heads[::8, 1] = -1
    return heads


def _exclusive(colours: np.ndarray) -> np.ndarray:
    return np.repeat((colours[:, :1] > 0.5).astype(np.uint8), 256, 1).reshape(-1, 16, 16)


KINDS: dict[str, tuple[Task, Targets]] = {
    "classes": (Classification(("a", "b"), SHAPE), lambda colours: (colours[:, 0] > 0.5).astype(np.int64)),
    "identities": (
        Classification(("a", "b"), SHAPE, unknown="new"),
        lambda colours: np.where(colours[:, 1] > 0.8, -1, colours[:, 0] > 0.5).astype(np.int64),
    ),
    "masks": (Segmentation(("a", "b"), SHAPE), _exclusive),
    "labels": (Labels(("a", "b", "c"), SHAPE), _labels),
    "overlapping": (OverlappingMasks(("a", "b"), SHAPE), _overlapping),
    "numbers": (Numbers(("x", "y"), SHAPE), _numbers),
    "shares": (Numbers(("x",), SHAPE, low=0, high=100), lambda colours: (100 * colours[:, :1]).astype(np.float32)),
    "grades": (Grades(("0", "1", "2", "3"), SHAPE), lambda colours: (4 * colours[:, 0]).astype(np.int64)),
    "heads": (Heads((("x", ("a", "b")), ("y", ("c", "d", "e"))), SHAPE, weights=(1.0, 0.5)), _heads),
}


def drawn(kind: str, number: int = NUMBER) -> Dataset:
    rng = np.random.default_rng(0)
    colours = rng.random((number, 3)) * 0.98 + 0.01
    images = 60 + 130 * colours[:, None, None] + rng.normal(0, 8, (number, *SHAPE))
    rows = np.arange(number)
    images = images.astype(np.uint8)
    return Dataset(images, KINDS[kind][1](colours), rows, rows, images[:8])


def competition(kind: str) -> Competition:
    task = KINDS[kind][0]

    def build_model(recipe: Recipe) -> nn.Module:
        # pixels see themselves; images are the mean over theirs
        layers: list[nn.Module] = [nn.Conv2d(3, 16, 1), nn.BatchNorm2d(16), nn.ReLU()]
        if task.masks:
            return Network(nn.Sequential(*layers, nn.Conv2d(16, task.channels, 1)), "", (0.5,) * 3, (0.25,) * 3)
        body = nn.Sequential()
        body.add_module("backbone", nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))
        body.add_module("head", nn.Linear(16, task.channels))
        return Network(body, "backbone", (0.5,) * 3, (0.25,) * 3)

    made = replace(tiny.competition, name=kind, task=task, metric=Far(), rules=Rules(), symmetries="both")
    return replace(made, build_model=build_model, recipes={"kinds": RECIPE})


def make_job(kind: str, root: Path, *assignments: str) -> FoldJob:
    """To be opened by a `load_competition` that takes a folder's name for a kind: see `known`."""
    data = drawn(kind)
    if not (root / "data").exists():
        save_dataset(data, root / "data", "")
    rows = np.arange(len(data.images))
    train, valid = rows[24:], rows[:24]
    if kind == "identities":
        train = train[data.targets[train] >= 0]
    recipe = override(RECIPE, assignments)
    return FoldJob(Path(kind), root / "data", recipe, 0, train, train, valid, root / "fold_0")


def known(folder: Path) -> Competition:
    """In place of load_competition."""
    return competition(Path(folder).name)
