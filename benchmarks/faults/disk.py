"""A disk that is full, or can't be written to, from some change of a command on; then the command again with room.

A full disk is one: a small file system in memory, in a mount namespace of the try's own, that is filled up at the
change. Where the system lends none, opening and renaming fail as on a full disk.
"""

import ctypes
import errno
import json
import os
import random
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.faults.cases import Case, Tries, Try
from benchmarks.faults.forks import Act, put
from benchmarks.faults.kills import verdict
from benchmarks.faults.steps import Stage, Stages, points

FAULTS = (errno.ENOSPC, errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EMFILE)  # full disks most of all
WRITES = ("open", "os.rename", "os.mkdir", "os.link", "os.symlink")
SIZE = "64m"
NEW_MOUNTS = 0x20000  # CLONE_NEWNS of Linux
FILLER = "filler"


def tries(stages: Stages, count: int, rng: random.Random) -> Tries:
    """Points as of kills; faults take turns."""
    number = 0
    for stage, most in stages.shared_out(count):
        for at in points(stage.changes, most):
            fault, number = FAULTS[number % len(FAULTS)], number + 1
            what = f"{errno.errorcode[fault]} from change {at} of {stage.changes} on in {stage.step.name}"
            full = fault == errno.ENOSPC
            yield Try(what, lambda s=stage, a=at, f=fault, full=full: _full(s, a) if full else failing(s, a, f))  # type: ignore[misc]


def failing(stage: Stage, at: int, fault: int) -> Case:
    """From that change on each fails with this error."""

    def act(number: int, event: str, path: str) -> None:
        if number >= at and event in WRITES:
            raise OSError(fault, os.strerror(fault), path)

    return _tried(stage, act, lambda: None)


def _tried(stage: Stage, act: Act, mend: Callable[[], None]) -> Case:
    expected = stage.expected
    put(stage.before, stage.root)
    ended = stage.do(act)
    if ended.kind in ("traceback", "unforeseen"):
        return Case(ended.kind, ended.said)
    mend()
    return verdict(stage, [stage.do()], expected)


def _full(stage: Stage, at: int) -> Case:
    """In a fork, whose file systems end with it."""
    _ = stage.expected  # made once, and not in each fork
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        with suppress(BaseException), os.fdopen(writing, "w") as told:
            case = _filled(stage, at) if mounted(stage.root) else failing(stage, at, errno.ENOSPC)
            json.dump(vars(case), told)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as heard:
        answer = heard.read()
    os.waitpid(pid, 0)
    return Case(**json.loads(answer))


def mounted(root: Path) -> bool:
    """Give this process an empty file system of SIZE at root, which nobody else sees; False where none is lent, as
    to all but root.
    """
    root.mkdir(exist_ok=True)
    if os.geteuid() or ctypes.CDLL(None).unshare(NEW_MOUNTS):
        return False
    made = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(root)]
    private = ["mount", "--make-rprivate", "/"]
    return all(not subprocess.run(each, capture_output=True, check=False).returncode for each in (private, made))


def _filled(stage: Stage, at: int) -> Case:
    filler = stage.root / FILLER

    def act(number: int, event: str, path: str) -> None:
        if number == at:
            fill(filler)

    return _tried(stage, act, lambda: filler.unlink(missing_ok=True))


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with suppress(OSError), path.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            with suppress(OSError):
                while file.write(bytes(size)):
                    pass
