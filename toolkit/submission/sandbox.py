"""A code submission run as the organisers' server would, and every way in which it would fail there named here.

Unpacked into an empty folder, read-only, at a place the code cannot know; a fresh process of a clean
environment with the allowed packages alone; no network, no environment variables, bounded time, memory and
output; one call with all images. The code is ours and may be wrong; it is not taken for hostile.
"""

import ast
import functools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from toolkit.answers import SandboxRun
from toolkit.errors import UserError
from toolkit.rules import Rules
from toolkit.submission import sandbox_server
from toolkit.submission.clean_environment import clean_python, readable

SECONDS, MEMORY = 1800.0, 16 << 30  # where the organisers publish no limit: a run that is plainly stuck
OUTPUT = 64 << 20  # bytes that a submission may print or leave in its temporary folder
WATCH = 0.05  # seconds between two looks at the process
KEPT = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH")  # of the environment: what finds the GPU and its driver
ENTRY = "model.py"
LARGEST = 8 << 30  # bytes of a zip after unpacking
RATIO = 100  # of unpacked to packed bytes; weights hardly shrink, and text shrinks to a tenth
SMALL = 1 << 20  # bytes up to which a ratio says nothing
READ_ONLY, READ_ONLY_FOLDER = 0o444, 0o555
NAMESPACE = ("unshare", "--map-root-user", "--net", "--")


def run_code_submission(path: Path, images: np.ndarray, classes: int, rules: Rules) -> SandboxRun:
    """What `Model().predict(images)` of the zip's model.py returns, and what it cost.

    images: (n, H, W, C). Raises UserError, naming the rule where it is one, where the server would refuse
    the zip, the code fails or breaks a limit, or the labels are not n whole numbers below `classes`.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-") as scratch:
        place = _Place(Path(scratch).resolve())
        unpack(path, place.code)
        _check_imports(place.code, path, rules)
        np.save(place.images, images, allow_pickle=False)
        before = _snapshot(place.code)
        report = _run(path, place, rules)
        if _snapshot(place.code) != before:
            raise UserError(f"{path} writes into its own folder, which is read-only on a server; use tempfile")
        labels = _labels(path, np.load(place.labels, allow_pickle=False), len(images), classes)
    return SandboxRun(labels, report["seconds"], report["loaded"], report["peak"], network())


@functools.cache
def has_namespace() -> bool:
    """Does this system let us take the network away from a process?"""
    if not shutil.which(NAMESPACE[0]):
        return False
    done = subprocess.run([*NAMESPACE, "true"], capture_output=True, check=False)
    return done.returncode == 0


def network() -> str:
    """How the network is taken away here, in words."""
    return "network namespace" if has_namespace() else "blocked socket module"


class _Place:
    """Where things lie on the imitated server: nothing is where it was packed, and one name has a space."""

    def __init__(self, scratch: Path) -> None:
        self.code = scratch / "server" / "submission 1"
        self.images = scratch / "input" / "images.npy"
        self.output = scratch / "output"
        self.labels, self.report = self.output / "labels.npy", self.output / "report.json"
        self.printed, self.complaints = self.output / "stdout", self.output / "stderr"
        self.temporary = scratch / "tmp"
        for folder in (self.images.parent, self.output, self.temporary):
            folder.mkdir(parents=True)

    def job(self, python: Path) -> str:
        return json.dumps(
            {
                "code": str(self.code),
                "images": str(self.images),
                "labels": str(self.labels),
                "report": str(self.report),
                "readable": [str(path) for path in readable(python)],
                "writable": [str(self.temporary)],
            }
        )

    def environment(self) -> dict[str, str]:
        needed = {"PATH": os.defpath, "HOME": str(self.temporary), "TMPDIR": str(self.temporary), "LANG": "C.UTF-8"}
        return needed | {name: os.environ[name] for name in KEPT if name in os.environ}


def _run(path: Path, place: _Place, rules: Rules) -> dict[str, Any]:
    """The report of a process that came to its end; UserError for any other."""
    python = clean_python(rules.submission_packages)
    command = [str(python), "-I", "-B", "-W", "ignore", sandbox_server.__file__, place.job(python)]
    with open(place.printed, "wb") as printed, open(place.complaints, "wb") as complaints:
        process = subprocess.Popen(
            [*NAMESPACE, *command] if has_namespace() else command,
            cwd=place.output,
            env=place.environment(),
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=complaints,
            start_new_session=True,
        )
        try:
            held = _watch(process, path, place, rules)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # what it may have started lives no longer than it
            process.wait()
    report: dict[str, Any] = json.loads(place.report.read_text(encoding="utf-8")) if place.report.exists() else {}
    if report.get("stage") != "done" or process.returncode != 0:
        raise UserError(_why(path, place, rules, report, process.returncode))
    report["peak"] = max(report["peak"], held)
    return report


def _watch(process: "subprocess.Popen[bytes]", path: Path, place: _Place, rules: Rules) -> int:
    """Wait for the end, and make it where a limit is broken; the most memory that was seen."""
    seconds, memory = rules.submission_seconds or SECONDS, rules.submission_memory or MEMORY
    begun, held = time.monotonic(), 0
    while process.poll() is None:
        time.sleep(WATCH)
        held = max(held, _memory(process.pid))
        if held > memory:
            limit = f"{path} takes more than {memory / 1e9:.2f} GB of memory"
            raise UserError(rules.sentence("submission_memory", f"{limit}; predict in smaller batches"))
        if time.monotonic() - begun > seconds:
            limit = f"{path} takes longer than {seconds:g} s"
            raise UserError(rules.sentence("submission_seconds", f"{limit}; is there an endless loop?"))
        if _size(place.output, place.labels) + _size(place.temporary) > OUTPUT:
            raise UserError(f"{path} prints or writes more than {OUTPUT >> 20} MiB; a server stops that")
    return held


def _memory(group: int) -> int:
    """Resident bytes of all processes of the group; 0 where the system doesn't tell (not Linux)."""
    page, total = os.sysconf("SC_PAGE_SIZE"), 0
    if not os.path.isdir("/proc"):
        return 0
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    # after the name, which may hold anything: state, parent, process group, …
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue  # it ended while we looked
            if int(fields[2]) == group:
                total += int(fields[21]) * page
    return total


