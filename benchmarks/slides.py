"""Huge pictures: how fast tiles are found and cut, whether that is linear in tissue, and what memory it takes.

    python -m benchmarks.slides [--json] [--only cut path] [--side 20000] [--shares 10 20 40] [--tile 512]

cut: of drawn slides of --side x --side (BigTIFF of JPEG tiles, levels at 1/4 and 1/16), each with so many hundredths
of tissue, in a process of its own: seconds to say which tiles show something (with the levels, and `alone`: from the
largest one), seconds to cut them into a cache by one process and hash them, MB/s of their pixels, how much of the
tissue lies in them, and the peak of memory. linear: the most that seconds a tile differ between slides, as a ratio.
path: two such slides with run lengths of what is sick, and a third to be handed in, through audit, folds, training
of a tiny network, ensemble and submit in one process: seconds of each, the IoU of what was handed in, and the peak of
memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from tifffile import TiffFile, TiffWriter

from benchmarks.memory import peak_memory
from toolkit.formats.run_lengths import run_lengths
from toolkit.images.cache import fill
from toolkit.images.tiles import tiles

STORED = 256  # the side of the file's own tiles
COARSE = 64  # pixels of the slide to one of the fields that say where tissue is
SHRUNK = 4  # from level to level


class Drawn:
    """Where a slide has tissue, and where that is sick: smooth fields, read at any place."""

    def __init__(self, side: int, share: float, seed: int) -> None:
        rng, number = np.random.default_rng(seed), side // COARSE + 2
        fields = [cv2.GaussianBlur(rng.normal(size=(number, number)), (0, 0), number / 14) for _ in range(2)]
        tissue = fields[0] - np.quantile(fields[0], 1 - share)
        self.side = side
        self.fields = [tissue.astype(np.float32), (fields[1] - np.quantile(fields[1], 0.6)).astype(np.float32)]
        self.texture = [cv2.GaussianBlur(rng.normal(0, 90, (1024, 1024, 3)), (0, 0), 2) for _ in range(2)]
        self.glass = rng.normal(243, 1.5, (1024, 1024, 3))

    def truth(self, top: int, left: int, tall: int, wide: int) -> np.ndarray:
        """uint8 (tall, wide): 0 glass, 1 healthy, 2 sick."""
        move = np.array([[1 / COARSE, 0, left / COARSE], [0, 1 / COARSE, top / COARSE]])
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        tissue, sick = (cv2.warpAffine(field, move, (wide, tall), flags=how) > 0 for field in self.fields)
        return tissue.astype(np.uint8) * (1 + sick)

    def tile(self, top: int, left: int) -> np.ndarray:
        """uint8 (STORED, STORED, 3)."""
        at = top % (1024 - STORED + 1), left % (1024 - STORED + 1)
        place = slice(at[0], at[0] + STORED), slice(at[1], at[1] + STORED)
        truth = self.truth(top, left, STORED, STORED)
        image = self.glass[place].copy()
        for kind, colour in ((1, (205, 130, 185)), (2, (150, 80, 170))):
            shown = truth == kind
            image[shown] = self.texture[kind - 1][place][shown] + colour
        return image.clip(0, 255).astype(np.uint8)


def draw(path: Path, drawn: Drawn) -> None:
    """A slide as a scanner writes it; its smaller levels are made while the largest is written."""
    number = -(-drawn.side // STORED)
    smaller = np.empty((number * STORED // SHRUNK, number * STORED // SHRUNK, 3), np.uint8)
    part = STORED // SHRUNK

    def largest() -> Iterator[bytes]:
        for row in range(number):
            for column in range(number):
                tile = drawn.tile(row * STORED, column * STORED)
                place = slice(row * part, (row + 1) * part), slice(column * part, (column + 1) * part)
                smaller[place] = cv2.resize(tile, (part, part), interpolation=cv2.INTER_AREA)
                yield simplejpeg.encode_jpeg(tile, 80)

    def cut(level: np.ndarray) -> Iterator[bytes]:
        for top in range(0, len(level), STORED):
            for left in range(0, len(level), STORED):
                tile = level[top : top + STORED, left : left + STORED]
                beyond = [(0, STORED - tile.shape[0]), (0, STORED - tile.shape[1]), (0, 0)]
                yield simplejpeg.encode_jpeg(np.ascontiguousarray(np.pad(tile, beyond, "edge")), 80)

    options: dict[str, Any] = {"tile": (STORED, STORED), "compression": "zlib", "photometric": "rgb", "metadata": None}
    with TiffWriter(path, bigtiff=True) as file:
        file.write(largest(), shape=(drawn.side, drawn.side, 3), dtype=np.uint8, **options)
        level = smaller[: drawn.side // SHRUNK, : drawn.side // SHRUNK]
        for _ in range(2):
            file.write(cut(level), shape=level.shape, dtype=np.uint8, subfiletype=1, **options)
            size = max(1, level.shape[0] // SHRUNK)
            level = cv2.resize(level, (size, size), interpolation=cv2.INTER_AREA)
    with TiffFile(path, mode="r+") as made:  # its tiles are JPEG, which the writer would want a package for
        for page in made.pages:
            page.aspage().tags["Compression"].overwrite(7)
            page.aspage().tags["PhotometricInterpretation"].overwrite(6)


def without_levels(path: Path) -> Path:
    """A copy of which readers see the largest level alone."""
    copy = path.with_name(f"{path.stem}_alone.tif")
    copy.write_bytes(path.read_bytes())
    with TiffFile(copy) as file:
        page = file.pages.first
        end = page.offset + 8 + 20 * len(page.tags)
    with open(copy, "r+b") as raw:
        raw.seek(end)
        raw.write(bytes(8))
    return copy


def measure_one(path: Path, share: float, side: int, tile: int) -> dict[str, Any]:
    """Of one slide, in a process of its own."""
    drawn = Drawn(side, share / 100, int(share))
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        found = work()
        times[name] = time.perf_counter() - begun
        return found

    made = timed("find_s", lambda: tiles([path], tile, blank=0.02))
    timed("cut_s", lambda: fill(made.images, (tile, tile, 3), path.with_suffix(".npy")))
    peak = peak_memory() / 2**30
    timed("find_alone_s", lambda: tiles([without_levels(path)], tile, blank=0.02))
    rows = range(0, side, 4096)
    within = total = 0
    taken = np.zeros((side // 16 + 1, side // 16 + 1), bool)
    for top, left, tall, wide in (made.places.boxes // 16).tolist():
        taken[top : top + tall, left : left + wide] = True
    for top in rows:
        truth = drawn.truth(top, 0, min(4096, side - top), side)[::16, ::16] > 0
        total += int(truth.sum())
        within += int((truth & taken[top // 16 : top // 16 + len(truth), : truth.shape[1]]).sum())
    megabytes = len(made) * tile * tile * 3 / 1e6
    found = {"tiles": len(made), "of": len(tiles([path], tile)), "file_mb": path.stat().st_size / 1e6}
    found |= times | {"cut_mb_per_s": megabytes / times["cut_s"], "ms_a_tile": 1e3 * times["cut_s"] / len(made)}
    return found | {"tissue_in_tiles": within / total, "peak_gib": peak}


def measure_cut(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    for share in options.shares:
        path = folder / f"slide_{share:g}.tif"
        begun = time.perf_counter()
        draw(path, Drawn(options.side, share / 100, int(share)))
        figures[f"cut_{share:g}_drawn_s"] = time.perf_counter() - begun
        command = [sys.executable, "-m", "benchmarks.slides", "--alone", str(path), str(share)]
        command += ["--side", str(options.side), "--tile", str(options.tile)]
        found = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        figures |= {f"cut_{share:g}_{name}": value for name, value in found.items()}
        path.with_suffix(".npy").unlink()
    each = [figures[f"cut_{share:g}_ms_a_tile"] for share in options.shares]
    return figures | {"cut_linear": max(each) / min(each)}


COMPETITION = """
from pathlib import Path
import numpy as np
from torch import nn
from toolkit import (Augment, Competition, MeanIoU, Model, Optimizer, Recipe, Rules, Samples, Schedule, Segmentation,
    from_scratch, image_folder, read_run_lengths, run_length_masks, tiles, write_run_lengths)

