"""Run a code submission as the organisers' server would: unpacked, in a process of its own, no network needed."""

import ast
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.errors import UserError

SERVER = """
import sys
import numpy as np
sys.path.insert(0, "")
from model import Model
result = Model().predict(np.load(sys.argv[1], allow_pickle=False))
if not isinstance(result, np.ndarray):
    raise TypeError(f"predict returned {type(result).__name__}, expected a numpy array")
np.save(sys.argv[2], result, allow_pickle=False)
"""


def run_code_submission(
    path: Path, images: np.ndarray, classes: int, packages: Sequence[str], seconds: float = 1800
) -> np.ndarray:
    """Labels uint8 (n,) that `Model().predict(images)` of the zip's model.py returns.

    images: (n, H, W, C). Raises UserError where the server would refuse the zip: a parent folder, no
    model.py, an import outside `packages` and the standard library, an exception, or a wrong result.
    """
    with tempfile.TemporaryDirectory() as scratch:
        unpacked = Path(scratch) / "submission"
        _unpack(path, unpacked)
        _check_imports(unpacked, path, packages)
        given, returned = Path(scratch) / "images.npy", Path(scratch) / "labels.npy"
        np.save(given, images, allow_pickle=False)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        command = [sys.executable, "-W", "ignore", "-c", SERVER, str(given), str(returned)]
        try:
            done = subprocess.run(
                command, cwd=unpacked, env=environment, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"{path}: predict took longer than {seconds:.0f} s for {len(images)} images") from None
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
            raise UserError(f"{path} fails when it is run as on the server: {reason}")
        labels: np.ndarray = np.load(returned, allow_pickle=False)
    if labels.shape != (len(images),) or labels.dtype.kind not in "ui":
        raise UserError(
            f"{path}: predict returned shape {labels.shape} of type {labels.dtype}, expected ({len(images)},) integers"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise UserError(
            f"{path}: predict returned labels {labels.min()} to {labels.max()}, expected 0 to {classes - 1}"
        )
    return labels.astype(np.uint8)


def _unpack(path: Path, folder: Path) -> None:
    if not path.exists():
        raise UserError(f"{path} does not exist")
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if "model.py" not in names:
                inside = [name for name in names if name.endswith("/model.py")]
                found = f"it is at {inside[0]}: zip the files, not their folder" if inside else "there is none"
                raise UserError(f"{path} must have model.py at its top level; {found}")
            archive.extractall(folder)
    except zipfile.BadZipFile:
        raise UserError(f"{path} is not a whole zip file") from None


def _check_imports(folder: Path, path: Path, packages: Sequence[str]) -> None:
    own = {file.stem for file in folder.glob("*.py")}
    for file in sorted(folder.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"), file.name)):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            else:
                continue
            for top in (name.partition(".")[0] for name in names):
                if top not in sys.stdlib_module_names and top not in packages and top not in own:
                    raise UserError(
                        f"{path}: {file.name} line {node.lineno} imports {top}, which the server may lack; "
                        f"allowed are {', '.join(packages)} and the standard library"
                    )
