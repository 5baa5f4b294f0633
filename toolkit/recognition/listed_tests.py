"""What a table of the test images says: which they are, what they are called by, which of them are one sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations

import pandas as pd

from toolkit.recognition import samples
from toolkit.recognition.columns import is_called
from toolkit.recognition.found import Fact, Listed, Sample, Sheet
from toolkit.recognition.image_names import Named, named
from toolkit.recognition.listing import Place, words
from toolkit.recognition.seen import Seen
from toolkit.recognition.sheets import cells

JOINTS = ("_", "-", "")
MOST = 3  # columns that are joined
WIDE = 12  # columns of which some may be
FEW = 12  # rows, which stand for a hidden test set and may be equal by chance


@dataclass(frozen=True)
class Joined:
    """title: of the column whose equal cells are one sample; columns: what it is made of, `joint` between them."""

    title: str
    columns: tuple[str, ...]
    joint: str = ""


def test_table(seen: Seen, table: Sheet) -> Sheet | None:
    for sheet in seen.tables:
        name = words(sheet.path.rpartition("/")[2])
        if sheet is not table and not samples.is_sample(sheet) and any(word.startswith("test") for word in name):
            return sheet
    return None


def known_of_tests(seen: Seen, table: Sheet, tests: Sheet | None, asked: Sequence[str]) -> set[str]:
    """Columns that say something of the test images, too, and so may be no targets. Not those that are asked for, are
    called like a target, or say nothing or the same throughout, as what is to be filled in does.
    """
    if tests is None or len(tests.columns) < 2:
        return set()
    others = [one for one in tests.columns if one not in asked and not is_called(one, table)]
    few = FEW if asked else 1
    return {one for one in others if not _is_filler(cells(seen.folder, tests, one).str.strip(), few)}


def _is_filler(said: pd.Series, few: int) -> bool:
    return bool((said == "").all()) or (len(said) > few and said.nunique() == 1)


def joined_as(seen: Seen, sample: Sample | None, table: Sheet, tests: Sheet | None, name: Named) -> Joined | None:
    """The sets that the sample's ids are of, in the tables of all images; None where an id is an image."""
    title = _of_sample(seen, sample, tests)
    if tests is None or not title or name.column not in tests.columns:
        return None
    said = cells(seen.folder, tests, title)
    if said.nunique() == len(said):
        return None
    if title in table.columns:
        return Joined(title, (title,))
    both = [one for one in tests.columns if one in table.columns and one != name.column][:WIDE]
    for number in range(1, MOST + 1):
        for some in permutations(both, number):
            parts = [cells(seen.folder, tests, one) for one in some]
            for joint in JOINTS:
                made = [joint.join(each) for each in zip(*parts, strict=True)]
                if made == said.tolist():
                    return Joined(title, some, joint)
    return None


def listed_tests(
    seen: Seen, sample: Sample | None, tests: Sheet | None, test: Place, name: Named, joint: Joined | None
) -> Listed | None:
    """Where a submission calls test images otherwise than their files, and a table or their names say how."""
    title = _of_sample(seen, sample, tests)
    if tests is not None and title:
        known = named(seen.folder, tests, test.files())
        if known and not known.missing and known.column != title:
            what = "rows of one such are a sample" if joint else "what the sample submission calls them by"
            seen.facts.append(Fact("test ids", f"{title} of {tests.path}", what, "sure"))
            return Listed(tests, known.column, title, joint is not None)
    if sample and sample.ids == "other" and name.before + name.after:
        (given,) = (sheet for sheet in seen.tables if sheet.path == sample.path)
        known = named(seen.folder, given, test.files())
        if known and not known.missing and known.column == sample.columns[0] and known.before + known.after:
            return Listed(given, known.column, before=known.before, after=known.after)
    return None


def _of_sample(seen: Seen, sample: Sample | None, tests: Sheet | None) -> str:
    """The column of the test table that has the sample's ids, and these alone; "" where none has."""
    given = [sheet for sheet in seen.tables if sample and sheet.path == sample.path]
    if sample is None or tests is None or not given:
        return ""
    ids = set(cells(seen.folder, given[0], sample.columns[0]))
    return next((column for column in _ordered(tests, sample) if set(cells(seen.folder, tests, column)) == ids), "")


def _ordered(tests: Sheet, sample: Sample) -> Sequence[str]:
    """Columns, those that are called as the sample's first."""
    return sorted(tests.columns, key=lambda column: column != sample.columns[0])
