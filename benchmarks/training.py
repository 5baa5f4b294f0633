"""How near training is to what the machine can do, and how far ahead of other libraries at their defaults.

    python -m benchmarks.training [--json] [--only limit peers memory] [--cases NAME …] [--pairs N] [--steps N]

limit: images/s of `fit_fold` with each competition's default augmentation over a bare loop of the same network on
preloaded tensors, in the same precision and layout, in turns. The bare loop is run in a process of its own, and
(same_memory_over_limit, the harder limit) in ours, where freed memory is kept (`speed.keep_freed_memory`).
peers: the same network, loss, optimiser and augmentation trained by fastai, Lightning and skorch as their
documentation shows them, in turns with `fit_fold` and its measured settings (needs `pip install .[bench]`).
memory: peak of a training process, and of one with the bare loop, beside the data and the network's weights.
Figures are medians over pairs; `over_limit` 1 is the limit, `over_<peer>` 2 is twice that peer's speed.
What the speed is worth in score is measured by `benchmarks.quality`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from competitions.blood_cells.recipes import AGGRESSIVE
from competitions.mars.recipes import LIGHT
from toolkit.competition import Competition, load_competition
from toolkit.data.data_folder import save_dataset
from toolkit.data.dataset import Dataset
from toolkit.networks.devices import autocast, resolve_device
from toolkit.networks.speed import Settings, fastest, machine
from toolkit.recipe import Model, Recipe, Schedule
from toolkit.task import Segmentation
from toolkit.training.fold import fit_fold
from toolkit.training.jobs import FoldJob

ROOT = Path(__file__).parent.parent
EPOCHS = 2  # the first one warms up
WARMUP = 3  # steps
DEVICE = resolve_device("auto")


# competition whose task it is, network, augmentation, batch size
CASES = {
    "resnet18": ("blood_cells", Model(name="resnet18"), AGGRESSIVE, 64),
    "small_unet": ("mars", Model(name="small_unet"), LIGHT, 32),
    "unet_resnet18": ("mars", Model(name="unet", encoder="resnet18"), LIGHT, 32),
}


@dataclass(frozen=True)
class Case:
    """A network, and a job of so many batches an epoch on random images: what they show changes no speed."""

    competition: Competition
    job: FoldJob
    images: np.ndarray  # uint8 (N, H, W, C), training rows only
    targets: np.ndarray


def make_case(name: str, steps: int, folder: Path) -> Case:
    of, model, augment, batch = CASES[name]
    competition = load_competition(ROOT / "competitions" / of)
    rng = np.random.default_rng(0)
    number, classes = steps * batch, len(competition.task.classes)
    height, width, channels = competition.task.image_shape
    shape = (number + 32, height, width) if isinstance(competition.task, Segmentation) else (number + 32,)
    images = rng.integers(0, 256, (number + 32, height, width, channels), dtype=np.uint8)
    targets = rng.integers(0, classes, shape).astype(np.uint8 if len(shape) > 1 else np.int64)
    rows = np.arange(number + 32)
    save_dataset(Dataset(images, targets, rows, rows, images[:0]), folder / "data", "")
    recipe = Recipe(name=name, model=model, augment=augment, schedule=Schedule(epochs=EPOCHS), batch_size=batch)
    job = FoldJob(competition.folder, folder / "data", recipe, 0, rows[:number], rows[:number], rows[number:], folder)
    return Case(competition, job, images[:number], targets[:number])


def bare_loop(case: Case, settings: Settings, steps: int) -> float:
    """Images/s of the network, cross-entropy and AdamW on one batch that lies ready."""
    network = build(case, settings.memory_format)
    batch = case.job.recipe.batch_size
    images = torch.from_numpy(case.images[:batch]).permute(0, 3, 1, 2).float().to(DEVICE)
    images = images.contiguous(memory_format=settings.memory_format)
    targets = torch.from_numpy(case.targets[:batch]).long().to(DEVICE)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    begun = 0.0
    for step in range(WARMUP + steps):
        if step == WARMUP:
            _wait()
            begun = time.perf_counter()
        with autocast(DEVICE, settings.precision):
            logits = network(images)
        loss = F.cross_entropy(logits.float(), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    _wait()
    return steps * batch / (time.perf_counter() - begun)


def our_fit(case: Case, settings: Settings) -> float:
    """Images/s of the epochs of `fit_fold` but for the first one."""
    case.job.place.state.unlink(missing_ok=True)
    result = fit_fold(replace(case.job, settings=settings))
    return len(case.job.train_rows) / statistics.median(line["train_seconds"] for line in result.history[1:])


def build(case: Case, memory_format: torch.memory_format = torch.contiguous_format) -> nn.Module:
    torch.manual_seed(0)
    return case.competition.build_model(case.job.recipe).to(DEVICE).to(memory_format=memory_format).train()


def _wait() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def measure_limit(name: str, pairs: int, steps: int) -> dict[str, Any]:
    """Ours and the bare loop in turns: with the fastest settings for this machine, and in plain float32."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        case = make_case(name, steps, Path(folder))
        chosen = fastest(case.competition, case.job.recipe, DEVICE, Path(folder) / "speed.json")
        for key, settings in (("", chosen), ("float32_", Settings())):
            alone = f"bare_loop(case, {settings!r}, {steps})"
            ours, bare, untouched = zip(
                *(
                    (our_fit(case, settings), bare_loop(case, settings, steps), in_own_process(name, steps, alone))
                    for _ in range(pairs)
                ),
                strict=True,
            )
            figures |= _ratios(f"{name}_{key}over_limit", ours, untouched)
            figures |= _ratios(f"{name}_{key}same_memory_over_limit", ours, bare)
            figures[f"{name}_{key}images_per_s"] = statistics.median(ours)
            figures[f"{name}_{key}limit_images_per_s"] = statistics.median(untouched)
            figures[f"{name}_{key}same_memory_limit_images_per_s"] = statistics.median(bare)
        figures[f"{name}_settings"] = str(chosen)
    return figures


