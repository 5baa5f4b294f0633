"""Recursion Cellular Image Classification: which of 1,108 siRNAs cells were given, by accuracy.

Kaggle, recursion-cellular-image-classification, page Data: train.csv and test.csv have a row a well; a well has two
sites, a site six grey pictures, train/HEPG2-01/Plate1/B03_s1_w1.png … _w6.png. Unpack all into FOLDER:

    compete run examples/recursion --data FOLDER --budget 12h images.size=384 schedule.epochs=40

Test wells are of other experiments, so folds keep experiments together. practice.py draws twelve siRNAs, at 48x48."""

from pathlib import Path

import numpy as np
import pandas as pd
from toolkit import Accuracy, Augment, Classification, Competition, ImageFiles, Model, Network, Recipe, Samples
from toolkit import Schedule, channel_files, classifier, image_folder, sets_of, target_table

TASK = Classification(classes=tuple(map(str, range(1108))), image_shape=(48, 48, 6))
STAINS = ("_w1", "_w2", "_w3", "_w4", "_w5", "_w6")
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(flip="both", colour=0.2),
    schedule=Schedule(epochs=12, ema=0.9),
    batch_size=16,
)


def load(folder: Path) -> Samples:
    wells, labels = target_table(folder / "train.csv", TASK, ("id_code", "sirna"))
    tests = pd.read_csv(folder / "test.csv", dtype=str)["id_code"].tolist()
    (images, sets), (test_images, test_sets) = sites(folder / "train", wells), sites(folder / "test", tests)
    return Samples(
        images, labels, groups=pd.factorize(pd.read_csv(folder / "train.csv")["experiment"])[0], sets=sets,
        names=np.array(wells), test_images=test_images, test_sets=test_sets, test_ids=np.array(tests),
    )  # fmt: skip


def sites(folder: Path, wells: list[str]) -> tuple[ImageFiles, np.ndarray]:
    """Pictures of these wells, such as `HEPG2-01_1_B03`, and the well that each shows; controls are in no table."""
    images = channel_files(image_folder(folder, "*_w1.png"), STAINS)
    shown = np.array([f"{path.parts[-3]}_{path.parts[-2][5:]}_{path.name[:3]}" for path in images.paths])
    listed = np.flatnonzero(np.isin(shown, wells))
    return images[listed], sets_of(shown[listed].tolist(), wells)


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.recursion.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="recursion", task=TASK, metric=Accuracy(), load=load, build_model=build_model,
    recipes={LITE0.name: LITE0}, symmetries="both", practice=practice, practice_size=120,
    kaggle="recursion-cellular-image-classification", folder=Path(__file__).parent,
)  # fmt: skip
