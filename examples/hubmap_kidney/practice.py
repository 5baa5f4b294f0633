"""Drawn: slides of about 440x570 pixels, TIFF in tiles, on each a piece of tissue on glass with round glomeruli in it.

As among the real ones some patients have two slides, stain and light differ from slide to slide, rings that look like
glomeruli are vessels, and polygons lie beside the slides in .json.
"""

import json
from pathlib import Path

import cv2
import numpy as np
from tifffile import imwrite

from examples import drawing

HIDDEN = 3  # test slides


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train`, `raw/test`, `raw/train.csv`, both other tables, `truth/truth.npz`; size: training slides."""
    raw = folder / "raw"
    rng = drawing.rng_of(seed, drawing.TRAIN)
    names, masks = named(rng, size), []
    for name in names:
        image, mask = slide(rng)
        save(raw / "train" / f"{name}.tiff", image, mask)
        masks.append(drawing.run_lengths(mask))
    drawing.table(raw / "train.csv", {"id": names, "encoding": masks})
    rng = drawing.rng_of(seed, drawing.TEST)
    tests, truths = named(rng, HIDDEN), []
    for name in tests:
        image, mask = slide(rng)
        save(raw / "test" / f"{name}.tiff", drawing.worn(rng, image, 0.5), None)
        truths.append(mask.astype(np.uint8))
    drawing.table(raw / "sample_submission.csv", {"id": tests, "predicted": [None] * HIDDEN})
    patients = [63921 + at - at // 4 for at in range(size + HIDDEN)]  # every third one has two slides
    files = [f"{name}.tiff" for name in (*names, *tests)]
    about = {"image_file": files, "patient_number": patients, "sex": [("Male", "Female")[one % 2] for one in patients]}
    drawing.table(raw / "HuBMAP-20-dataset_information.csv", about)
    drawing.truth(folder, truths)


def named(rng: drawing.Rng, number: int) -> list[str]:
    """In the order in which files are sorted."""
    return [f"{at:09x}" for at in sorted(rng.integers(16**8, 16**9, number).tolist())]


def save(path: Path, image: np.ndarray, mask: np.ndarray | None) -> None:
    """TIFF in tiles of 256 pixels, and of a training slide the polygons of its mask."""
    path.parent.mkdir(parents=True, exist_ok=True)
    imwrite(path, drawing.whole(image), tile=(256, 256), compression="zlib", photometric="rgb", metadata=None)
    if mask is not None:
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        made = [{"geometry": {"type": "Polygon", "coordinates": [one[:, 0].tolist()]}} for one in outlines]
        path.with_suffix(".json").write_text(json.dumps(made), encoding="utf-8")


def slide(rng: drawing.Rng) -> tuple[np.ndarray, np.ndarray]:
    """Float32 (H, W, 3), and where glomeruli are, bool (H, W)."""
    height, width = rng.integers(400, 480), rng.integers(520, 620)
    image = drawing.ground(rng, height, width, (238, 236, 240), 1)
    stain, radius = np.array((200, 130, 190)) + rng.normal(0, 8, 3), min(height, width) * rng.uniform(0.4, 0.46)
    tissue = drawing.mark(rng, image, "disc", (height / 2, width / 2), radius, stain)
    mask = np.zeros((height, width), bool)
    taken: list[tuple[float, float]] = []
    while len(taken) < 9:
        y, x = drawing.somewhere(rng, height, width, 40)
        around = slice(int(y) - 30, int(y) + 30), slice(int(x) - 30, int(x) + 30)
        if not tissue[around].all() or any(np.hypot(y - b, x - a) < 56 for b, a in taken):
            continue
        taken.append((y, x))
        size, dark = rng.uniform(16, 24), stain * 0.62
        if len(taken) % 3:
            mask[around] |= drawing.mark(rng, image[around], "disc", (30, 30), size, dark)
            drawing.mark(rng, image[around], "disc", (30, 30), size / 3, (225, 215, 230), strength=0.6)
        else:
            drawing.mark(rng, image[around], "ring", (30, 30), size, dark)
    return image, mask
