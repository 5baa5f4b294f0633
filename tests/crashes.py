"""Commands that are killed, or stopped for a while, at their n-th change of a file below a folder.

Crash points are counted by an audit hook, so that they are systematic: each opening for writing, renaming, removing
and making of a folder is one, and what was to be changed isn't yet.
"""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from tests.conftest import START
from toolkit.store import MANIFEST, read_json, write_json

CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
OWN = (".lock", ".db", ".db-wal", ".db-shm")  # files of locks and of databases
Act = Callable[..., object]


@dataclass(frozen=True)
class Ended:
    """How it ended: its exit status, changes that it made, and what it said in the end, where that is an error."""

    status: int | None
    changes: int
    error: str = ""


def begin(act: Act, root: Path, told: Path, at: int = 0, how: int = signal.SIGKILL) -> BaseProcess:
    """Call act(root) in a process of its own, which gets the signal `how` at its change number `at` below root."""
    told.unlink(missing_ok=True)
    process = START.Process(target=_counted, args=(act, root, told, at, how))
    process.start()
    return process


def end(process: BaseProcess, told: Path, seconds: float = 300.0) -> Ended:
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        return Ended(None, 0, f"not done in {seconds:.0f} s")
    return Ended(process.exitcode, **read_json(told)) if told.exists() else Ended(process.exitcode, 0)


def run(act: Act, root: Path, told: Path, at: int = 0) -> Ended:
    return end(begin(act, root, told, at), told)


def _counted(act: Act, root: Path, told: Path, at: int, how: int) -> None:
    changes, error = 0, ""

    def hook(event: str, given: Sequence[Any]) -> None:
        nonlocal changes
        if not (event in CHANGES or (event == "open" and isinstance(given[2], int) and given[2] & WRITING)):
            return
        if not isinstance(given[0], str | os.PathLike) or not os.path.abspath(given[0]).startswith(str(root)):
            return
        changes += 1
        if changes == at:
            os.kill(os.getpid(), how)

    sys.addaudithook(hook)
    try:
        act(root)
    except BaseException as raised:
        error = f"{type(raised).__name__}: {raised}"
    counted = changes
    write_json(told, {"changes": counted, "error": error})
    os._exit(1 if error else 0)


def is_stopped(process: BaseProcess) -> bool:
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except OSError:
        return False


def contents(root: Path) -> dict[str, str]:
    """The hash of each file below a folder, but for locks and databases; of a manifest without when it was written."""
    return {
        path.relative_to(root).as_posix(): sha256(_content(path)).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.endswith(OWN)
    }


def _content(path: Path) -> bytes:
    if path.name != MANIFEST:
        return path.read_bytes()
    found = read_json(path)
    found.pop("finished", None)  # folders of evidence have no end
    return json.dumps(found).encode()


def put(source: Path, root: Path) -> None:
    """Let `root` be as `source` is, with the times of its files."""
    shutil.rmtree(root, ignore_errors=True)
    shutil.copytree(source, root, symlinks=True)


def points(changes: int, most: int) -> list[int]:
    """At most so many crash points, spread evenly over all, the first and the last among them; the middle of all."""
    number = min(most, changes)
    if number == 1:
        return [(1 + changes) // 2]
    return sorted({1 + round(k * (changes - 1) / max(1, number - 1)) for k in range(number)})


@dataclass(frozen=True)
class Found:
    """What came of kills, or of two at once: how many were tried of how many points, and what was wrong afterwards."""

    tried: int
    of: int
    faults: Sequence[str]


def uninterrupted(act: Act, root: Path, before: Path, told: Path, times: int = 1) -> tuple[dict[str, str], Ended]:
    """The files that it leaves, done so many times in a row, and how the first ended; hashes of those whose content
    is the same whenever it is done, and nothing for the others, which name times.
    """
    twice = []
    for _ in range(2):
        put(before, root)
        ended, *_ = every = [run(act, root, told) for _ in range(times)]
        for one in every:
            if one.status != 0:
                raise RuntimeError(f"{act} doesn't even work undisturbed: {one.error or one.status}")
        twice.append(contents(root))
    first, second = twice
    return {name: value if second.get(name) == value else "" for name, value in first.items()}, ended


def differences(root: Path, expected: dict[str, str]) -> list[str]:
    found = contents(root)
    faults = [f"{name} is left over" for name in found.keys() - expected.keys()]
    faults += [f"{name} is missing" for name in expected.keys() - found.keys()]
    same = {name for name, value in expected.items() if value == found.get(name, value) or not value}
    return sorted(faults + [f"{name} has other bits" for name in expected.keys() - same])


def killed(act: Act, root: Path, before: Path, told: Path, most: int) -> Found:
    """Kill act at each of `most` points and call it again: the same files and bits as undisturbed, and no error."""
    expected, ended = uninterrupted(act, root, before, told)
    chosen, faults = points(ended.changes, most), []
    for at in chosen:
        put(before, root)
        first = run(act, root, told, at)
        if first.status != -signal.SIGKILL:
            faults.append(f"change {at}: not reached ({first.error or first.changes})")
            continue
        again = run(act, root, told)
        wrong = [again.error or f"status {again.status}"] if again.status else differences(root, expected)
        faults += [f"change {at}: {text}" for text in wrong]
    return Found(len(chosen), ended.changes, faults)


def interleaved(act: Act, root: Path, before: Path, told: Path, most: int, patience: float = 3.0) -> Found:
    """Stop act at each of `most` points, do it whole meanwhile, or as far as it gets in `patience` seconds, go on: the
    same files and bits as after two in a row, and no error.
    """
    expected, ended = uninterrupted(act, root, before, told, times=2)
    chosen, faults = points(ended.changes, most), []
    for at in chosen:
        put(before, root)
        first = begin(act, root, told, at, signal.SIGSTOP)
        while not is_stopped(first) and first.exitcode is None:
            time.sleep(0.01)
        other_told = told.with_name("other.json")
        second = begin(act, root, other_told)
        second.join(patience)
        if first.exitcode is None and first.pid is not None:
            os.kill(first.pid, signal.SIGCONT)
        both = [end(first, told), end(second, other_told)]
        wrong = [one.error or f"status {one.status}" for one in both if one.status != 0] or differences(root, expected)
        faults += [f"change {at}: {text}" for text in wrong]
    return Found(len(chosen), ended.changes, faults)
