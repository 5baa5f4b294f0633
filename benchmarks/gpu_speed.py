"""What `benchmarks.gpu` measures of training's speed: ours, the bare loop, a DataLoader with albumentations, timm.

Each takes the same network, batch size, precision and memory layout; images are random, as what they show changes no
speed. A batch that doesn't fit into the GPU's memory is halved, for all of them.
"""

import os
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from benchmarks import training
from benchmarks.training import ROOT, Case, bare_loop, build, our_fit
from competitions.blood_cells.recipes import AGGRESSIVE
from competitions.mars.recipes import LIGHT
from toolkit.competition import Competition, load_competition
from toolkit.data import dataset as data
from toolkit.data.data_folder import open_dataset, save_dataset
from toolkit.networks.devices import autocast, has_bfloat16
from toolkit.networks.network import classifier, segmenter
from toolkit.networks.speed import Settings
from toolkit.recipe import Augment, Model, Recipe, Schedule
from toolkit.training.jobs import FoldJob

WORKERS = min(16, os.cpu_count() or 1)  # that load for the peers; ours has none


@dataclass(frozen=True)
class Network:
    """A network of timm's or smp's in a competition; sizes: of its images, height and width, and images a batch."""

    competition: str
    model: Model
    augment: Augment
    sizes: tuple[tuple[int, int, int], ...]


CELLS, MARS = "blood_cells", "mars"
NETWORKS = {
    "resnet50": Network(CELLS, Model(name="resnet50"), AGGRESSIVE, ((96, 96, 256), (224, 224, 128))),
    "convnext_tiny": Network(CELLS, Model(name="convnext_tiny"), AGGRESSIVE, ((96, 96, 256), (224, 224, 128))),
    "unet_resnet34": Network(MARS, Model(name="unet", encoder="resnet34"), LIGHT, ((64, 128, 128), (512, 512, 16))),
}
TINY = {
    "resnet50": Network(CELLS, Model(name="test_resnet"), AGGRESSIVE, ((32, 32, 4),)),
    "unet_resnet34": Network(MARS, Model(name="unet", encoder="mobilenet_v2"), LIGHT, ((32, 64, 4),)),
}


@dataclass(frozen=True)
class SizedJob(FoldJob):
    """A fold whose competition has images of another size, and a network that its own `models.py` doesn't know."""

    shape: tuple[int, int, int] = (0, 0, 0)

    def open(self) -> tuple[Competition, data.Dataset]:
        return sized(load_competition(self.competition), self.shape), open_dataset(self.data)


def sized(competition: Competition, shape: tuple[int, int, int]) -> Competition:
    of: Any = competition.task
    task = replace(of, image_shape=shape)

    def build_model(recipe: Recipe) -> nn.Module:
        if task.masks:
            return segmenter("Unet", recipe.model, task.channels, shape[2])
        return classifier(recipe.model.name, recipe.model, task.channels, shape[2])

    return replace(competition, task=task, build_model=build_model)


def make_case(of: Network, size: tuple[int, int, int], steps: int, device: torch.device, folder: Path) -> Case:
    """A job of so many batches an epoch; size: height, width, images a batch."""
    (height, width, batch), plain = size, load_competition(ROOT / "competitions" / of.competition)
    shape = height, width, plain.task.image_shape[2]
    competition, rng = sized(plain, shape), np.random.default_rng(0)
    number = steps * batch
    count = (number + 32, height, width) if plain.task.masks else (number + 32,)
    images = rng.integers(0, 256, (number + 32, *shape), dtype=np.uint8)
    targets = rng.integers(0, len(plain.task.classes), count).astype(np.uint8 if plain.task.masks else np.int64)
    rows = np.arange(number + 32)
    folder.mkdir()
    save_dataset(data.Dataset(images, targets, rows, rows, images[:0]), folder / "data", "")
    recipe = Recipe(name=of.model.name, model=of.model, augment=of.augment, schedule=Schedule(epochs=training.EPOCHS))
    recipe = replace(recipe, batch_size=batch)
    trained, valid = rows[:number], rows[number:]
    job = SizedJob(
        plain.folder, folder / "data", recipe, 0, trained, trained, valid, folder, device=str(device), shape=shape
    )
    return Case(competition, job, images[:number], targets[:number])


def half(device: torch.device) -> Settings:
    """How a GPU trains fastest, most often; a CPU in the suite as anywhere."""
    if device.type != "cuda":
        return Settings()
    return Settings(precision="bfloat16" if has_bfloat16(device) else "float16")


def speed(name: str, of: Network, device: torch.device, seconds: float, folder: Path) -> dict[str, Any]:
    """Images/s and peak memory of each way at each size, and ratios, within about `seconds`."""
    until, figures = time.monotonic() + seconds, dict[str, Any]()
    training.DEVICE = device
    for number, (height, width, batch) in enumerate(of.sizes):
        share = (until - time.monotonic()) / (len(of.sizes) - number)
        figures |= {
            f"{name}_{height}x{width}_{key}": value
            for key, value in _at_size(of, (height, width, batch), device, share, folder / str(number)).items()
        }
    return figures


