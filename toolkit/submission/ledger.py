"""The ledger of submissions: one CSV, a line each, that a spreadsheet opens and no crash tears.

People edit it, so lines are kept whole: columns of their own stay, those that they took away are empty.
"""

import csv
import hashlib
import io
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from toolkit.claims import in_turn
from toolkit.errors import UserError
from toolkit.outcome import Outcome, Table, counted, number
from toolkit.progress import SILENT, Progress
from toolkit.store import sha256, write_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "time",  # when it was registered, ISO 8601
    "competition",  # with -practice for drawn data
    "submission",  # the file, or folder of a notebook, relative to the ledger; its name without the suffix is the ID
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
    "chosen",  # by a search, and among how many of its trials: the scores know nothing of it
    "holdout",  # of what is handed in on the held-out samples, where there are any
    "holdout_low",
    "holdout_high",
    "checked",  # labels that were compared with the blend's own
    "agreement",  # share of them that agree
    "ties",  # of those that don't: two classes were equally probable
    "seconds",  # of a code submission in the sandbox, with what it holds of memory
    "peak_bytes",
    "network",
    "known",  # test images that have the answers of equal training images, where that was asked for
    "public",  # what the leaderboard said
    "private",
    "uploaded",  # when it was handed in
)
NUMBERS = (
    *("bytes", "seconds", "peak_bytes", "public", "private", "clean", "low", "high"),
    *(f"{score}{end}" for score in ("stress", "matched", "holdout") for end in ("", "_low", "_high")),
)
SHOWN = 200  # lines of a table: a terminal takes seconds for thousands
Line = dict[str, str]


@dataclass(frozen=True, repr=False)
class Ledger(Outcome):
    """The submissions of one competition in the ledger of `folder`, where their files lie too.

    competition: the workspace's name, with -practice for drawn data. Several processes may write at once; one that
    waits for another says so to `progress`.
    """

    folder: Path
    competition: str
    progress: Progress = field(default=SILENT, compare=False)

    @property
    def path(self) -> Path:
        return self.folder / "ledger.csv"

    @property
    def lines(self) -> list[Line]:
        """Oldest first; UserError where the ledger can't be read, or has no number where one is needed."""
        found = [line for line in read(self.path) if line["competition"] == self.competition]
        for line in found:
            self._check(line)
        return found

    def find(self, name: str | None = None) -> Line:
        """The newest line, or that of an ID, the start of one, or the start of a SHA-256.

        Raises UserError, naming the IDs there are, if there is none or it could be several.
        """
        return self._find(self.lines, name)

    def file(self, line: Line) -> Path:
        return self.folder / line["submission"]

    @property
    def newest_file(self) -> Path:
        """Of the newest line that isn't a notebook's."""
        lines = [line for line in self.lines if not self.file(line).is_dir()]
        return self.file(self._find(lines, None))

    def is_whole(self, line: Line) -> bool:
        """Is the file there, as it was checked?"""
        return self.file(line).exists() and content_hash(self.file(line)) == line["sha256"]

    def line_of(self, file: Path) -> Line | None:
        """The newest line of a file, if that is there and whole; a kill may have come between the two."""
        lines = [line for line in self.lines if self.file(line) == file]
        return lines[-1] if lines and self.is_whole(lines[-1]) else None

    def append(self, line: Mapping[str, Any]) -> dict[str, Any]:
        """Add a line at the end, which makes it the newest; it is returned with what was known of the same file, whose
        line it takes the place of.
        """
        with self._locked():
            lines = read(self.path)
            same = [old for old in lines if all(old[name] == line[name] for name in ("submission", "sha256"))]
            known = {name: old[name] for old in same for name in ("public", "private", "uploaded") if old[name]}
            own = {name: value for old in same for name, value in old.items() if name not in COLUMNS and value}
            added = {**line, **known}
            _write(self.path, [*(old for old in lines if old not in same), _text({**own, **added})])
        return added

    def update(self, name: str, values: Mapping[str, Any]) -> None:
        """Set `values` in the line of the submission with that ID."""
        with self._locked():
            lines = read(self.path)
            found = self._find([line for line in lines if line["competition"] == self.competition], name)
            found.update(_text(values))
            _write(self.path, lines)

    def told(self) -> Sequence[Table]:
        lines = self.lines
        # a column of dashes would only take the width
        more = [name for name in ("stress", "matched", "holdout") if any(line[name] for line in lines)]
        chosen = ["chosen"] if any(line["chosen"] for line in lines) else []
        columns = ["ID", "built", "clean", *more, *chosen, "public\nprivate", "cost"]
        title = f"{self.path}: {self.competition}, {counted(len(lines), 'submission')}"
        title += f", the newest {SHOWN}" if len(lines) > SHOWN else ""
        return [Table(title, columns, [_row(line, more, chosen) for line in lines[-SHOWN:]])]

    def as_json(self) -> dict[str, Any]:
        return {"ledger": self.lines}

    def to_pandas(self) -> "pd.DataFrame":
        """A line a submission, oldest first, with the ledger's columns: scores, bytes and seconds float64, NaN where
        there is none, all others text.
        """
        from toolkit.frames import lines_table  # imports pandas, which the ledger does without

        return lines_table(self.lines, COLUMNS, NUMBERS)

    def _check(self, line: Line) -> None:
        """UserError for a line that was edited into what nobody can read."""
        wrong = next((name for name in NUMBERS if line[name] and not _is_number(line[name])), None)
        if not line["submission"] or wrong:
            column, expected = (wrong, "a number") if wrong else ("submission", "the path of its file")
            raise UserError(
                f"{self.path}: the line {identity(line) or 'of ' + line['time']} has {line[column]!r} in its column "
                f"{column}, expected {expected}; mend it in an editor"
            )

    def _find(self, lines: list[Line], name: str | None) -> Line:
        if not lines:
            raise UserError(f"{self.path} has no submission of {self.competition}; run `compete submit` first")
        if name is None:
            return lines[-1]
        exact = [line for line in lines if name == identity(line)]
        found = exact or [line for line in lines if name and identity(line).startswith(name)]
        found = found or [line for line in lines if name and line["sha256"].startswith(name)]
        if len({identity(line) for line in found}) != 1:
            known = ", ".join(dict.fromkeys(identity(line) for line in lines))
            reason = "could be several" if found else "is none"
            raise UserError(f"{name!r} {reason} of the submissions of {self.competition}; there are {known}")
        return found[-1]

    def building(self) -> AbstractContextManager[None]:
        """Build, check and register a submission of the competition: one process at a time."""
        what = f"another submission of {self.competition}, which is being built and checked"
        return in_turn(self.folder / f".{self.competition}.lock", what, self.progress)

    def _locked(self) -> AbstractContextManager[None]:
        return in_turn(self.folder / ".ledger.lock", f"the ledger {self.path}", self.progress)


