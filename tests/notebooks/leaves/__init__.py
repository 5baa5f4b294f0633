"""Leaves in files, as a Kaggle competition has them: a table of labels, a sample submission, hexadecimal names.

It imports nothing but the toolkit and what lies beside it, so that a notebook can take it along.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from torch import nn

from toolkit import (
    Classification,
    Competition,
    LogLoss,
    Model,
    Network,
    Recipe,
    Rules,
    Samples,
    Schedule,
    image_folder,
    target_table,
)

TASK = Classification(("healthy", "rust", "scab"), (8, 8, 3))


def practice(folder: Path, seed: int, size: int) -> None:
    rng = np.random.default_rng(seed)
    (folder / "truth").mkdir()
    for part, number in (("train", size), ("test", size // 8)):
        home = folder / "raw" / f"{part}_images"
        home.mkdir(parents=True)
        names, labels = [f"{one:08x}" for one in rng.integers(1 << 28, 1 << 32, number)], np.arange(number) % 3
        for name, label in zip(names, labels, strict=True):
            image = rng.integers(60, 160, (10, 8, 3))
            image[:, :, label] += 40
            Image.fromarray(image.astype(np.uint8)).save(home / f"{name}.png")
        if part == "train":
            said = pd.DataFrame({"id": names, "label": np.array(TASK.classes)[labels]})
            said.to_csv(folder / "raw" / "train.csv", index=False)
        else:
            blank = pd.DataFrame({"id": names} | dict.fromkeys(TASK.classes, 0.33))
            blank.to_csv(folder / "raw" / "sample_submission.csv", index=False)
            np.savez(folder / "truth" / "truth.npz", targets=labels[np.argsort(names)])


def load(folder: Path) -> Samples:
    names, labels = target_table(folder / "train.csv", TASK)
    images = image_folder(folder / "train_images").chosen(names)
    return Samples(images, labels, test_images=image_folder(folder / "test_images"))


def build_model(recipe: Recipe) -> nn.Module:
    body = nn.Sequential()
    body.add_module("backbone", nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    body.add_module("head", nn.Linear(8, 3))
    return Network(body, "backbone", (0.5,) * 3, (0.25,) * 3)


competition = Competition(
    name="leaves",
    task=TASK,
    metric=LogLoss(),
    load=load,
    build_model=build_model,
    recipes={"first": Recipe("first", model=Model("own"), schedule=Schedule(epochs=1), precision="float32")},
    rules=Rules(unlabelled_test_images=False),
    practice=practice,
    practice_size=48,
    folder=Path(__file__).parent,
    kaggle="leaf-diseases",
    symmetries="both",
)
