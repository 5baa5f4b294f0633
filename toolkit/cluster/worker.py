"""A process on a machine of the cluster: it takes one fold after another, and keeps what it has imported.

What it learns goes to the driver as it is made: news, the state after each saved epoch, in the end what the fold's
folder holds. Nothing is written where the driver writes.
"""

import gc
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from queue import Empty, SimpleQueue
from secrets import token_hex
from threading import Event, Thread
from typing import Any

import numpy as np
import ray
import torch

from toolkit.cluster.need import Meter
from toolkit.cluster.parcels import teacher_in, unpack
from toolkit.competition import load_competition
from toolkit.errors import OutOfMemory, UserError
from toolkit.events import Epoch, Tell
from toolkit.networks.devices import resolve_device
from toolkit.networks.speed import Settings, fastest, give_back_memory
from toolkit.progress import Watch
from toolkit.recipe import Recipe
from toolkit.store import MANIFEST, hash_json, sha256
from toolkit.training.budget import measure_speed
from toolkit.training.fold import StoppedError
from toolkit.training.jobs import FoldJob

CACHE = "TOOLKIT_CLUSTER_CACHE"  # in a machine's environment: the folder of what is sent to it
EVERY = 0.5  # seconds between two news of a fold, and two looks for what is to be sent
NEWS, TOLD, EPOCH, FILE, DONE, STOPPED, REFUSED, FULL, FAILED = range(9)
ENDS = (DONE, STOPPED, REFUSED, FULL, FAILED)
COMPARED = ("torch", "timm", "numpy")
Told = tuple[int, Any]


@dataclass(frozen=True)
class Hello:
    """Who a worker is, and what it would train with."""

    node: str
    process: int
    versions: dict[str, str]
    seconds: float  # that the process took to import all this


@dataclass(frozen=True)
class Order:
    """A fold to be trained. parcels: by their role, the key and what the blocks of each file are got by; state: files
    of the fold's folder to go on from; seconds: until the deadline; pace: bytes a second of states that are sent, on
    average; asks: is the driver to hear of each epoch?
    """

    work: Callable[..., Any]
    job: FoldJob
    parcels: Mapping[str, tuple[str, Sequence[tuple[str, Sequence[Any]]]]]
    state: Mapping[str, np.ndarray]
    seconds: float | None
    threads: int
    pace: float
    asks: bool
    command: Sequence[str]


@cache
def toolkit_version() -> str:
    """The hash of all of the toolkit's code."""
    root = Path(__file__).parents[1]
    return hash_json({str(path.relative_to(root)): sha256(path) for path in sorted(root.rglob("*.py"))})


def versions() -> dict[str, str]:
    """Of what the same bits depend on, by name; builds of one version for other hardware have the same."""
    found = {name: version(name).partition("+")[0] for name in COMPARED}
    return {"Python": python_version().rpartition(".")[0], **found, "toolkit": toolkit_version()}


