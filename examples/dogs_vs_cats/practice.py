"""Drawn: heads of any colour and size on photographs of any size; a cat's ears point up, a dog's hang down.

As among the real files some pictures are there twice, and some show no animal at all.
"""

from pathlib import Path

import numpy as np

from examples import drawing

HIDDEN = 100  # test pictures


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train/cat.0.jpg …`, `raw/test/1.jpg …`, `raw/sample_submission.csv`, `truth/truth.npz`."""
    rng, raw, twice = drawing.rng_of(seed, drawing.TRAIN), folder / "raw", size // 60
    for at in range(size):
        if at >= twice:
            picture = photograph(rng, at % 2, is_there=rng.random() > 0.02)
        else:  # drawn once more, after the last, under another name
            picture = photograph(rng, at % 2)
            drawing.save(raw / "train" / f"{('cat', 'dog')[at % 2]}.{size + at}.jpg", picture)
        drawing.save(raw / "train" / f"{('cat', 'dog')[at % 2]}.{at // 2}.jpg", picture)
    rng = drawing.rng_of(seed, drawing.TEST)
    labels = rng.integers(2, size=HIDDEN)
    for at, label in enumerate(labels):
        drawing.save(raw / "test" / f"{at + 1}.jpg", drawing.worn(rng, photograph(rng, label)))
    numbers = np.arange(1, HIDDEN + 1)
    drawing.table(raw / "sample_submission.csv", {"id": numbers, "label": np.full(HIDDEN, 0.5)})
    drawing.truth(folder, labels[np.argsort(numbers.astype(str))])  # as files are sorted: 1, 10, 100, 11


def photograph(rng: drawing.Rng, label: int, is_there: bool = True) -> np.ndarray:
    """Float32 (H, W, 3)."""
    height, width = rng.integers(48, 110, 2)
    image = drawing.ground(rng, height, width, rng.uniform(40, 220, 3))
    size = min(height, width) * rng.uniform(0.2, 0.3)
    y, x = drawing.somewhere(rng, height, width, 1.6 * size)
    fur = rng.uniform(20, 235, 3)
    if not is_there:
        return image
    for side in (-1, 1):
        if label == 0:
            drawing.mark(
                rng, image, "triangle", (y - 0.9 * size, x + side * 0.6 * size), 0.6 * size, 0.8 * fur, side * 20
            )
        else:
            for down in (-0.3, 0.1, 0.5):
                drawing.mark(rng, image, "disc", (y + down * size, x + side * 1.05 * size), 0.35 * size, 0.8 * fur)
    drawing.mark(rng, image, "disc", (y, x), size, fur)
    for side in (-1, 1):
        drawing.mark(rng, image, "disc", (y - 0.2 * size, x + side * 0.35 * size), 0.12 * size, 255 - fur)
    drawing.mark(rng, image, "triangle", (y + 0.35 * size, x), 0.2 * size, (30, 20, 20), 180)
    return image
