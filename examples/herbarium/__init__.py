"""Herbarium 2022: of which of 15,501 species is a pressed plant, by macro F1.

Kaggle, herbarium-2022-fgvc9, page Data: train_metadata.json has images, annotations with a category each, categories
and more, test_metadata.json is a list of images; pictures are train_images/000/00/00000__001.jpg. Unpack into FOLDER:

    compete run examples/herbarium --data FOLDER --budget 3d images.size=384

The species' numbers have gaps, so there are more classes than species. practice.py draws 15 of them, at 48x48, of
which two have a single picture.
"""

from pathlib import Path

from toolkit import Augment, Classification, Competition, ImageFiles, MacroF1, Model, Network, Optimizer, Recipe
from toolkit import Samples, Schedule, classifier, json_table, target_table

TASK = Classification(classes=tuple(map(str, range(15505))), image_shape=(48, 48, 3))
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True, head="mlp", dropout=0.1),
    augment=Augment(rotate=10, scale=0.1, shift=0.05, colour=0.2),
    optimizer=Optimizer(lr=2e-3),
    schedule=Schedule(epochs=12, freeze=0.5, ema=0.9),
    batch_size=16,
)


def load(folder: Path) -> Samples:
    train, test = (json_table(folder / f"{name}_metadata.json") for name in ("train", "test"))
    names, labels = target_table(train, TASK, ("file_name", "category_id"))
    tests = [folder / "test_images" / name for name in test["file_name"]]
    images = ImageFiles([folder / "train_images" / name for name in names])
    return Samples(images, labels, test_images=ImageFiles(tests), test_ids=test["image_id"].to_numpy(str))


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.herbarium.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="herbarium", task=TASK, metric=MacroF1(), load=load, build_model=build_model,
    recipes={LITE0.name: LITE0}, symmetries="horizontal", practice=practice, practice_size=160,
    kaggle="herbarium-2022-fgvc9", folder=Path(__file__).parent,
)  # fmt: skip
