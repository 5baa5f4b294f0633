"""Berries: is one ripe? Half of it is in its colour, half in the week and the field that it was picked in: a table."""

from pathlib import Path

import numpy as np
import pandas as pd
from torch import nn

from tests.small import drawing
from toolkit import (
    Classification,
    Competition,
    Network,
    Prediction,
    Recipe,
    RocAuc,
    Samples,
    image_folder,
    read_columns,
    table_of,
    target_table,
    write_columns,
)

TASK = Classification(("green", "ripe"), drawing.SHAPE)
FIELDS = ("hill", "shore", "wood")


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    """Beside the pictures, in `draw.known`, what the table has."""
    red, week, field = rng.normal(0, 1, number), rng.normal(0, 1, number), rng.integers(3, size=number)
    images = drawing.plain(rng, number)
    images[..., 0] += 20 * red[:, None, None]
    sure = 1 / (1 + np.exp(-3 * (red + week + 1.2 * (field - 1))))
    return images, (rng.random(number) < sure).astype(np.int64), np.stack([1 - sure, sure], 1)


def beside(rng: np.random.Generator, number: int) -> pd.DataFrame:
    """What the same draws say that the pictures don't show."""
    _, week, field = rng.normal(0, 1, number), rng.normal(0, 1, number), rng.integers(3, size=number)
    table = pd.DataFrame({"id": drawing.names(number), "week": 30 + 4 * week, "field": np.array(FIELDS)[field]})
    table["rain"] = rng.normal(0, 1, number)
    table.loc[rng.random(number) < 0.1, "week"] = np.nan
    return table


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        names = pd.DataFrame({"id": drawing.names(size), "label": np.array(TASK.classes)[targets]})
        names.to_csv(path, index=False)

    drawing.practice_data(folder, seed, size, draw, write)
    for name, number, part in (("train", size, 0), ("test", drawing.TEST, 1)):
        beside(np.random.default_rng([seed, part]), number).to_csv(folder / "raw" / f"{name}_known.csv", index=False)


def load(folder: Path) -> Samples:
    names, labels = target_table(folder / "train.csv", TASK)
    tests = image_folder(folder / "test")
    return Samples(
        image_folder(folder / "train").chosen(names),
        labels,
        test_images=tests,
        table=table_of(folder / "train_known.csv", names),
        test_table=table_of(folder / "test_known.csv", tests.stems.tolist()),
    )


def build_model(recipe: Recipe) -> nn.Module:
    body = nn.Sequential()
    body.add_module(
        "backbone",
        nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    body.add_module("head", nn.Linear(16, TASK.channels))
    return Network(body, "backbone", (0.5,) * 3, (0.25,) * 3)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_columns(path, prediction.ids, prediction.values[:, 1:], ["ripe"])


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    ripe = read_columns(path, ids, ["ripe"])
    return np.concatenate([1 - ripe, ripe], 1)


competition = Competition(
    name="berries",
    task=TASK,
    metric=RocAuc(),
    rules=drawing.UNSEEN,
    load=load,
    build_model=build_model,
    recipes={"first": drawing.FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=240,
    folder=Path(__file__).parent,
    suggest=drawing.suggest,
)
