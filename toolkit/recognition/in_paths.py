"""Names in a table that are put together from parts of images' paths: `A-01_1_B03` of `A-01/Plate1/B03_s1.png`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from toolkit.recognition.found import Sample, Sheet
from toolkit.recognition.heads import spread
from toolkit.recognition.image_names import Named, may_be_name
from toolkit.recognition.samples import is_sample
from toolkit.recognition.seen import Seen
from toolkit.recognition.sheets import cells

JOINTS = ("_", "-", "/", " ")
TRIED = 5  # names, and files for each
LOOKED_AT = 400  # files
ENOUGH = 0.9


@dataclass(frozen=True)
class Pattern:
    """expression: of a path, whose groups with `joint` between them are the name."""

    expression: str
    joint: str

    def name(self, path: str) -> str:
        """ "" of a path that it doesn't fit."""
        match = re.search(self.expression, path)
        return self.joint.join(match.groups()) if match else ""


def pattern_of(names: Sequence[str], files: Sequence[str]) -> Pattern | None:
    """What takes names from files' paths; None where no parts of these are names."""
    known, some = set(names), spread(files, LOOKED_AT)
    for name in list(names)[:TRIED]:
        for joint in JOINTS:
            parts = name.split(joint)
            if len(parts) < 2 or not all(parts):
                continue
            between = re.compile("(.*?)".join(rf"(?<![0-9]){re.escape(part)}(?![0-9])" for part in parts))
            for path in [one for one in files if all(part in one for part in parts) and between.search(one)][:TRIED]:
                made = _pattern(path, between, parts, joint)
                found = [made.name(one) for one in some]
                fits = [one for one in found if one in known]
                if (
                    len(fits) > max(1, len(some) // 10)
                    and len({*fits}) > 1
                    and sum(map(bool, found)) >= ENOUGH * len(some)
                ):
                    return made
    return None


def _pattern(path: str, between: re.Pattern[str], parts: Sequence[str], joint: str) -> Pattern:
    match = between.search(path)
    assert match is not None
    gaps = [re.escape(gap) for gap in match.groups()]
    start = path[: match.start()].rpartition("/")[2]
    end = re.sub("[0-9]+", r"\\d+", re.escape(path[match.end() :]))
    middle = "".join(f"{part}{gap}" for part, gap in zip(["([^/]+?)"] * len(parts), [*gaps, ""], strict=True))
    return Pattern(f"{'' if not start else re.escape(start)}{middle}{end}$".replace(r"\-", "-"), joint)


def table_in_paths(seen: Seen, files: Sequence[str], sample: Sample | None) -> tuple[Sheet, Named] | None:
    """The table whose names are put together from these paths."""
    for sheet in seen.tables:
        if (
            is_sample(sheet)
            or (sample and sheet.path == sample.path)
            or "test" in sheet.path.rpartition("/")[2].lower()
        ):
            continue
        for column in sheet.columns[:16]:
            written = cells(seen.folder, sheet, column) if may_be_name(sheet, column) else pd.Series([], dtype=str)
            names = [str(one) for one in pd.unique(written)]
            if len(names) < 2 or len(names) < len(written):
                continue
            pattern = pattern_of(names, files)
            if pattern is None:
                continue
            times = Counter(pattern.name(path) for path in files)
            missing = sum(name not in times for name in names)
            if missing < len(names) / 2:
                repeated = any(times[name] > 1 for name in names)
                return sheet, Named(
                    column,
                    1 - missing / len(names),
                    repeated=repeated,
                    missing=missing,
                    pattern=(pattern.expression, pattern.joint),
                )
    return None
