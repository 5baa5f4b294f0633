"""Images in files: how fast they are decoded and trained from, what memory that takes, how soon a second run begins.

    python -m benchmarks.data [--json] [--only fill training memory restart] [--repeats 3] [--jobs N]

fill: images/s of filling the cache at 256x256 from --images JPEG files of 600x800, its writing included, and of a
torch DataLoader that decodes and resizes the same files with Pillow and with OpenCV, in as many processes and in
turns; none of them makes anything of the images. over_best: ours over the faster one.
training: images/s of `fit_fold` (ResNet-18 at 224x224, no augmentation) that reads a cache on disk, even where the
device could hold it, over a bare loop of the same network on one batch that lies ready; images/s of reading alone.
memory: peak resident memory of a process that fills the cache at 224x224 with --gigabytes, from --drawn JPEG files of
that size taken over and over, in --jobs further processes, and trains a tiny network on it for an epoch.
restart: seconds of the first and of a second `load` of --files small files, and of opening their data and finding
equal pictures.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.memory import peak_memory
from benchmarks.training import DEVICE, Case, bare_loop, our_fit
from toolkit.checked import keep
from toolkit.competition import load_competition
from toolkit.data import data_folder, dataset
from toolkit.data.groups import with_equal_pictures
from toolkit.data.loading import load
from toolkit.images.cache import fill
from toolkit.images.files import ImageFiles
from toolkit.networks.speed import Settings, machine
from toolkit.recipe import Augment, Model, Recipe, Schedule
from toolkit.store import Workspace
from toolkit.training import batches
from toolkit.training.fold import fit_fold
from toolkit.training.jobs import FoldJob

cv2.setNumThreads(1)  # its threads don't outlive the fork by which a DataLoader starts processes
SIDE = 256
BATCH = 64
# a competition whose images are a few bytes in a file each, and its networks
COMPETITION = """
from pathlib import Path
import numpy as np
from torch import nn
from toolkit import Accuracy, Classification, Competition, ImageFiles, Model, Network, Recipe, Samples, classifier

TASK = Classification(classes=("a", "b"), image_shape=({side}, {side}, 3))

def read(path, row, least):
    return np.frombuffer(path.read_bytes(), np.uint8).reshape(8, 8, 3)

def load(folder):
    files = sorted(folder.glob("*/*.bin"))
    return Samples(ImageFiles(files, read=read), np.arange(len(files)) % 2)

