"""The ledger of submissions: one CSV, a line each, that a spreadsheet opens and no crash tears.

People edit it, so lines are kept whole: columns of their own stay, those that they took away are empty.
"""

import csv
import hashlib
import io
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from toolkit.checked import check_last_line
from toolkit.claims import in_turn
from toolkit.errors import UserError
from toolkit.outcome import Outcome, Table, counted, number
from toolkit.progress import SILENT, Progress
from toolkit.store import sha256, write_text

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "time",  # when it was registered, ISO 8601
    "competition",  # with -practice for practice data
    "submission",  # the file, or folder of a notebook, relative to the ledger; its name without suffixes is the ID
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
    "seconds",  # of a code submission in the sandbox, with what it holds of memory; of a notebook
    "test_images",  # for so many
    "peak_bytes",
    "network",
    "known",  # test images that have the answers of equal training images, where that was asked for
    "public",  # what the leaderboard said
    "private",
    "uploaded",  # when it was handed in
    "practice",  # the score on the truth of practice data
)
NUMBERS = (
    *("bytes", "seconds", "peak_bytes", "public", "private", "practice", "clean", "low", "high"),
    *(f"{score}{end}" for score in ("stress", "matched", "holdout") for end in ("", "_low", "_high")),
)
FORGOTTEN = "forgotten.csv"  # lines that were taken off the ledger, beside it
SAID = ("public", "private", "practice", "uploaded")  # by others, after it was registered
HEADS = {"clean": "CV", "stress": "stress", "matched": "test-like", "holdout": "held out"}
NARROW = 80  # columns of a terminal in which a table without intervals finds room, IDs whole
SHOWN = 200  # lines of a table: a terminal takes seconds for thousands
SUFFIX = re.compile(r"\.\w+(\.(gz|zip|bz2|xz|zst))?$", re.IGNORECASE)  # of a file, packed or not
Line = dict[str, str]


@dataclass(frozen=True, repr=False)
class Ledger(Outcome):
    """The submissions of one competition in the ledger of `folder`, where their files lie too.

    competition: the workspace's name, with -practice for practice data; sign: -1 where the lower score is better.
    Several processes may write at once; one that waits for another says so to `progress`. verbose: intervals, costs
    and commits are shown too.
    """

    folder: Path
    competition: str
    progress: Progress = field(default=SILENT, compare=False)
    sign: int = field(default=1, compare=False)
    verbose: bool = field(default=False, compare=False)

    @property
    def path(self) -> Path:
        return self.folder / "ledger.csv"

    @property
    def lines(self) -> list[Line]:
        """Oldest first; UserError where the ledger can't be read, or has no number where one is needed."""
        return self._own(self.path)

    @property
    def forgotten(self) -> list[Line]:
        """Those that were taken off the ledger, the oldest first."""
        return self._own(self.folder / FORGOTTEN)

    def _own(self, path: Path) -> list[Line]:
        found = [line for line in read(path) if line["competition"] == self.competition]
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
            known = {name: old[name] for old in same for name in SAID if old[name]}
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

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        lines = self.lines
        if not lines:
            return [("compete submit", "builds the first one")]
        unscored = [identity(line) for line in lines if not line["public"]]
        practice = self.competition.endswith("-practice")
        return (
            [(f"compete submit … --id {unscored[-1]} --score 0.71", "records its score")]
            if unscored and not practice
            else []
        )

    def forget(self, name: str) -> Line:
        """Take the line of the submission with that ID off the ledger; it is kept beside it, and the file stays."""
        return self._move(name, self.path, self.folder / FORGOTTEN)

    def remember(self, name: str) -> Line:
        """Put back the line of a submission that was forgotten; it is the newest then."""
        return self._move(name, self.folder / FORGOTTEN, self.path)

    def _move(self, name: str, source: Path, goal: Path) -> Line:
        """Written where it goes to first: a kill between the two leaves it in both, and the same call again in one."""
        with self._locked():
            lines, others = read(source), read(goal)
            moved = self._find([line for line in lines if line["competition"] == self.competition], name, source)
            same = [line for line in others if all(line[key] == moved[key] for key in ("submission", "sha256"))]
            _write(goal, [*(line for line in others if line not in same), moved])
            _write(source, [line for line in lines if line is not moved])
        return moved

    def told(self) -> Sequence[str | Table]:
        lines = self.lines[::-1]
        if not lines:
            return [f"no submissions of {self.competition} yet"]
        title = f"{self.path}: {self.competition}, {counted(len(lines), 'submission')}, "
        title += f"the newest {SHOWN}" if len(lines) > SHOWN else "newest first"
        heads, rows = self._table(lines)
        notes = ["* the best of its column"] if len(lines) > 1 else []
        notes += [] if self.verbose else ["-v shows all: intervals, costs, commits"]
        table = Table(title, heads, rows[:SHOWN])
        return [table, "; ".join(notes)] if notes else [table]

    def _table(self, lines: Sequence[Line]) -> tuple[list[str], list[list[str]]]:
        """Heads, and a row a line. Of scores those that any line has: a column of dashes would only take the width."""
        there = [name for name in HEADS if name == "clean" or any(line[name] for line in lines)]
        if not self.verbose and "matched" in there and "stress" in there and _width(lines, len(there)) > NARROW:
            there.remove("stress")
        dated = self.verbose or _width(lines, len(there)) <= NARROW
        said = ["practice"] if any(line["practice"] for line in lines) else []
        said += ["public", "private"] if not said or any(line["public"] or line["private"] for line in lines) else []
        best = {name: self._best(lines, name) for name in (*there, *said)}
        chosen = self.verbose and any(line["chosen"] for line in lines)
        heads = [
            "ID",
            *["built"] * dated,
            *(_head(name, self.verbose) for name in there),
            *["chosen"] * chosen,
            "\n".join(said),
        ]
        rows = [
            [
                identity(line),
                *[_built(line, self.verbose)] * dated,
                *(_score(line, name, best[name], self.verbose) for name in there),
                *[line["chosen"].replace(": ", ":\n").replace("; ", "\n") or "-"] * chosen,
                "\n".join(_said(line, name, best[name]) for name in said),
                *[_cost(line)] * self.verbose,
            ]
            for line in lines
        ]
        return [*heads, *["cost"] * self.verbose], rows

    def _best(self, lines: Sequence[Line], name: str) -> str:
        """The best score of a column; empty where there is but one line."""
        scores = [line[name] for line in lines if line[name]]
        return max(scores, key=lambda score: self.sign * float(score)) if len(lines) > 1 and scores else ""

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
                f"{column}, expected {expected}; fix it in an editor"
            )

    def _find(self, lines: list[Line], name: str | None, path: Path | None = None) -> Line:
        if not lines:
            remedy = "" if path is not None and path != self.path else "; run `compete submit` first"
            raise UserError(f"{path or self.path} has no submission of {self.competition}{remedy}")
        if name is None:
            return lines[-1]
        exact = [line for line in lines if name == identity(line)]
        found = exact or [line for line in lines if name and PurePosixPath(line["submission"]).name.startswith(name)]
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
    check_last_line(path, "mend its last line in an editor")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restval="", strict=True)
            lines = []
            for line in reader:
                if None in line:
                    raise UserError(
                        f"{path} line {reader.line_num} has more cells than the first; fix it in an editor"
                    )
                lines.append({name: value or "" for name, value in line.items()})
            names = reader.fieldnames or ()
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{path} can't be read ({error}); fix it in an editor") from None
    if not {"competition", "submission"} <= set(names):
        raise UserError(f"{path} must have the columns competition and submission, it has {', '.join(names)}")
    return [dict.fromkeys(COLUMNS, "") | line for line in lines]


