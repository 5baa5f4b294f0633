"""Samples found by what a person writes: a name, the end of one, or the row in the raw file."""

import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from unicodedata import normalize
from urllib.parse import quote

import numpy as np

from toolkit.errors import UserError
from toolkit.store import Workspace, read_manifest

SHOWN = 3  # names in a sentence


def plain(name: str) -> str:
    """A name without blanks around it, and accents as one letter, which some systems write as two."""
    return normalize("NFC", name.strip())


def same_name(one: str, other: str) -> bool:
    return one == other or plain(one) == plain(other)


class Naming:
    """ids: int64 (N,), rows in the raw file; names: text (N,), what people call the samples."""

    def __init__(self, ids: np.ndarray, names: np.ndarray) -> None:
        self.ids, self.names = ids, names

    @cached_property
    def _rows(self) -> dict[str, list[int]]:
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.names.tolist()):
            rows.setdefault(name, []).append(row)
        return rows

    @cached_property
    def _ends(self) -> dict[str, list[int]]:
        """Rows by the names of their files, with and without suffix."""
        ends: dict[str, list[int]] = {}
        for name, rows in self._rows.items():
            path = PurePosixPath(name)
            for end in {path.name, path.stem}:
                ends.setdefault(end, []).extend(rows)
        return ends

    @cached_property
    def _alike(self) -> dict[str, list[int]]:
        """Rows by `plain` names, and by those of their files."""
        alike: dict[str, list[int]] = {}
        for known in (self._rows, self._ends):
            for name, rows in known.items():
                found = alike.setdefault(plain(name), [])
                found += [row for row in rows if row not in found]
        return alike

    def row(self, text: str) -> int:
        """Of the sample that is called so; where none is, of the only one whose file is called so, in whatever folder,
        with or without its suffix; blanks around it and the way accents are coded don't count where it is none's as it
        stands. UserError where there is none or are several.
        """
        rows = self._rows.get(text) or self._ends.get(text) or self._alike.get(plain(text), [])
        if len(rows) == 1:
            return rows[0]
        if rows:
            listed = ", ".join(f"{self.names[row]} (index {self.ids[row]})" for row in rows[:SHOWN])
            more = ", …" if len(rows) > SHOWN else ""
            raise UserError(f"{len(rows):,} samples are called {text!r}: {listed}{more}; give the index of one")
        like = f"; names are such as {str(self.names[0])!r}" if len(self.names) else ""
        raise UserError(f"no sample is called {text!r}{like}")

    def row_or_id(self, text: str) -> int:
        """As `row`, or of the sample whose index it is."""
        if text.isdecimal() and text not in self._rows:
            rows = np.flatnonzero(self.ids == int(text))
            if len(rows):
                return int(rows[0])
        return self.row(text)


def with_addresses(names: Iterable[str], workspace: Workspace) -> tuple[tuple[str, str], ...]:
    """Names of samples with the addresses of their files from a page in the workspace's folder; empty for no file."""
    raw = (read_manifest(workspace.data) or {}).get("raw", "")
    return tuple((str(name), _address(str(name), Path(raw), workspace.folder) if raw else "") for name in names)


def _address(name: str, raw: Path, folder: Path) -> str:
    for inside in (name, name.rpartition(":")[0]):  # a row of a file has its number behind a colon
        if inside and (raw / inside).is_file():
            return quote(os.path.relpath(raw / inside, folder.resolve()))
    return ""
