"""Scans: three findings, each there or not or not looked for, three scans a patient; the mean of their AUC."""

from pathlib import Path

import numpy as np
from torch import nn

from tests.small import drawing
from toolkit import (
    Competition,
    Labels,
    Prediction,
    Recipe,
    RocAuc,
    Samples,
    read_columns,
    target_table,
    write_columns,
    write_csv,
)

TASK = Labels(("oedema", "nodule", "mass"), drawing.SHAPE)
EACH = 3  # scans of a patient


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    patients = -(-number // EACH)
    prone = rng.normal(0, 0.7, (patients, 3)).repeat(EACH, axis=0)[:number]
    sure = 1 / (1 + np.exp(-(prone + rng.normal((-0.5, 0, -1.2), 1, (number, 3))) * 2))
    given = (rng.random((number, 3)) < sure).astype(np.int8)
    images = drawing.plain(rng, number)
    images += 24 * (sure[:, None, None] - 0.5) + rng.normal(0, 4, (patients, 1, 1, 3)).repeat(EACH, axis=0)[:number]
    return images, given, sure


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        missing = np.random.default_rng(seed).random(targets.shape) < 0.15
        given = np.where(missing, "", targets.astype(str))
        found = {name: given[:, at] for at, name in enumerate(TASK.labels)}
        patients = np.arange(len(targets)) // EACH
        write_csv(path, {"id": drawing.names(len(targets)), "patient": patients, **found})

    drawing.practice_data(folder, seed, size, draw, write)


def load(folder: Path) -> Samples:
    _, targets = target_table(folder / "train.csv", TASK)
    return drawing.samples(folder, targets, drawing.table(folder)["patient"].to_numpy())


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_columns(path, prediction.ids, prediction.values, TASK.labels)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_columns(path, ids, TASK.labels, low=0, high=1)


competition = Competition(
    name="scans",
    task=TASK,
    metric=RocAuc(),
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