def _at_size(
    of: Network, size: tuple[int, int, int], device: torch.device, seconds: float, folder: Path
) -> dict[str, Any]:
    """`over_bare`, `over_albumentations`, `over_timm`: ours to theirs; a way that fails is told in its place."""
    begun, settings, (height, width, batch) = time.monotonic(), half(device), size
    folder.mkdir(parents=True)
    while True:
        case = make_case(of, (height, width, batch), 2, device, folder / str(batch))
        try:
            step = batch / bare_loop(case, settings, 4)
            break
        except torch.cuda.OutOfMemoryError:
            if batch < 4:
                raise
            batch //= 2
        torch.cuda.empty_cache()
    # five ways, of which the slowest may take several times as long, and each epoch of theirs is made twice
    steps = int(min(40, max(2, seconds / 40 / step)))
    case = make_case(of, (height, width, batch), steps, device, folder / "case")
    # on a GPU ours lays all images into its memory, as long as they take less than half of it
    figures: dict[str, Any] = {"batch": batch, "steps": steps, "precision": settings.precision}
    figures["images_mib"] = case.images.nbytes / 2**20
    ways: dict[str, Callable[[], float]] = {
        "ours": lambda: our_fit(case, settings),
        "bare": lambda: bare_loop(case, settings, steps),
        "albumentations": lambda: with_albumentations(case, settings),
    }
    if not case.competition.task.masks:
        ways["timm"] = lambda: with_timm(case, settings)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for turn in range(2):
        for way, call in ways.items():
            late = time.monotonic() - begun > seconds * (0.5 if way == "albumentations" else 0.7)
            if late and (turn or way not in ("ours", "bare")):
                continue
            try:
                _forget(device)
                torch.use_deterministic_algorithms(False)  # which ours asks for itself, and nobody else does
                rates[way].append(call())
                figures[f"{way}_peak_mib"] = _peak(device)
            except Exception as error:  # of one way, the others go on
                figures[f"{way}_fault"] = _sentence(error)
    for way, measured in rates.items():
        if measured:
            figures[f"{way}_images_per_s"] = statistics.median(measured)
        if measured and way != "ours" and rates["ours"]:
            figures[f"over_{way}"] = statistics.median(
                ours / theirs for ours, theirs in zip(rates["ours"], measured, strict=False)
            )
    return figures


def _forget(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _peak(device: torch.device) -> float | None:
    """MiB that tensors have taken at once."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None


def _sentence(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:200]


def with_albumentations(case: Case, settings: Settings) -> float:
    """Images/s of a loop as users write it: a DataLoader with workers that augment image by image."""
    from benchmarks.training_peers import Pictures

    pictures = Pictures(case.images, case.targets, case.job.recipe)
    device = training.DEVICE
    loader = DataLoader(
        pictures,
        case.job.recipe.batch_size,
        shuffle=True,
        num_workers=WORKERS if device.type == "cuda" else 0,
        pin_memory=device.type == "cuda",
        persistent_workers=device.type == "cuda",
        drop_last=True,
    )

    def batches() -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        for images, targets in loader:
            images = images.to(device, non_blocking=True)
            yield images.contiguous(memory_format=settings.memory_format), targets.to(device, non_blocking=True)

    network = build(case, settings.memory_format)
    return _trained(network, torch.optim.AdamW(network.parameters(), fused=True), batches, case, settings, _loss)


def with_timm(case: Case, settings: Settings) -> float:
    """Images/s of timm's network, loader, mixing and optimiser, put together as in its script `train.py`."""
    from PIL import Image
    from timm import create_model
    from timm.data import Mixup, create_loader
    from timm.loss import SoftTargetCrossEntropy
    from timm.optim import create_optimizer_v2

    class Decoded(Dataset[tuple[Any, int]]):
        """Images that are in memory, as timm's transforms take them."""

        transform: Callable[[Any], Any]

        def __len__(self) -> int:
            return len(case.images)

        def __getitem__(self, row: int) -> tuple[Any, int]:
            return self.transform(Image.fromarray(case.images[row])), int(case.targets[row])

    device, recipe, classes = training.DEVICE, case.job.recipe, case.competition.task.channels
    height, width, channels = case.competition.task.image_shape
    on_gpu = device.type == "cuda"
    loader = create_loader(
        Decoded(),
        (channels, height, width),
        recipe.batch_size,
        is_training=True,
        auto_augment="rand-m9-mstd0.5-inc1",
        re_prob=0.25,
        num_workers=WORKERS if on_gpu else 0,
        persistent_workers=on_gpu,
        pin_memory=on_gpu,
        use_prefetcher=on_gpu,
        device=device,
    )
    mixing = Mixup(mixup_alpha=0.2, cutmix_alpha=1.0, num_classes=classes)

    def batches() -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        for images, targets in loader:
            images, targets = mixing(images.to(device), targets.to(device))
            yield images.contiguous(memory_format=settings.memory_format), targets

    network = create_model(recipe.model.name, num_classes=classes, in_chans=channels)
    network = network.to(device).to(memory_format=settings.memory_format).train()
    return _trained(
        network, create_optimizer_v2(network, "adamw", 1e-3), batches, case, settings, SoftTargetCrossEntropy()
    )


def _loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(logits, targets, ignore_index=255)


def _trained(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Callable[[], Iterable[tuple[torch.Tensor, torch.Tensor]]],
    case: Case,
    settings: Settings,
    loss_of: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
) -> float:
    """Images/s of the epochs but for the first, in which workers start."""
    device, rates = training.DEVICE, []
    scaler = torch.amp.GradScaler(device.type, enabled=settings.precision == "float16")
    for _ in range(training.EPOCHS):
        begun, seen = time.perf_counter(), 0
        for images, targets in batches():
            with autocast(device, settings.precision):
                logits = network(images)
            optimizer.zero_grad(set_to_none=True)
            scaler.scale(loss_of(logits.float(), targets)).backward()
            scaler.step(optimizer)
            scaler.update()
            seen += len(images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        rates.append(seen / (time.perf_counter() - begun))
    return statistics.median(rates[1:])
