"""Who works on what: a claim ends with its process, however that ends, and another may go on from there.

On one machine a process is known by its id and its start time. Of another machine's it is only known whether it was
heard of lately; the machines' clocks must agree within GRACE.
"""

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from filelock import FileLock, Timeout

from toolkit.errors import UserError
from toolkit.store import read_json, write_json

BEAT = 15.0  # seconds between two signs of life
GRACE = 120.0  # without one for so long, a process of another machine counts as dead


@dataclass(frozen=True)
class Owner:
    host: str  # with its boot and its namespace of process ids: an id alone says nothing in another container
    pid: int
    started: str


@cache
def this_host() -> str:
    name = socket.gethostname()
    try:
        boot, namespace = Path("/proc/sys/kernel/random/boot_id").read_text()[:8], os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        return name
    return f"{name} {boot} {namespace}"


def this_process() -> Owner:
    return Owner(this_host(), os.getpid(), _started(os.getpid()) or "")


def _started(pid: int) -> str | None:
    """When a process of this machine was started, in the system's own words; None: there is none."""
    if Path("/proc/self/stat").exists():
        try:
            # the name before it may hold spaces and brackets; the 22nd field is the start, the third the state
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] in "ZX" else fields[19]
    listed = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return listed.stdout.strip() or None


def alive(owner: Owner, heard: float) -> bool:
    """Does the process still run? heard: Unix time of its last sign of life."""
    if owner.host == this_host():
        return _started(owner.pid) == owner.started
    return time.time() - heard < GRACE


@contextmanager
def beating(beat: Callable[[], None], every: float = BEAT) -> Iterator[None]:
    """Call `beat` now and then from a thread; what it raises is left to the next call."""
    ended = threading.Event()

    def run() -> None:
        while not ended.wait(every):
            try:
                beat()
            except Exception:  # a storage that is busy or away for a moment; the work itself meets its faults
                continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def turn(path: Path) -> FileLock:
    """To be entered by one process of this machine at a time; the system gives it on when that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, poll_interval=0.01)


def _owner(path: Path) -> Owner:
    """Who claimed a piece of work; this process, as if nobody had, where the file can't be read."""
    try:
        return Owner(**read_json(path))
    except (UserError, TypeError):  # torn by a power failure, or somebody else's
        return this_process()


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Claim a piece of work by a file that all machines see; False where another process has it.

    On this machine the system's lock decides, elsewhere the sign of life in the file.
    """
    try:
        own = turn(path.with_name(f"{path.name}.lock")).acquire(timeout=0)
    except Timeout:
        yield False
        return
    with own:
        owner = _owner(path) if path.exists() else this_process()
        if owner.host != this_host() and alive(owner, path.stat().st_mtime):
            yield False
            return
        write_json(path, asdict(this_process()))
        with beating(lambda: os.utime(path)):
            yield True
        path.unlink(missing_ok=True)
