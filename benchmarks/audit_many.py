"""What an audit of very many pictures takes, and what of the copies among them it finds.

    python -m benchmarks.audit_many [--json] [--images 100000]

Pictures of 64x64 in colour are drawn; 2 % of them are copies of others that were scaled, relit and compressed, 0.5 %
are equal to others to the last bit. Figures: seconds of drawing apart, peak memory of the process and of the largest
of those that it started, the shares of copies and of equal pictures that end up in one group with their originals.
"""

import argparse
import json
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tests import tiny
from toolkit import Classification, Dataset, Project, Rules
from toolkit.screen import Screen

SIDE, COPIED, EQUAL = 64, 0.02, 0.005


def draw(number: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Write images.npy and labels.npy; rows of originals, and of each original its copy: the last rows of all."""
    rng = np.random.default_rng(0)
    again = int(number * (COPIED + EQUAL))
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (number, SIDE, SIDE, 3))
    for row in range(number - again):
        coarse = cv2.resize(
            rng.integers(0, 256, (7, 7, 3), dtype=np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC
        )
        fine = cv2.resize(rng.integers(0, 256, (24, 24, 1), dtype=np.uint8), (SIDE, SIDE))
        images[row] = coarse // 2 + fine[..., None] // 2
    origins = rng.permutation(number - again)[:again]
    equal = int(number * EQUAL)
    for at, origin in enumerate(origins):
        images[number - again + at] = images[origin] if at < equal else saved_anew(images[origin], rng)
    images.flush()
    np.save(folder / "labels.npy", images[:, ::8, ::8].mean((1, 2)).argmax(1))
    return origins, np.arange(number - again, number)


def saved_anew(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    small = cv2.resize(np.ascontiguousarray(image), (48, 48), interpolation=cv2.INTER_AREA)
    light = cv2.convertScaleAbs(small, alpha=rng.uniform(0.85, 1.1), beta=rng.uniform(0, 15))
    coded = cv2.imencode(".jpg", light, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(60, 95))])[1]
    return cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def load(folder: Path) -> Dataset:
    images = np.load(folder / "images.npy", mmap_mode="r")
    rows = np.arange(len(images))
    return Dataset(images, np.load(folder / "labels.npy"), rows, rows, images[:0])


def measure(number: int) -> dict[str, float]:
    task = Classification(("red", "green", "blue"), (SIDE, SIDE, 3))
    competition = replace(tiny.competition, name="many", task=task, rules=Rules(pretrained=False), load=load)
    with tempfile.TemporaryDirectory() as scratch:
        raw = Path(scratch) / "raw"
        raw.mkdir()
        origins, copies = draw(number, raw)
        begun = time.perf_counter()
        progress = Screen(stderr=True)
        found = Project(competition, data=raw, workspace=Path(scratch) / "work", progress=progress).audit()
        seconds = time.perf_counter() - begun
    group, equal = found.table["group"].to_numpy(), int(number * EQUAL)
    together = group[origins] == group[copies]
    figures = {"pictures": number, "seconds": seconds, "groups": float(len(np.unique(group)))}
    figures |= {"equal_found": float(together[:equal].mean()), "copies_found": float(together[equal:].mean())}
    for name, who in (("gib", resource.RUSAGE_SELF), ("gib_largest_worker", resource.RUSAGE_CHILDREN)):
        figures[name] = resource.getrusage(who).ru_maxrss / 2**20
    return figures


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.audit_many", description=(__doc__ or "").split("\n")[0])
    made.add_argument("--images", type=int, default=100_000, metavar="N")
    made.add_argument("--json", action="store_true")
    options = made.parse_args()
    figures = measure(options.images)
    print(
        json.dumps(figures) if options.json else ", ".join(f"{name} {value:,.4g}" for name, value in figures.items())
    )


if __name__ == "__main__":
    main()
