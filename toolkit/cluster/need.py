"""What a fold takes of a machine: measured where one is trained, asked for where the next one is to be."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import ceil, floor
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import numpy as np
import torch

from toolkit.outcome import counted

LOOK = 0.1  # seconds between two looks at what a process takes
GPU_LOOK = 0.5  # and at what its GPU does, which the driver tells of the last second, or a sixth of it
CONTEXT = 0.6e9  # bytes of a GPU that a process takes beside what PyTorch counts
MARGIN = 1.25  # of memory: folds differ, and the last epochs weren't seen
STEP = 2**28  # bytes: memory is asked for in so many at a time, so that much the same folds take the same
MOST = 4  # folds on a GPU
BUSY = 0.9  # quantile of looks by which a GPU is judged: between epochs, and before the first, it waits


@dataclass(frozen=True)
class Used:
    """cpus: that a process kept busy, on average; memory: bytes that nobody shares with it, at most; of its GPU the
    share of the memory, and of the time in which it computed, None where nobody says.
    """

    cpus: float
    memory: int
    gpu_memory: float | None = None
    gpu_time: float | None = None


@dataclass(frozen=True)
class Need:
    """cpus, gpus, of which a share is enough where several folds fit on one, and bytes of memory; 0: unknown."""

    cpus: int
    gpus: float = 0.0
    memory: int = 0

    def __str__(self) -> str:
        gpu = "a GPU" if self.gpus == 1 else f"1/{round(1 / self.gpus)} of a GPU" if self.gpus else ""
        memory = f"{self.memory / 1e9:.1f} GB of memory" if self.memory else ""
        *words, last = (word for word in (counted(self.cpus, "CPU"), gpu, memory) if word)
        return f"{', '.join(words)} and {last}" if words else last

    def holds(self, other: "Need") -> bool:
        """Is it enough for the other, if need be without its margin, and no larger piece of a GPU than that takes?"""
        return self.gpus == other.gpus and self.cpus >= other.cpus and MARGIN * self.memory >= other.memory

    def after(self, used: Used) -> Self:
        """What is asked for such a fold now that this was seen of one that had so much.

        CPUs stay where there is no GPU: the bits of a sum depend on the number of threads. A GPU's time is that of all
        who share it, so the share stays then, unless its memory was too small.
        """
        memory = ceil(MARGIN * used.memory / STEP) * STEP
        if not self.gpus:
            return replace(self, memory=memory)
        taken = 1.0
        if used.gpu_memory is not None and used.gpu_time is not None:
            taken = max(MARGIN * used.gpu_memory, used.gpu_time if self.gpus == 1 else self.gpus, 1 / MOST)
        cpus = max(1, min(self.cpus, ceil(used.cpus)))
        return replace(self, cpus=cpus, gpus=1 / max(1, floor(1 / taken)), memory=memory)


def largest(needs: Iterable[Need]) -> Need:
    """What is enough for each of them; there is one at least."""
    found = list(needs)
    return Need(max(one.cpus for one in found), max(one.gpus for one in found), max(one.memory for one in found))


class Meter:
    """What this process takes while the block runs; `used` is known once it has ended."""

    def __init__(self, device: str = "cpu") -> None:
        self.gpu = device != "cpu" and torch.cuda.is_available()
        self.used = Used(0.0, 0)
        self._ended, self._memory = Event(), 0
        self._busy: list[float] | None = []  # None: nobody says

    def __enter__(self) -> Self:
        if self.gpu:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        self._begun, self._computed = time.monotonic(), time.process_time()
        self._thread = Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._ended.set()
        self._thread.join()
        took = max(time.monotonic() - self._begun, 1e-9)
        self.used = Used((time.process_time() - self._computed) / took, self._memory)
        if self.gpu:
            total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
            share = (torch.cuda.max_memory_reserved() + CONTEXT) / total
            busy = float(np.quantile(self._busy, BUSY)) if self._busy else None
            self.used = replace(self.used, gpu_memory=share, gpu_time=busy)

    def _look(self) -> None:
        looked = time.monotonic()
        while True:
            self._memory = max(self._memory, own_memory())
            if self.gpu and self._busy is not None and time.monotonic() - looked > GPU_LOOK:
                looked = time.monotonic()
                try:
                    self._busy.append(torch.cuda.utilization() / 100)
                except Exception:  # without nvidia-ml-py, or of a part of a GPU, of which the driver tells nothing
                    self._busy = None
            if self._ended.wait(LOOK):
                return


def own_memory() -> int:
    """Bytes of this process that it shares with nobody; 0 where the system doesn't say.

    Pages of files that are mapped aren't counted: they make room where memory is short.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)
