"""Slides: small ones, of 1,000x900 pixels and less, with sick and healthy tissue on glass; runs at full size, IoU."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from tifffile import TiffWriter
from torch import nn

from tests.small import drawing
from toolkit import (
    Competition,
    MeanIoU,
    Prediction,
    Recipe,
    Samples,
    Segmentation,
    image_folder,
    read_run_lengths,
    run_length_masks,
    tiles,
    write_run_lengths,
)
from toolkit.formats.run_lengths import run_lengths
from toolkit.recipe import override

SIDE = 64
TASK = Segmentation(("healthy", "sick"), (SIDE, SIDE, 3))
FIRST = override(drawing.FIRST, ("schedule.epochs=4",))
SIZES = [(1000, 900), (840, 1000), (777, 901), (640, 1000), (1000, 640), (210, 300)]  # two of them to be handed in
NAMES = [f"slide_{number}" for number in range(len(SIZES))]
TRAIN = 4


def draw(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A slide uint8 (h, w, 3), and what is sick, bool (h, w)."""
    rng, size = np.random.default_rng([seed, number]), SIZES[number]
    rough = [cv2.GaussianBlur(rng.normal(size=(12, 12)), (0, 0), 1.2) for _ in range(2)]
    fields = [cv2.resize(field, size[::-1], interpolation=cv2.INTER_CUBIC) for field in rough]
    tissue = fields[0] > np.quantile(fields[0], 0.6)
    sick = tissue & (fields[1] > np.quantile(fields[1], 0.5))
    image = rng.normal(243, 2, (*size, 3))
    texture = cv2.GaussianBlur(rng.normal(0, 150, (*size, 3)), (0, 0), 3)
    for shown, colour in ((tissue, (205, 130, 185)), (sick, (150, 90, 175))):
        image[shown] = texture[shown] + colour
    return image.clip(0, 255).astype(np.uint8), sick


def write_slide(path: Path, image: np.ndarray) -> None:
    """A pyramid of two levels in tiles of 128."""
    with TiffWriter(path, bigtiff=True) as file:
        for level, each in enumerate((image, cv2.resize(image, (image.shape[1] // 4, image.shape[0] // 4)))):
            kind = {"tile": (128, 128), "compression": "zlib", "photometric": "rgb", "subfiletype": level}
            file.write(each, metadata=None, **kind)


def practice(folder: Path, seed: int, size: int) -> None:
    masks = []
    for number, name in enumerate(NAMES):
        place = folder / "raw" / ("train" if number < TRAIN else "test")
        place.mkdir(parents=True, exist_ok=True)
        image, sick = draw(number, seed)
        write_slide(place / f"{name}.tif", image)
        masks.append(sick)
    table = pd.DataFrame({"id": NAMES[:TRAIN], "runs": [run_lengths(mask) for mask in masks[:TRAIN]]})
    table.to_csv(folder / "raw" / "train.csv", index=False)


def load(folder: Path) -> Samples:
    slides, tests = image_folder(folder / "train"), image_folder(folder / "test")
    masks = run_length_masks(folder / "train.csv", slides.stems, TASK, slides, ("id", "runs"))
    made, test = (tiles(each, SIDE, overlap=0.25, at=0.25, blank=0.02) for each in (slides, tests))
    return Samples(
        made.images,
        masks,
        groups=made.picture,
        test_images=test.images,
        places=made.places,
        test_places=test.places,
    )


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.pixel_network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_run_lengths(path, prediction.ids, prediction.labels, titles=("id", "runs"))


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_run_lengths(path, ids, images, titles=("id", "runs"))


competition = Competition(
    name="slides",
    task=TASK,
    metric=MeanIoU(),
    rules=drawing.UNSEEN,
    load=load,
    build_model=build_model,
    recipes={"first": FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    symmetries="both",
    practice=practice,
    practice_size=TRAIN,
    folder=Path(__file__).parent,
)
