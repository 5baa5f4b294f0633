"""Drawn: the back of an eye, with red spots, more of them from grade to grade, and yellow ones from grade 3 on.

As among the real files sizes and margins vary, a doctor's grade is now and then the next one, and some eyes are there
twice, not always with the same grade.
"""

from pathlib import Path

import numpy as np

from examples import drawing

SHARES = (0.49, 0.1, 0.27, 0.06, 0.08)  # of the grades, about as in train.csv
HIDDEN = 80


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train.csv`, `raw/train_images/`, `raw/test.csv`, `raw/test_images/`, the sample, `truth/truth.npz`."""
    raw = folder / "raw"
    for part, name, number in ((drawing.TRAIN, "train", size), (drawing.TEST, "test", HIDDEN)):
        rng = drawing.rng_of(seed, part)
        ids = sorted(rng.bytes(6).hex() for _ in range(number))
        grades = rng.choice(5, number, p=SHARES)
        again = np.arange(number) % 40 == 1 if part == drawing.TRAIN else np.zeros(number, bool)
        grades[again] = grades[np.flatnonzero(again) - 1]
        said = np.clip(grades + rng.choice((-1, 0, 1), number, p=(0.05, 0.9, 0.05)), 0, 4)
        image = np.zeros(0)
        for at, (called, grade) in enumerate(zip(ids, grades, strict=True)):
            if not again[at]:  # else the eye before it, once more
                image = eye(rng, int(grade))
            drawing.save(raw / f"{name}_images" / f"{called}.png", drawing.worn(rng, image) if part else image)
        if part == drawing.TRAIN:
            drawing.table(raw / "train.csv", {"id_code": ids, "diagnosis": said})
        else:
            drawing.table(raw / "test.csv", {"id_code": ids})
            drawing.table(raw / "sample_submission.csv", {"id_code": ids, "diagnosis": 0})
            drawing.truth(folder, said)


def eye(rng: drawing.Rng, grade: int) -> np.ndarray:
    """Float32 (H, W, 3), between 64x64 and 96x128."""
    height, width = rng.integers(64, 97), rng.integers(64, 129)
    image = drawing.ground(rng, height, width, (4, 4, 4), noise=1)
    middle, size = (height / 2, width / 2), min(height, width) * rng.uniform(0.42, 0.5)
    drawing.mark(rng, image, "disc", middle, size, (rng.uniform(150, 220), rng.uniform(60, 110), rng.uniform(20, 60)))

    def inside(away: float) -> tuple[float, float]:
        angle, far = rng.uniform(0, 2 * np.pi), size * away * rng.random() ** 0.5
        return middle[0] + far * np.sin(angle), middle[1] + far * np.cos(angle)

    side = rng.choice((-1, 1))
    drawing.mark(rng, image, "disc", (middle[0], middle[1] + side * 0.5 * size), 0.18 * size, (250, 220, 130))
    for angle in rng.uniform(0, 360, 3):
        drawing.mark(rng, image, "wave", inside(0.3), 0.5 * size, (130, 30, 20), angle, strength=0.5)
    for _ in range(rng.poisson(4 * grade) if grade else 0):
        drawing.mark(rng, image, "disc", inside(0.8), rng.uniform(0.04, 0.08) * size, (110, 10, 10))
    for _ in range(rng.poisson(5 * max(0, grade - 2))):
        drawing.mark(rng, image, "disc", inside(0.8), rng.uniform(0.05, 0.1) * size, (250, 240, 120))
    return image
