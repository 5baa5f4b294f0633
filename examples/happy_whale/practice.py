"""Drawn: backs of animals on the sea, each with two marks of its own, where they are and in which colour.

As among the real ones half of the individuals were seen once, pictures are of any size, two species have names with
slips, and a fifth of the test pictures show somebody whom no training picture shows.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np

from examples import drawing

HIDDEN = 80  # test pictures
NEW = 12  # individuals whom no training picture shows
SPECIES = ("bottlenose_dolphin", "bottlenose_dolpin", "killer_whale", "kiler_whale", "beluga")
BODIES = ((70, 80, 90), (30, 30, 35), (190, 195, 200))  # of dolphins, killer whales and belugas
COLOURS = ((230, 60, 40), (240, 220, 60), (60, 200, 80), (250, 250, 250), (200, 80, 220), (60, 160, 250))
SHAPES: tuple[drawing.Shape, ...] = ("disc", "cross", "triangle", "square")


def draw(folder: Path, seed: int, size: int, names: Sequence[str]) -> None:
    """`raw/train_images`, `raw/test_images`, `raw/train.csv`, `raw/sample_submission.csv`, `truth/truth.npz`."""
    raw, rng = folder / "raw", drawing.rng_of(seed, drawing.TRAIN)
    looks = [*product(COLOURS, SHAPES)]
    looks = [looks[at] for at in np.random.default_rng(0).permutation(len(looks))]
    once = len(names) // 2  # the second half of the individuals
    whose = np.concatenate([np.arange(len(names)), rng.integers(0, len(names) - once, size - len(names))])
    rng.shuffle(whose)
    files = named(rng, size)
    for file, one in zip(files, whose, strict=True):
        drawing.save(raw / "train_images" / file, animal(rng, one, looks))
    columns = {
        "image": files,
        "species": [slip(rng, one) for one in whose],
        "individual_id": [names[one] for one in whose],
    }
    drawing.table(raw / "train.csv", columns)
    rng = drawing.rng_of(seed, drawing.TEST)
    known = rng.random(HIDDEN) < 0.8
    whose = np.where(known, rng.integers(0, len(names) - once // 2, HIDDEN), len(names) + rng.integers(0, NEW, HIDDEN))
    files = named(rng, HIDDEN)
    for file, one in zip(files, whose, strict=True):
        drawing.save(raw / "test_images" / file, drawing.worn(rng, animal(rng, one, looks)))
    drawing.table(raw / "sample_submission.csv", {"image": files, "predictions": [" ".join(names[:5])] * HIDDEN})
    drawing.truth(folder, np.where(known, whose, -1))


def named(rng: drawing.Rng, number: int) -> list[str]:
    """In the order in which files are sorted."""
    return [f"{at:014x}.jpg" for at in sorted(rng.integers(0, 16**14, number).tolist())]


def slip(rng: drawing.Rng, one: int) -> str:
    """The species, now and then misspelt."""
    species = (0, 2, 4)[one % 3]
    return SPECIES[species + (species < 4 and rng.random() < 0.1)]


def animal(rng: drawing.Rng, one: int, looks: Sequence[tuple[drawing.Colour, drawing.Shape]]) -> np.ndarray:
    """Float32 (H, W, 3) of individual `one`: its two marks and where they are follow from its number alone."""
    height, width = rng.integers(56, 110, 2)
    image = drawing.ground(rng, height, width, (70, 110, rng.uniform(120, 170)))
    size = min(height, width) * rng.uniform(0.36, 0.44)
    y, x = drawing.somewhere(rng, height, width, 1.1 * size)
    drawing.mark(rng, image, "disc", (y, x), size, BODIES[one % 3], strength=0.95)
    own = np.random.default_rng([1, one])
    # what is known again moves a little, or the audit would take all pictures of one individual for copies
    for at, angle in enumerate(own.uniform(0, 360) + np.array([0, 150]) + rng.normal(0, 14, 2)):
        colour, shape = looks[(5 * one + 7 * at + (one // len(looks)) * 11) % len(looks)]
        turn = np.deg2rad(angle)
        drawing.mark(
            rng, image, shape, (y + 0.45 * size * np.sin(turn), x + 0.45 * size * np.cos(turn)), 0.34 * size, colour
        )
    return image
