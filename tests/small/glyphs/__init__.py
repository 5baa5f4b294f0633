"""Glyphs: root, vowel and consonant of each; the macro recalls of the three, the root's twice as important."""

from pathlib import Path

import numpy as np
from torch import nn

from tests.small import drawing
from toolkit import (
    Competition,
    Heads,
    Prediction,
    Recipe,
    Samples,
    WeightedMacroRecall,
    read_rows,
    target_table,
    write_csv,
    write_rows,
)

HEADS = (("root", ("a", "b", "c", "d")), ("vowel", ("none", "i", "u")), ("consonant", ("none", "r")))
PARTS = tuple(name for name, _ in HEADS)
TASK = Heads(HEADS, drawing.SHAPE, weights=(2, 1, 1))


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    given = np.stack([rng.choice(len(names), number) for _, names in HEADS], axis=1)
    images, rows = drawing.plain(rng, number), np.arange(number)
    for row, (root, vowel, consonant) in enumerate(given):
        top, left = divmod(root, 2)
        images[row, 8 * top : 8 * top + 8, 8 * left : 8 * left + 8, 0] += 30
        images[row, :, :, 1] += 12 * (vowel - 1)
        images[row, 6:10, :, 2] += 25 * consonant
    values = np.zeros((number, TASK.channels))
    for head, span in enumerate(TASK.spans):
        values[rows, span.start + given[:, head]] = 1
    return images, given, values


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        found = {name: targets[:, at] for at, name in enumerate(PARTS)}
        write_csv(path, {"id": drawing.names(len(targets)), **found})

    drawing.practice_data(folder, seed, size, draw, write)


def load(folder: Path) -> Samples:
    return drawing.samples(folder, target_table(folder / "train.csv", TASK)[1])


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_rows(path, prediction.ids, prediction.answer, PARTS, ("row_id", "target"))


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_rows(path, ids, PARTS, ("row_id", "target"), whole=True).astype(np.int64)


competition = Competition(
    name="glyphs",
    task=TASK,
    metric=WeightedMacroRecall(weights=(2, 1, 1)),
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