def content_hash(path: Path) -> str:
    """SHA-256 of a file; of a folder, of the names and hashes of all files in it."""
    if not path.is_dir():
        return sha256(path)
    files = sorted(one for one in path.rglob("*") if one.is_file())
    lines = [f"{one.relative_to(path).as_posix()} {sha256(one)}" for one in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


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


def identity(line: Line) -> str:
    """The ID of a line: the file's name without its suffix."""
    return PurePosixPath(line["submission"]).stem


def runs_of(line: Line) -> list[str]:
    """Names of the runs that a submission was blended from, those without a share too."""
    return [part.rpartition("=")[0] for part in line["blend"].partition(" --")[0].split()]


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _text(values: Mapping[str, Any]) -> Line:
    return {name: "" if value is None else str(value) for name, value in values.items()}


def _write(path: Path, lines: list[Line]) -> None:
    names = dict.fromkeys([*COLUMNS, *(name for line in lines for name in line)])
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(names), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    write_text(path, buffer.getvalue())


def _row(line: Line, more: Sequence[str], chosen: Sequence[str]) -> list[str]:
    cost = [f"{float(line['bytes']) / 1e6:,.1f} MB"] if line["bytes"] else []
    if line["seconds"]:
        cost += [f"{float(line['seconds']):.0f} s", f"{float(line['peak_bytes']) / 1e6:,.0f} MB held"]
    return [
        identity(line),
        "\n".join([*line["time"][:16].split("T"), line["commit"][:8] + "+" * (line["tree"] == "changed")]),
        _interval(line, "clean", "low", "high"),
        *(_interval(line, name, f"{name}_low", f"{name}_high") for name in more),
        *(line[name].replace(": ", ":\n").replace("; ", "\n") or "-" for name in chosen),
        f"{line['public'] or '-'}\n{line['private'] or '-'}",
        "\n".join(cost) or "-",
    ]


def _interval(line: Line, score: str, low: str, high: str) -> str:
    if not line[score]:
        return "-"
    ends = [number(float(line[name]), digits=3) for name in (low, high)]
    return f"{number(float(line[score]))}\n{' to '.join(ends)}"
