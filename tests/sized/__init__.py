"""Sheets of many sizes with bright spots on them, each handed in at its own size as run lengths; or tiles of them."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from tests.small import drawing
from toolkit import (
    Competition,
    MeanIoU,
    Places,
    Prediction,
    Recipe,
    Samples,
    Segmentation,
    image_folder,
    mask_files,
    read_run_lengths,
    write_run_lengths,
)
from toolkit.images.regions import size_of

TASK = Segmentation(("sheet", "spot"), drawing.SHAPE)
TEST = 10


def sheet(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A picture (h, w, 3) and its mask (h, w)."""
    height, width = rng.integers(18, 50, 2)
    mask = np.zeros((height, width), np.uint8)
    top, left = int(rng.integers(0, height // 2)), int(rng.integers(0, width // 2))
    mask[top : top + height // 2, left : left + width // 2] = 1
    return np.clip(90 + 80 * mask[..., None] + rng.normal(0, 8, (height, width, 3)), 0, 255).astype(np.uint8), mask


def practice(folder: Path, seed: int, size: int) -> None:
    rng, truth = np.random.default_rng(seed), []
    for name, number in (("train", size), ("test", TEST)):
        for part in ("images", "masks") if name == "train" else ("images",):
            (folder / "raw" / name / part).mkdir(parents=True)
        for at in range(number):
            image, mask = sheet(rng)
            Image.fromarray(image).save(folder / "raw" / name / "images" / f"{at:03}.png")
            if name == "train":
                Image.fromarray(255 * mask).save(folder / "raw" / name / "masks" / f"{at:03}.png")
            else:
                truth.append(mask.ravel())
    (folder / "truth").mkdir()
    np.savez(folder / "truth" / "truth.npz", targets=np.concatenate(truth))


def load(folder: Path) -> Samples:
    images, test = (image_folder(folder / name / "images") for name in ("train", "test"))
    masks = mask_files([folder / "train" / "masks" / name for name in images.file_names], TASK, {255: 1})
    return Samples(images, masks, test_images=test)


def load_tiles(folder: Path) -> Samples:
    """The same, cut into tiles that overlap."""
    whole = load(folder)
    assert whole.test_images is not None
    found = []
    for images in (whole.images, whole.test_images):
        sizes, corners = np.array([size_of(images, at) for at in range(len(images))]), []
        for at, (height, width) in enumerate(sizes.tolist()):
            tops, lefts = ([*range(0, side - 16, 10), side - 16] for side in (height, width))
            corners += [(at, top, left, 16, 16) for top in tops for left in lefts]
        places = Places(np.array(corners)[:, 0], np.array(corners)[:, 1:], sizes)
        options = {"corners": json.dumps(places.boxes[:, :2].tolist())}
        tiles = images[places.picture]
        found.append((type(tiles)(tiles.paths, np.arange(len(places)), corner, options=options), places))
    (tiles, places), (test_tiles, test_places) = found
    return Samples(
        tiles,
        whole.targets,
        groups=places.picture,
        test_images=test_tiles,
        places=places,
        test_places=test_places,
    )


def corner(path: Path, row: int, least: int, corners: str) -> np.ndarray:
    top, left = json.loads(corners)[row]
    return np.array(Image.open(path))[top : top + 16, left : left + 16]


def build_model(recipe: Recipe) -> nn.Module:
    return drawing.pixel_network(recipe, TASK.channels)


def write_submission(prediction: Prediction, path: Path) -> None:
    write_run_lengths(path, prediction.ids, prediction.labels)


def read_submission(path: Path, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return read_run_lengths(path, ids, images)


competition = Competition(
    name="sized",
    task=TASK,
    metric=MeanIoU(),
    rules=drawing.UNSEEN,
    load=load,
    build_model=build_model,
    recipes={"first": drawing.FIRST},
    write_submission=write_submission,
    read_submission=read_submission,
    submission_suffix=".csv",
    practice=practice,
    practice_size=24,
    folder=Path(__file__).parent,
    suggest=drawing.suggest,
)
