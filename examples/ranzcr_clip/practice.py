"""Drawn: grey chests with tubes that end where they should, nearly there, or elsewhere; four kinds.

As among the real files a patient has several studies, labels are uneven, several of them are given at once, and the
names of files are long and full of dots.
"""

from pathlib import Path

import numpy as np

from examples import drawing
from examples.ranzcr_clip import LABELS

STATES = (("ETT", 0.35, (0.1, 0.2, 0.7)), ("NGT", 0.4, (0.1, 0.2, 0.3, 0.4)), ("CVC", 0.75, (0.2, 0.35, 0.45)))
FIRST = {"ETT": 0, "NGT": 3, "CVC": 7}  # among LABELS; a tube's last state is that it lies well
HIDDEN = 80


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train.csv`, `raw/train/`, `raw/test/`, `raw/sample_submission.csv`, `truth/truth.npz`."""
    raw = folder / "raw"
    for part, name, number in ((drawing.TRAIN, "train", size), (drawing.TEST, "test", HIDDEN)):
        rng = drawing.rng_of(seed, part)
        studies = sorted(f"1.2.826.0.1.3680043.8.498.{rng.integers(10**15, 10**16)}{at:03}" for at in range(number))
        patients = rng.permutation(np.arange(number) // 3)  # three studies each
        labels = np.zeros((number, len(LABELS)), np.int64)
        for at, study in enumerate(studies):
            image = chest(rng, np.random.default_rng([seed, part, patients[at]]), labels[at])
            image = drawing.worn(rng, image) if part == drawing.TEST else image
            drawing.save(raw / name / f"{study}.jpg", drawing.whole(image[..., 0]))
        said = dict(zip(LABELS, labels.T, strict=True))
        if part == drawing.TRAIN:
            persons = [f"{patient:08x}" for patient in patients]
            drawing.table(raw / "train.csv", {"StudyInstanceUID": studies, **said, "PatientID": persons})
        else:
            drawing.table(raw / "sample_submission.csv", {"StudyInstanceUID": studies, **dict.fromkeys(LABELS, 0)})
            drawing.truth(folder, labels)


def chest(rng: drawing.Rng, patient: drawing.Rng, labels: np.ndarray) -> np.ndarray:
    """Float32 (H, W, 3), all channels alike but for noise; fills in what is there in `labels` (11,), in place."""
    height, width = patient.integers(72, 100, 2)
    image = drawing.ground(rng, height, width, (90, 90, 90), noise=20)
    for side in (-1, 1):
        size = patient.uniform(0.3, 0.36)
        for down in (0.4, 0.6):
            at = (down * height, (0.5 + 0.24 * side) * width)
            drawing.mark(rng, image, "disc", at, size * width / 1.8, (50, 50, 50), strength=0.5)
    for tube, often, shares in STATES:
        if rng.random() > often:
            continue
        state = rng.choice(len(shares), p=shares)
        labels[FIRST[tube] + state] = 1
        wrong = 1 - state / (len(shares) - 1)  # 0: it ends where it should
        x = {"ETT": 0.5, "NGT": 0.62, "CVC": 0.36}[tube] * width + rng.normal(0, 1)
        end = {"ETT": 0.45, "NGT": 0.85, "CVC": 0.55}[tube] - 0.3 * wrong
        shape: drawing.Shape = "wave" if tube == "CVC" else "bar"
        size = end * height / 2
        drawing.mark(rng, image, shape, (size, x), size, (170, 170, 170), 90, thick=2)
        drawing.mark(rng, image, "disc", (end * height, x), 3, (200, 200, 200))
    if rng.random() < 0.2:
        labels[-1] = 1
        drawing.mark(rng, image, "ring", (0.3 * height, 0.25 * width), 7, (180, 180, 180), thick=2)
    return image
