"""PetFinder.my Pawpularity: how much a pet's photograph is looked at, from 1 to 100, by RMSE; with a table beside it.

Kaggle, petfinder-pawpularity-score, pages Data and Evaluation: train.csv with `Id`, twelve columns of 0 and 1 about
the photograph, and `Pawpularity`; test.csv without the last; train/<Id>.jpg, test/<Id>.jpg, sample_submission.csv:

    compete run examples/pawpularity --data FOLDER --budget 4h images.size=224

Practice data are drawn by practice.py, for which 64x64 pixels are enough.
"""

from pathlib import Path

from toolkit import Augment, Competition, Loss, Model, Network, Numbers, Recipe, Rmse, Samples, Schedule
from toolkit import classifier, image_folder, table_of, target_table

BESIDE = (
    "Subject Focus", "Eyes", "Face", "Near", "Action", "Accessory",
    "Group", "Collage", "Human", "Occlusion", "Info", "Blur",
)  # fmt: skip
TASK = Numbers(targets=("Pawpularity",), image_shape=(64, 64, 3), low=1, high=100)
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(flip="horizontal", rotate=10, scale=0.1, colour=0.1),
    loss=Loss(names=("bce",)),  # of the number as a share of what there is between low and high
    schedule=Schedule(epochs=8, freeze=0.25),
)


def load(folder: Path) -> Samples:
    names, scores = target_table(folder / "train.csv", TASK, ("Id", "Pawpularity"))
    images, tests = image_folder(folder / "train").chosen(names), image_folder(folder / "test")
    table = table_of(folder / "train.csv", names, ("Id", *BESIDE))
    test_table = table_of(folder / "test.csv", tests.stems, ("Id", *BESIDE))
    return Samples(images, scores, test_images=tests, table=table, test_table=test_table)


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.pawpularity.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="pawpularity",
    task=TASK,
    metric=Rmse(),
    load=load,
    build_model=build_model,
    recipes={LITE0.name: LITE0},
    symmetries="horizontal",
    practice=practice,
    practice_size=240,
    kaggle="petfinder-pawpularity-score",
    folder=Path(__file__).parent,
)
