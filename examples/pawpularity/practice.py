"""Drawn: a pet on a lawn; the larger, the brighter and the better lit, the more it is looked at, and by chance.

As among the real files much of the score can't be known, some pictures have the score 100, and some are there twice
with two scores. A little of what the score follows from stands in the table alone.
"""

from pathlib import Path

import numpy as np

from examples import drawing
from examples.pawpularity import BESIDE

HIDDEN = 80


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train.csv`, `raw/train/`, `raw/test.csv`, `raw/test/`, `raw/sample_submission.csv`, `truth/truth.npz`."""
    raw = folder / "raw"
    for part, name, number in ((drawing.TRAIN, "train", size), (drawing.TEST, "test", HIDDEN)):
        rng = drawing.rng_of(seed, part)
        ids = sorted(rng.bytes(16).hex() for _ in range(number))
        known = (rng.random((number, len(BESIDE))) < 0.4).astype(np.int64)
        charm = rng.normal(0, 1, number)  # what the picture shows of it
        liked = 38 + 13 * charm + 6 * (known[:, BESIDE.index("Eyes")] - known[:, BESIDE.index("Blur")])
        scores = np.clip(np.rint(liked + rng.normal(0, 8, number)), 1, 100).astype(np.int64)
        scores[rng.random(number) < 0.02] = 100
        image = np.zeros(0)
        for at, called in enumerate(ids):
            if part == drawing.TEST or at % 60 != 1:  # else the picture before it, once more
                image = photograph(rng, charm[at])
            drawing.save(raw / name / f"{called}.jpg", drawing.worn(rng, image) if part == drawing.TEST else image)
        beside = {"Id": ids, **dict(zip(BESIDE, known.T, strict=True))}
        drawing.table(raw / f"{name}.csv", beside | ({"Pawpularity": scores} if part == drawing.TRAIN else {}))
        if part == drawing.TEST:
            drawing.table(raw / "sample_submission.csv", {"Id": ids, "Pawpularity": np.full(number, 38.5)})
            drawing.truth(folder, scores[:, None].astype(np.float32))


def photograph(rng: drawing.Rng, charm: float) -> np.ndarray:
    """Float32 (H, W, 3), of any size between 56x56 and 112x112."""
    height, width = rng.integers(56, 113, 2)
    image = drawing.ground(rng, height, width, rng.uniform((40, 90, 30), (110, 160, 90)), noise=14)
    size = min(height, width) * np.clip(0.26 + 0.07 * charm, 0.12, 0.42)
    fur = np.clip(130 + 35 * charm + rng.normal(0, 12, 3), 20, 240)
    at = (height / 2 + rng.normal(0, 3), width / 2 + rng.normal(0, 3))
    drawing.mark(rng, image, "disc", at, size, fur)
    for side in (-1, 1):
        drawing.mark(rng, image, "triangle", (at[0] - size, at[1] + side * 0.6 * size), 0.45 * size, 0.8 * fur)
        drawing.mark(rng, image, "disc", (at[0] - 0.2 * size, at[1] + side * 0.4 * size), 0.16 * size, (30, 30, 30))
    return image
