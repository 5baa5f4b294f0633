"""Whales: whose fluke is it, or somebody new's; five guesses in their order, MAP@5."""

from pathlib import Path

import numpy as np
from torch import nn

from tests.small import drawing
from toolkit import (
    MAP,
    Classification,
    Competition,
    Prediction,
    Recipe,
    Samples,
    read_lists,
    target_table,
    write_csv,
    write_lists,
)
from toolkit.task import UNKNOWN

NEW = "new_whale"
TASK = Classification(tuple(f"w_{at}" for at in range(8)), drawing.SHAPE, unknown=NEW)
FLUKES = np.random.default_rng(8).normal(0, 25, (8, 4, 4, 3))


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    whose = np.where(rng.random(number) < 0.25, UNKNOWN, rng.integers(0, 8, number))
    flukes = np.where(
        (whose == UNKNOWN)[:, None, None, None], rng.normal(0, 25, (number, 4, 4, 3)), FLUKES[np.maximum(whose, 0)]
    )
    images = drawing.plain(rng, number) + flukes.repeat(4, axis=1).repeat(4, axis=2)
    return images, whose, np.where((whose == UNKNOWN)[:, None], 1 / 8, np.eye(8)[np.maximum(whose, 0)])


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        write_csv(path, {"id": drawing.names(len(targets)), "whale": [(*TASK.classes, NEW)[at] for at in targets]})

    drawing.practice_data(folder, seed, size, draw, write)


def load(folder: Path) -> Samples:
    return drawing.samples(folder, target_table(folder / "train.csv", TASK)[1])


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_lists(path, prediction.ids, prediction.answer, TASK.classes, ("id", "whales"), NEW)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_lists(path, ids, TASK.classes, 5, ("id", "whales"), NEW)


competition = Competition(
    name="whales",
    task=TASK,
    metric=MAP(),
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
