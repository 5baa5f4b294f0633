"""Drawn: a stalk with leaves on a sheet; their shape is the genus, with their colour it is the species.

As among the real files a few species have many pictures and others one, the species' numbers have gaps, sheets have
labels that say nothing, and each institution has paper of its own.
"""

import json
from pathlib import Path

import numpy as np

from examples import drawing

GENERA: tuple[drawing.Shape, ...] = ("disc", "frame", "triangle", "cross", "wave")
COLOURS = ((40, 110, 40), (170, 120, 30), (150, 40, 60))
SPECIES = np.sort(np.random.default_rng(2022).choice(15_505, len(GENERA) * len(COLOURS), replace=False))
INSTITUTIONS = 5
HIDDEN = 80  # test pictures
SINGLE = 2  # species with one picture


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train_metadata.json`, `raw/train_images/000/00/00000__001.jpg`, the same of the test, and the sample."""
    rng, raw = drawing.rng_of(seed, drawing.TRAIN), folder / "raw"
    images, annotations = [], []
    for species, pictures in enumerate(counts(rng, size)):
        number = f"{SPECIES[species]:05}"
        for at in range(1, pictures + 1):
            name, institution = f"{number[:3]}/{number[3:]}/{number}__{at:03}.jpg", int(rng.integers(INSTITUTIONS))
            drawing.save(raw / "train_images" / name, sheet(rng, species, institution))
            images.append({"image_id": f"{number}__{at:03}", "file_name": name, "license": 0})
            said = {"genus_id": species % len(GENERA), "institution_id": institution}
            annotations.append({**said, "category_id": int(SPECIES[species]), "image_id": f"{number}__{at:03}"})
    metadata = {
        "annotations": annotations,
        "images": images,
        "categories": [category(at) for at in range(len(SPECIES))],
        "genera": [{"genus_id": at, "genus": shape.capitalize()} for at, shape in enumerate(GENERA)],
        "institutions": [{"institution_id": at, "collectionCode": f"H{at}"} for at in range(INSTITUTIONS)],
        "license": [{"id": 0, "name": "drawn"}],
    }
    (raw / "train_metadata.json").write_text(json.dumps(metadata))
    rng = drawing.rng_of(seed, drawing.TEST)
    hidden = rng.integers(len(SPECIES), size=HIDDEN)
    tests = [{"image_id": str(at), "file_name": f"{at // 1000:03}/{at:06}.jpg", "license": 0} for at in range(HIDDEN)]
    for one, species in zip(tests, hidden, strict=True):
        picture = drawing.worn(rng, sheet(rng, int(species), int(rng.integers(INSTITUTIONS))))
        drawing.save(raw / "test_images" / str(one["file_name"]), picture)
    (raw / "test_metadata.json").write_text(json.dumps(tests))
    drawing.table(raw / "sample_submission.csv", {"Id": range(HIDDEN), "Predicted": 42})
    drawing.truth(folder, SPECIES[hidden])


def counts(rng: drawing.Rng, size: int) -> list[int]:
    """Pictures of each species, so many in all: a long tail."""
    common = len(SPECIES) - SINGLE
    shares = 1 / (5 + np.arange(common))
    found = np.maximum(2, np.rint((size - SINGLE) * shares / shares.sum())).astype(int)
    return rng.permutation([*found, *[1] * SINGLE]).tolist()


def category(species: int) -> dict[str, object]:
    genus, kind = GENERA[species % len(GENERA)].capitalize(), ("viridis", "flava", "rubra")[species // len(GENERA)]
    name = {"scientificName": f"{genus} {kind} L.", "family": "Drawnaceae", "genus": genus, "species": kind}
    return {"category_id": int(SPECIES[species]), **name, "authors": "L."}


def sheet(rng: drawing.Rng, species: int, institution: int) -> np.ndarray:
    """Float32 (H, W, 3), higher than wide."""
    height = int(rng.integers(72, 100))
    width = int(height * rng.uniform(0.66, 0.72))
    paper = 200 + 10 * np.array([institution % 3, institution % 2, institution / 2])
    image = drawing.ground(rng, height, width, paper, 4)
    drawing.mark(rng, image, "square", (height - 9, width - 12), 8, (245, 245, 235))
    drawing.mark(rng, image, "bar", (height / 2, width / 2), 0.4 * height, (90, 80, 50), rng.normal(90, 8))
    shape, colour = GENERA[species % len(GENERA)], np.array(COLOURS[species // len(GENERA)])
    for down in np.linspace(0.15, 0.75, rng.integers(4, 6)):
        at = (height * down, width * (0.5 + rng.choice([-1, 1]) * rng.uniform(0.12, 0.28)))
        drawing.mark(rng, image, shape, at, rng.uniform(6, 9), colour + rng.normal(0, 8, 3), rng.normal(0, 25))
    return image
