"""Dogs vs. Cats Redux: the probability that it is a dog, by log loss.

Kaggle, dogs-vs-cats-redux-kernels-edition, pages Data and Evaluation: train/cat.0.jpg … train/dog.12499.jpg (the label
is in the name), test/1.jpg … test/12500.jpg, and sample_submission.csv with `id,label`. Unpack both zips into FOLDER:

    compete run examples/dogs_vs_cats --data FOLDER --budget 4h images.size=224

Practice data are drawn by practice.py, for which 64x64 pixels are enough.
"""

from pathlib import Path

from toolkit import Augment, Classification, Competition, LogLoss, Model, Network, Recipe, Samples, Schedule
from toolkit import classifier, image_folder, labels_in_names

TASK = Classification(classes=("cat", "dog"), image_shape=(64, 64, 3))
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(rotate=10, scale=0.1, shift=0.05, colour=0.3),
    schedule=Schedule(epochs=8, freeze=0.25),
)


def load(folder: Path) -> Samples:
    images, test = image_folder(folder / "train"), image_folder(folder / "test")
    return Samples(images, labels_in_names(images, r"^(cat|dog)\.", TASK.classes), test_images=test)


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.dogs_vs_cats.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="dogs_vs_cats",
    task=TASK,
    metric=LogLoss(),
    load=load,
    build_model=build_model,
    recipes={LITE0.name: LITE0},
    symmetries="horizontal",
    practice=practice,
    practice_size=240,
    kaggle="dogs-vs-cats-redux-kernels-edition",
    folder=Path(__file__).parent,
)
