"""The fastest way to train a network on this machine: measured once in seconds, remembered, printed.

Which of precision, memory layout and compilation is fastest depends on the network as much as on the machine:
on a processor with bfloat16 instructions EfficientNet-Lite0 gained 1.7 times by them, MobileNetV3 lost half;
where they are emulated everything is many times slower. So each is tried, first on a few images.
"""

import ctypes
import math
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cache, partial
from pathlib import Path
from shutil import which
from typing import Any

import torch
import torch.nn.functional as F
import torch.utils.deterministic

from toolkit.competition import Competition
from toolkit.competition_code import parts_of_code
from toolkit.data.sizes import image_shape
from toolkit.errors import UserError
from toolkit.networks.contention import BUSY, TRIES, contention
from toolkit.networks.devices import autocast, has_bfloat16
from toolkit.networks.fast_convolution import faster_products, use_products
from toolkit.networks.network import head_of
from toolkit.networks.outputs import build_network, check_channels
from toolkit.outcome import counted
from toolkit.recipe import Recipe, to_dict
from toolkit.store import hash_json, read_json, write_json

SMALL = 8  # images of the first try
GIVE_UP = 1.5  # a setting that is slower than the best by this on few images is not tried further
GAIN = 0.97  # and it must take at most this share of the best one's time on whole batches
MALLOC = {-4: 0, -1: 2**31 - 1}  # malloc.h: M_MMAP_MAX, no block of its own; M_TRIM_THRESHOLD, 2 GiB may lie idle
MEASURED = 3  # the version of what is measured: older measurements are not read
AGAIN = 600.0  # seconds: what was measured on a busy machine isn't measured again earlier by the same process
COMPILE_FROM = 1800.0  # seconds of training from which compiling, about a minute a network, can pay back
RACE, COMPILING = 30, 120.0  # steps of training that measuring takes, and seconds that it takes to try compiling


@dataclass(frozen=True)
class Settings:
    """How a network is trained here. `seconds`: of a step; None: nothing was measured."""

    precision: str = "float32"
    channels_last: bool = True
    compiled: bool = False
    micro_batch: int | None = None  # images at a time, where a batch does not fit in memory
    products: dict[str, str] = field(default_factory=dict, hash=False)  # layers for `use_products`
    seconds: float | None = None
    plain_seconds: float | None = None  # of a step in float32, memory in the default layout

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        words = [self.precision, "channels last" if self.channels_last else "channels first"]
        words += ["compiled"] if self.compiled else []
        words += [f"{counted(self.micro_batch, 'image')} at a time"] if self.micro_batch else []
        words += [f"{counted(len(self.products), 'convolution')} as matrix products"] if self.products else []
        return ", ".join(words)


def read_settings(path: Path) -> Settings:
    """How a run was begun; UserError where the file isn't what a training left."""
    names = {each.name for each in fields(Settings)}
    found = read_json(path, *names)
    return Settings(**{name: found[name] for name in names})


_measured_at: dict[tuple[Path, str], float] = {}  # by file and key, of time.monotonic()
UNMEASURED = Settings()  # float32, channels last: nothing measured, the same bits on any machine of one kind


def keep_freed_memory() -> None:
    """Have glibc keep what is freed, from now on; with another C library nothing happens.

    Else each step gives its large tensors back to the system and takes new ones, whose pages are cleared one by one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for option, value in MALLOC.items():
            mallopt(option, value)


def same_bits() -> None:
    """Have PyTorch compute the same bits again from the same numbers, where it can; where it can't it warns."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    # filling memory that is about to be overwritten cost EfficientNet-Lite0 a sixth of its speed
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False


