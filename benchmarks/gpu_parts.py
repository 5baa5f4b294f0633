"""What `benchmarks.gpu` tries on a device: that it computes what a CPU does, and every way through the toolkit.

Each part returns figures and checks, by name; a check is True where what it says holds.
"""

import shutil
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import toolkit
from benchmarks import gpu_speed, training
from benchmarks.gpu_speed import MARS, NETWORKS, SizedJob, half, make_case
from benchmarks.training import ROOT
from competitions.blood_cells.recipes import AGGRESSIVE
from competitions.mars.recipes import LIGHT
from toolkit.augmentation.batch import augment_batch
from toolkit.cluster.need import Meter, Need, Used
from toolkit.networks.devices import has_bfloat16
from toolkit.networks.predict import predict
from toolkit.networks.speed import Race, Settings, largest_batch
from toolkit.networks.tta import predict_views
from toolkit.progress import SILENT
from toolkit.recipe import Augment
from toolkit.training.loop import Training

CPU = torch.device("cpu")
# how far from a CPU's float32 values may be: probabilities, and gradients as a share of their length. On a GPU
# convolutions of float32 round their inputs to 10 bits (TF32), bfloat16 has 7, and float16 10.
TOLERANCES = {"float32": (0.01, 0.02), "bfloat16": (0.06, 0.15), "float16": (0.02, 0.05)}
GREY = (
    1.0  # of 255: mean difference of an augmented pixel; a value beside a step of posterize may fall to its other side
)
SAME = 0.97  # of labels, of a network that has hardly learnt
STEPS = 4


@dataclass(frozen=True)
class Sizes:
    """images: of the practice data; epochs: of a training on it; networks: what speed is measured of."""

    images: int
    epochs: int
    batch: int
    networks: dict[str, gpu_speed.Network]


WHOLE = Sizes(600, 4, 32, NETWORKS)
TINY = Sizes(48, 1, 8, gpu_speed.TINY)


@dataclass
class Found:
    figures: dict[str, Any]
    checks: dict[str, bool]


