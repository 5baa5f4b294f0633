"""Who works on what: a claim ends with its process, however that ends, and another may go on from there."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout

from toolkit.errors import UserError
from toolkit.processes import Owner, alive, beating, this_host, this_process
from toolkit.progress import SILENT, Progress
from toolkit.store import read_json, write_json

PATIENCE = 1.0  # seconds of waiting of which nothing is said
POLL = 0.2
_held = threading.local()  # the claims of this thread


def turn(path: Path) -> FileLock:
    """To be entered by one process of this machine at a time; the system gives it on when that ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, poll_interval=0.01)


@contextmanager
def in_turn(path: Path, what: str, progress: Progress = SILENT) -> Iterator[None]:
    """Enter a `turn`; who waits for longer than a moment says for what: "the ledger"."""
    lock = turn(path)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        progress.say(f"waiting for {what}: another process has it ({path} is locked)")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
        if _is_elsewhere(path):
            yield False
            return
        write_json(path, asdict(this_process()))
        try:
            with beating(lambda: os.utime(path)):
                yield True
        finally:
            path.unlink(missing_ok=True)


def _is_elsewhere(path: Path) -> bool:
    """Does a process of another machine have it? It may give it back meanwhile."""
    owner = owner_of(path)
    try:
        return owner.host != this_host() and alive(owner, path.stat().st_mtime)
    except FileNotFoundError:
        return False


def claims_in(folder: Path) -> list[Path]:
    """All claims, in order, but for those that are still being written."""
    return [path for path in sorted(folder.glob("[!.]*")) if path.suffix != ".lock"]


@contextmanager
def claimed_run(claims: Path, run: Path) -> Iterator[bool]:
    """The same of a run, by its folder, and all its folds, as who trains any of them has them."""
    claim, folds = claims / run.name.rpartition("-")[2], sorted(run.glob("fold_*"))
    with ExitStack() as held:
        paths = (claim, *(claim.with_name(f"{claim.name}-{fold.name.removeprefix('fold_')}") for fold in folds))
        yield all(held.enter_context(claimed(path)) for path in paths)


def owner_of(path: Path) -> Owner:
    """Who has a claim; of a damaged one it is only known when it was written, as of another machine's."""
    try:
        return Owner(**read_json(path))
    except (UserError, TypeError, OSError):
        return Owner("", 0, "")


@contextmanager
def alone(path: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    """Have a claim, at once where this thread has it already; else wait until whoever has it has ended.

    waiting: told again and again who has it, such as "process 12"; what it raises ends the waiting.
    """
    held: set[tuple[int, Path]] = _held.__dict__.setdefault("claims", set())
    own = (os.getpid(), path.absolute())
    if own in held:
        yield
        return
    while True:
        with claimed(path) as mine:
            if mine:
                held.add(own)
                try:
                    yield
                finally:
                    held.discard(own)
                return
        owner = owner_of(path)
        here = owner.host == this_host()
        waiting(f"process {owner.pid}" if here else f"a process of {owner.host.split(' ')[0] or 'another machine'}")
        time.sleep(POLL)