def _size(folder: Path, other_than: Path | None = None) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.lstat().st_size if file != other_than else 0
        except OSError:
            continue
    return total


def _why(path: Path, place: _Place, rules: Rules, report: dict[str, Any], status: int) -> str:
    """The sentence for a process that ended without labels."""
    where = {"import": "when model.py is imported", "make": "in Model()", "predict": "in predict"}
    stage = where.get(report.get("stage", ""), "before it began")
    kind, reason = report.get("kind"), report.get("error", "")
    if kind is None:
        last = place.complaints.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = f"; its last words: {last[-1][: sandbox_server.LINE]}" if last else ""
        if status < 0:
            return f"{path} was ended by signal {signal.Signals(-status).name} {stage}{words}"
        return f"{path} ended with exit status {status} {stage}, before it returned labels{words}"
    if kind == "PermissionError" and reason.startswith(("writes to", "changes")):
        return f"{path} {reason} {stage}; a server lets it write to its temporary folder alone, use tempfile"
    if sandbox_server.ASKS in reason:  # a library may have wrapped it into an exception of its own
        asks = reason[reason.index(sandbox_server.ASKS) :].rstrip(">")
        return f"{path} {asks} ({stage}); the server has none, put what it needs into the zip"
    if kind == "ModuleNotFoundError":
        allowed = f"allowed are {', '.join(rules.submission_packages)} and what they require"
        return rules.sentence("submission_packages", f"{path} fails {stage}: {reason}; {allowed}")
    if kind == "FileNotFoundError":
        return f"{path} fails {stage}: {reason}; is the file in the zip, and named relative to model.py?"
    if "Permission denied" in reason:  # by the kernel: native code, or Python by a detour
        return f"{path} fails {stage}: {reason}; {sandbox_server.NO_SUCH_FILE}, put what it needs into the zip"
    if kind == "TypeError" and reason.startswith("predict returned"):
        printed = place.printed.stat().st_size
        note = f"; it printed {printed} bytes, but labels must be returned" if printed else ""
        return f"{path}: {reason}{note}"
    if kind == "NameError" and reason.startswith("model.py has no class"):
        return f"{path}: {reason}"
    return f"{path} fails {stage}: {kind}: {reason}" if reason else f"{path} fails {stage}: {kind}"


