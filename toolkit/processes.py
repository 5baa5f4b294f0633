"""Which process something belongs to, and whether that still runs.

On one machine a process is known by its id and its start time. Of another machine's it is only known whether it was
heard of lately; the machines' clocks must agree within GRACE.
"""

import gc
import hashlib
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from joblib import Parallel

BEAT = 15.0  # seconds between two signs of life
GRACE = 120.0  # without one for so long, a process of another machine counts as dead


@dataclass(frozen=True)
class Owner:
    host: str  # with its boot and its namespace of process ids: an id alone says nothing in another container
    pid: int
    started: str

    @property
    def place(self) -> str:
        """The host in 8 hex digits, for names of files."""
        return hashlib.sha256(self.host.encode()).hexdigest()[:8]


@cache
def this_host() -> str:
    name = socket.gethostname()
    try:
        boot, namespace = Path("/proc/sys/kernel/random/boot_id").read_text()[:8], os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        return name
    return f"{name} {boot} {namespace}"


def this_process() -> Owner:
    return _process(os.getpid())


@cache
def _process(pid: int) -> Owner:
    return Owner(this_host(), pid, _started(pid) or "")


def _started(pid: int) -> str | None:
    """When a process of this machine was started, in the system's own letters and digits; None: there is none."""
    if Path("/proc/self/stat").exists():
        try:
            # the name before it may hold spaces and brackets; the 22nd field is the start, the third the state
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return re.sub(r"[^0-9A-Za-z]", "", listed.stdout) or None


def alive(owner: Owner, heard: float) -> bool:
    """Does the process still run? heard: Unix time of its last sign of life."""
    if owner.host == this_host():
        return _started(owner.pid) == owner.started
    return time.time() - heard < GRACE


@contextmanager
def beating(beat: Callable[[], None], every: float = BEAT) -> Iterator[None]:
    """Call `beat` now and then from a thread; what it raises is left to the next call."""

    def run(ended: threading.Event) -> None:
        while not ended.wait(every):
            try:
                beat()
            except Exception:  # a storage that is busy or away for a moment; the work itself meets its faults
                continue

    with meanwhile(run):
        yield


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """In a thread, until the event that it is given is set, as it is in the end, and it returns.

    What the thread puts out is of the cell of a notebook that is run now.
    """
    ended = threading.Event()
    thread = threading.Thread(target=copy_context().run, args=(work, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def end_with(parent: int) -> None:
    """End this process, from a thread, soon after that of the number `parent`, which started it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def parallel(jobs: int, return_as: str = "generator") -> "Parallel":
    """Processes of joblib's; those that still wait for work end soon after this one, however that ends."""
    from joblib import Parallel

    return Parallel(jobs, return_as=return_as, initializer=end_with, initargs=(os.getpid(),))


def end_soon() -> None:
    """Have this process, which is about to end, not take seconds for that, in which nothing is shown.

    joblib's processes, which wait for more to do, would be waited for; and Python would look for garbage among the
    objects of all libraries (with PyTorch an end computed for 2 s, and computes for 0.3 s now).
    """
    gc.freeze()
    reusable = sys.modules.get("joblib.externals.loky.reusable_executor")
    executor = getattr(reusable, "_executor", None)
    if executor is not None:
        executor.shutdown(wait=True, kill_workers=True)
