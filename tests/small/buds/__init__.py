"""Buds: weight and length of each, one of them sometimes not measured; the mean of their root mean squared errors."""

from pathlib import Path

import numpy as np
from torch import nn

from tests.small import drawing
from toolkit import Competition, Numbers, Prediction, Recipe, Rmse, Samples, read_columns, target_table, write_columns

TASK = Numbers(("weight", "length"), drawing.SHAPE)


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    large = rng.normal(0, 1, (number, 2))
    images = drawing.plain(rng, number)
    images[..., :2] += 18 * large[:, None, None]
    best = large * (2, 1) + (50, 8)  # no unit that a network would find by itself
    return images, (best + rng.normal(0, 0.3, best.shape)).astype(np.float32), best


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        measured = np.random.default_rng(seed).random(targets.shape) < 0.9
        write_columns(path, drawing.names(len(targets)), np.where(measured, targets, np.nan), TASK.targets)

    drawing.practice_data(folder, seed, size, draw, write)


def load(folder: Path) -> Samples:
    return drawing.samples(folder, target_table(folder / "train.csv", TASK)[1])


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_columns(path, prediction.ids, prediction.values, TASK.targets)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_columns(path, ids, TASK.targets)


competition = Competition(
    name="buds",
    task=TASK,
    metric=Rmse(),
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
