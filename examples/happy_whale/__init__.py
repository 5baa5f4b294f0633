"""Happywhale: which whale or dolphin is it, or is it somebody new? Five guesses in their order, MAP@5.

Kaggle, happy-whale-and-dolphin, pages Data and Evaluation: train_images (51,033), test_images (27,956), train.csv with
image,species,individual_id, of 15,587 individuals, most of them there once; a submission has image,predictions, up to
five between blanks, `new_individual` for who isn't in train.csv. classes.txt has the practice data's individuals; for
the real files write it anew:

    tail -n +2 FOLDER/train.csv | cut -d, -f3 | sort -u > examples/happy_whale/classes.txt
    compete run examples/happy_whale --data FOLDER --budget 8h images.size=384
"""

from pathlib import Path

from toolkit import MAP, Augment, Classification, Competition, Model, Network, Optimizer, Recipe, Samples, Schedule
from toolkit import classifier, image_folder, target_table

FOLDER = Path(__file__).parent
NAMES = tuple((FOLDER / "classes.txt").read_text(encoding="utf-8").splitlines())
TASK = Classification(classes=NAMES, image_shape=(64, 64, 3), unknown="new_individual")
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(flip="none", rotate=10, scale=0.1, shift=0.05, colour=0.3),
    optimizer=Optimizer(lr=2e-3, backbone_factor=0.5),
    schedule=Schedule(epochs=20, freeze=0.1, ema=0.9),
    batch_size=16,
)


def load(folder: Path) -> Samples:
    names, whose = target_table(folder / "train.csv", TASK, ("image", "individual_id"))
    test = image_folder(folder / "test_images")
    return Samples(image_folder(folder / "train_images").chosen(names), whose, test_images=test)


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.happy_whale.practice import draw

    draw(folder, seed, size, NAMES)


competition = Competition(
    name="happy_whale",
    task=TASK,
    metric=MAP(5),
    load=load,
    build_model=build_model,
    recipes={LITE0.name: LITE0},
    symmetries="horizontal",
    practice=practice,
    practice_size=150,
    kaggle="happy-whale-and-dolphin",
    folder=FOLDER,
)
