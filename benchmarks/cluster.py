"""What a cluster costs beside one machine: `python -m benchmarks.cluster --json`, a minute on two cores.

Machines are simulated on this one, each with a folder of its own for what is sent to it, and none sees the workspace.
Goal: less than a second a fold once a worker is warm; data go to each machine once.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np

from tests import tiny
from tests.cluster.simulated import simulated
from toolkit.cluster.place import ask, cluster
from toolkit.cluster.stock import Stock
from toolkit.data.dataset import Dataset
from toolkit.events import Tell
from toolkit.progress import Watch
from toolkit.training.cross_validation import train_fold
from toolkit.training.jobs import FoldJob

LARGE = 100_000_000  # bytes of a file of a fold's folder
IMAGES = 64_000_000  # bytes of the data
STARTING = 10.0  # seconds
FOLDS = 12  # trained one after the other, and as many here


def nothing(job: FoldJob, watch: Watch, tell: Tell) -> None:
    """A fold that takes no time."""


def slow(job: FoldJob, watch: Watch, tell: Tell) -> None:
    """One that takes long enough for all machines to start."""
    time.sleep(STARTING)


def large(job: FoldJob, watch: Watch, tell: Tell) -> None:
    """One that leaves a large file."""
    (job.folder / "large.npy").write_bytes(bytes(LARGE))


def silent(fold: int, epoch: float, news: str) -> None: ...


@contextmanager
def timed(found: dict[str, Any], name: str) -> Iterator[None]:
    begun = time.perf_counter()
    yield
    found[name] = round(time.perf_counter() - begun, 3)


def data(root: Path) -> Dataset:
    """The tiny competition's, with so many test images that the data have IMAGES bytes."""
    tiny.practice(root, 0, 72)
    found = tiny.load(root / "raw")
    tests = np.random.default_rng(0).integers(0, 256, (IMAGES // 192, 8, 8, 3), np.uint8)
    return replace(found, test_images=tests)


def measured(root: Path, machines: int, handed_out: int) -> dict[str, Any]:
    """Seconds, bytes, and folds a second."""
    found: dict[str, Any] = {"machines": machines, "cores": os.cpu_count()}
    first = tiny.make_job(root, data=data(root))
    jobs = [replace(first, folder=root / "own" / str(k)) for k in range(FOLDS)]
    here = []
    for job in jobs:
        begun = time.perf_counter()
        train_fold(job, silent)
        here.append(time.perf_counter() - begun)
    found["fold_here"] = round(median(here[1:]), 3)
    with timed(found, "start_of_machines"):
        made = simulated(root / "machines", machines)
        around = made.__enter__()
    try:
        found |= _on(around.address, first, root, handed_out)
    finally:
        made.__exit__(None, None, None)
    return found


def _on(address: str, first: FoldJob, root: Path, handed_out: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    device = ask(address)

    def some(number: int, name: str) -> list[FoldJob]:
        return [replace(first, folder=root / name / str(k), device=device) for k in range(number)]

    with timed(found, "joining"):
        joined = cluster()
    places = joined.places
    with timed(found, "first_fold_of_each_machine"):
        joined.each(slow, some(places, "cold"), silent, lambda job, answer: None)
    found["first_fold_of_each_machine"] = round(found["first_fold_of_each_machine"] - STARTING, 3)
    found["sent_once"] = dict(joined.sent)
    there = []
    for job in some(FOLDS, "warm"):
        begun = time.perf_counter()
        joined.run(train_fold, job, silent)
        there.append(time.perf_counter() - begun)
    found["fold_there"] = round(median(there), 3)
    with timed(found, "handing_out"):
        joined.each(nothing, some(handed_out, "many"), silent, lambda job, answer: None)
    found["folds_a_second"] = round(handed_out / found["handing_out"], 1)
    begun = time.perf_counter()
    joined.run(large, some(1, "large")[0], silent)
    found["megabytes_a_second_back"] = round(LARGE / 1e6 / (time.perf_counter() - begun), 1)
    found["sent_in_all"] = dict(joined.sent)
    return found


def report(found: dict[str, Any]) -> str:
    """Lines to read."""
    sent, again = found["sent_once"], found["sent_in_all"]
    over = found["fold_there"] - found["fold_here"]
    return "\n".join(
        (
            f"overhead of a fold, warm      {over:6.2f} s beside {found['fold_here']:.2f} s",
            f"first fold of each machine    {found['first_fold_of_each_machine']:6.1f} s, all {len(sent)} at once",
            f"folds handed out              {found['folds_a_second']:6.1f} a second",
            f"results back                  {found['megabytes_a_second_back']:6.1f} MB/s",
            f"sent to a machine             {max(sent.values()) / 1e6:6.1f} MB, "
            + ("and nothing again" if sent == again else f"and more later: {again}"),
        )
    )


def main() -> None:
    made = argparse.ArgumentParser(description="What a cluster costs beside one machine.")
    made.add_argument("--json", action="store_true")
    made.add_argument("--machines", type=int, default=3)
    made.add_argument("--folds", type=int, default=300, help="that are handed out and take no time")
    options = made.parse_args()
    unshared = mock.patch.object(Stock, "shared_folder", return_value=Path("/nowhere"))
    with tempfile.TemporaryDirectory() as folder, unshared:
        found = measured(Path(folder), options.machines, options.folds)
    print(json.dumps(found) if options.json else report(found))


if __name__ == "__main__":
    main()