def _labels(path: Path, labels: np.ndarray, images: int, classes: int) -> np.ndarray:
    if labels.shape != (images,):
        hint = ""
        if labels.shape == (images, classes):
            hint = "; it has a column for each class, return the arg max"
        elif labels.shape == (images, 1):
            hint = "; return labels[:, 0]"
        raise UserError(f"{path}: predict returned shape {labels.shape}, expected ({images},){hint}")
    if labels.dtype.kind not in "ui":
        raise UserError(f"{path}: predict returned labels of type {labels.dtype}, expected integers")
    if images and (labels.min() < 0 or labels.max() >= classes):
        raise UserError(
            f"{path}: predict returned labels {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
        )
    return labels.astype(np.uint8 if classes <= 256 else np.int32)


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(file.relative_to(folder)): (file.stat().st_size, file.stat().st_mtime_ns) for file in folder.rglob("*")
    }


def _check_imports(folder: Path, path: Path, rules: Rules) -> None:
    """The fault named with its line, before anything is run."""
    own = {file.stem for file in folder.glob("*.py")} | {file.name for file in folder.iterdir() if file.is_dir()}
    for file in sorted(folder.glob("*.py")):
        try:
            tree = ast.parse(file.read_bytes(), file.name)
        except (SyntaxError, ValueError) as error:
            line = f" line {error.lineno}" if isinstance(error, SyntaxError) else ""
            raise UserError(f"{path}: {file.name}{line} is not Python: {getattr(error, 'msg', error)}") from None
        for node, names in _imports(tree):
            for top in (name.partition(".")[0] for name in names):
                if top not in sys.stdlib_module_names and top not in rules.submission_packages and top not in own:
                    raise UserError(
                        rules.sentence(
                            "submission_packages",
                            f"{path}: {file.name} line {node.lineno} imports {top}, which the server may lack; "
                            f"allowed are {', '.join(rules.submission_packages)} and the standard library",
                        )
                    )


def _imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, Sequence[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield node, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node, [node.module or ""]


def unpack(path: Path, folder: Path, largest: int = LARGEST) -> None:
    """Unpack the zip at `path` into the new `folder`, read-only, with model.py at its top level.

    Nothing is written before all was looked at. Raises UserError for what a server refuses or what would harm it: a
    damaged or encrypted file, a parent folder, names that lead out of the folder or occur twice, links, more than
    `largest` bytes, a zip bomb.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(archive.infolist(), path, largest)
            folder.mkdir(parents=True)
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise UserError(f"{path} is not a whole zip file (damaged or cut short)") from None
    except NotImplementedError as error:
        raise UserError(f"{path} is packed in a way that not every server reads ({error}); use deflate") from None
    for made in folder.rglob("*"):
        made.chmod(READ_ONLY_FOLDER if made.is_dir() else READ_ONLY)
    folder.chmod(READ_ONLY_FOLDER)


def _check_members(members: list[zipfile.ZipInfo], path: Path, largest: int) -> None:
    for member in members:
        # orig_filename: Python turns the separators of other systems into "/" and hides them
        name, parts = member.orig_filename, PurePosixPath(member.filename).parts
        if name.startswith(("/", "\\")) or ".." in parts or "\\" in name or ":" in name or not parts:
            raise UserError(f"{path} holds {name!r}, which leads out of the folder it is unpacked into")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            what = "a symbolic link" if kind == stat.S_IFLNK else "a special file"
            raise UserError(f"{path} holds {what}, {name!r}; put the file itself there")
        if member.flag_bits & 1:
            raise UserError(f"{path} is encrypted ({name!r}), and the server knows no password")
        if member.file_size > max(SMALL, RATIO * member.compress_size):
            raise UserError(
                f"{path} is a zip bomb to the server: {name!r} grows from {member.compress_size:,} to "
                f"{member.file_size:,} bytes"
            )
    total = sum(member.file_size for member in members)
    if total > largest:
        raise UserError(f"{path} unpacks to {total:,} bytes, more than {largest:,}")
    names = Counter(member.filename for member in members)
    name, times = names.most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise UserError(f"{path} holds {name!r} {times} times; which one counts depends on the server")
    if ENTRY not in names:
        inside = [name for name in names if PurePosixPath(name).name == ENTRY]
        found = f"it is at {inside[0]}: zip the files, not their folder" if inside else "there is none"
        raise UserError(f"{path} must have {ENTRY} at its top level; {found}")