def cache_folder() -> Path:
    """Of this machine; others can't read it."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(os.environ.get(CACHE) or Path(tempfile.gettempdir()) / f"compete-cluster-{user}")
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


class Worker:
    """What Ray runs; `stop` is heard while a fold is trained."""

    def __init__(self) -> None:
        self.cache, self.stopped = cache_folder(), Event()
        self.last: Recipe | None = None
        self.folds = self.cache / "folds"
        self.folds.mkdir(exist_ok=True)
        _sweep(self.folds)

    def hello(self) -> Hello:
        return Hello(ray.get_runtime_context().get_node_id(), os.getpid(), versions(), time.process_time())

    def lacks(self, keys: Sequence[str], scratch: Path) -> tuple[bool, list[str]]:
        """Does this machine see the driver's workspace? And which parcels aren't here?"""
        return scratch.is_dir(), [key for key in keys if not (self.cache / key).exists()]

    def stop(self) -> None:
        """End the fold after the epoch under way; its state is sent."""
        self.stopped.set()

    def take(self, order: Order) -> Iterator[Told]:
        """Train a fold: bytes that were sent here for it, news, files, and as the last one of ENDS."""
        self.stopped.clear()
        begun, recipe = time.monotonic(), order.job.recipe
        if self.last is not None and (self.last.model, self.last.batch_size) != (recipe.model, recipe.batch_size):
            gc.collect()  # what another network left isn't what this one takes
            give_back_memory()
        self.last = recipe
        received = sum(unpack(self.cache, key, files, ray.get) for key, files in order.parcels.values())
        place = self.folds / f"{os.getpid()}-{token_hex(4)}"
        try:
            job, work = self._here(order, place / order.job.folder.parent.name / order.job.folder.name)
            deadline = None if order.seconds is None else begun + order.seconds
            heard: SimpleQueue[Told] = SimpleQueue()
            given = (work, replace(job, deadline=deadline), order, heard, self.stopped)
            Thread(target=_train, args=given, daemon=True).start()
            yield NEWS, received
            yield from _told(heard, _Sent(job.folder, order))
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def _here(self, order: Order, folder: Path) -> tuple[FoldJob, Callable[..., Any]]:
        """The job and the work with paths of this machine."""
        folder.mkdir(parents=True)
        for name, content in order.state.items():
            (folder / name).parent.mkdir(exist_ok=True)
            content.tofile(folder / name)
        job, work, at = order.job, order.work, {role: self.cache / key for role, (key, _) in order.parcels.items()}
        package = at["code"] / job.competition.parent.name / job.competition.name
        job = replace(job, competition=package, folder=folder, weights=(at["weights"],) if "weights" in at else ())
        if job.features is not None:
            job = replace(job, features=self.cache / "features")
        if job.teacher is not None:
            job = replace(job, teacher=folder / job.teacher.name)
        if "data" in at:
            images = None if job.images is None else at["data"] / job.images.relative_to(job.data.parent)
            job = replace(job, data=at["data"] / job.data.name, images=images)
        if "teacher" in at:
            assert isinstance(work, partial)
            run = teacher_in(work)
            assert run is not None
            work = partial(work.func, *work.args, **{**work.keywords, "teacher": at["teacher"] / run.name})
        return job, work


def _sweep(folds: Path) -> None:
    """Remove what processes left that have ended."""
    for folder in folds.iterdir():
        try:
            os.kill(int(folder.name.partition("-")[0]), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except (ValueError, OSError):  # nobody's, or another user's
            continue


def _train(work: Callable[..., Any], job: FoldJob, order: Order, told: "SimpleQueue[Told]", stopped: Event) -> None:
    """In a thread; what comes of it is told as one of ENDS."""
    torch.set_num_threads(order.threads)
    sys.argv[:] = order.command  # manifests say by which command
    last = 0.0

    def watch(fold: int, epoch: float, news: str) -> None:
        nonlocal last
        if time.monotonic() - last > EVERY or epoch == int(epoch):
            last = time.monotonic()
            told.put((NEWS, (fold, epoch, news)))

    def tell(epoch: Epoch) -> None:
        told.put((TOLD, epoch))

    def stop(history: Sequence[dict[str, Any]]) -> bool:
        told.put((EPOCH, list(history)))
        return stopped.is_set()

    more, meter = {"stop": stop} if order.asks else {}, Meter(job.device)
    try:
        with meter:
            answer = work(job, watch, tell, **more)
        told.put((DONE, (answer, meter.used)))
    except StoppedError:
        told.put((STOPPED, meter.used))
    except (OutOfMemory, MemoryError, torch.OutOfMemoryError):
        told.put((FULL, str(OutOfMemory())))
    except UserError as error:
        told.put((REFUSED, str(error)))
    except BaseException:
        told.put((FAILED, traceback.format_exc()))


class _Sent:
    """Which files of a fold's folder the driver has."""

    def __init__(self, folder: Path, order: Order) -> None:
        self.folder, self.pace, self.last, self.wait = folder, order.pace, time.monotonic(), 0.0
        self.known = {name: self._mark(folder / name) for name in order.state}

    @staticmethod
    def _mark(path: Path) -> tuple[int, int]:
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_size

    def more(self, end: bool = False) -> Iterator[Told]:
        """Those that are new; the manifest last. Before the end no more than the pace allows."""
        if not end and time.monotonic() - self.last < self.wait:
            return
        size = 0
        files = [path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith(".")]
        for path in sorted(files, key=lambda path: (path.name == MANIFEST, path)):
            name = path.relative_to(self.folder).as_posix()
            if ".partial" in name or (path.name == MANIFEST and not end):
                continue
            try:
                mark, content = self._mark(path), np.fromfile(path, np.uint8)
            except FileNotFoundError:  # it is replaced or removed at this moment
                continue
            if self.known.get(name) != mark:
                self.known[name] = mark
                size += len(content)
                yield FILE, (name, content)
        self.last, self.wait = time.monotonic(), size / self.pace


def _told(heard: "SimpleQueue[Told]", sent: _Sent) -> Iterator[Told]:
    while True:
        try:
            event = heard.get(timeout=EVERY)
        except Empty:
            yield from sent.more()
            continue
        if event[0] in ENDS:
            yield from sent.more(end=True)
            yield event
            return
        yield from sent.more()
        yield event


# what a worker is asked for beside whole folds: it finds these by name


def measured_settings(job: FoldJob, watch: Watch, tell: Tell, steps: int) -> Settings:
    """How the recipe is trained fastest on the machine that is asked."""
    competition, device = load_competition(job.competition), resolve_device(job.device)
    return fastest(competition, job.recipe, device, cache_folder() / "speed.json", steps)


def some_steps(job: FoldJob, watch: Watch, tell: Tell) -> None:
    """Of a training, and some predictions, by which it is known what the fold takes."""
    measure_speed(job)
