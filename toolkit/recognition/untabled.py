"""Classes that no table says: a folder for each, or a word in each file's name."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from toolkit.recognition.found import Fact, Sample, Sure, Targets
from toolkit.recognition.listing import FEW_GROUPS, Place, homes, is_called_masks, is_part, stem, tops

MOST = 0.34  # classes, as a share of the images
RECUR = 0.9  # of folders in folders, whose names others have as well
PATTERNS = {  # what stands for a class in the name of a file; what is in front of the suffix
    "the letters before the first number": r"^([A-Za-z][A-Za-z -]*?)[._ -]*\d",
    "the word before the first mark": r"^([A-Za-z]+)[._-]",
    "the last word": r"[._ -]([A-Za-z]+)\.[A-Za-z]+$",
    "the number at the end": r"[._ -](\d{1,2})\.[A-Za-z]+$",
    "the number at the start": r"^(\d{1,2})[._ -]",
}


HOMES = {  # the same in the name of a folder of several images
    "the last word": r"[._ -]([A-Za-z]+)$",
    "the word before the first mark": r"^([A-Za-z]+)[._ -]",
}


def of_homes(place: Place) -> tuple[Targets, Fact] | None:
    """A class in the name of each folder, of which each is an origin, or a sample; None where there is none."""
    names = homes(place)
    for what, pattern in HOMES.items():
        said = [re.search(pattern, name) for name in names]
        times = Counter(match.group(1) for match in said if match)
        rests = [match.string[: match.start(1)] + match.string[match.end(1) :] for match in said if match]
        few = 1 < len(times) <= max(2, MOST * len(names))
        if names and all(said) and few and min(times.values()) > 1 and _are_ids(rests):
            classes = tuple(sorted(times))
            why = f"{what} takes {len(classes)} values, such as in {names[0]}"
            made = Targets("classes", classes, "homes", place.path, pattern=pattern)
            return made, Fact("targets", f"a class in each folder's name: {_shown(classes)}", why, "likely")
    return None


def _are_ids(names: Sequence[str]) -> bool:
    """Has each a number of its own, and nothing else that differs? Else they are several words of what images show."""
    parts = [re.split("[._ -]+", name.strip("._ -")) for name in names]
    ids = [tuple(part for part in each if re.search("[0-9]", part)) for each in parts]
    others = {tuple(part for part in each if not re.search("[0-9]", part)) for each in parts}
    return all(ids) and len(set(ids)) == len(ids) and len(others) == 1


def _shown(classes: Sequence[str]) -> str:
    return ", ".join(classes[:6]) + (f", … ({len(classes):,})" if len(classes) > 6 else "")


def targets(place: Place, sample: Sample | None = None) -> tuple[Targets | None, list[Fact]]:
    """A class a folder, a word in the names of folders, or in those of files, and what is to be said of images of one
    origin; else why there is none.
    """
    asked = frozenset() if sample is None else sample.said | {*sample.columns[1:]}
    whole = asked & {*tops(place)}
    if not whole and (named := of_homes(place)):
        return named[0], [named[1]]
    if found := _of_folders(place, asked):
        return found
    names = [path.rpartition("/")[2] for path in place.files()]
    for what, pattern in PATTERNS.items():
        said = [re.search(pattern, name) for name in names]
        if not all(said):
            continue
        times = Counter(match.group(1) for match in said if match)
        if 1 < len(times) <= max(2, MOST * len(names)) and min(times.values()) > 1:
            classes = tuple(sorted(times))
            why = f"{what} takes {len(classes)} values, such as in {names[0]}"
            made = Targets("classes", classes, "names", pattern=pattern)
            return made, [Fact("targets", f"a class in each file's name: {_shown(classes)}", why, "likely")]
    nothing = f"no table names the images, such as {stem(names[0])!r}; nor are there folders of classes, or masks"
    return None, [Fact("targets", "none", nothing, "guess")]


def _of_folders(place: Place, asked: frozenset[str]) -> tuple[Targets, list[Fact]] | None:
    """A folder a class, and what the folders in them, or around them, are. asked: classes that a sample names."""
    inside = f"{place.path}/" if place.path else ""
    parts = {folder: folder.removeprefix(inside).split("/") for folder in place.folders if folder != place.path}
    if len(parts) < len(place.folders):
        return None
    level = 1 if len(tops(place)) > 1 and all(map(is_part, tops(place))) else 0
    if min(map(len, parts.values())) <= level:
        return None
    outer = Counter()  # type: Counter[str]
    for folder, names in place.folders.items():
        outer[parts[folder][level]] += len(names)
    pairs = {tuple(each[level : level + 2]) for each in parts.values() if len(each) > level + 1}
    if pairs and min(map(len, parts.values())) > level + 1 and not asked & {*outer}:
        inner = _inner_classes(outer, Counter(pair[1] for pair in pairs), asked)
        if inner is not None:
            return _in_origins(place, outer, inner, level)
    if not 1 < len(outer) <= max(2, MOST * place.number):
        return None
    classes = tuple(sorted(outer))
    why = f"{len(outer):,} folders of {min(outer.values()):,} to {max(outer.values()):,} images"
    why += f", in each of {', '.join(tops(place)[:4])}" if level else ""
    deeper = len({tuple(each[level : level + 2]) for each in parts.values()}) > len(outer)
    of_masks = {"image", "images", "imgs"} & set(map(str.lower, classes)) or any(map(is_called_masks, classes))
    sure: Sure = "guess" if deeper or of_masks else "sure"
    why += ", which may be images and masks that don't pair" if of_masks else ""
    facts, levels = [], ()  # type: tuple[list[Fact], tuple[int, ...]]
    if deeper:
        levels = _levels(pairs, level) if 2 * len(pairs) <= place.number else ()
        ids = bool(levels) and all(_has_number(one) for _, one in pairs) and not any(map(_has_number, outer))
        sure = "likely" if ids or asked & {*outer} else "guess"
        why += f", with {len(pairs):,} folders in them"
        why += "" if sure == "likely" else ", which may be the classes"
    fact = Fact("targets", f"a folder a class: {_shown(classes)}", why, sure)
    if levels:
        said = f"{len(pairs):,} folders in those of classes, such as {'/'.join(min(pairs))}"
        facts.append(Fact("groups", "the folders in those of classes", said, sure))
    made = Targets("classes", classes, "levels" if level or levels else "folders", place.path)
    return replace(made, level=level, levels=levels), [fact, *facts]


def _has_number(name: str) -> bool:
    return any(map(str.isdigit, name))


def _levels(pairs: set[tuple[str, ...]], level: int) -> tuple[int, ...]:
    """The levels of folders in those of classes whose names are an origin's; none where there are too few."""
    if len({pair[1] for pair in pairs}) >= FEW_GROUPS:
        return (level + 1,)
    return (level, level + 1) if len(pairs) >= FEW_GROUPS else ()


