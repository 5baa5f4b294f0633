"""Tables whose rows are images, in several files: which belong together, and what finds these files again."""

import re
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from glob import escape
from os.path import splitext
from pathlib import Path
from typing import Literal

from toolkit.recognition.found import Sheet
from toolkit.recognition.listing import Listing, Part, part_said, suffix_of, words
from toolkit.recognition.samples import is_sample
from toolkit.recognition.sheets import rows_of, sheet_of


def part_of(path: str, key: str = "") -> Part | Literal[""]:
    """What a file, or an array in it, is for: as its own name says or, where that doesn't, the folders above it."""
    names = reversed([*splitext(path)[0].split("/"), *key.split("/")])
    return next(filter(None, (part_said(words(one)) for one in names)), "")


def is_test(path: str, key: str = "") -> bool:
    return part_of(path, key) == "test"


def joined(folder: Path, listing: Listing, tables: Sequence[Sheet], first: Sheet) -> Sheet:
    """A table with those (`more`) that have the same columns and are for the same: parts that differ in numbers, and
    others in the same folder. Parts that no pattern finds without others are left out.
    """
    known = {one.path: one for one in tables}
    groups: dict[str, list[Sheet]] = {}
    for path in listing.of({suffix_of(first.path)}):
        part = pattern_of(path) == pattern_of(first.path)
        beside = path in known and path.rpartition("/")[0] == first.path.rpartition("/")[0]
        if is_test(path) != is_test(first.path) or not (part or beside):
            continue
        sheet = known.get(path) or sheet_of(folder, path)
        if sheet is not None and sheet.columns == first.columns and not is_sample(sheet):
            groups.setdefault(pattern_of(path), []).append(sheet)
    found = [first]
    for pattern, sheets in sorted(groups.items()):
        if len(sheets) == 1 or len(sheets) == sum(finds(pattern, path) for path in listing.others):
            found += [one for one in sheets if one.path != first.path]
    return replace(first, more=tuple(found[1:]))


def globs_of(sheet: Sheet) -> tuple[str, ...]:
    """What finds a table and its `more`; () for a single one."""
    groups: dict[str, list[str]] = {}
    for one in (sheet, *sheet.more):
        groups.setdefault(pattern_of(one.path), []).append(one.path)
    globs = (pattern if len(paths) > 1 else escape(paths[0]) for pattern, paths in groups.items())
    return tuple(globs) if sheet.more else ()


def told(folder: Path, sheet: Sheet) -> str:
    """`90 rows of train-0.parquet and 2 more`"""
    more = (
        ""
        if not sheet.more
        else f" and {sheet.more[0].path}"
        if len(sheet.more) == 1
        else f" and {len(sheet.more)} more"
    )
    return f"{rows_of(folder, sheet):,} rows of {sheet.path}{more}"


def pattern_of(path: str) -> str:
    """It with `*` for each number."""
    return re.sub("[0-9]+", "*", escape(path))


def finds(pattern: str, path: str) -> bool:
    parts, names = pattern.split("/"), path.split("/")
    return len(parts) == len(names) and all(map(fnmatchcase, names, parts))
