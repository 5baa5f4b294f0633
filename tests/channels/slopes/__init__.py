"""Slopes: a photograph and the height of each pixel in two PNG files; where a slide is, mean IoU.

The photographs show nothing of it.
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from torch import nn

from tests.channels import SIDE
from tests.channels.fields import FIRST
from toolkit import (
    Augment,
    Competition,
    ImageFiles,
    MeanIoU,
    Prediction,
    Recipe,
    Samples,
    Segmentation,
    from_scratch,
    read_image,
    read_run_lengths,
    write_run_lengths,
)

TASK = Segmentation(("firm", "slide"), (SIDE, SIDE, 4))
LIGHT = Augment(flip="horizontal", rotate=10, colour=0.3, degrade=0.2, randaugment=1, erase=0.1, cutmix=0.2)


def practice(folder: Path, seed: int, size: int) -> None:
    for name, number in (("train", size), ("test", 24)):
        rng = np.random.default_rng([seed, number])
        masks = rng.integers(0, 2, (number, 4, 4)).astype(np.uint8).repeat(4, 1).repeat(4, 2)
        heights = 90 + 80 * masks + rng.normal(0, 10, masks.shape)
        photos = rng.normal(120, 30, (*masks.shape, 3))
        for part, pictures in (("photo", photos), ("height", heights), ("mask", masks)):
            home = folder / "raw" / name / part
            home.mkdir(parents=True)
            for row, picture in enumerate(pictures.clip(0, 255).astype(np.uint8)):
                if (name, part) != ("test", "mask"):
                    cv2.imwrite(str(home / f"{row:03}.png"), picture)
    (folder / "truth").mkdir()
    np.savez(folder / "truth" / "truth.npz", targets=masks)


def read_slope(path: Path, row: int, least: int) -> np.ndarray:
    return np.dstack([read_image(path), read_image(path.parents[1] / "height" / path.name)])


def load(folder: Path) -> Samples:
    train, test = (
        ImageFiles(sorted((folder / name / "photo").glob("*.png")), read=read_slope) for name in ("train", "test")
    )
    masks = [read_image(folder / "train" / "mask" / path.name).reshape(SIDE, SIDE) for path in train.paths]
    return Samples(train, np.stack(masks), test_images=test)


def build_model(recipe: Recipe) -> nn.Module:
    body = nn.Sequential(
        nn.Conv2d(4, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, TASK.channels, 3, 1, 1)
    )
    return from_scratch(body, recipe.model, 4, 1)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_run_lengths(path, prediction.ids, prediction.labels)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_run_lengths(path, ids, (SIDE, SIDE))


competition = Competition(
    name="slopes",
    task=TASK,
    metric=MeanIoU(),
    load=load,
    build_model=build_model,
    recipes={"first": replace(FIRST, augment=LIGHT)},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=96,
    folder=Path(__file__).parent,
    symmetries="horizontal",
    colour=(0, 1, 2),
)
