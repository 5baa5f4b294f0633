"""Images of one origin, as a table says: by a column of it or of another one, or by folders in images' names."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from toolkit.recognition import columns, samples
from toolkit.recognition.found import Fact, Sheet, Sure
from toolkit.recognition.image_names import Named, named
from toolkit.recognition.listing import Place, words
from toolkit.recognition.seen import Seen
from toolkit.recognition.sheets import cells


@dataclass(frozen=True)
class Grouped:
    """column: whose equal cells are one group, those that are `blank` each of its own; "": there is none. within:
    another table that has it, and its column of names. level: the folder in images' names that is the group; None:
    none is.
    """

    column: str = ""
    blank: tuple[str, ...] = ()
    within: tuple[Sheet, str] | None = None
    level: int | None = None


def by_column(seen: Seen, sheet: Sheet, free: Sequence[str]) -> Grouped | None:
    """By a column of the training table; free: those that aren't asked for."""
    group, said, blank = columns.group_of(seen.folder, sheet, free)
    if group:
        seen.facts.append(Fact("groups", group, said, "likely"))
    return Grouped(group, blank) if group else None


def elsewhere(seen: Seen, sheet: Sheet, train: Place) -> Grouped | None:
    """By a column of another table of these images."""
    for other in seen.tables:
        if other is sheet or samples.is_sample(other):
            continue
        name = named(seen.folder, other, train.files())
        if name and not name.repeated and not name.before + name.after:
            free = [one for one in other.columns if one != name.column]
            group, said, blank = columns.group_of(seen.folder, other, free)
            if group and name.odd:
                why = f"not used: it names images otherwise than their files, such as {name.odd}"
                seen.facts.append(Fact("groups", f"{group} of {other.path}", why, "guess"))
            elif group:
                seen.facts.append(Fact("groups", f"{group} of {other.path}", said, "likely"))
                return Grouped(group, blank, (other, name.column))
    return None


def by_folders(seen: Seen, sheet: Sheet, name: Named, targets: Sequence[str]) -> Grouped | None:
    """By folders in images' names, unless classes lie in folders of their own. targets: the columns of these."""
    written = cells(seen.folder, sheet, name.column).str.replace("\\", "/", regex=False)
    parts = written.str.split("/")
    if parts.map(len).nunique() != 1:
        return None
    said = cells(seen.folder, sheet, targets[0])
    found: list[tuple[int, int, pd.Series]] = []
    for level in range(name.drop, int(parts.map(len).iloc[0]) - 1):
        values = parts.str[level]
        place = min((columns.GROUPS.index(one) for one in words(values.iloc[0]) if one in columns.GROUPS), default=99)
        if columns.is_origin(values) and not (len(targets) == 1 and _holds(values, said)):
            found.append((place, -level, values))
    if not found:
        return None
    place, level, values = min(found, key=lambda one: one[:2])
    sure: Sure = "likely" if place < 99 else "guess"
    why = f"{values.nunique():,} folders in {name.column}, such as {values.iloc[0]}, each of several images"
    seen.facts.append(Fact("groups", f"folders in {name.column}", why, sure))
    return Grouped(level=-level)


def _holds(folders: pd.Series, targets: pd.Series) -> bool:
    """Are nearly all images of a class in one folder? Then a fold would hold whole classes."""
    several = targets.nunique() < len(targets) / 2
    return several and len(set(zip(folders, targets, strict=True))) < 1.1 * targets.nunique()
