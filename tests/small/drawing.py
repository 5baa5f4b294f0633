"""What the small competitions share: pictures of 16x16 in which little is hidden, their files, and two networks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from torch import nn

from toolkit import (
    Augment,
    Model,
    Network,
    Optimizer,
    Recipe,
    Rules,
    Samples,
    Schedule,
    Suggesting,
    from_scratch,
    image_folder,
)

SIDE = 16
SHAPE = (SIDE, SIDE, 3)
TEST = 150  # images, whatever the number of training images
UNSEEN = Rules(unlabelled_test_images=False)  # what they look like is found out in seconds: two of them do
# precision: measured settings could differ from one workspace to the next
FIRST = Recipe(
    name="first",
    model=Model(name="small"),
    augment=Augment(flip="none"),
    optimizer=Optimizer(lr=1e-2),
    schedule=Schedule(epochs=3, ema=0.5),
    batch_size=16,
    precision="float32",
)


def suggest(trial: Suggesting) -> Recipe:
    rate = trial.suggest_float("optimizer.lr", 3e-3, 3e-2, log=True)
    return replace(FIRST, optimizer=replace(FIRST.optimizer, lr=rate))


# images (n, H, W, 3) in float64, targets (n, ...), and what a network could say at best: values (n, channels, ...)
Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
Draw = Callable[[np.random.Generator, int], Drawn]


def plain(rng: np.random.Generator, number: int) -> np.ndarray:
    """Pictures with nothing on them but noise, float64 (number, SIDE, SIDE, 3)."""
    return rng.normal(120, 14, (number, *SHAPE))


def practice_data(
    folder: Path, seed: int, size: int, draw: Draw, write_table: Callable[[Path, np.ndarray], None]
) -> None:
    """`raw/train`, `raw/test` with PNG files, `raw/train.csv` by `write_table`; the truth with what is best said."""
    for name, number, part in (("train", size, 0), ("test", TEST, 1)):
        images, targets, values = draw(np.random.default_rng([seed, part]), number)
        (folder / "raw" / name).mkdir(parents=True)
        for row, image in enumerate(np.clip(np.rint(images), 0, 255).astype(np.uint8)):
            cv2.imwrite(str(folder / "raw" / name / f"{row:04}.png"), image[..., ::-1])
        if part == 0:
            write_table(folder / "raw" / "train.csv", targets)
        else:
            (folder / "truth").mkdir()
            np.savez(folder / "truth" / "truth.npz", targets=targets, values=values)


def names(number: int) -> list[str]:
    """What the files call the pictures by: text, with zeros before it."""
    return [f"{row:04}" for row in range(number)]


def samples(folder: Path, targets: np.ndarray, groups: np.ndarray | None = None) -> Samples:
    """The pictures in a folder's `train` and `test`, in their names' order."""
    images, tests = (image_folder(folder / name) for name in ("train", "test"))
    return Samples(images, targets, groups=groups, test_images=tests)


def table(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "train.csv", dtype={"id": str})


def network(recipe: Recipe, channels: int) -> Network:
    """Of whole pictures."""
    body = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * (SIDE // 4) ** 2, channels),
    )
    return from_scratch(body, recipe.model, 3, 1)


def pixel_network(recipe: Recipe, channels: int) -> Network:
    """Of each pixel."""
    body = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, channels, 3, 1, 1))
    return from_scratch(body, recipe.model, 3, 1)
