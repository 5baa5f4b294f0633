"""Drawn: cells whose shape, and how bright each stain makes them, tell twelve siRNAs apart.

As among the real files all wells of an experiment have a light of their own, the test wells are of other experiments,
each plate has a control that no table lists, and a few sites are missing.
"""

from pathlib import Path

import numpy as np

from examples import drawing

SIDE, STAINS, SITES = 48, 6, (1, 2)
SIRNAS = np.sort(np.random.default_rng(1108).choice(1108, 12, replace=False))
CONTROL = 1138
SHAPES: tuple[drawing.Shape, ...] = ("disc", "ring", "triangle", "cross")
LINES = ("HEPG2", "HUVEC", "RPE", "U2OS")
EXPERIMENTS = 5  # of the test
ROWS, COLUMNS = "BCDEFGHIJKLMNO", range(2, 24)  # of a plate, without its edge
Well = tuple[str, str, int, str, int]  # id_code, experiment, plate, well, sirna


def draw(folder: Path, seed: int, size: int) -> None:
    """`raw/train.csv`, `raw/train/HEPG2-01/Plate1/B03_s1_w1.png …`, the same of the test; all SIRNAS an experiment."""
    wells: dict[str, list[Well]] = {}
    for part, name, number in ((0, "train", max(3, size // len(SIRNAS))), (1, "test", EXPERIMENTS)):
        rng, first = drawing.rng_of(seed, part), 1 if part == 0 else 30
        wells[name] = []
        for at in range(number):
            experiment = f"{LINES[at % len(LINES)]}-{first + at // len(LINES):02}"
            light = rng.uniform(0.8, 1.2, STAINS), rng.uniform(20, 60, STAINS)
            found = plates(rng, experiment)
            for code, _, plate, well, sirna in found:
                for site in SITES[: 1 if rng.random() < 0.02 else 2]:
                    image = cells(rng, sirna, *light)
                    for stain in range(STAINS):
                        place = (
                            folder / "raw" / name / experiment / f"Plate{plate}" / f"{well}_s{site}_w{stain + 1}.png"
                        )
                        drawing.save(place, image[..., stain])
                if sirna != CONTROL:
                    wells[name].append((code, experiment, plate, well, sirna))
    for name, rows in wells.items():
        columns = dict(zip(("id_code", "experiment", "plate", "well", "sirna"), zip(*rows, strict=True), strict=True))
        drawing.truth(folder, columns["sirna"])  # the last one stays: that of the test
        if name == "test":
            drawing.table(folder / "raw" / "sample_submission.csv", {"id_code": columns["id_code"], "sirna": 0})
            del columns["sirna"]
        drawing.table(folder / "raw" / f"{name}.csv", columns)


def plates(rng: drawing.Rng, experiment: str) -> list[Well]:
    """Each siRNA once, on four plates, and a control on each of these."""
    found = []
    for plate, sirnas in enumerate(np.split(rng.permutation(SIRNAS), 4), start=1):
        places = rng.choice(len(ROWS) * len(COLUMNS), 1 + len(sirnas), replace=False)
        for place, sirna in zip(places, [CONTROL, *sirnas], strict=True):
            well = f"{ROWS[place % len(ROWS)]}{COLUMNS[place // len(ROWS)]:02}"
            found.append((f"{experiment}_{plate}_{well}", experiment, plate, well, int(sirna)))
    return found


def cells(rng: drawing.Rng, sirna: int, gain: np.ndarray, light: np.ndarray) -> np.ndarray:
    """A site, float32 (SIDE, SIDE, STAINS)."""
    of = np.random.default_rng(sirna)  # what it does to cells is the same in all experiments
    bright, shape = of.permutation([20, 60, 100, 150, 200, 240]), SHAPES[int(of.integers(len(SHAPES)))]
    image = np.concatenate([drawing.ground(rng, SIDE, SIDE, light[at : at + 3]) for at in (0, 3)], axis=2)
    for _ in range(rng.integers(4, 7)):
        at, size = drawing.somewhere(rng, SIDE, SIDE, 4), rng.uniform(5, 8)
        drawing.mark(rng, image, shape, at, size, gain * bright * rng.uniform(0.8, 1.1), rng.uniform(0, 360))
        drawing.mark(rng, image, "disc", at, 2, gain * np.array([250, 30, 30, 30, 30, 30]))  # the nucleus
    return image