def build_model(recipe):
    if recipe.model.name != "tiny":
        return classifier(recipe.model.name, recipe.model, 2, 3)
    backbone = nn.Sequential(nn.Conv2d(3, 8, 8, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(nn.Sequential(backbone, nn.Linear(8, 2)), "0", (0.5,) * 3, (0.25,) * 3)

competition = Competition(
    name="bytes", task=TASK, metric=Accuracy(), load=load, build_model=build_model,
    recipes={{"tiny": Recipe(name="tiny", model=Model(name="tiny"))}}, submission_suffix=".txt", symmetries="both",
    write_submission=lambda prediction, path: None, read_submission=lambda path, images, ids: None,
    folder=Path(__file__).parent,
)
"""


def draw_photographs(folder: Path, number: int, height: int = 600, width: int = 800) -> list[Path]:
    """JPEG files: coarse shapes under fine noise; those of 600x800 have about 200 kB each."""
    rng, paths = np.random.default_rng(0), [folder / f"{row:05}.jpg" for row in range(number)]
    for path in paths:
        cells = rng.integers(256, size=(height // 16 + 1, width // 16, 3), dtype=np.uint8)
        coarse = cv2.resize(cells, (width, height), interpolation=cv2.INTER_CUBIC)
        noisy = coarse.astype(np.int16) + rng.integers(-12, 13, coarse.shape, dtype=np.int16)
        cv2.imwrite(str(path), noisy.clip(0, 255).astype(np.uint8))
    return paths


class Photographs(Dataset[torch.Tensor]):
    """As tutorials of PyTorch show it."""

    def __init__(self, paths: list[Path], read: Callable[[str], np.ndarray]) -> None:
        self.paths, self.read = paths, read

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> torch.Tensor:
        return torch.from_numpy(self.read(str(self.paths[row])))


def by_pillow(path: str) -> np.ndarray:
    return np.array(Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR))


def by_opencv(path: str) -> np.ndarray:
    image = cv2.cvtColor(cv2.imread(path), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def measure_fill(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    paths = draw_photographs(folder, options.images)

    def ours() -> None:
        fill(ImageFiles(paths), (SIDE, SIDE, 3), folder / "images.npy", jobs=options.jobs)
        (folder / "images.npy").unlink()
        (folder / "pictures.npy").unlink()

    def loader(read: Callable[[str], np.ndarray]) -> Callable[[], None]:
        def all_batches() -> None:
            for _ in DataLoader(Photographs(paths, read), BATCH, num_workers=options.jobs):
                pass

        return all_batches

    ways = {"ours": ours, "pillow": loader(by_pillow), "opencv": loader(by_opencv)}
    ours()  # processes are started once a program, as are imports
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(options.repeats):
        for name, way in ways.items():
            begun = time.perf_counter()
            way()
            rates[name].append(len(paths) / (time.perf_counter() - begun))
    ratios = [mine / max(others) for mine, *others in zip(*rates.values(), strict=True)]
    found = {f"fill_{name}_images_per_s": statistics.median(rate) for name, rate in rates.items()}
    return found | {"fill_over_best": statistics.median(ratios), "fill_over_best_low": min(ratios)}


def make_job(folder: Path, model: Model, number: int, side: int, store: Callable[[Path], object]) -> FoldJob:
    """Of images that `store` writes into a .npy file, all but two batches of which are trained on."""
    place = folder / "competitions" / f"bytes{side}"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(COMPETITION.format(side=side))
    rows = np.arange(number)
    few = np.zeros((number, 1, 1, 3), np.uint8)
    data_folder.save_dataset(dataset.Dataset(few, rows % 2, rows, rows, few[:0]), folder / "data", "")
    (folder / "data" / "images.npy").unlink()
    store(folder / "data" / "images.npy")
    keep([folder / "data" / "images.npy"])
    recipe = Recipe(
        name="cached", model=model, augment=Augment(flip="none"), schedule=Schedule(epochs=2), batch_size=BATCH
    )
    train, valid = rows[: -2 * BATCH], rows[-2 * BATCH :]
    return FoldJob(place, folder / "data", recipe, 0, train, train, valid, folder)


def measure_training(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    batches.RESIDENT = 0.0
    number, model = (options.steps + 2) * BATCH, Model(name="resnet18", pretrained=False)
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(number, 224, 224, 3), dtype=np.uint8)
    job = make_job(folder, model, number, 224, lambda path: np.save(path, images))
    settings = Settings(precision="bfloat16" if DEVICE.type == "cuda" else "float32")
    opened = data_folder.open_dataset(job.data)
    case = Case(
        load_competition(job.competition), job, np.array(opened.images[:BATCH]), np.array(opened.targets[:BATCH])
    )
    ratios, ours = [], []
    for _ in range(options.repeats):
        bare = bare_loop(case, settings, options.steps)
        ours.append(our_fit(case, settings))
        ratios.append(ours[-1] / bare)
    made = batches.Batches(opened, job.train_rows, job.recipe, 0, DEVICE, (0, 1), rgb=case.competition.rgb)
    begun = time.perf_counter()
    for step in range(made.steps):
        made[0, step]
    reading = made.steps * BATCH / (time.perf_counter() - begun)
    return {
        "training_over_bare": statistics.median(ratios),
        "training_over_bare_low": min(ratios),
        "training_images_per_s": statistics.median(ours),
        "reading_images_per_s": reading,
    }


def measure_memory(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    begun = time.perf_counter()
    wanted = [f"--{name}={getattr(options, name)}" for name in ("gigabytes", "drawn", "jobs")]
    command = [sys.executable, "-m", "benchmarks.data", f"--alone={folder}", *wanted]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    took, figures = time.perf_counter() - begun, json.loads(done.stdout.splitlines()[-1])
    return {"memory_gigabytes": options.gigabytes, **figures, "memory_seconds": took}


def train_alone(options: argparse.Namespace, folder: Path) -> None:
    """In a process of its own: decode so many images, train on them for an epoch, print the peaks of its memory."""
    batches.RESIDENT = 0.0
    number = round(options.gigabytes * 1e9 / (224 * 224 * 3))
    (folder / "drawn").mkdir()
    drawn = draw_photographs(folder / "drawn", options.drawn, 224, 224)
    images = ImageFiles([drawn[row % len(drawn)] for row in range(number)])
    job = make_job(
        folder, Model(name="tiny"), number, 224, lambda path: fill(images, (224, 224, 3), path, jobs=options.jobs)
    )
    size, filled = (folder / "data" / "images.npy").stat().st_blocks * 512, peak_memory()
    fit_fold(replace(job, recipe=replace(job.recipe, schedule=Schedule(epochs=1))))
    gib = {"memory_on_disk_gib": size, "memory_peak_filling_gib": filled, "memory_peak_gib": peak_memory()}
    print(json.dumps({"memory_images": number} | {name: count / 2**30 for name, count in gib.items()}))


def measure_restart(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    place, raw = folder / "competitions" / "bytes8", folder / "raw"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(COMPETITION.format(side=8))
    for row in range(options.files):
        path = raw / f"{row % 100:02}" / f"{row:07}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(np.full(192, row, np.uint64).tobytes()[:192])
    competition, workspace = load_competition(place), Workspace(folder / "workspace", "bytes")
    times = []
    for _ in range(2):
        begun = time.perf_counter()
        load(competition, workspace, raw, jobs=options.jobs)
        times.append(time.perf_counter() - begun)
    begun = time.perf_counter()
    opened = data_folder.open_dataset(workspace.data)
    nothing = np.zeros(len(opened.groups), bool)
    with_equal_pictures(opened.groups, dataset.pictures_of(opened)[0], opened.images, nothing)
    equal = time.perf_counter() - begun
    return {
        "restart_files": options.files,
        "restart_first_s": times[0],
        "restart_second_s": times[1],
        "restart_equal_pictures_s": equal,
    }


MEASURES: dict[str, Callable[[argparse.Namespace, Path], dict[str, Any]]] = {
    "fill": measure_fill,
    "training": measure_training,
    "memory": measure_memory,
    "restart": measure_restart,
}


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for name in options.only:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            yield MEASURES[name](options, Path(folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--folder", type=Path, help="where files are drawn (default: that of temporary files)")
    parser.add_argument("--images", type=int, default=1000, help="photographs to decode")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes that decode")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10, help="batches an epoch")
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--drawn", type=int, default=200, help="photographs that those gigabytes are made from")
    parser.add_argument("--alone", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        train_alone(options, options.alone)
        return
    figures: dict[str, Any] = {"machine": machine(DEVICE)}
    for found in measured(options):
        figures |= found
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:32}", f"{value:.3f}" if isinstance(value, float) else value)


if __name__ == "__main__":
    main()
