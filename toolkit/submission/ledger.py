"""The ledger of submissions: one CSV, a line each, that a spreadsheet opens and no crash tears.

Lines are kept whole: columns that a newer or older version knows stay, those that it doesn't are empty.
"""

import csv
import fcntl
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from toolkit.errors import UserError
from toolkit.store import write_text

COLUMNS = (
    "time",  # when it was registered, ISO 8601
    "competition",  # with -practice for drawn data
    "submission",  # the file, relative to the ledger; its name without the suffix is the ID
    "sha256",
    "bytes",
    "commit",  # of the project
    "tree",  # clean, or changed: files differed from the commit
    "blend",  # its runs and their shares: name=0.5 name=0.5
    "folds",  # hashes of the split and of the data that the runs were trained on
    "data",
    "metric",
    "clean",  # out-of-fold score and its 95 % interval
    "low",
    "high",
    "stress",
    "stress_low",
    "stress_high",
    "matched",  # on images corrupted as the test images are, where that was measured
    "matched_low",
    "matched_high",
    "checked",  # labels that were compared with the blend's own
    "agreement",  # share of them that agree
    "ties",  # of those that don't: two classes were equally probable
    "seconds",  # of a code submission in the sandbox, with what it holds of memory
    "peak_bytes",
    "network",
    "public",  # what the leaderboard said
    "private",
    "uploaded",  # when it was handed in
)
Line = dict[str, str]


def read(path: Path) -> list[Line]:
    """All lines, oldest first; none where there is no ledger. UserError if it can't be read."""
    if not path.exists():
        return []
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            lines = []
            for line in reader:
                if None in line:
                    raise UserError(
                        f"{path} line {reader.line_num} has more cells than the first; mend it in an editor"
                    )
                lines.append({name: value or "" for name, value in line.items()})
            names = reader.fieldnames or ()
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read ({error}); mend it in an editor") from None
    if not {"competition", "submission"} <= set(names):
        raise UserError(f"{path} must have the columns competition and submission, it has {', '.join(names)}")
    return [dict.fromkeys(COLUMNS, "") | line for line in lines]


def append(path: Path, line: Mapping[str, Any]) -> None:
    """Add a line at the end, which makes it the newest. Several processes may do so at once."""
    with _locked(path):
        _write(path, [*read(path), _text(line)])


def update(path: Path, competition: str, name: str, values: Mapping[str, Any]) -> None:
    """Set `values` in the line of the submission with that ID."""
    with _locked(path):
        lines = read(path)
        found = find(lines, competition, name, path)
        _write(path, [line | _text(values) if line is found else line for line in lines])


def find(lines: list[Line], competition: str, name: str | None, path: Path) -> Line:
    """The newest line of a competition, or that of an ID, the start of one, or the start of a SHA-256.

    Raises UserError, naming the IDs there are, if there is none or it could be several.
    """
    mine = [line for line in lines if line["competition"] == competition]
    if not mine:
        raise UserError(f"{path} has no submission of {competition}; run `python -m toolkit.submit` first")
    if name is None:
        return mine[-1]
    exact = [line for line in mine if name == identity(line)]
    found = exact or [line for line in mine if name and identity(line).startswith(name)]
    found = found or [line for line in mine if name and line["sha256"].startswith(name)]
    if len({identity(line) for line in found}) != 1:
        known = ", ".join(dict.fromkeys(identity(line) for line in mine))
        reason = "could be several" if found else "is none"
        raise UserError(f"{name!r} {reason} of the submissions of {competition}; there are {known}")
    return found[-1]


def told(lines: list[Line], line: Mapping[str, Any]) -> Line:
    """What the organisers said of the same file before, where it was built again."""
    same = [one for one in lines if (one["submission"], one["sha256"]) == (line["submission"], line["sha256"])]
    return {name: one[name] for one in same for name in ("public", "private", "uploaded") if one[name]}


def identity(line: Line) -> str:
    """The ID of a line: the file's name without its suffix."""
    return PurePosixPath(line["submission"]).stem


def _text(values: Mapping[str, Any]) -> Line:
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _write(path: Path, lines: list[Line]) -> None:
    names = dict.fromkeys([*COLUMNS, *(name for line in lines for name in line)])
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, buffer.getvalue())


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock is on the folder, so that no file is left behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