def _inner_classes(outer: Counter[str], inner: Counter[str], asked: frozenset[str]) -> tuple[str, ...] | None:
    """The names of folders in folders, where most of these have the same ones; None where they are no classes.

    Numbers count within what words say, and are classes only within more numbers, such as patients'.
    """
    if asked & {*inner}:
        return tuple(sorted(inner))
    recur = sum(number for number in inner.values() if number > 1)
    if len(inner) < 2 or recur < RECUR * inner.total() or 2 * len(inner) > inner.total():
        return None
    if all(map(is_part, inner)):
        return None
    numbers = all(map(_has_number, inner))
    if numbers and not (all(map(_has_number, outer)) and len(outer) >= max(FEW_GROUPS, len(inner) + 1)):
        return None
    return tuple(sorted(inner))


def _in_origins(place: Place, outer: Counter[str], classes: tuple[str, ...], level: int) -> tuple[Targets, list[Fact]]:
    """Where folders of classes lie in one of each origin."""
    numbered = all(map(_has_number, outer))
    few = len(outer) < FEW_GROUPS
    sure: Sure = "likely" if numbered and not few else "guess"
    why = f"the same folders in {len(outer):,} others, such as {min(outer)}"
    why += "" if sure == "likely" else ", which may be the classes"
    facts = [Fact("targets", f"a folder a class: {_shown(classes)}", why, sure)]
    if not few:
        said = f"{len(outer):,}, such as {min(outer)}"
        facts.append(Fact("groups", "the folders around those of classes", said, sure))
    levels = () if few else (level,)
    return Targets("classes", classes, "levels", place.path, level=level + 1, levels=levels), facts