def measure_peers(name: str, pairs: int, steps: int) -> dict[str, Any]:
    """Ours with its measured settings and each peer at its defaults, in a process of its own, in turns."""
    from benchmarks.training_peers import PEERS

    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        case = make_case(name, steps, Path(folder))
        chosen = fastest(case.competition, case.job.recipe, DEVICE, Path(folder) / "speed.json")
        rates: dict[str, list[tuple[float, float]]] = {peer: [] for peer in PEERS}
        for _ in range(pairs):
            for peer in PEERS:
                train = f"PEERS[{peer!r}](build(case), case.images, case.targets, case.job.recipe, EPOCHS)"
                rates[peer].append((our_fit(case, chosen), in_own_process(name, steps, train)))
        for peer, measured in rates.items():
            ours, theirs = zip(*measured, strict=True)
            figures |= _ratios(f"{name}_over_{peer}", ours, theirs)
            figures[f"{name}_{peer}_images_per_s"] = statistics.median(theirs)
    return figures


def in_own_process(name: str, steps: int, expression: str) -> float:
    """What the expression gives for the case, where nothing has touched the C library's handling of memory."""
    command = [sys.executable, "-c", CHILD.format(expression), name, str(steps)]
    return float(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.split()[-1])


CHILD = """
import sys, tempfile
from pathlib import Path
from benchmarks.training import *
from benchmarks.training_peers import PEERS
with tempfile.TemporaryDirectory() as folder:
    case = make_case(sys.argv[1], int(sys.argv[2]), Path(folder))
    print({})
"""


def _ratios(key: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return {key: statistics.median(ratios), f"{key}_low": min(ratios), f"{key}_high": max(ratios)}


def measure_memory(name: str, steps: int) -> dict[str, Any]:
    """Peak resident memory of a process that trains, and of one with the bare loop, beside data and weights."""
    with tempfile.TemporaryDirectory() as folder:
        case = make_case(name, steps, Path(folder))
        data = case.images.nbytes + case.targets.nbytes
        model = sum(value.nbytes for value in build(case).state_dict().values())
    figures = {f"{name}_data_mib": data / 2**20, f"{name}_model_mib": model / 2**20}
    half = Settings(precision="bfloat16")
    for key, train in (("", f"our_fit(case, {half!r})"), ("bare_", f"bare_loop(case, {half!r}, {steps})")):
        peak = in_own_process(name, steps, f"({train}, peak_memory())[1]")
        figures |= {
            f"{name}_{key}peak_mib": peak / 2**20,
            f"{name}_{key}above_data_and_model_mib": (peak - data - model) / 2**20,
        }
    return figures


MEASURES: dict[str, Callable[[str, argparse.Namespace], dict[str, Any]]] = {
    "limit": lambda name, options: measure_limit(name, options.pairs, options.steps),
    "peers": lambda name, options: measure_peers(name, options.pairs, options.steps),
    "memory": lambda name, options: measure_memory(name, options.steps),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=list(MEASURES))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=["resnet18", "unet_resnet18"])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=40, help="batches an epoch")
    options = parser.parse_args()
    figures: dict[str, Any] = {"machine": machine(DEVICE), "bf16_instructions": bf16_instructions()}
    for measure in options.only:
        for name in options.cases:
            figures |= MEASURES[measure](name, options)
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:44}", f"{value:.3f}" if isinstance(value, float) else value)


def bf16_instructions() -> bool:
    """Has the processor AVX-512 BF16 or AMX?"""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text() if cpuinfo.exists() else ""
    return "avx512_bf16" in flags or "amx_bf16" in flags


if __name__ == "__main__":
    main()