def give_back_memory() -> None:
    """Give the system what was freed and kept: what comes now, such as masks as large as slides, would come on top."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def fastest(
    competition: Competition,
    recipe: Recipe,
    device: torch.device,
    remembered: Path,
    steps: int = 0,
    within: float = math.inf,
) -> Settings:
    """The settings for this machine, network, image and batch size, from the file `remembered` or measured now.

    A recipe with a precision other than `auto` is not measured. What was measured while the machine had other work to
    do is measured again by the next command, or after AGAIN. Where a head alone is trained, on stored features, what
    counts is how fast those are computed. steps: of the whole training; compiling is tried where it can pay back
    within them. within: seconds that measuring may take; where it would take longer nothing is measured or remembered.
    """
    if recipe.precision != "auto":
        return Settings(precision=recipe.precision)
    shape = image_shape(recipe.images, competition.task)
    key = hash_json(
        [MEASURED, machine(device), to_dict(recipe)["model"], recipe.batch_size, shape, competition.name]
        + ["head"] * (recipe.schedule.freeze == 1)
        + parts_of_code(competition.build_model, competition.folder)  # an edited network is another one
    )
    known = _read(remembered).get(key)
    known = known if known is not None and {"settings", "waited", "tries"} <= set(known) else None
    lately = time.monotonic() - _measured_at.get((remembered, key), -math.inf) < AGAIN
    if known is None and within <= 0:
        return UNMEASURED
    if known is None or (
        known["waited"] > BUSY
        and known["tries"] < TRIES
        and not lately
        and RACE * known["settings"]["plain_seconds"] <= within
    ):
        with torch.random.fork_rng(devices=[]):
            network = build_network(competition, recipe)
            # it may lack its weights, or be for other images: better known before a minute of measuring
            check_channels(network, recipe, competition.task, torch.device("cpu"), competition.folder)
        forward = recipe.schedule.freeze == 1 and head_of(network, competition.task) is not None
        with contention() as waited:
            found = _measure(competition, recipe, device, forward, within)
        give_back_memory()  # what was measured in is not kept from those who train, in this process or in others
        if found is None:
            return UNMEASURED
        made: dict[str, Any] = {"settings": asdict(found), "waited": waited.share}
        quieter = made if known is None else min(known, made, key=lambda each: float(each["waited"]))
        known = quieter | {"tries": 1 + (0 if known is None else known["tries"])}
        _remember(remembered, key, known | {"machine": machine(device), "model": recipe.model.name})
        _measured_at[remembered, key] = time.monotonic()
    settings = Settings(**known["settings"])
    assert settings.seconds is not None
    if steps * settings.seconds < COMPILE_FROM or within < COMPILING or not can_compile(device):
        return settings
    if "compiled" not in known:
        known["compiled"] = _measure_compiled(competition, recipe, device, settings)
        give_back_memory()
        _remember(remembered, key, known)
    took, once = known["compiled"]
    pays = took is not None and steps * (settings.seconds - took) > 2 * once
    return replace(settings, compiled=True, seconds=took) if pays else settings


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(path, holds=dict[str, dict[str, object]]) if path.exists() else {}
    return found


def _remember(path: Path, key: str, values: dict[str, Any]) -> None:
    write_json(path, _read(path) | {key: values})


@cache
def machine(device: torch.device) -> str:
    """What decides on speed: the processor or GPU, its threads, torch."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"
    return f"{name}, torch {torch.__version__}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine()
    )


def _measure(
    competition: Competition, recipe: Recipe, device: torch.device, forward: bool, within: float
) -> Settings | None:
    """None: by a few images it would take longer than `within` seconds."""
    keep_freed_memory()
    bare = replace(recipe, model=replace(recipe.model, pretrained=False))  # the weights don't matter here
    half = "bfloat16" if device.type == "cpu" or has_bfloat16(device) else "float16"
    plain = Settings(channels_last=False)
    candidates = [Settings(), Settings(precision=half), Settings(precision=half, channels_last=False)]
    micro = None if forward else largest_batch(competition, bare, device, plain)
    with torch.random.fork_rng(devices=[]):  # random weights are drawn, and nobody's draws may depend on that
        small = Race(competition, bare, device, min(SMALL, recipe.batch_size), forward)
        best = small.time(plain, limit=within)
        if within < math.inf and RACE * best * recipe.batch_size / len(small.images) > within:
            return None
        promising = []
        for candidate in candidates:
            took = small.time(candidate, limit=GIVE_UP * best)
            best = min(best, took)
            if took < GIVE_UP * best:
                promising.append(candidate)
        whole = Race(competition, bare, device, micro or recipe.batch_size, forward)
        times = {settings: whole.time(settings) for settings in (plain, *promising)}
        chosen = min(times, key=lambda settings: times[settings] / (1 if settings == plain else GAIN))
        if device.type == "cpu" and not forward:
            faster = replace(chosen, products=whole.products(chosen))
            if faster != chosen and (took := whole.time(faster)) < times[chosen]:
                chosen = faster
                times[chosen] = took
    parts = recipe.batch_size / (micro or recipe.batch_size)
    return replace(chosen, micro_batch=micro, seconds=parts * times[chosen], plain_seconds=parts * times[plain])


