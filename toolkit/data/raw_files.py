"""The organisers' files: which there are, and whether they are still the ones that were read."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from toolkit.progress import SILENT, Progress
from toolkit.store import atomic, hash_file, hash_json

COLUMNS = ("path", "size", "modified", "hash")  # within the folder; bytes; nanoseconds since 1970; of the content


def found_files(folder: Path) -> pd.DataFrame:
    """Path, size and modification time of each file below the folder, in the order of their paths; hidden ones are not
    the organisers'.
    """
    rows = sorted(_files(str(folder), len(str(folder)) + 1))
    return pd.DataFrame(rows, columns=list(COLUMNS[:3]))


def _files(folder: str, cut: int) -> Iterator[tuple[str, int, int]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files(entry.path, cut)
            elif entry.is_file():
                stat = entry.stat()
                yield entry.path[cut:].replace(os.sep, "/"), stat.st_size, stat.st_mtime_ns


def listed(folder: Path, kept: Path, progress: Progress = SILENT) -> pd.DataFrame:
    """The files below the folder with the hash of their content, which is kept in the table `kept`.

    A file is read again where its size or its modification time is another than in the table.
    """
    files = found_files(folder)
    known = pd.read_parquet(kept) if kept.exists() else pd.DataFrame(columns=list(COLUMNS))
    files = files.merge(known, how="left", on=list(COLUMNS[:3]))
    new = files.index[files["hash"].isna()]
    if len(new):
        with progress.counting("reading files", len(new)) as done, ThreadPoolExecutor() as readers:
            hashes = []
            for value in readers.map(lambda name: hash_file(folder / name), files["path"][new]):
                hashes.append(value)
                done(1)
        files.loc[new, "hash"] = hashes
    if len(new) or len(files) != len(known):
        with atomic(kept) as partial:
            files.to_parquet(partial, index=False)
    return files


def source_of(files: pd.DataFrame) -> str:
    """12 hex digits that name the files and what is in them."""
    return hash_json(dict(zip(files["path"], files["hash"], strict=True)))