def start(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
    """That there is such a device, and it computes; on a fresh machine most of it is PyTorch, read from the disk."""
    with torch.no_grad():
        made = torch.nn.Conv2d(3, 8, 3).to(device)(torch.ones((2, 3, 32, 32), device=device))
    return Found({}, {"computes": bool(made.isfinite().all())})


def correct(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
    """Gradients, predictions, views and augmentation as on a CPU; the same training twice has the same bits; what
    makes the processor wait for the GPU in a step.
    """
    found = Found({}, {})
    for name, of in sizes.networks.items():
        if name == "convnext_tiny":
            continue  # what differs between devices are kernels, of which the others have more
        height, width, _ = of.sizes[0]
        plain = (
            of if of.competition == MARS else replace(of, model=replace(of.model, dropout=0.0))
        )  # no draws of their own
        case = make_case(plain, (height, width, sizes.batch), STEPS, device, folder / name)
        assert isinstance(case.job, SizedJob)
        expected = _gradients(case.job, CPU, "float32")
        for precision in _precisions(device):
            loss, gradient = _gradients(case.job, device, precision)
            away = float((gradient - expected[1]).norm() / expected[1].norm())
            found.figures[f"{name}_{precision}_gradient_off"] = away
            found.figures[f"{name}_{precision}_loss"], found.figures[f"{name}_cpu_loss"] = loss, expected[0]
            found.checks[f"{name}_{precision}_gradient"] = away < TOLERANCES[precision][1]
        _predictions(name, case.job, device, found)
        first, second = (_weights_after(case.job, device) for _ in range(2))
        found.checks[f"{name}_same_bits_twice"] = torch.equal(first, second)
        waits = _waits(case.job, device)
        found.figures[f"{name}_waits_in_a_step"] = sum(waits.values()) / STEPS
        if waits:
            found.figures[f"{name}_waits_at"] = [f"{place} ({count})" for place, count in waits.most_common(5)]
        # the loss is read at the first step and the last
        found.checks[f"{name}_steps_without_a_wait"] = sum(waits.values()) <= 4
    for name, augment, rgb, masks in (("cells", AGGRESSIVE, (0, 1, 2), False), ("mars", LIGHT, (), True)):
        found.figures[f"augmented_{name}_off"] = off = _augmented(augment, rgb, masks, device)
        found.checks[f"augmented_{name}"] = off < GREY
    everything = replace(AGGRESSIVE, randaugment=2, augmix=0.5)
    found.figures["augmented_randaugment_off"] = off = _augmented(everything, (0, 1, 2), False, device)
    found.checks["augmented_randaugment"] = off < GREY
    return found


def _precisions(device: torch.device) -> list[str]:
    if device.type != "cuda":
        return ["float32"]
    return ["float32", "float16", *(["bfloat16"] if has_bfloat16(device) else [])]


def _training(job: SizedJob, device: torch.device, settings: Settings) -> Training:
    job.place.state.unlink(missing_ok=True)
    return Training(replace(job, device=str(device), settings=settings))


def _gradients(job: SizedJob, device: torch.device, precision: str) -> tuple[float, torch.Tensor]:
    """Loss of the first batch, and its gradient, float32 on the CPU, of all weights."""
    made = _training(job, device, Settings(precision=precision))
    # training begins with a greater scale, and leaves out the first steps, whose gradients it makes infinite
    made.scaler = torch.amp.GradScaler(device.type, init_scale=256.0, enabled=precision == "float16")
    images, targets = _training(job, CPU, Settings()).batches[0, 0]  # augmented by a CPU for both
    images, targets = images.float().to(device), targets.to(device)

    def loss_of(logits: torch.Tensor, at: slice) -> torch.Tensor:
        return made.loss(logits, targets[at])

    loss = made.backward(made.model, (images,), loss_of, True)
    scale = made.scaler.get_scale()
    parts = [(p.grad / scale).flatten().float().cpu() for p in made.model.parameters() if p.grad is not None]
    return float(loss), torch.cat(parts)


def _weights_after(job: SizedJob, device: torch.device) -> torch.Tensor:
    made = _training(job, device, half(device))
    made.run_epoch(0, [], lambda *_: None)
    return torch.cat([value.flatten().float().cpu() for value in made.model.state_dict().values()])


def _waits(job: SizedJob, device: torch.device) -> Counter[str]:
    """Where the processor waited for the GPU in an epoch of STEPS steps after the first, as PyTorch tells it."""
    if device.type != "cuda":
        return Counter()
    made = _training(job, device, half(device))
    for step in range(STEPS):
        made.step(*made.batches[0, step], step)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            made._pass(1, [], lambda *_: None)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    own = [one for one in told if "synchroniz" in str(one.message)]
    return Counter(f"{Path(one.filename).name}:{one.lineno}" for one in own)


def _predictions(name: str, job: SizedJob, device: torch.device, found: Found) -> None:
    """Probabilities of some images in each precision, plain and through views, beside a CPU's in float32."""
    competition, dataset = job.open()
    torch.manual_seed(0)
    network = competition.build_model(job.recipe).to(memory_format=torch.channels_last)
    images, scored = dataset.images[:64], competition.scored

    def said(where: torch.device, precision: str, views: bool) -> np.ndarray:
        network.to(where)
        if views:
            return predict_views(
                network, images, scored, where, precision, ["identity", "horizontal", "rotate10"], gaps=True
            )
        return predict(network, images, scored, where, precision, batch=24)

    for views, way in ((False, "predicted"), (True, "views")):
        expected = said(CPU, "float32", views)
        for precision in _precisions(device):
            values = said(device, precision, views)
            off = float(np.abs(values - expected).max())
            found.figures[f"{name}_{precision}_{way}_off"] = off
            found.checks[f"{name}_{precision}_{way}"] = off < TOLERANCES[precision][0] and bool(
                np.isfinite(values).all()
            )


def _augmented(augment: Augment, rgb: Any, masks: bool, device: torch.device) -> float:
    """Mean difference of pixels 0..255 that a CPU and the device augment by the same draws."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (32, 3 if rgb else 1, 12, 12)).astype(np.float32)
    images = torch.nn.functional.interpolate(torch.from_numpy(coarse), (96, 96), mode="bilinear").byte()
    images = images.contiguous(memory_format=torch.channels_last)
    targets = torch.from_numpy(rng.integers(0, 5, (32, 96, 96) if masks else 32, dtype=np.uint8))
    here, moved = augment_batch(augment, images, targets, 7, rgb)
    there, also = augment_batch(augment, images.to(device), targets.to(device), 7, rgb)
    off = float((here.float() - there.float().cpu()).abs().mean())
    return off + 255 * float((moved != also.cpu()).float().mean()) * masks


@contextmanager
def timed(found: Found, name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    found.figures[f"{name}_s"] = time.monotonic() - begun


def project(competition: Path, device: str, sizes: Sizes, folder: Path) -> toolkit.Project:
    return toolkit.open(
        competition,
        practice=True,
        practice_size=sizes.images,
        workspace=folder / "workspace",
        submissions=folder / "submissions",
        device=device,
        progress=SILENT,
    )


def through(competition: Path, recipes: tuple[str, str], device: torch.device, sizes: Sizes, folder: Path) -> Found:
    """From practice data to a graded submission: two trainings, the second in float16 on a GPU, stress scores, a blend
    with views, what is handed in (cells: run in the sandbox, on the GPU where it finds one).
    """
    found, made = Found({}, {}), project(competition, str(device), sizes, folder)
    with timed(found, "audit_and_folds"):
        made.audit()
        made.folds(2)
    fields: dict[str, Any] = {"schedule__epochs": sizes.epochs, "batch_size": sizes.batch}
    fastest, half_as_wide = ("auto", "float16") if device.type == "cuda" else ("float32", "float32")
    with timed(found, "train_and_stress"):
        run = made.train(recipes[0], precision=fastest, **fields)
    with timed(found, "train_float16"):
        other = made.train(recipes[1], stress="none", seed=1, precision=half_as_wide, **fields)
    labelled = run.labelled
    rows = labelled.rows(0)[:128]
    values = {
        where: predict(run.network(0, where), run.images[rows], labelled.competition.scored, where, "float32")
        for where in (CPU, device)
    }
    same = float((values[CPU].argmax(1) == values[device].argmax(1)).mean())
    found.figures["labels_as_on_a_cpu"], found.checks["labels_as_on_a_cpu"] = same, same >= SAME
    with timed(found, "blend_with_views"):
        blend = made.ensemble([run, other], views=["horizontal"])
    with timed(found, "submit"):
        submission = made.submit()
    grade = made.grade(submission.path)
    losses = [epoch["loss"] for each in (run, other) for fold in each.folds for epoch in fold.history]
    found.checks["losses_are_numbers"] = bool(np.isfinite(losses).all())
    found.figures |= {"score": blend.metrics["clean"]["score"], "leaderboard": grade.score}
    if run.metrics.get("stress"):
        found.figures["stress_score"] = run.metrics["stress"]["score"]
    found.figures["settings"] = run.settings_path.read_text() if run.settings_path.exists() else ""
    return found


def mars(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
    return through(ROOT / "competitions" / "mars", ("small_unet", "unet_resnet18"), device, sizes, folder)


def cells(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
    return through(ROOT / "competitions" / "blood_cells", ("resnet18", "resnet18"), device, sizes, folder)


def folds(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
    return side_by_side(ROOT / "competitions" / "mars", "small_unet", device, sizes, folder)


def side_by_side(competition: Path, recipe: str, device: torch.device, sizes: Sizes, folder: Path) -> Found:
    """Two folds one after the other, side by side on one device, and where there are two GPUs on both, also each fold
    over both: seconds, and how far predictions are from the first ones.
    """
    found, name = Found({}, {}), str(device)
    ways = {"in_turn": name, "side_by_side": f"{name},{name}"}
    if device.type == "cuda" and torch.cuda.device_count() > 1:
        ways |= {"on_two": "cuda:0,cuda:1", "over_two": "cuda:0+cuda:1"}
    fields: dict[str, Any] = {"schedule__epochs": 2 * sizes.epochs, "batch_size": sizes.batch, "precision": "float32"}
    first, warm = None, project(competition, name, sizes, folder)
    warm.folds(2)
    warm.train(recipe, stress="none", **fields | {"schedule__epochs": 1})  # what PyTorch does once isn't in the times
    for way, devices in ways.items():
        made = project(competition, devices, sizes, folder)
        made.folds(2)
        begun = time.monotonic()
        with Meter(name) as meter:
            run = made.train(recipe, stress="none", **fields)
        found.figures[f"{way}_s"] = time.monotonic() - begun
        if way == "in_turn":
            share = _share(device, meter.used, found)
        values = np.array(run.oof, np.float32)
        shutil.rmtree(run.folder)  # else the next way would find it done
        first = values if first is None else first
        found.figures[f"{way}_off"] = float(np.abs(values - first).mean() / max(1e-9, np.abs(first).mean()))
        if way != "over_two" and device.type == "cuda":  # on a CPU sums follow from how many threads there are
            found.checks[f"{way}_same_bits"] = bool((values == first).all())
    found.figures["side_by_side_gains"] = gains = found.figures["in_turn_s"] / found.figures["side_by_side_s"]
    if share < 1:  # then a cluster puts two on a GPU
        found.checks["a_shared_gpu_is_faster"] = gains > 1
    return found


def _share(device: torch.device, used: Used, found: Found) -> float:
    """Of a GPU that a cluster would give such a fold."""
    need = Need(torch.get_num_threads(), int(device.type == "cuda")).after(used)
    found.figures |= {f"fold_{name}": value for name, value in asdict(used).items() if value is not None}
    found.figures["fold_is_given"] = str(need)
    return need.gpus or 1.0


def compiled(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
    """What torch.compile gains on the smallest network, and what it takes once; on a GPU alone."""
    if device.type != "cuda":
        return Found({}, {})
    found = Found({}, {})
    of = sizes.networks["resnet50"]
    case = make_case(of, of.sizes[0], 1, device, folder / "case")
    race = Race(case.competition, case.job.recipe, device, case.job.recipe.batch_size)
    plain = race.time(half(device))
    begun = time.monotonic()
    took = race.time(replace(half(device), compiled=True))
    found.figures |= {"step_s": plain, "compiled_step_s": took, "compiling_s": time.monotonic() - begun}
    found.checks["compiles"] = took < float("inf")
    return found


def parted(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
    """A batch that doesn't fit, as the process may take 3 GiB: the largest part that does is found and trained."""
    if device.type != "cuda":
        return Found({}, {})
    allowed = 3 * 2**30
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed / total), device)
    case = make_case(NETWORKS["resnet50"], (224, 224, 256), 1, device, folder / "case")
    images = largest_batch(case.competition, case.job.recipe, device, Settings(channels_last=False))
    found = Found({"images_at_a_time": images, "of": 256}, {"is_parted": images is not None})
    training.DEVICE = device
    rate = training.our_fit(case, replace(half(device), micro_batch=None if images is None else images // 2))
    found.figures["images_per_s"] = rate
    found.figures["peak_mib"] = torch.cuda.max_memory_allocated(device) / 2**20
    found.checks["trained_in_parts"] = rate > 0
    return found


def _speed(name: str) -> Callable[[torch.device, Sizes, float, Path], Found]:
    def part(device: torch.device, sizes: Sizes, seconds: float, folder: Path) -> Found:
        of = sizes.networks.get(name)
        return Found({} if of is None else gpu_speed.speed(name, of, device, 0.7 * seconds, folder), {})

    return part


Part = Callable[[torch.device, Sizes, float, Path], Found]
# what is tried, and within how many seconds, its process's start included
PARTS: dict[str, tuple[Part, float]] = {
    "start": (start, 60.0),
    "correct": (correct, 60.0),
    "mars": (mars, 60.0),
    "cells": (cells, 75.0),
    "folds": (folds, 50.0),
    "resnet50": (_speed("resnet50"), 50.0),
    "convnext_tiny": (_speed("convnext_tiny"), 50.0),
    "unet_resnet34": (_speed("unet_resnet34"), 50.0),
    "compiled": (compiled, 40.0),
    "parted": (parted, 20.0),
}
