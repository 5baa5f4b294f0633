"""Drawn: breasts at the left or right edge of pictures of any size; a cancer is a bright star, a cyst a pale disc.

As among the real files most breasts have two views and some more, a cancer is not seen in each, few are ill,
and greys have twelve bits, one site's turned over. Where pydicom isn't installed pictures are PNG of 8 bits.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from examples import drawing

HIDDEN = 40  # patients
ILL = 0.2  # of the breasts
VIEWS = ("CC", "MLO", "MLO", "CC")
MOST = 4095  # of twelve bits
COLUMNS = (
    "site_id", "patient_id", "image_id", "laterality", "view", "age", "cancer", "biopsy", "invasive", "BIRADS",
    "implant", "density", "machine_id", "difficult_negative_case",
)  # fmt: skip
LATER = ("cancer", "biopsy", "invasive", "BIRADS", "density", "difficult_negative_case")  # of training images alone


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train.csv`, `raw/train_images/<patient>/<image>.dcm`, the same of the test, `raw/sample_submission.csv`."""
    for part, name, patients in ((0, "train", max(20, size // 4)), (1, "test", HIDDEN)):
        rows = mammograms(drawing.rng_of(seed, part), folder / "raw" / f"{name}_images", patients, 10_000 * (part + 1))
        columns = {title: [row[title] for row in rows] for title in rows[0]}
        if name == "test":
            columns["prediction_id"] = [f"{row['patient_id']}_{row['laterality']}" for row in rows]
            ill = dict(zip(columns["prediction_id"], columns["cancer"], strict=True))
            sample = {"prediction_id": list(ill), "cancer": [0.02] * len(ill)}
            drawing.table(folder / "raw" / "sample_submission.csv", sample)
            drawing.truth(folder, list(ill.values()))
            for title in LATER:
                del columns[title]
        drawing.table(folder / "raw" / f"{name}.csv", columns)


def mammograms(rng: drawing.Rng, folder: Path, patients: int, first: int) -> list[dict[str, object]]:
    """A row an image, as in train.csv."""
    rows = []
    for patient in first + np.sort(rng.choice(9000, patients, replace=False)):
        site = int(rng.integers(1, 3))
        hers = {"site_id": site, "patient_id": patient, "age": rng.integers(40, 85), "machine_id": 20 + site}
        hers |= {"implant": int(rng.random() < 0.03), "density": rng.choice([*"ABCD"])}
        for side in "LR":
            ill = bool(rng.random() < ILL)
            its = {"laterality": side, "cancer": int(ill), "biopsy": int(ill or rng.random() < 0.05)}
            its |= {"invasive": int(ill), "BIRADS": None if ill else rng.integers(3), "difficult_negative_case": False}
            for at in range(4 if rng.random() < 0.05 else 2):
                image, number = breast(rng, side, ill and (at == 0 or rng.random() < 0.7)), rng.integers(2**31)
                save(folder / str(patient) / str(number), image, turned=site == 2)
                row = {**hers, **its, "image_id": number, "view": VIEWS[at]}
                rows.append({title: row[title] for title in COLUMNS})
    return rows


def breast(rng: drawing.Rng, side: str, ill: bool) -> np.ndarray:
    """Float32 (H, W), 0..255."""
    height, width = int(rng.integers(72, 112)), int(rng.integers(52, 84))
    image = drawing.ground(rng, height, width, (12, 12, 12), 3)
    edge, inward = (0, 1) if side == "L" else (width - 1, -1)
    middle, size = height * rng.uniform(0.45, 0.55), 0.42 * height
    grey = rng.uniform(70, 110)
    drawing.mark(rng, image, "disc", (middle, edge), size, (grey,) * 3)
    for _ in range(rng.integers(1, 4)):
        at = inside(rng, middle, edge, inward, min(size, width - 6))
        drawing.mark(rng, image, "disc", at, rng.uniform(4, 8), (grey + 30,) * 3, strength=0.6)
    if ill:
        at, turn, star = (
            inside(rng, middle, edge, inward, min(size, width - 6)),
            rng.uniform(0, 90),
            rng.uniform(9, 13),
        )
        for angle in (0, 45):
            drawing.mark(rng, image, "cross", at, star, (245,) * 3, turn + angle)
    return image[..., 0]


def inside(rng: drawing.Rng, middle: float, edge: float, inward: int, size: float) -> tuple[float, float]:
    away, turn = size * rng.uniform(0.3, 0.7), rng.uniform(-1, 1)
    return middle + away * np.sin(turn), edge + inward * away * np.cos(turn)


def save(path: Path, image: np.ndarray, turned: bool) -> None:
    """Twelve bits of DICOM; turned: bright is dark."""
    if find_spec("pydicom") is None:
        drawing.save(path.with_suffix(".png"), image)
        return
    import pydicom

    grey = drawing.whole(image * (MOST / 255), MOST)
    path, window = (
        path.with_suffix(".dcm"),
        {"WindowCenter": MOST / 2, "WindowWidth": MOST, "BodyPartExamined": "BREAST"},
    )
    drawing.save(path, MOST - grey if turned else grey, **window)
    if turned:
        made = pydicom.dcmread(path)
        made.PhotometricInterpretation = "MONOCHROME1"
        made.save_as(path)