TASK = Segmentation(("healthy", "sick"), ({tile}, {tile}, 3))

def load(folder):
    slides, tests = image_folder(folder / "train"), image_folder(folder / "test")
    masks = run_length_masks(folder / "train.csv", slides.stems, TASK, slides)
    made, test = (tiles(each, {tile}, overlap=0.25, at=0.25, blank=0.02) for each in (slides, tests))
    return Samples(made.images, masks, groups=made.picture, places=made.places, test_images=test.images,
        test_places=test.places)

def build_model(recipe):
    body = nn.Sequential(nn.Conv2d(3, 16, 3, 1, 1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 2, 3, 1, 1))
    return from_scratch(body, recipe.model, 3, 1)

competition = Competition(
    name="slides", task=TASK, metric=MeanIoU(), load=load, build_model=build_model, submission_suffix=".csv",
    rules=Rules(unlabelled_test_images=False), symmetries="both",
    recipes={{"tiny": Recipe(name="tiny", model=Model(name="tiny"), augment=Augment(flip="none"), batch_size=8,
        optimizer=Optimizer(lr=1e-2), schedule=Schedule(epochs=4, ema=0.5))}},
    write_submission=lambda prediction, path: write_run_lengths(path, prediction.ids, prediction.labels),
    read_submission=lambda path, images, ids: read_run_lengths(path, ids, images),
    folder=Path(__file__).parent,
)
"""
SICK = 2


def truth_of(drawn: Drawn) -> np.ndarray:
    """bool (side, side), what is sick, made in bands."""
    parts = [
        drawn.truth(top, 0, min(1024, drawn.side - top), drawn.side) == SICK for top in range(0, drawn.side, 1024)
    ]
    return np.concatenate(parts)


def go_through(folder: Path, side: int) -> dict[str, Any]:
    """Every step in this process."""
    import torch

    from toolkit import Project, load_competition, read_run_lengths
    from toolkit.progress import SILENT

    torch.set_num_threads(1)
    competition = load_competition(folder / "competitions" / "slides")
    places: dict[str, Any] = {
        "workspace": folder / "workspace",
        "submissions": folder / "submissions",
        "data": folder / "raw",
    }
    project = Project(competition, progress=SILENT, workers=0, **places)
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begun = time.perf_counter()
        found = work()
        times[f"path_{name}_s"] = time.perf_counter() - begun
        return found

    timed("audit", project.audit)
    timed("folds", lambda: project.folds(2))
    run = timed("train", lambda: project.train("tiny", stress="none"))
    timed("ensemble", project.ensemble)
    handed_in = timed("submit", project.submit)
    peak = peak_memory() / 2**30
    found = read_run_lengths(handed_in.path, ["c"], np.array([[side, side]]))[0] == 1
    true = truth_of(Drawn(side, 0.2, 2))
    iou = float((found & true).sum() / (found | true).sum())
    tiles_cut = len(project.labelled().images)
    return (
        {"path_tiles": tiles_cut}
        | times
        | {"path_clean": run.metrics["clean"]["score"], "path_iou_of_sick": iou, "path_peak_gib": peak}
    )


def measure_path(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    place = folder / "competitions" / "slides"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(COMPETITION.format(tile=options.tile))
    runs = []
    for number, name in enumerate("abc"):
        path = folder / "raw" / ("test" if name == "c" else "train") / f"{name}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn = Drawn(options.side, 0.2, number)
        draw(path, drawn)
        if name != "c":
            runs.append(f"{name},{run_lengths(truth_of(drawn))}")
    (folder / "raw" / "train.csv").write_text("\n".join(["id,rle", *runs]))
    command = [sys.executable, "-m", "benchmarks.slides", "--through", str(folder), "--side", str(options.side)]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found


MEASURES: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {"cut": measure_cut, "path": measure_path}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--folder", type=Path, help="where slides are drawn (default: that of temporary files)")
    parser.add_argument("--side", type=int, default=20_000, help="pixels of a slide's side")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--shares", type=float, nargs="+", default=[10, 20, 40], help="hundredths of tissue")
    parser.add_argument("--alone", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--through", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    if options.alone:
        print(json.dumps(measure_one(Path(options.alone[0]), float(options.alone[1]), options.side, options.tile)))
        return
    if options.through:
        print(json.dumps(go_through(options.through, options.side)))
        return
    figures: dict[str, Any] = {"side": options.side, "tile": options.tile}
    for name in options.only:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            figures |= MEASURES[name](options, Path(folder))
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:32}", f"{value:.3f}" if isinstance(value, float) else value)


if __name__ == "__main__":
    main()
