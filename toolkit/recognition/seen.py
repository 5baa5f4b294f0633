"""What is known of a download while it is being recognised, and what follows for its images in files."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.recognition.found import Fact, Pictures, Sheet, Source
from toolkit.recognition.heads import pictures_of
from toolkit.recognition.listing import Listing, Place, Role, origin_in, role_of, stem, suffix_of

MOST_PARTS = 8  # folders that a written line lists


@dataclass
class Seen:
    """What is known so far."""

    listing: Listing
    tables: list[Sheet]
    places: dict[Role, Place]
    facts: list[Fact] = field(default_factory=list)
    wanted: tuple[str, ...] = ()  # columns of targets that people named

    @property
    def folder(self) -> Path:
        return self.listing.folder


def source_of(seen: Seen, place: Place) -> Source:
    glob = glob_of(place) if is_mixed(seen, place) else ""
    inside = glob.rpartition("/")[0].split("/")
    others = [folder.split("/") for folder in seen.listing.folders if folder not in place.folders]
    mixes = any(
        len(one) == len(inside) and all(has in ("*", given) for has, given in zip(inside, one, strict=True))
        for one in others
    )
    tops = _tops(seen, place) if glob and mixes else []
    parts = tuple(tops) if len(tops) <= MOST_PARTS else ()
    return told(seen, Source("files", place.path, place.number, glob, parts=parts), place)


def _tops(seen: Seen, place: Place) -> list[str]:
    """The highest folders that together hold these images and no others."""
    others = [f"{folder}/" for folder in seen.listing.folders if folder not in place.folders]
    found = []
    for folder in place.folders:
        top, above = folder, folder.rpartition("/")[0]
        while above and not any(f"{one}/".startswith(f"{above}/") for one in others):
            top, above = above, above.rpartition("/")[0]
        found.append(top)
    return list(dict.fromkeys(found))


def origin_of(seen: Seen, files: Sequence[str]) -> str:
    """What follows the origin in images' names, where several are of one; said as a guess."""
    stems = [stem(path) for path in files]
    pattern = origin_in(stems)
    if pattern:
        number = len({re.sub(pattern, "", one) for one in stems})
        why = f"{number:,} beginnings before the last number, such as in {stems[0]}, each of several images"
        seen.facts.append(Fact("groups", "in the images' names", why, "guess"))
    return pattern


def is_mixed(seen: Seen, place: Place) -> bool:
    """Are there other images below the folder that holds these?"""
    inside = f"{place.path}/" if place.path else ""
    below = [folder for folder in seen.listing.folders if folder == place.path or folder.startswith(inside)]
    return len(below) > len(place.folders)


def glob_of(place: Place) -> str:
    """What finds these images alone: the parts of their folders' paths that are equal, and `*` for others."""
    levels = zip(*(folder.split("/") for folder in place.folders), strict=False)
    parts = [level[0] if len(set(level)) == 1 else "*" for level in levels]
    suffixes = suffixes_of(place)
    return "/".join([*filter(None, parts), f"*{suffixes.pop()}" if len(suffixes) == 1 else "*.*"])


def told(seen: Seen, source: Source, place: Place) -> Source:
    inside = f" in {len(place.folders):,} folders" if len(place.folders) > 1 else ""
    facts = {"test": "test images"}.get(place.role, "training images")
    called = any(role_of(folder) == place.role for folder in place.folders)
    why = "a folder called so" if called else "as the sample submission has others"
    why = why if place.role != "test" or called else "the sample submission has them"
    why = why if place.role in ("train", "test") else "no folder is called train"
    sure = "sure" if place.role in ("train", "test") else "likely"
    where = f"{place.number:,} in {place.path or 'the folder itself'}{inside}"
    seen.facts.append(Fact(facts, where, why, sure))  # type: ignore[arg-type]
    return source


def suffixes_of(place: Place) -> set[str]:
    return {suffix_of(names[0]) for names in place.folders.values()}


def looked_at(seen: Seen, files: Sequence[str]) -> Pictures | None:
    made, how = pictures_of(seen.folder, files)
    if made is None:
        seen.facts.append(Fact("images", "unreadable", how, "sure"))
        return None
    depth = "" if made.values is None else f", more than 8 bits from {made.values[0]:g} to {made.values[1]:g}"
    depth += ", shown in 8 bits as the files say" if made.window else ""
    size = f"{'median ' if made.differ else ''}{made.height} x {made.width}"
    colours = {1: "grey", 3: "colour"}.get(made.channels, f"{made.channels} channels")
    seen.facts.append(Fact("images", f"{size}, {colours}{depth}", how, "sure"))
    return made