def _measure_compiled(
    competition: Competition, recipe: Recipe, device: torch.device, settings: Settings
) -> tuple[float | None, float]:
    """Seconds of a compiled step, None where it can't be compiled, and seconds that compiling took."""
    bare = replace(recipe, model=replace(recipe.model, pretrained=False))
    with torch.random.fork_rng(devices=[]):
        begun = time.perf_counter()
        images = settings.micro_batch or recipe.batch_size
        took = Race(competition, bare, device, images).time(replace(settings, compiled=True))
        took *= recipe.batch_size / images
    return (took if took < float("inf") else None), time.perf_counter() - begun


class Race:
    """The same few steps of training under several settings; forward: a backbone's features of a batch alone."""

    def __init__(
        self, competition: Competition, recipe: Recipe, device: torch.device, images: int, forward: bool = False
    ) -> None:
        self.competition, self.recipe, self.device, self.forward = competition, recipe, device, forward
        height, width, channels = image_shape(recipe.images, competition.task)
        self.images = torch.randint(0, 256, (images, channels, height, width), dtype=torch.uint8).to(device)

    def time(self, settings: Settings, limit: float = float("inf")) -> float:
        """Seconds of the fastest of 3 steps after a warm-up; of fewer where one takes longer than `limit`."""
        step = self.step(settings)
        took = float("inf")
        try:
            if self.device.type == "cuda":
                step_seconds(step, self.device)  # which loads the kernels of a precision: no word on how fast it is
            if step_seconds(step, self.device) < 10 * limit:  # the first step also allocates
                for _ in range(3):
                    took = min(took, step_seconds(step, self.device))
                    if took > limit:
                        break
        except RuntimeError:  # a kernel that this machine lacks, or memory
            return float("inf")
        return took

    def products(self, settings: Settings) -> dict[str, str]:
        """The convolutions that are faster as products."""
        network, images = self._network(settings)
        with autocast(self.device, settings.precision):
            return faster_products(network, images, getattr(torch, settings.precision))

    def _network(self, settings: Settings) -> tuple[Any, torch.Tensor]:
        network = build_network(self.competition, self.recipe)
        network = network.to(self.device).to(memory_format=settings.memory_format).train()
        use_products(network, settings.products)
        return network, self.images.float().contiguous(memory_format=settings.memory_format)

    def step(self, settings: Settings) -> Callable[[], None]:
        network, images = self._network(settings)
        if self.forward:
            return partial(self._features, network.eval(), images, settings.precision)
        if settings.compiled:
            network.compile(dynamic=False)
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)

        def once() -> None:
            with autocast(self.device, settings.precision):
                logits = network(images)
            target = torch.zeros_like(logits[:, 0], dtype=torch.int64)
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(logits.float(), target).backward()
            optimizer.step()

        return once

    @torch.no_grad()
    def _features(self, network: Any, images: torch.Tensor, precision: str) -> None:
        with autocast(self.device, precision):
            network.features(images)


def step_seconds(step: Callable[[], None], device: torch.device) -> float:
    begun = time.perf_counter()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - begun


def largest_batch(competition: Competition, recipe: Recipe, device: torch.device, settings: Settings) -> int | None:
    """None where the whole batch fits on a GPU; else the largest of its halves that does. UserError if none does."""
    if device.type != "cuda":
        return None
    images = recipe.batch_size
    while images >= 2:
        with suppress(torch.cuda.OutOfMemoryError):
            step_seconds(Race(competition, recipe, device, images).step(settings), device)
            return None if images == recipe.batch_size else images
        torch.cuda.empty_cache()  # only now: the error's traceback held what didn't fit
        images //= 2
    raise UserError(f"not even 2 images of {recipe.model.name} fit in the memory of {device}; use a smaller model")


def can_compile(device: torch.device) -> bool:
    """Compiling for a CPU needs a C++ compiler."""
    return device.type == "cuda" or any(which(name) for name in (os.environ.get("CXX", "g++"), "clang++"))
