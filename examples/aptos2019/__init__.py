"""APTOS 2019 Blindness Detection: five grades of diabetic retinopathy, by quadratic weighted kappa.

Kaggle, aptos2019-blindness-detection, pages Data and Evaluation: train.csv with `id_code,diagnosis` (0: no disease to
4: proliferative), train_images/<id_code>.png of many sizes, test_images/, sample_submission.csv. Copies of one eye
have different grades there, and the audit finds them. Unpack it all into FOLDER:

    compete run examples/aptos2019 --data FOLDER --budget 6h images.size=384

Practice data are drawn by practice.py, for which 64x64 pixels are enough.
"""

from pathlib import Path

from toolkit import Augment, Competition, Grades, Model, Network, QuadraticKappa, Recipe, Samples, Schedule
from toolkit import classifier, image_folder, target_table

TASK = Grades(grades=("0", "1", "2", "3", "4"), image_shape=(64, 64, 3))
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(flip="both", rotate=180, scale=0.1, colour=0.2),
    schedule=Schedule(epochs=12, freeze=0.2),
    batch_size=16,
)


def load(folder: Path) -> Samples:
    names, grades = target_table(folder / "train.csv", TASK, ("id_code", "diagnosis"))
    images = image_folder(folder / "train_images").chosen(names)
    return Samples(images, grades, test_images=image_folder(folder / "test_images"))


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.aptos2019.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="aptos2019",
    task=TASK,
    metric=QuadraticKappa(),
    load=load,
    build_model=build_model,
    recipes={LITE0.name: LITE0},
    symmetries="both",
    practice=practice,
    practice_size=240,
    kaggle="aptos2019-blindness-detection",
    folder=Path(__file__).parent,
)
