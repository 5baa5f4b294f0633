"""Which column of a table names images, however it spells them; tables whose names fit no image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from os.path import splitext
from pathlib import Path

import pandas as pd

from toolkit.images.files import spelled
from toolkit.recognition.found import Sheet
from toolkit.recognition.listing import IMAGES, JSON, affixes, stem, suffix_of, words
from toolkit.recognition.sheets import cells

LEAST = 0.1  # of the images that a column of their names names
SEVERAL = 3  # cells that look like names of images


@dataclass(frozen=True)
class Named:
    """The column that names images, and what files' names have around it. share: of its cells that are images."""

    column: str
    share: float
    before: str = ""
    after: str = ""
    repeated: bool = False
    missing: int = 0
    drop: int = 0  # folders in front of the names that the download lacks
    pattern: tuple[str, str] = ("", "")  # of paths, where names are put together from these; what joins its groups
    odd: str = ""  # a name that is spelled otherwise than its file, in letters' case or suffix or so


class Known:
    """What files are called, with suffix and without."""

    def __init__(self, files: Sequence[str]) -> None:
        self.files = files
        self.names = {name for path in files for name in (_base(path), stem(path))}

    @cached_property
    def spelled(self) -> set[str]:
        return set(map(spelled, self.names))

    def has(self, name: str) -> bool:
        """As `ImageFiles.chosen` finds it."""
        return name in self.names or spelled(name) in self.spelled or _bare(name) in self.spelled

    def most(self, names: Sequence[str]) -> bool:
        """Are half of these names here?"""
        return 2 * sum(map(self.has, names)) >= max(1, len(names))


@lru_cache(maxsize=4)
def _known(files: tuple[str, ...]) -> Known:
    return Known(files)


def _base(name: str) -> str:
    """Without folders."""
    return name.replace("\\", "/").rpartition("/")[2]


def _bare(name: str) -> str:
    """`spelled` without the suffix of an image."""
    return splitext(spelled(name))[0] if suffix_of(name) in IMAGES else spelled(name)


def named(folder: Path, sheet: Sheet, files: Sequence[str]) -> Named | None:
    """The column whose cells are the most of these images, in most rows."""
    known = _known(tuple(files))
    best: tuple[tuple[bool, int, int, float], Named] | None = None
    for column in sheet.columns[:64]:
        head = [_base(cell) for cell in sheet.head[column] if cell]
        around = ("", "")
        if not known.most(head):
            found = affixes(head, known.names) if may_be_name(sheet, column) else None
            if found is None:
                continue
            around = found
        written = cells(folder, sheet, column)
        every = [str(one) for one in pd.unique(written)]
        called = [f"{around[0]}{_base(one)}{around[1]}" for one in every]
        fits = [known.has(one) for one in called]
        odd = [one for one, name, fit in zip(every, called, fits, strict=True) if fit and name not in known.names]
        there = sum(fits)
        if there < LEAST * len(files):  # numbers of something else, which a few images are called by as well
            continue
        drop = _dropped(every[0], files) if not around[0] + around[1] else 0
        repeated = len(every) < len(written)
        made = Named(
            column, there / len(every), *around, repeated, len(every) - there, drop, odd=odd[0] if odd else ""
        )
        rank = (around == ("", ""), there - len(odd), there, made.share)
        if best is None or rank > best[0]:
            best = rank, made
    return None if best is None else best[1]


def _dropped(name: str, files: Sequence[str]) -> int:
    """How many folders a table's name has in front of what an image's path ends with."""
    for called, paths in ((name, files), (_bare(name), [spelled(path) for path in files])):
        parts = called.split("/")
        for number in range(len(parts)):
            tail = "/" + "/".join(parts[number:])
            near = [f"/{path}" for path in paths if tail[1:] in path]
            if any(path.endswith(tail) or splitext(path)[0].endswith(tail) for path in near):
                return number
    return 0


def may_be_name(sheet: Sheet, column: str) -> bool:
    has = {"id", "image", "file", "name", "filename", "img", "picture", "photo"} & set(words(column))
    return column == sheet.columns[0] or bool(has)


def are_files(sheet: Sheet, column: str) -> bool:
    """Do its cells name images, or files as theirs, such as paths of masks?"""
    filled = [cell for cell in sheet.head[column] if cell]
    return bool(filled) and all(suffix_of(cell) in IMAGES for cell in filled)


def of_no_image(sheets: Sequence[Sheet], files: Sequence[str]) -> tuple[Sheet, str] | None:
    """A table with a column of images' names, none of which fits, and one of them."""
    known = Known(files)
    for sheet in sheets:
        for column in sheet.columns[:64]:
            head = [cell for cell in sheet.head[column] if cell]
            if len(head) >= SEVERAL and are_files(sheet, column) and not any(map(known.has, map(_base, head))):
                return sheet, head[0]
    return None


def without_titles(folder: Path, sheet: Sheet, known: Known) -> Sheet:
    """The same table; where what seemed its titles is a row, which names an image, with columns that are counted."""
    if not sheet.header or sheet.path.endswith((*JSON, ".parquet")):
        return sheet
    called = next((one for one in sheet.columns if _base(one) in known.names), None)
    if called is None or not known.most([_base(cell) for cell in sheet.head[called] if cell]):
        return sheet
    others = [one for one in sheet.columns if one != called]
    if others and not any((cells(folder, sheet, one) == one).any() for one in others):
        return sheet
    titles = {one: f"column {at}" for at, one in enumerate(sheet.columns)}
    head = {title: (one, *sheet.head[one]) for one, title in titles.items()}
    return replace(sheet, columns=tuple(titles.values()), head=head, header=False)
