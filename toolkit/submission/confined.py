"""Code of ours run as a stranger's server would run it, and watched: time, memory, processes, output.

What the sandbox for `model.py` and the trial of a notebook share. All that the code starts ends with it, and it ends
with whoever asked for it: killed, stopped or gone, nothing runs on.
"""

import functools
import json
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.errors import harmless
from toolkit.submission import sandbox_server
from toolkit.waiting import POLICIES

WATCH = 0.05  # seconds between two looks at the process
# of the environment: what finds the GPU and its driver, and how threads wait
KEPT = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", *POLICIES)
LATE = 30.0  # seconds beyond the limit after which the code is ended though whoever watches it may be stopped
PATIENCE = 10.0  # seconds for a process to end all that came of it
NETWORK = ("unshare", "--map-root-user", "--net", "--")
ALONE = (*NETWORK[:-1], "--pid", "--fork", "--mount", "--mount-proc", "--")  # sees and outlives nothing


@dataclass(frozen=True)
class Limits:
    """Seconds; bytes of main memory and of what is written; processes at once."""

    seconds: float
    memory: int
    output: int
    processes: int = 256


@dataclass(frozen=True)
class Ended:
    """How it ended.

    status: of its exit, negative the signal that ended it; broke: the limit that did (a field of `Limits`), or
    nothing; report: what the server tells, see sandbox_server.py; peak: bytes of memory; words: its last ones.
    """

    status: int
    broke: str
    report: Mapping[str, Any]
    peak: int
    words: str

    @property
    def done(self) -> bool:
        return not self.broke and self.status == 0 and self.report.get("stage") == "done"

    @property
    def kind(self) -> str:
        """The type of the exception that ended it; nothing where none did."""
        return _text(self.report, "kind")

    @property
    def reason(self) -> str:
        return _text(self.report, "error")

    @property
    def stage(self) -> str:
        return _text(self.report, "stage")

    @property
    def where(self) -> str:
        """File and line of the exception."""
        return _text(self.report, "where")

    @property
    def seconds(self) -> float:
        return _number(self.report, "seconds")

    @property
    def loaded(self) -> float:
        return _number(self.report, "loaded")

    @property
    def signal(self) -> str:
        """The name of the signal that ended it; nothing where none did."""
        if self.status >= 0:
            return ""
        try:
            return signal.Signals(-self.status).name
        except ValueError:  # one without a name
            return str(-self.status)


def _text(report: Mapping[str, Any], name: str) -> str:
    return harmless(str(report.get(name) or ""))[: sandbox_server.LINE]


def _number(report: Mapping[str, Any], name: str) -> float:
    """NaN where it isn't one: the code may have written there."""
    found = report.get(name)
    return float(found) if isinstance(found, int | float) and math.isfinite(found) else math.nan


class Place:
    """Folders of one run: what is written where."""

    def __init__(self, scratch: Path) -> None:
        self.scratch, self.output, self.temporary = scratch, scratch / "output", scratch / "tmp"
        self.report = self.output / "report.json"
        self.printed, self.complaints = self.output / "stdout", self.output / "stderr"
        for folder in (self.output, self.temporary):
            folder.mkdir(parents=True)

    def environment(self) -> dict[str, str]:
        needed = {"PATH": os.defpath, "HOME": str(self.temporary), "TMPDIR": str(self.temporary), "LANG": "C.UTF-8"}
        return needed | {name: os.environ[name] for name in KEPT if name in os.environ}


@functools.cache
def isolation() -> tuple[str, ...]:
    """What starts a process without network, and with a view of itself alone where this system lends that; or ()."""
    for way in (ALONE, NETWORK):
        if shutil.which(way[0]) and subprocess.run([*way, "true"], capture_output=True, check=False).returncode == 0:
            return way
    return ()


def network() -> str:
    """How the network is taken away here, in words."""
    return "network namespace" if isolation() else "blocked socket module"


