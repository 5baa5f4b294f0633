"""RANZCR CLiP: which tubes and lines a chest radiograph shows, and whether they lie well; mean AUC of 11 labels.

Kaggle, ranzcr-clip-catheter-line-classification, pages Data and Evaluation: train.csv with `StudyInstanceUID`, a
column a label and `PatientID` (whose studies share a fold), train/<StudyInstanceUID>.jpg, test/, and the sample. Where
a tube ends is small (practice data, drawn by practice.py, are content with 64x64 pixels), so look at many pixels:

    compete run examples/ranzcr_clip --data FOLDER --budget 12h images.size=512
"""

from pathlib import Path

import pandas as pd

from toolkit import Augment, Competition, Labels, Model, Network, Recipe, RocAuc, Samples, Schedule
from toolkit import classifier, image_folder, target_table

LABELS = (
    "ETT - Abnormal", "ETT - Borderline", "ETT - Normal",
    "NGT - Abnormal", "NGT - Borderline", "NGT - Incompletely Imaged", "NGT - Normal",
    "CVC - Abnormal", "CVC - Borderline", "CVC - Normal", "Swan Ganz Catheter Present",
)  # fmt: skip
TASK = Labels(labels=LABELS, image_shape=(64, 64, 1))
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(flip="none", rotate=10, scale=0.1, shift=0.05, colour=0.2),
    schedule=Schedule(epochs=10, freeze=0.2),
)


def load(folder: Path) -> Samples:
    names, labels = target_table(folder / "train.csv", TASK, ("StudyInstanceUID", *LABELS))
    images, tests = image_folder(folder / "train").chosen(names), image_folder(folder / "test")
    patients, _ = pd.factorize(pd.read_csv(folder / "train.csv", dtype=str)["PatientID"])
    return Samples(images, labels, groups=patients, test_images=tests)


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.ranzcr_clip.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="ranzcr_clip",
    task=TASK,
    metric=RocAuc(),
    load=load,
    build_model=build_model,
    recipes={LITE0.name: LITE0},
    symmetries="none",
    practice=practice,
    practice_size=240,
    kaggle="ranzcr-clip-catheter-line-classification",
    folder=Path(__file__).parent,
)
