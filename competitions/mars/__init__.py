"""Mars: 5 terrain classes, 64x128 grey, a CSV of every pixel, mean IoU without the background."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from competitions.mars.recipes import RECIPES
from competitions.mars.space import FIRST_TRIALS, suggest
from toolkit import (
    Competition,
    Dataset,
    MeanIoU,
    Npz,
    Prediction,
    Recipe,
    Rules,
    Segmentation,
    UserError,
    image_array,
    mask_array,
    read_pixels,
    write_pixels,
)

if TYPE_CHECKING:
    from torch import nn

TASK = Segmentation(classes=("background", "soil", "bedrock", "sand", "big rock"), image_shape=(64, 128, 1))


def load(folder: Path) -> Dataset:
    """Read `mars_for_students.npz`: `training_set` (N, 2, 64, 128), image and mask, and `test_set` (M, 64, 128)."""
    file = Npz(folder / "mars_for_students.npz")
    where = f"{file.path}: training_set"
    pairs = file["training_set"]
    height, width, _ = TASK.image_shape
    if pairs.ndim != 4 or pairs.shape[1:] != (2, height, width):
        raise UserError(f"{where} has shape {pairs.shape}, expected (n, 2, {height}, {width}): image and mask")
    images = image_array(pairs[:, 0], TASK.image_shape, where)
    masks = mask_array(pairs[:, 1], TASK.image_shape, len(TASK.classes), where)
    del pairs  # the organisers' float64 arrays are large; one at a time is in memory
    test_images = image_array(file["test_set"], TASK.image_shape, f"{file.path}: test_set")
    return Dataset(images, masks, np.arange(len(images)), np.arange(len(images)), test_images)


# torch, OpenCV and the rest are imported only by the verb that needs them


def build_model(recipe: Recipe) -> "nn.Module":
    from competitions.mars.models import build

    return build(recipe.model, len(TASK.classes), TASK.image_shape[2])


def write_submission(prediction: Prediction, path: Path) -> None:
    """Header `id,0,1,…,8191`, then a row an image in test order, its pixels row by row."""
    write_pixels(path, prediction.labels)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_pixels(path, len(images), TASK.image_shape[:2], len(TASK.classes))


def practice(folder: Path, seed: int, size: int) -> None:
    from competitions.mars.practice import practice as draw

    draw(folder, seed, size)


competition = Competition(
    name="mars",
    task=TASK,
    metric=MeanIoU(ignore=("background",)),
    rules=Rules(
        pretrained=False,
        unlabelled_test_images=True,
        public_share=0.25,
        sources={
            "pretrained": "competitions/mars/README.md, Rules: pretrained weights are forbidden",
            "external_data": "competitions/mars/README.md, Rules: not published, taken as forbidden",
            "unlabelled_test_images": "competitions/mars/README.md, Rules: the test images are handed out",
            "public_share": "competitions/mars/README.md, Rules: the public leaderboard is a quarter of the test set",
        },
    ),
    load=load,
    build_model=build_model,
    recipes=RECIPES,
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=400,
    files="`mars_for_students.npz` (from the Kaggle page of AN2DL's second challenge 2024-25)",
    folder=Path(__file__).parent,
    suggest=suggest,
    symmetries="both",
    first_trials=FIRST_TRIALS,
)
