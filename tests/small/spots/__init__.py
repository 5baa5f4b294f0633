"""Spots: rust and mildew on leaves, which may overlap or be absent; mean Dice of images and diseases, empty ones 1."""

from pathlib import Path

import numpy as np
from torch import nn

from tests.small import drawing
from toolkit import (
    Competition,
    MeanDice,
    OverlappingMasks,
    Prediction,
    Recipe,
    Samples,
    image_folder,
    read_run_lengths,
    run_length_masks,
    write_run_lengths,
)

TASK = OverlappingMasks(("rust", "mildew"), drawing.SHAPE)


def draw(rng: np.random.Generator, number: int) -> drawing.Drawn:
    given = np.zeros((number, 2, drawing.SIDE, drawing.SIDE), bool)
    for mask in given.reshape(-1, drawing.SIDE, drawing.SIDE):
        if rng.random() < 0.6:
            top, left, height, width = rng.integers((0, 0, 4, 4), (9, 9, 8, 8))
            mask[top : top + height, left : left + width] = True
    images = drawing.plain(rng, number)
    images[..., :2] += 40 * given.transpose(0, 2, 3, 1)
    return images, (given * np.array([1, 2])[:, None, None]).sum(1).astype(np.uint8), given.astype(float)


def practice(folder: Path, seed: int, size: int) -> None:
    def write(path: Path, targets: np.ndarray) -> None:
        write_run_lengths(path, drawing.names(len(targets)), targets, labels=TASK.labels)

    drawing.practice_data(folder, seed, size, draw, write)


def load(folder: Path) -> Samples:
    images, tests = image_folder(folder / "train"), image_folder(folder / "test")
    masks = run_length_masks(folder / "train.csv", images.stems, TASK, images, ("id", "class", "rle"))
    return Samples(images, masks.fitted(TASK.image_shape), test_images=tests)


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.pixel_network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_run_lengths(path, prediction.ids, prediction.answer, labels=TASK.labels)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_run_lengths(path, ids, drawing.SHAPE[:2], TASK.labels)


competition = Competition(
    name="spots",
    task=TASK,
    metric=MeanDice(),
    rules=drawing.UNSEEN,
    load=load,
    build_model=build_model,
    recipes={"first": drawing.FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=120,
    folder=Path(__file__).parent,
    suggest=drawing.suggest,
)
