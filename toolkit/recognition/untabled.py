"""Classes that no table says: a folder for each, or a word in each file's name."""

import re
from collections import Counter
from collections.abc import Sequence

from toolkit.recognition.found import Fact, Sure, Targets
from toolkit.recognition.listing import Place, homes, stem

MOST = 0.34  # classes, as a share of the images
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
        if names and all(said) and 1 < len(times) <= max(2, MOST * len(names)) and min(times.values()) > 1:
            classes = tuple(sorted(times))
            why = f"{what} takes {len(classes)} values, such as in {names[0]}"
            made = Targets("classes", classes, "homes", place.path, pattern=pattern)
            return made, Fact("targets", f"a class in each folder's name: {_shown(classes)}", why, "likely")
    return None


def _shown(classes: Sequence[str]) -> str:
    return ", ".join(classes[:6]) + (", …" if len(classes) > 6 else "")


def targets(place: Place) -> tuple[Targets | None, Fact]:
    """A class a folder, a word in the names of folders, or in those of files; else why there is none."""
    if named := of_homes(place):
        return named
    inside = f"{place.path}/" if place.path else ""
    folders = Counter()  # type: Counter[str]
    for folder, names in place.folders.items():
        folders[folder.removeprefix(inside).partition("/")[0] if folder != place.path else ""] += len(names)
    if len(folders) > 1 and "" not in folders and len(folders) <= max(2, MOST * place.number):
        classes = tuple(sorted(folders))
        why = f"{len(folders):,} folders of {min(folders.values()):,} to {max(folders.values()):,} images"
        deeper = len(place.folders) > len(folders)
        why += f", with {len(place.folders):,} folders in them, which may be the classes" if deeper else ""
        sure: Sure = "guess" if deeper else "sure"
        shown = ", ".join(classes[:6]) + (f", … ({len(classes):,})" if len(classes) > 6 else "")
        return Targets("classes", classes, "folders"), Fact("targets", f"a folder a class: {shown}", why, sure)
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
            return made, Fact("targets", f"a class in each file's name: {_shown(classes)}", why, "likely")
    nothing = f"no table names the images, such as {stem(names[0])!r}; nor are there folders of classes, or masks"
    return None, Fact("targets", "none", nothing, "guess")
