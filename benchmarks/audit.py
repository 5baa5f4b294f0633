"""How well and how fast the audit finds copies, intruders and neighbouring tiles whose truth is known.

    python -m benchmarks.audit [--json] [--data DIR] [--scale]

Copies (any angle, flips, scales, shear, shifts with black or mirrored borders, light, JPEG) are made here, apart
from the toolkit's own augmentation: of drawn cells, and with --data of the pictures in DIR/training_set.npz.
--scale also times 13,759 pictures. Figures: adjusted Rand index of the groups, recall and precision of intruders
and of seams, seconds and peak memory of finding copies and seams.
"""

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from sklearn.metrics import adjusted_rand_score

from competitions.blood_cells.practice import cell, strangers
from competitions.mars.practice import HEIGHT, WIDTH, panorama
from toolkit.auditing.findings import find_links
from toolkit.auditing.tiles import find_seams
from toolkit.data.groups import REPEATS, connect, equal_pictures
from toolkit.images.pictures import hash_pictures

JOBS = os.cpu_count() or 1


def copies(images: np.ndarray, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At least `number` pictures, one to nine of each source, none of them the source itself; and the sources."""
    rng = np.random.default_rng(seed)
    made: list[np.ndarray] = []
    origin: list[int] = []
    for source in rng.permutation(len(images)):
        for _ in range(1 if rng.random() < 0.3 else int(rng.integers(2, 10))):
            made.append(_copy(images[source], rng))
            origin.append(int(source))
        if len(made) >= number:
            break
    order = rng.permutation(len(made))
    return np.stack(made)[order], np.array(origin)[order]


def _copy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    side = image.shape[0]
    turn, scale, shear = rng.uniform(0, 2 * np.pi), rng.uniform(0.85, 1.2), np.tan(np.radians(rng.uniform(-12, 12)))
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]] * scale
    if rng.random() < 0.5:
        linear[:, 0] *= -1
    middle = np.full(2, (side - 1) / 2)
    matrix = np.column_stack([linear, middle + rng.uniform(-0.1, 0.1, 2) * side - linear @ middle])
    border = cv2.BORDER_CONSTANT if rng.random() < 0.5 else cv2.BORDER_REFLECT_101
    moved = cv2.warpAffine(np.ascontiguousarray(image), matrix, (side, side), borderMode=border)
    light = np.clip(moved * rng.uniform(0.8, 1.2) + rng.uniform(-15, 15) * (moved > 0), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", light, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(50, 95))])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))


def measure_copies(images: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Groups found among copies, against the truth; intruders are put in, repeated pictures under no label."""
    rng = np.random.default_rng(0)
    strange = np.repeat(strangers(), [8 * REPEATS, 2 * REPEATS], axis=0)
    order = rng.permutation(len(images) + len(strange))
    mixed = np.concatenate([images, strange])[order]
    intruder = (np.arange(len(mixed)) >= len(images))[order]
    begun = time.perf_counter()
    same = equal_pictures(hash_pictures(mixed))
    said = np.zeros(len(mixed), bool)
    for rows in same:
        said[rows] = len(rows) > REPEATS
    distinct = np.flatnonzero(~said)
    with tempfile.TemporaryDirectory() as folder:
        links = find_links(mixed, distinct, Path(folder), JOBS)
    seconds = time.perf_counter() - begun
    groups = connect(len(mixed), links[["left", "right"]].to_numpy())
    known = np.full(len(mixed), -1)
    known[~intruder] = truth[order[~intruder]]
    kept = ~intruder
    return {
        "pictures": len(mixed),
        "ari": adjusted_rand_score(known[kept], groups[kept]),
        "intruder_recall": float(said[intruder].mean()),
        "intruder_precision": float(intruder[said].mean()) if said.any() else 0.0,
        "seconds": seconds,
    }


def measure_seams(panoramas: int, seed: int) -> dict[str, float]:
    """Seams found among the tiles of drawn panoramas: how many of those that exist, and how many are true."""
    rng = np.random.default_rng(seed)
    pictures, place = [], []
    for scene in range(panoramas):
        whole, _ = panorama(rng, np.zeros(0, np.int64))
        for row in range(whole.shape[0] // HEIGHT):
            for column in range(whole.shape[1] // WIDTH):
                top, left = row * HEIGHT, column * WIDTH
                pictures.append(whole[top : top + HEIGHT, left : left + WIDTH])
                place.append((scene, row, column))
    order = rng.permutation(len(pictures))
    images, where = np.stack(pictures)[order][..., None], [place[at] for at in order]
    seams = find_seams(images)
    right = 0
    for seam in seams:
        scene, row, column = where[seam.left]
        right += where[seam.right] == ((scene, row, column + 1) if seam.side == "right" else (scene, row + 1, column))
    rows, columns = (max(at[axis] for at in place) + 1 for axis in (1, 2))
    possible = panoramas * (rows * (columns - 1) + (rows - 1) * columns)
    return {
        "tiles": len(images),
        "seam_precision": right / max(len(seams), 1),
        "seam_recall": right / possible,
    }


def run(data: Path | None, scale: bool) -> dict[str, Any]:
    """All figures, by the set of pictures they were measured on."""
    rng = np.random.default_rng(7)
    drawn = np.stack([cell(rng, kind % 8) for kind in range(500)])
    figures: dict[str, Any] = {"drawn cells": measure_copies(*copies(drawn, 1500, seed=1))}
    if data is not None:
        with np.load(data / "training_set.npz", allow_pickle=False) as arrays:
            real = arrays["images"]
        repeated = {int(row) for rows in equal_pictures(hash_pictures(real)) for row in rows}
        real = real[[row for row in range(len(real)) if row not in repeated]]
        for number in (1470, 3720, 13759) if scale else (1470, 3720):
            parts = [copies(real, min(number, 3000), seed=seed) for seed in range(-(-number // 3000))]
            pictures, truth = (np.concatenate(part)[:number] for part in zip(*parts, strict=True))
            figures[f"real cells, {number:,}"] = measure_copies(pictures, truth)
    figures["drawn panoramas"] = measure_seams(60, seed=3)
    figures["peak_gib"] = (
        sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)) / 2**20
    )
    return figures


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=(__doc__ or "").split("\n")[0])
    made.add_argument("--data", type=Path, metavar="DIR", help="a folder with a training_set.npz of real pictures")
    made.add_argument("--scale", action="store_true", help="also 13,759 pictures")
    made.add_argument("--json", action="store_true")
    options = made.parse_args()
    figures = run(options.data, options.scale)
    if options.json:
        print(json.dumps(figures))
        return
    for name, values in figures.items():
        text = f"{values:.2f}" if isinstance(values, float) else ", ".join(f"{k} {v:.4g}" for k, v in values.items())
        print(f"{name}: {text}")


if __name__ == "__main__":
    main()
