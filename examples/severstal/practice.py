"""Drawn: strips of rolled steel of 400x64 pixels, two of five without a defect, some with black beside the strip.

As among the real ones the third kind is frequent and the second rare, and a strip may have two kinds, one upon the
other.
"""

from pathlib import Path

import numpy as np

from examples import drawing

HEIGHT, WIDTH = 64, 400
HIDDEN = 60  # test pictures
KINDS = (0.25, 0.15, 0.4, 0.2)  # shares of the kinds among defects


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train_images`, `raw/test_images`, `raw/train.csv`, `raw/sample_submission.csv`, `truth/truth.npz`."""
    raw, rng = folder / "raw", drawing.rng_of(seed, drawing.TRAIN)
    rows: list[tuple[str, int, str]] = []
    for name in names(rng, size):
        image, masks = strip(rng)
        drawing.save(raw / "train_images" / name, image)
        rows += [(name, at + 1, drawing.run_lengths(mask)) for at, mask in enumerate(masks) if mask.any()]
    drawing.table(
        raw / "train.csv", dict(zip(("ImageId", "ClassId", "EncodedPixels"), zip(*rows, strict=True), strict=True))
    )
    rng = drawing.rng_of(seed, drawing.TEST)
    tests, truths = names(rng, HIDDEN), []
    for name in tests:
        image, masks = strip(rng)
        drawing.save(raw / "test_images" / name, drawing.worn(rng, image))
        truths.append(sum(mask.astype(np.uint8) << at for at, mask in enumerate(masks)))
    keys = [f"{name}_{at + 1}" for name in tests for at in range(4)]
    drawing.table(raw / "sample_submission.csv", {"ImageId_ClassId": keys, "EncodedPixels": ["1 1"] * len(keys)})
    drawing.truth(folder, truths)


def names(rng: drawing.Rng, number: int) -> list[str]:
    """In the order in which files are sorted."""
    return [f"{at:09x}.jpg" for at in sorted(rng.choice(16**8, number, replace=False).tolist())]


def strip(rng: drawing.Rng) -> tuple[np.ndarray, np.ndarray]:
    """Float32 (64, 400, 3), and what is defect of each kind, bool (4, 64, 400)."""
    image = np.repeat(drawing.ground(rng, HEIGHT, WIDTH, [rng.uniform(80, 130)] * 3, 6)[..., :1], 3, axis=2)
    image += rng.normal(0, 5, (HEIGHT, 1, 1))  # traces of the rolls
    masks = np.zeros((4, HEIGHT, WIDTH), bool)
    kinds = rng.choice(4, size=rng.choice(3, p=(0.4, 0.45, 0.15)), replace=False, p=KINDS)
    for kind in kinds:
        y, x = drawing.somewhere(rng, HEIGHT, WIDTH, 18)
        if kind == 0:  # pits
            for _ in range(12):
                near = (y + rng.normal(0, 6), x + rng.normal(0, 10))
                masks[kind] |= drawing.mark(rng, image, "disc", near, rng.uniform(3, 5), [20] * 3)
        elif kind == 1:  # a crack across the strip
            masks[kind] = drawing.mark(rng, image, "wave", (y, x), rng.uniform(14, 20), [25] * 3, 90)
        elif kind == 2:  # scratches along it
            for _ in range(rng.integers(1, 4)):
                near = (y + rng.normal(0, 8), x + rng.normal(0, 40))
                masks[kind] |= drawing.mark(rng, image, "bar", near, rng.uniform(14, 24), [235] * 3, rng.normal(0, 6))
        else:  # scale that came off
            masks[kind] = drawing.mark(rng, image, "square", (y, x), rng.uniform(14, 20), [60] * 3, rng.uniform(0, 90))
    if rng.random() < 0.2:
        beside = int(rng.integers(20, 120))
        image[:, :beside], masks[:, :, :beside] = 0, False
    return image, masks
