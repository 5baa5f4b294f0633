"""Nodules: a picture shows one or none, by chance more or less likely; a probability, log loss."""

from pathlib import Path

import numpy as np
from torch import nn

from tests.small import drawing
from toolkit import (
    Classification,
    Competition,
    LogLoss,
    Prediction,
    Recipe,
    Samples,
    read_columns,
    target_table,
    write_columns,
)

TASK = Classification(("none", "nodule"), drawing.SHAPE)


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    strength = rng.normal(0, 1, number)
    sure = 1 / (1 + np.exp(-6 * strength))
    images = drawing.plain(rng, number)
    images[:, 4:12, 4:12, 0] += 20 * strength[:, None, None]
    return images, (rng.random(number) < sure).astype(np.int64), np.stack([1 - sure, sure], 1)


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        write_columns(path, drawing.names(len(targets)), targets, ("target",))

    drawing.practice_data(folder, seed, size, draw, write)


def load(folder: Path) -> Samples:
    return drawing.samples(folder, target_table(folder / "train.csv", TASK)[1])


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_columns(path, prediction.ids, prediction.values[:, 1], ("target",))


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    given = read_columns(path, ids, ("target",), low=0, high=1)[:, 0]
    return np.stack([1 - given, given], 1)


competition = Competition(
    name="nodules",
    task=TASK,
    metric=LogLoss(),
    rules=drawing.UNSEEN,
    load=load,
    build_model=build_model,
    recipes={"first": drawing.FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=144,
    folder=Path(__file__).parent,
    suggest=drawing.suggest,
)