def identity(line: Line) -> str:
    """The ID of a line: the file's name without its suffix, or both of a file that is packed."""
    return SUFFIX.sub("", PurePosixPath(line["submission"]).name)


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


def _width(lines: Sequence[Line], scores: int) -> int:
    """Of a table without intervals: ID, date, scores, what the leaderboard said, and what is drawn between them."""
    return max(len(identity(line)) for line in lines) + 6 + 7 * scores + 8 + 3 * (scores + 3) + 1


def _head(name: str, verbose: bool) -> str:
    """Of a column of scores, in two lines where it isn't wider than they are."""
    return HEADS[name] if verbose else HEADS[name].replace("-", "-\n").replace(" ", "\n")


def _built(line: Line, verbose: bool) -> str:
    """`28 Nov`, or with time and commit."""
    if verbose:
        return "\n".join([*line["time"][:16].split("T"), line["commit"][:8] + "+" * (line["tree"] == "changed")])
    try:
        return datetime.fromisoformat(line["time"]).strftime("%d %b").lstrip("0")
    except ValueError:  # a line that a person wrote
        return line["time"][:10]


def _score(line: Line, name: str, best: str, verbose: bool) -> str:
    if not line[name]:
        return "-"
    ends = [line[f"{'' if name == 'clean' else name + '_'}{end}"] for end in ("low", "high")]
    text = number(float(line[name])) + "*" * (line[name] == best)
    return f"{text}\n{' to '.join(number(float(end), digits=3) for end in ends)}" if verbose and all(ends) else text


def _said(line: Line, name: str, best: str) -> str:
    text = number(float(line[name])) if name == "practice" and line[name] else line[name]
    return (text or "-") + "*" * bool(text and line[name] == best)


def _cost(line: Line) -> str:
    cost = [f"{float(line['bytes']) / 1e6:,.1f} MB"] if line["bytes"] else []
    if line["seconds"]:
        cost += [f"{float(line['seconds']):.0f} s", f"{float(line['peak_bytes']) / 1e6:,.0f} MB held"]
    return "\n".join(cost) or "-"
