"""Stored bytes are what was written: a manifest keeps the hash of each file in its folder, and a reader asks here.

A file of which no hash is known, as folders were left before hashes were kept, is taken as it is.
"""

import csv
import errno
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.claims import turn
from toolkit.errors import UserError
from toolkit.store import MANIFEST, SEALED, atomic, digest, whole_manifest, write_json

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

TAIL = 1 << 22  # bytes of a CSV in which its first line, or its last, has room
DOWNLOAD = "download the organisers' files again"


def checked(path: Path, remedy: str) -> Path:
    """The path. UserError where the file is gone, or isn't what was written; remedy: what to do then, such as `remove
    … and run … again`.
    """
    if not path.exists():
        raise UserError(f"{path} is gone; {remedy}")
    if not path.is_file():  # pandas would take an empty folder for an empty table
        raise UserError(f"{path} is damaged: it is no file; {remedy}")
    known = ((whole_manifest(path.parent) or {}).get("files") or {}).get(path.name)
    if known not in (None, SEALED, digest(path)):  # what is sealed says so itself
        raise UserError(f"{path} is damaged: its content isn't what was written there; {remedy}")
    return path


def opened(path: Path, remedy: str) -> "np.ndarray":
    """The array in a .npy file, checked, memory-mapped; UserError as of `checked`, or where it is no such file."""
    import numpy as np

    with readable(path, remedy):
        array: np.ndarray = np.load(checked(path, remedy), mmap_mode="r", allow_pickle=False)
    return array


def arrays(path: Path, remedy: str, *names: str) -> "dict[str, np.ndarray]":
    """Those in an .npz file, checked, by name; UserError as of `opened`, or where one of these names isn't there."""
    import numpy as np

    with readable(path, remedy), np.load(checked(path, remedy), allow_pickle=False) as file:
        found = dict(file)
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"it has no {', '.join(missing)}")
    return found


def table(path: Path, remedy: str, *columns: str) -> "pd.DataFrame":
    """That in a Parquet file, checked; UserError as of `opened`, or where one of these columns isn't there."""
    import pandas as pd

    with readable(path, remedy):
        found = pd.read_parquet(checked(path, remedy))
        missing = [name for name in columns if name not in found]
        if missing:
            raise ValueError(f"it has no column {', '.join(missing)}")
    return found


@contextmanager
def readable(path: Path, remedy: str) -> Iterator[None]:
    """UserError where what is read of the file within shows that it isn't what it should be. Not where it can't be
    read for want of something else: open files, permission, memory.
    """
    try:
        yield
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of a place before the file
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path} is damaged ({reason[:200]}); {remedy}") from None


def check_last_line(path: Path, remedy: str, separator: str = ",") -> None:
    """UserError where a CSV was cut in the middle of a line: its last has no end, and fewer cells than its first.

    Readers take what is missing for blank cells. What isn't text as it lies there, such as a packed file, is left to
    them.
    """
    with open(path, "rb") as file:
        head = file.readline(TAIL).removeprefix(b"\xef\xbb\xbf")
        file.seek(max(file.tell(), path.stat().st_size - TAIL))
        tail = file.read()
    last = tail.rpartition(b"\n")[2]
    odd = any(line.count(b'"') % 2 or b"\0" in line or b"\r" in line.rstrip() for line in (head, last))
    if not odd and last.strip() and 0 < _cells(last, separator) < _cells(head, separator):
        raise UserError(f"{path} ends in the middle of a line, as a file does that was cut short; {remedy}")


def _cells(line: bytes, separator: str) -> int:
    return len(next(csv.reader([line.decode("utf-8", errors="replace").strip()], delimiter=separator), []))


def keep(paths: Iterable[Path]) -> None:
    """Note what is in files of a finished folder."""
    for path in paths:
        _note(path, digest(path))


@contextmanager
def noted(path: Path, begin: bool = False) -> Iterator[Path]:
    """As `atomic`, of a file whose hash the folder's manifest has before the file is there: a kill between the two
    leaves no file of which nothing is known. In a folder without a manifest `write_manifest` notes it; begin: this
    does, for a folder that never is finished.
    """
    with atomic(path) as partial:
        yield partial
        if begin or (path.parent / MANIFEST).exists():
            _note(path, digest(partial), begin)


def _note(path: Path, content: str, begin: bool = False) -> None:
    """One process at a time. begin: in a folder without a manifest too."""
    with turn(path.with_name(f".{MANIFEST}.lock")):
        manifest = whole_manifest(path.parent) or ({"inputs": {}} if begin else None)
        if manifest is not None:
            known = manifest.get("files") or {}
            write_json(path.parent / MANIFEST, manifest | {"files": known | {path.name: content}})


def train_again(run: Path, remove: Path) -> str:
    """What to do where something of a run in its folder is damaged: train on from what is left of it."""
    return f"remove {remove} and run `compete train … --recipe {run / 'recipe.json'}` again"
