"""Blood cells: 8 classes, 96x96 colour, a code submission that runs on the organisers' server."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from competitions.blood_cells.recipes import RECIPES
from competitions.blood_cells.space import FIRST_TRIALS, suggest
from toolkit import (
    Accuracy,
    Classification,
    Competition,
    Dataset,
    Npz,
    Prediction,
    Recipe,
    Rules,
    SandboxRun,
    image_array,
    label_array,
)

if TYPE_CHECKING:
    from torch import nn

TASK = Classification(
    classes=(
        "basophil",
        "eosinophil",
        "erythroblast",
        "immature granulocyte",
        "lymphocyte",
        "monocyte",
        "neutrophil",
        "platelet",
    ),
    image_shape=(96, 96, 3),
)
RULES = Rules(
    pretrained=True,
    unlabelled_test_images=False,
    submission_bytes=1_900_000_000,
    submission_packages=("torch", "numpy"),
    sources={
        "pretrained": "competitions/blood_cells/README.md, Rules: pretrained weights are allowed",
        "external_data": "competitions/blood_cells/README.md, Rules: not published, taken as forbidden",
        "unlabelled_test_images": "competitions/blood_cells/README.md, Rules: the test images are not handed out",
        "submission_bytes": "competitions/blood_cells/README.md, Rules: no limit is published, 1.9 GB is the "
        "largest zip that is known to have passed",
        "submission_packages": "competitions/blood_cells/README.md, Rules: no list is published, a zip of this "
        "project needs these alone",
    },
)


def load(folder: Path) -> Dataset:
    """Read `training_set.npz`: `images` (N, 96, 96, 3) and `labels` (N, 1)."""
    file = Npz(folder / "training_set.npz")
    images = image_array(file["images"], TASK.image_shape, f"{file.path}: images")
    labels = label_array(file["labels"], len(TASK.classes), f"{file.path}: labels")
    return Dataset(images, labels, np.arange(len(images)), np.arange(len(images)), images[:0])


# torch, OpenCV and the rest are imported only by the verb that needs them


def build_model(recipe: Recipe) -> "nn.Module":
    from competitions.blood_cells.models import build

    return build(recipe.model, len(TASK.classes), TASK.image_shape[2])


def write_submission(prediction: Prediction, path: Path) -> None:
    from competitions.blood_cells.submission import write

    write(prediction, path)


def try_submission(path: Path, images: np.ndarray) -> SandboxRun:
    from toolkit import run_code_submission

    return run_code_submission(path, images, len(TASK.classes), RULES)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return try_submission(path, images).labels


def practice(folder: Path, seed: int, size: int) -> None:
    from competitions.blood_cells.practice import practice as draw

    draw(folder, seed, size)


competition = Competition(
    name="blood_cells",
    task=TASK,
    metric=Accuracy(),
    rules=RULES,
    load=load,
    build_model=build_model,
    recipes=RECIPES,
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".zip",
    practice=practice,
    practice_size=800,
    files="`training_set.npz` (from the Codabench page of AN2DL's first challenge 2024-25)",
    folder=Path(__file__).parent,
    try_submission=try_submission,
    suggest=suggest,
    symmetries="both",
    first_trials=FIRST_TRIALS,
)
