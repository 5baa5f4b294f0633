"""RSNA Screening Mammography Breast Cancer Detection: is there cancer in a breast, by probabilistic F1.

Kaggle, rsna-breast-cancer-detection, page Data: train.csv has a row a mammogram, train_images/<patient>/<image>.dcm
has more than 8 bits and says how it is to be shown; all of a breast are one prediction. Many are JPEG 2000, so
`pip install '.[dicom]'`, unpack into FOLDER, and:

    compete run examples/rsna_breast --data FOLDER --budget 12h images.size=768

Both breasts of a patient share a fold. practice.py draws more cancers than there are: in every fifth breast."""

from pathlib import Path

import numpy as np
import pandas as pd

from toolkit import Augment, Classification, Competition, Model, Network, Optimizer, ProbabilisticF1, Recipe, Samples
from toolkit import Schedule, classifier, image_folder, set_table, sets_of

TASK = Classification(classes=("healthy", "cancer"), image_shape=(48, 36, 1))
SHOWN = {"window": True}  # as the files say that they be shown, in 8 bits
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(flip="both", rotate=10, scale=0.1, shift=0.05, colour=0.2),
    optimizer=Optimizer(lr=2e-3),
    schedule=Schedule(epochs=10, ema=0.9),
    batch_size=8,
    sampling=0.5,
)


def load(folder: Path) -> Samples:
    train, test = (pd.read_csv(folder / f"{name}.csv", dtype=str) for name in ("train", "test"))
    train["breast"] = train["patient_id"] + "_" + train["laterality"]
    names, breasts, sets, labels = set_table(train, TASK, ("image_id", "breast", "cancer"))
    patients, _ = pd.factorize(pd.Series(breasts).str.partition("_")[0])
    images = image_folder(folder / "train_images", options=SHOWN).chosen(names)
    tests = image_folder(folder / "test_images", options=SHOWN).chosen(test["image_id"].tolist())
    ids = list(dict.fromkeys(test["prediction_id"]))
    return Samples(
        images, labels, groups=patients, sets=sets, names=np.array(breasts), test_ids=np.array(ids),
        test_images=tests, test_sets=sets_of(test["prediction_id"].tolist(), ids),
    )  # fmt: skip


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.rsna_breast.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="rsna_breast", task=TASK, metric=ProbabilisticF1(), load=load, build_model=build_model,
    recipes={LITE0.name: LITE0}, symmetries="both", practice=practice, practice_size=200,
    kaggle="rsna-breast-cancer-detection", folder=Path(__file__).parent,
)  # fmt: skip
