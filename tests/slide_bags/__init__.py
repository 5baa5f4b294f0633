"""The small slides as bags: a slide is a sample, the set of its tiles, with one label."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from torch import nn

from tests import slides
from toolkit import (
    Accuracy,
    Classification,
    Network,
    Prediction,
    Recipe,
    Samples,
    image_folder,
    read_labels,
    tiles,
    write_csv,
)

TASK = Classification(("healthy", "sick"), slides.TASK.image_shape)


def load(folder: Path) -> Samples:
    found, tests = image_folder(folder / "train"), image_folder(folder / "test")
    made, test = (tiles(each, slides.SIDE, at=0.25, blank=0.02) for each in (found, tests))
    return Samples(
        made.images,
        np.arange(len(found)) % 2,
        sets=made.sets,
        names=found.stems,
        test_images=test.images,
        test_sets=test.sets,
        test_ids=tests.stems,
    )


def build_model(recipe: Recipe) -> nn.Module:
    backbone = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(nn.Sequential(backbone, nn.Linear(8, 2)), "0", (0.5,) * 3, (0.25,) * 3)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_csv(path, {"id": prediction.ids, "label": np.array(TASK.classes)[prediction.labels]})


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_labels(path, ids, TASK.classes)


competition = replace(
    slides.competition,
    name="slide_bags",
    task=TASK,
    metric=Accuracy(),
    load=load,
    build_model=build_model,
    write_submission=write_submission,
    read_submission=read_submission,
    folder=Path(__file__).parent,
)
