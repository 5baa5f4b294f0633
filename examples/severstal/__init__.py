"""Severstal: four kinds of defects on strips of steel, run lengths of each; mean Dice of images and kinds.

Kaggle, severstal-steel-defect-detection, pages Data and Evaluation: train_images/0002cc93b.jpg … (12,568 of 1600x256),
test_images, train.csv with ImageId,ClassId,EncodedPixels and rows where there is a defect alone; the sample, which is
followed, had ImageId_ClassId,EncodedPixels in 2019, four rows an image. Only notebooks are scored. Here networks see
160x26 pixels, in which small defects are lost; for the real files take more, and weights of ImageNet:

    compete run examples/severstal --data FOLDER --budget 8h images.size=800 \
        model.name=Unet model.encoder=resnet34 model.pretrained=true
"""

from pathlib import Path

from toolkit import Augment, Competition, Loss, MeanDice, Model, Network, Optimizer, OverlappingMasks, Recipe, Samples
from toolkit import Schedule, image_folder, run_length_masks, segmenter

TASK = OverlappingMasks(labels=("1", "2", "3", "4"), image_shape=(26, 160, 3))
LINKNET = Recipe(
    name="linknet",
    model=Model(name="Linknet", encoder="timm-mobilenetv3_small_minimal_100"),
    augment=Augment(flip="both", scale=0.1, colour=0.2),
    loss=Loss(names=("bce", "dice")),
    optimizer=Optimizer(lr=4e-3),
    schedule=Schedule(epochs=24, ema=0.9),
    batch_size=8,
)


def load(folder: Path) -> Samples:
    images = image_folder(folder / "train_images")
    columns = ("ImageId", "ClassId", "EncodedPixels")
    masks = run_length_masks(folder / "train.csv", images.file_names, TASK, images, columns)
    return Samples(images, masks, test_images=image_folder(folder / "test_images"))


def build_model(recipe: Recipe) -> Network:
    return segmenter(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.severstal.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="severstal",
    task=TASK,
    metric=MeanDice(),
    load=load,
    build_model=build_model,
    recipes={LINKNET.name: LINKNET},
    symmetries="both",
    practice=practice,
    practice_size=120,
    kaggle="severstal-steel-defect-detection",
    folder=Path(__file__).parent,
)
