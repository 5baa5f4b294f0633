"""Bengali.AI: root, vowel and consonant of a handwritten grapheme; the macro recalls of the three, the root's twice.

Kaggle, bengaliai-cv19, pages Data and Evaluation: train_image_data_0.parquet … _3.parquet (200,840 rows) and as many
of test images, with image_id and a column a pixel, 0 to 32331, of 137x236; train.csv; a submission has row_id,target,
a row an image and head: `Test_0_consonant_diacritic`. Only notebooks were scored. More pixels tell more:

    compete run examples/bengali --data FOLDER --budget 8h images.size=236
"""

from pathlib import Path

from toolkit import Augment, Competition, Heads, Model, Network, Recipe, Samples, WeightedMacroRecall
from toolkit import ImageFiles, Schedule, array_files, classifier, target_table

COUNTS = {"grapheme_root": 168, "vowel_diacritic": 11, "consonant_diacritic": 7}
HEADS = tuple((name, tuple(map(str, range(count)))) for name, count in COUNTS.items())
TASK = Heads(HEADS, image_shape=(48, 80, 1), weights=(2, 1, 1))
LITE0 = Recipe(
    name="lite0",
    model=Model(name="tf_efficientnet_lite0", pretrained=True),
    augment=Augment(flip="none", rotate=8, scale=0.1, shift=0.05),
    schedule=Schedule(epochs=12, freeze=0.2, ema=0.9),
    batch_size=16,
)


def pixels(folder: Path, part: str) -> ImageFiles:
    paths = sorted(folder.glob(f"{part}_image_data_*.parquet"))
    first, *others = (array_files(path, shape=(137, 236), names="image_id") for path in paths)
    return sum(others, first)


def load(folder: Path) -> Samples:
    names, targets = target_table(folder / "train.csv", TASK, ("image_id", *COUNTS))
    return Samples(pixels(folder, "train").chosen(names), targets, test_images=pixels(folder, "test"))


def build_model(recipe: Recipe) -> Network:
    return classifier(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.bengali.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="bengali",
    task=TASK,
    metric=WeightedMacroRecall((2, 1, 1)),
    load=load,
    build_model=build_model,
    recipes={LITE0.name: LITE0},
    symmetries="none",
    practice=practice,
    practice_size=240,
    kaggle="bengaliai-cv19",
    folder=Path(__file__).parent,
)
