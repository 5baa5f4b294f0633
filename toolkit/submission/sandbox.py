"""A code submission run as the organisers' server would, and every way in which it would fail there named here.

Unpacked into an empty folder, read-only, at a place the code cannot know; a fresh process of a clean
environment with the allowed packages alone; no network, no environment variables, bounded time, memory and
output; one call with all images. The code is ours and may be wrong; it is not taken for hostile.
"""

import ast
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from toolkit.answers import SandboxRun
from toolkit.errors import UserError, harmless
from toolkit.rules import Rules
from toolkit.submission import sandbox_server
from toolkit.submission.clean_environment import clean_python, readable
from toolkit.submission.confined import Ended, Limits, Place, network, run_confined
from toolkit.submission.unpacking import unpack

SECONDS, MEMORY = 1800.0, 16 << 30  # where the organisers publish no limit: a run that is plainly stuck
OUTPUT = 64 << 20  # bytes that a submission may print or leave in its temporary folder
PROCESSES = 256  # at once
LABEL = 8  # bytes of an image's label, which may be written besides


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
        ended = _run(path, place, rules, len(images))
        if _snapshot(place.code) != before:
            raise UserError(f"{path} writes into its own folder, which is read-only on a server; use tempfile")
        labels = _labels(path, _read(path, place.labels), len(images), classes)
    if math.isnan(ended.seconds + ended.loaded):
        raise UserError(f"{path} wrote into the server's report; it may write to its temporary folder alone")
    return SandboxRun(labels, ended.seconds, ended.loaded, ended.peak, network())


def _read(path: Path, labels: Path) -> np.ndarray:
    """UserError where they aren't what the server wrote."""
    try:
        found = np.load(labels, allow_pickle=False)
        if isinstance(found, np.ndarray):
            return found
    except (OSError, ValueError, EOFError):
        pass
    raise UserError(f"{path} wrote over the labels that predict returned; it may write to its temporary folder alone")


class _Place(Place):
    """Where things lie on the imitated server: nothing is where it was packed, and one name has a space."""

    def __init__(self, scratch: Path) -> None:
        super().__init__(scratch)
        self.code = scratch / "server" / "submission 1"
        self.images, self.labels = scratch / "input" / "images.npy", self.output / "labels.npy"
        self.images.parent.mkdir()


def _run(path: Path, place: _Place, rules: Rules, images: int) -> Ended:
    """How a process ended that came to its end; UserError for any other."""
    seconds, memory = rules.submission_seconds or SECONDS, rules.submission_memory or MEMORY
    python = clean_python(rules.submission_packages)
    job = {
        "kind": "model",
        "code": str(place.code),
        "images": str(place.images),
        "labels": str(place.labels),
        "readable": [str(place.code), *map(str, readable(python))],
    }
    ended = run_confined(job, python, place, Limits(seconds, memory, OUTPUT + LABEL * images, PROCESSES))
    if ended.broke:
        said = {
            "memory": f"takes more than {memory / 1e9:.2f} GB of memory; predict in smaller batches",
            "seconds": f"takes longer than {seconds:g} s; is there an endless loop?",
            "output": f"prints or writes more than {OUTPUT >> 20} MiB; a server stops that",
            "processes": f"starts more than {PROCESSES} processes; a server stops that",
        }[ended.broke]
        rule = {"memory": "submission_memory", "seconds": "submission_seconds"}.get(ended.broke)
        raise UserError(rules.sentence(rule, f"{path} {said}") if rule else f"{path} {said}")
    if not ended.done:
        raise UserError(_why(path, place, rules, ended))
    return ended


def _why(path: Path, place: _Place, rules: Rules, ended: Ended) -> str:
    """The sentence for a process that ended without labels."""
    where = {"import": "when model.py is imported", "make": "in Model()", "predict": "in predict"}
    stage = where.get(ended.stage, "before it began")
    kind, reason = ended.kind, ended.reason
    if not kind:
        words = f"; its last words: {ended.words}" if ended.words else ""
        if ended.signal:
            return f"{path} was ended by signal {ended.signal} {stage}{words}"
        return f"{path} ended with exit status {ended.status} {stage}, before it returned labels{words}"
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
        except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
            line = f" line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
            raise UserError(f"{path}: {file.name}{line} is not Python: {_what(error)}") from None
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


def _what(error: Exception) -> str:
    return harmless(str(getattr(error, "msg", error))) or "it is nested too deeply"


def _imports(tree: ast.AST) -> Iterator[tuple[ast.stmt, Sequence[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield node, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node, [node.module or ""]