def run_confined(
    job: Mapping[str, Any],
    python: Path,
    place: Place,
    limits: Limits,
    *,
    writable: Sequence[Path] = (),
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run what the job says in `python`'s environment until it ends or breaks a limit.

    job: `kind` and what sandbox_server.py needs for it; writable: folders beside the temporary one, whose bytes count
    as output, too.
    """
    whole = {
        **job,
        "report": str(place.report),
        "writable": [str(folder) for folder in (place.temporary, *writable)],
        "scratch": str(place.scratch),
        "seconds": limits.seconds + LATE,
        "memory": limits.memory,
        "mounts": isolation() == ALONE,
    }
    command = [*isolation(), str(python), "-I", "-B", "-W", "ignore", sandbox_server.__file__]
    counted = [place.output, place.temporary, *writable]
    with open(place.printed, "wb") as printed, open(place.complaints, "wb") as complaints:
        process = subprocess.Popen(
            command,
            cwd=place.output,
            env=place.environment() if environment is None else dict(environment),
            stdin=subprocess.PIPE,
            stdout=printed,
            stderr=complaints,
            start_new_session=True,
        )
        assert process.stdin is not None
        try:
            with suppress(BrokenPipeError):  # it ended at once: its status says so
                process.stdin.write(json.dumps(whole).encode() + b"\n")
                process.stdin.flush()
            broke, held = _watch(process, limits, counted)
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()  # at which the server ends all that it started
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    report = _report(place.report)
    status, most = process.returncode, _number(report, "peak")
    status = sandbox_server.SIGNALLED - status if status > sandbox_server.SIGNALLED else status
    return Ended(status, broke, report, max(held, 0 if math.isnan(most) else int(most)), _last_words(place.complaints))


def _report(path: Path) -> Mapping[str, Any]:
    """Nothing where there is none, or something that the server didn't write."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_words(path: Path) -> str:
    with suppress(OSError), open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - (1 << 16)))
        lines = file.read().decode("utf-8", "replace").strip().splitlines()
        return harmless(lines[-1])[: sandbox_server.LINE] if lines else ""
    return ""


def _watch(process: "subprocess.Popen[bytes]", limits: Limits, folders: Sequence[Path]) -> tuple[str, int]:
    """Wait for the end, or for a limit that is broken: which, and the most memory that was seen."""
    begun, held = time.monotonic(), 0
    while process.poll() is None:
        time.sleep(WATCH)
        found = sandbox_server.descendants(process.pid)
        held = max(held, _memory([process.pid, *found]))
        if held > limits.memory:
            return "memory", held
        if len(found) > limits.processes:
            return "processes", held
        if time.monotonic() - begun > limits.seconds:
            return "seconds", held
        if sum(map(_size, folders)) > limits.output:
            return "output", held
    return "", held


def _memory(processes: Sequence[int]) -> int:
    """Resident bytes of processes and of the files in their shared memory; 0 where the system doesn't tell."""
    resident = shared = files = 0
    for process in processes:
        with suppress(OSError), open(f"/proc/{process}/status", "rb") as file:
            for line in file:
                if line.startswith(b"VmRSS:"):
                    resident += int(line.split()[1]) << 10
                elif line.startswith(b"RssShmem:"):
                    shared += int(line.split()[1]) << 10
        files = max(files, _shared_files(process))
    return max(resident, resident - shared + files)


def _shared_files(process: int) -> int:
    """Bytes in shared memory that is the process's own; 0 where it is that of this machine."""
    with suppress(OSError):
        folder = f"/proc/{process}/root{sandbox_server.SHARED}"
        if os.stat(folder).st_dev != os.stat(sandbox_server.SHARED).st_dev:
            found = os.statvfs(folder)
            return (found.f_blocks - found.f_bfree) * found.f_frsize
    return 0


def _size(folder: Path) -> int:
    total = 0
    for here, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(here, name)).st_size
    return total
