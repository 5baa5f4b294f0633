"""HuBMAP: glomeruli on slides of kidneys, some of 40,000 pixels a side; run lengths at full size, Dice.

Kaggle, hubmap-kidney-segmentation, pages Data and Evaluation: train/*.tiff (15 at the end), test/*.tiff, train.csv
with id,encoding, HuBMAP-20-dataset_information.csv with image_file and patient_number, of whom some have two slides; a
submission has id,predicted. For the real slides set SIDE, SCALE = 512, 0.25 and take weights of ImageNet:

    compete run examples/hubmap_kidney --data FOLDER --budget 8h model.encoder=resnet34 model.pretrained=true
"""

from pathlib import Path

import pandas as pd

from toolkit import Augment, Competition, Loss, MeanDice, Model, Network, OverlappingMasks, Recipe, Samples
from toolkit import Schedule, image_folder, run_length_masks, segmenter, tiles

SIDE, SCALE = 64, 0.5
TASK = OverlappingMasks(labels=("glomerulus",), image_shape=(SIDE, SIDE, 3))
UNET = Recipe(
    name="unet",
    model=Model(name="Unet", encoder="timm-mobilenetv3_small_minimal_100"),
    augment=Augment(flip="both", rotate=90, scale=0.2, colour=0.3),
    loss=Loss(names=("bce", "dice")),
    schedule=Schedule(epochs=30, ema=0.9),
)


def load(folder: Path) -> Samples:
    slides, tests = image_folder(folder / "train", "*.tiff"), image_folder(folder / "test", "*.tiff")
    masks = run_length_masks(folder / "train.csv", slides.stems, TASK, slides, ("id", "encoding"))
    about = pd.read_csv(folder / "HuBMAP-20-dataset_information.csv", index_col="image_file")
    patients, _ = pd.factorize(about["patient_number"].loc[slides.file_names])
    made, test = (tiles(each, SIDE, overlap=0.25, at=SCALE, blank=0.02) for each in (slides, tests))
    groups, places = patients[made.picture], made.places
    return Samples(made.images, masks, None, groups, test.images, places=places, test_places=test.places)


def build_model(recipe: Recipe) -> Network:
    return segmenter(recipe.model.name, recipe.model, TASK.channels, TASK.image_shape[2])


def practice(folder: Path, seed: int, size: int) -> None:
    from examples.hubmap_kidney.practice import draw

    draw(folder, seed, size)


competition = Competition(
    name="hubmap_kidney",
    task=TASK,
    metric=MeanDice(),
    load=load,
    build_model=build_model,
    recipes={UNET.name: UNET},
    symmetries="both",
    practice=practice,
    practice_size=8,
    kaggle="hubmap-kidney-segmentation",
    folder=Path(__file__).parent,
)
