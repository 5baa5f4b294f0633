"""Fields: six spectral bands of 16 bits in .npy files; which crop, accuracy.

What tells the crops apart is far less than a 255th of the scale, and lost wherever it is rounded to 8 bits.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from tests.channels import SIDE
from toolkit import (
    Accuracy,
    Augment,
    Classification,
    Competition,
    ImageFiles,
    Model,
    Network,
    Optimizer,
    Prediction,
    Recipe,
    Samples,
    Schedule,
    Suggesting,
    read_labels,
    write_csv,
)

BANDS = 6
TASK = Classification(("maize", "rye", "wheat"), (SIDE, SIDE, BANDS))
FIRST = Recipe(
    name="first",
    model=Model(name="small"),
    augment=Augment(flip="both"),
    optimizer=Optimizer(lr=1e-2),
    schedule=Schedule(epochs=6, ema=0.5),
    batch_size=16,
    precision="float32",
)


def practice(folder: Path, seed: int, size: int) -> None:
    for name, number in (("train", size), ("test", 24)):
        rng = np.random.default_rng([seed, number])
        targets = np.arange(number) % 3
        images = rng.normal(500, 20, (number, 20, 20, BANDS))
        images[np.arange(number), 5:15, 5:15, 3 + targets] += 60
        home = folder / "raw" / name
        home.mkdir(parents=True)
        for row, image in enumerate(images.round().astype(np.uint16)):
            np.save(home / f"{row:03}_{TASK.classes[targets[row]] if name == 'train' else 'unknown'}.npy", image)
    (folder / "truth").mkdir()
    np.savez(folder / "truth" / "truth.npz", targets=targets)


def read_bands(path: Path, row: int, least: int) -> np.ndarray:
    found: np.ndarray = np.load(path)
    return found


def load(folder: Path) -> Samples:
    train, test = (
        ImageFiles(sorted((folder / name).glob("*.npy")), read=read_bands, values=(0, 65535))
        for name in ("train", "test")
    )
    targets = np.array([TASK.classes.index(path.stem.split("_")[1]) for path in train.paths])
    return Samples(train, targets, test_images=test)


def build_model(recipe: Recipe) -> nn.Module:
    backbone = nn.Sequential(
        nn.InstanceNorm2d(BANDS),
        nn.Conv2d(BANDS, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
    )
    body = nn.Sequential()
    body.add_module("backbone", backbone)
    body.add_module("head", nn.Linear(16 * 2 * 2, TASK.channels))
    return Network(body, "backbone", (0.5,) * BANDS, (0.25,) * BANDS)


def suggest(trial: Suggesting) -> Recipe:
    rate = trial.suggest_float("optimizer.lr", 5e-3, 2e-2, log=True)
    return replace(FIRST, optimizer=replace(FIRST.optimizer, lr=rate))


def write_submission(prediction: Prediction, path: Path) -> None:
    write_csv(path, {"id": prediction.ids, "label": [TASK.classes[label] for label in prediction.labels]})


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_labels(path, ids, TASK.classes, titles=("id", "label"))


competition = Competition(
    name="fields",
    task=TASK,
    metric=Accuracy(),
    load=load,
    build_model=build_model,
    recipes={"first": FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=96,
    folder=Path(__file__).parent,
    symmetries="both",
    suggest=suggest,
)
