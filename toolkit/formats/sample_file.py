"""The organisers' sample submission: where it lies, and its cells as text."""

import csv
import gzip
import io
import os
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.checked import DOWNLOAD, check_last_line
from toolkit.errors import UserError, listed

NAME = re.compile(r"sample.*sub.*\.(csv|tsv|txt)(\.gz|\.zip)?$|sub.*sample.*\.(csv|tsv)(\.gz|\.zip)?$", re.IGNORECASE)
PARQUET = re.compile(r"sample.*sub.*\.parquet$|sub.*sample.*\.parquet$", re.IGNORECASE)
USUAL = "sample_submission.csv"
SEPARATORS = ",\t;"


@dataclass(frozen=True, eq=False)
class SampleFile:
    """titles: its first line; cells: of each column that was read, text (R,); separator: between two of them."""

    path: Path
    titles: tuple[str, ...]
    cells: dict[str, np.ndarray]
    separator: str

    @property
    def rows(self) -> int:
        return len(next(iter(self.cells.values())))


def find_sample(folder: Path, name: str = "") -> Path | None:
    """The sample submission in the organisers' folder, or in a folder in it; None where there is none.

    name: of the one that is meant, where there are several. UserError where it isn't known which is meant.
    """
    found = samples_in(folder, name)
    if len(found) > 1:
        names = listed([str(path.relative_to(folder)) for path in found], most=4)
        raise UserError(
            f"{folder} has {len(found)} sample submissions, {names}: say which one is meant by "
            'Competition(…, dialect=Dialect(file="…"))'
        )
    packed = (
        [] if found or name or not folder.is_dir() else [path for path in _files(folder) if PARQUET.search(path.name)]
    )
    if packed:
        raise UserError(
            f"{packed[0]} is a sample submission in Parquet, which isn't followed: give the competition a "
            "write_submission that calls write_parquet, and read_submission (docs/unlike.md)"
        )
    if name and not found:
        raise UserError(f"{folder} has no sample submission {name}, as Dialect(file=…) calls it")
    return found[0] if found else None


def samples_in(folder: Path, name: str = "") -> list[Path]:
    """Sample submissions in the folder or else in the folders in it; one called as usual is taken for the only one."""
    if not folder.is_dir():
        return []
    for paths in (_files(folder), [path for one in _folders(folder) for path in _files(one)]):
        found = sorted(path for path in paths if path.name == name or (not name and NAME.search(path.name)))
        plain = {path.name for path in found}
        found = [path for path in found if path.suffix not in (".gz", ".zip") or path.stem not in plain]
        usual = [path for path in found if path.name.lower() == USUAL]
        if found:
            return usual or found
    return []


def _files(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_file()]


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if not entry.name.startswith(".") and entry.is_dir())


def read_sample(path: Path, most: int | None = None) -> SampleFile:
    """UserError where it isn't a table with a first line of titles and at least a row.

    most: of more columns than this the first alone is read, as in a table of pixels.
    """
    import pandas as pd

    try:
        data = unpacked(path)
        text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline="")
        first = text.readline()
        separator = max(SEPARATORS, key=first.count)
        titles = tuple(next(csv.reader([first], delimiter=separator), []))
        start = text.tell()
        if len(titles) < 2 or not text.read().strip():
            what = "no rows" if len(titles) > 1 else f"the one column {titles[0]!r}" if titles else "no first line"
            raise ValueError(f"it has {what}, expected names of images and what is said of each")
        text.seek(start)
        wanted = [0] if most is not None and len(titles) > most else None
        how: dict[str, Any] = {"header": None, "usecols": wanted, "dtype": str, "na_filter": False}
        table = pd.read_csv(text, sep=separator, **how)
        if wanted is None and table.shape[1] != len(titles):
            raise ValueError(f"its rows have {table.shape[1]} columns, its first line {len(titles)}")
        table = table[(table != "").any(axis=1)]  # spreadsheets leave lines of separators alone
    except UnicodeDecodeError:
        raise UserError(f"the sample submission {path} can't be read: it isn't UTF-8; save it as such") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        reason = (str(error) or repr(error)).strip().splitlines()[0]
        raise UserError(f"the sample submission {path} can't be read: {reason}") from None
    if len(set(titles)) < len(titles):
        twice = next(title for title in titles if titles.count(title) > 1)
        raise UserError(f"the sample submission {path} has two columns {twice!r}")
    check_last_line(path, DOWNLOAD, separator)
    cells = {titles[at]: table[at].to_numpy(dtype=object) for at in table}
    return SampleFile(path, titles, cells, separator)


def unpacked(path: Path) -> bytes:
    """What a file holds, or the only one in a `.gz` or `.zip`; ValueError where that holds several."""
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = [one for one in archive.namelist() if not one.startswith("__MACOSX/") and not one.endswith("/")]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} files, expected one")
        return archive.read(names[0])
