"""Retina: five grades of a disease in their order; quadratic weighted kappa."""

from pathlib import Path

import numpy as np
from torch import nn

from tests.small import drawing
from toolkit import (
    Competition,
    Grades,
    Prediction,
    QuadraticKappa,
    Recipe,
    Samples,
    read_labels,
    target_table,
    write_csv,
)

TASK = Grades(("0", "1", "2", "3", "4"), drawing.SHAPE)
SHARES = (0.4, 0.1, 0.25, 0.1, 0.15)  # as uneven as they are in such data


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    seen = rng.choice(5, number, p=SHARES)
    given = np.clip(seen + rng.choice((-1, 0, 1), number, p=(0.1, 0.8, 0.1)), 0, 4)  # doctors differ
    images = drawing.plain(rng, number)
    images[..., 0] += 12 * (seen - 2)[:, None, None]
    images[:, 6:10, 6:10, 1] -= (
        12
        * seen[
            :,
            None,
            None,
        ]
    )
    return images, given, (seen[:, None] > np.arange(4)).astype(float)


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        write_csv(path, {"id": drawing.names(len(targets)), "level": targets})

    drawing.practice_data(folder, seed, size, draw, write)


def load(folder: Path) -> Samples:
    return drawing.samples(folder, target_table(folder / "train.csv", TASK)[1])


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_csv(path, {"id": prediction.ids, "level": prediction.names})


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_labels(path, ids, TASK.grades, ("id", "level"))


competition = Competition(
    name="retina",
    task=TASK,
    metric=QuadraticKappa(),
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
