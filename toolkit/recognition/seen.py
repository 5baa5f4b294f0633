"""What is known of a download while it is being recognised, and what follows for its images in files."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from os.path import splitext
from pathlib import Path

from toolkit.errors import UserError
from toolkit.recognition.found import Fact, Pictures, Sheet, Source
from toolkit.recognition.heads import pictures_of, spread
from toolkit.recognition.listing import Listing, Place, Role, origin_in, role_of, stem

FEW_TESTS = 12  # test images that are looked at
FEW_PARTS, MOST_PARTS = 3, 8  # folders that are listed, rather than by a pattern, or at all


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
    parts: list[str] = []
    if glob and (others := _others(seen, place, glob)):
        parts, closer = _tops(seen, place), glob_of(place, closer=True)
        if len(parts) > FEW_PARTS and not _others(seen, place, closer):
            parts, glob = [], closer
        elif len(parts) > MOST_PARTS:
            parts, why = [], f"{glob} finds them too: `load` has to leave them out"
            seen.facts.append(Fact("not told apart", f"images in {', '.join(others[:3])}", why, "guess"))
    suffixes = mixed_suffixes(place) if glob and not parts else ()
    return told(seen, Source("files", place.path, place.number, glob, parts=tuple(parts), suffixes=suffixes), place)


def _others(seen: Seen, place: Place, glob: str) -> list[str]:
    """Folders with other images that a glob finds too."""
    inside = glob.split("/")[:-1]
    found = []
    for folder in seen.listing.folders.keys() - place.folders.keys():
        parts = folder.split("/") if folder else []
        if inside[-1:] == ["**"] or (len(parts) == len(inside) and all(map(fnmatchcase, parts, inside))):
            found.append(folder or ".")
    return sorted(found)


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


def glob_of(place: Place, closer: bool = False) -> str:
    """What finds these images: the parts of their folders' paths that are equal, and `*` for others. closer: with what
    the names of folders begin with.
    """
    if len({len(folder.split("/")) if folder else 0 for folder in place.folders}) > 1:
        parts = [place.path, "**"]
    else:
        levels = zip(*(folder.split("/") for folder in place.folders), strict=True)
        parts = [
            level[0] if len(set(level)) == 1 else f"{start_of(level) if closer else ''}*"
            for level in map(list, levels)
        ]
    suffixes = _suffixes(place)
    return "/".join([*filter(None, parts), f"*{suffixes.pop()}" if len(suffixes) == 1 else "*"])


def start_of(names: Collection[str]) -> str:
    """What all of them begin with, before a number."""
    first = min(names)
    return first[: alike(first, max(names))].rstrip("0123456789")


def alike(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the first are equal."""
    shorter = min(len(one), len(other))
    return next((at for at in range(shorter) if one[at] != other[at]), shorter)


def told(seen: Seen, source: Source, place: Place) -> Source:
    inside = f" in {len(place.folders):,} folders" if len(place.folders) > 1 else ""
    facts = {"test": "test images"}.get(place.role, "training images")
    called = any(place.role in (role_of(folder), role_of(folder, masks=False)) for folder in place.folders)
    why = "a folder called so" if called else "as the sample submission has others"
    why = why if place.role != "test" or called else "the sample submission has them"
    why = why if place.role in ("train", "test") else "no folder is called train"
    sure = "sure" if place.role in ("train", "test") else "likely"
    where = f"{place.number:,} in {place.path or 'the folder itself'}{inside}"
    seen.facts.append(Fact(facts, where, why, sure))  # type: ignore[arg-type]
    return source


def suffixes_of(place: Place) -> set[str]:
    return {suffix.lower() for suffix in _suffixes(place)}


def mixed_suffixes(place: Place) -> tuple[str, ...]:
    """In small letters, where images have several; none where `glob_of` says it."""
    return tuple(sorted(suffixes_of(place))) if len(_suffixes(place)) > 1 else ()


def _suffixes(place: Place) -> set[str]:
    """In the letters that they have."""
    return {splitext(name)[1] for names in place.folders.values() for name in names}


def looked_at(seen: Seen, files: Sequence[str]) -> Pictures | None:
    made, how = pictures_of(seen.folder, files)
    if made is None:
        seen.facts.append(Fact("images", "unreadable", how, "sure"))
        return None
    tests = seen.places.get("test")
    other, _ = pictures_of(seen.folder, spread(tests.files(), FEW_TESTS)) if tests else (None, "")
    if other and not other.window and (other.values is None) != (made.values is None):
        few, many = ("training", "test") if made.values is None else ("test", "training")
        raise UserError(
            f"{seen.folder}: {few} images have 8 bits a pixel, {many} images more; save all with as many, or write "
            "`load` by hand, with a `read` that brings them to one scale (docs/unlike.md)"
        )
    depth = "" if made.values is None else f", more than 8 bits from {made.values[0]:g} to {made.values[1]:g}"
    depth += ", shown in 8 bits as the files say" if made.window else ""
    size = f"{'median ' if made.differ else ''}{made.height} x {made.width}"
    colours = {1: "grey", 3: "colour"}.get(made.channels, f"{made.channels} channels")
    seen.facts.append(Fact("images", f"{size}, {colours}{depth}", how, "sure"))
    return made
