"""Stored bytes are what was written: a manifest keeps the hash of each file in its folder, and a reader asks here.

A file of which no hash is known, as folders were left before hashes were kept, is taken as it is.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UserError
from toolkit.store import MANIFEST, digest, whole_manifest, write_json

if TYPE_CHECKING:
    import numpy as np


def checked(path: Path, remedy: str) -> Path:
    """The path. UserError where the file is gone, or isn't what was written; remedy: what to do then, such as `remove
    … and run … again`.
    """
    if not path.exists():
        raise UserError(f"{path} is gone; {remedy}")
    known = ((whole_manifest(path.parent) or {}).get("files") or {}).get(path.name)
    if known is not None and known != digest(path):
        raise UserError(f"{path} is damaged: its content isn't what was written there; {remedy}")
    return path


def opened(path: Path, remedy: str) -> "np.ndarray":
    """The array in a .npy file, checked, memory-mapped; UserError as of `checked`, or where it is no such file."""
    import numpy as np

    try:
        array: np.ndarray = np.load(checked(path, remedy), mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise UserError(f"{path} is damaged ({error}); {remedy}") from None
    return array


def keep(paths: Iterable[Path]) -> None:
    """Note what is in files that were written into finished folders; those in others are noted by `write_manifest`."""
    for path in paths:
        manifest = whole_manifest(path.parent)
        if manifest is not None:
            known = manifest.get("files") or {}
            write_json(path.parent / MANIFEST, manifest | {"files": known | {path.name: digest(path)}})


def train_again(run: Path, remove: Path) -> str:
    """What to do where something of a run in its folder is damaged: train on from what is left of it."""
    return f"remove {remove} and run `python -m toolkit.train … --recipe {run / 'recipe.json'}` again"
