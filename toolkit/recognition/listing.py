"""Which files a download has, listed once, and which of them are images, tables, arrays, masks."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from os.path import splitext
from pathlib import Path
from typing import Literal

from toolkit.errors import UserError
from toolkit.images.files import SUFFIXES

IMAGES = SUFFIXES
TABLES = {".csv", ".tsv", ".txt", ".parquet"}
JSON = {".json", ".jsonl", ".ndjson"}
ARRAYS = {".npy", ".npz", ".h5", ".hdf5", ".hdf"}
MASK_WORDS = {"label", "labels", "annotation", "annotations", "groundtruth", "gt", "seg", "segmentation", "labelcol"}
PARTS = {  # of all images
    *("train", "training", "trainset", "test", "testing", "testset", "val", "valid", "validation", "dev"),
    *("part", "parts", "fold", "folds", "batch", "chunk", "shard"),
}
COLOURS = ("red", "green", "blue", "yellow", "rgb", "nir")
CHANNEL = re.compile(rf"[_-]((w|ch|c|channel|band|stain)[0-9]{{1,2}}|{'|'.join(COLOURS)})$", re.IGNORECASE)
NUMBERED = r"[_-][0-9]+$"
FEW_GROUPS = 6  # fewer would leave no folds
Part = Literal["train", "test", "validation"]
Role = Part | Literal["masks", "other"]


@dataclass(frozen=True)
class Place:
    """Images of one role. path: the folder that holds all of them; folders: those with images, within the download,
    and their files.
    """

    role: Role
    path: str
    folders: dict[str, list[str]]

    @property
    def number(self) -> int:
        return sum(map(len, self.folders.values()))

    def files(self) -> list[str]:
        """Within the download."""
        return [f"{folder}/{name}" if folder else name for folder, names in self.folders.items() for name in names]


@dataclass(frozen=True)
class Listing:
    """folders: with images, and their files; others: all other files, within the download."""

    folder: Path
    folders: dict[str, list[str]]
    others: list[str]

    def images(self) -> list[str]:
        """Within the download."""
        return [f"{folder}/{name}" for folder, names in self.folders.items() for name in names]

    def of(self, suffixes: Iterable[str]) -> list[str]:
        """Other files with these suffixes, the least deep first."""
        found = [path for path in self.others if suffix_of(path) in suffixes]
        return sorted(found, key=lambda path: (path.count("/"), path))


def suffix_of(name: str) -> str:
    """`.csv` of a.csv, also of a.csv.gz and a.csv.zip."""
    stem, suffix = splitext(name.lower())
    inner = splitext(stem)[1]
    return inner if suffix in (".gz", ".zip") and inner in TABLES else suffix


def listed(folder: Path) -> Listing:
    """The files of a download; UserError where there are none."""
    if not folder.is_dir():
        what = "is a file, expected the folder" if folder.exists() else "does not exist; point --data at the folder"
        raise UserError(f"{folder} {what} of the organisers' files")
    folders: dict[str, list[str]] = {}
    others: list[str] = []
    _walk(str(folder), "", folders, others)
    if not folders and not others:
        raise UserError(f"{folder} is empty; put the organisers' files there or point --data at their folder")
    return Listing(folder, dict(sorted(folders.items())), others)


def _walk(folder: str, inside: str, folders: dict[str, list[str]], others: list[str]) -> None:
    images = []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini"):
                continue
            if entry.is_dir():
                _walk(entry.path, f"{inside}{name}/", folders, others)
            elif splitext(name)[1].lower() in IMAGES:
                images.append(name)
            else:
                others.append(inside + name)
    if images:
        folders[inside.rstrip("/")] = sorted(images)


def words(name: str) -> list[str]:
    """`stage1_trainImages` → stage, train, images."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word for word in re.split(r"[^a-z]+", parted.lower()) if word]


def role_of(folder: str, among: Iterable[str] = (), masks: bool = True, shared: int = 0) -> Role:
    """What a folder's path says of the images in it. among: all folders with images: where most of those beside a part
    of the path have no role, such as `train` and `testudo` beside `bus` in `training`, it is called by what it shows.
    masks: may words say that it holds masks? Not those of the first `shared` parts, in which all images lie.
    """
    path = folder.split("/")
    for depth in range(len(path) - 1, 0, -1):
        above = "/".join(path[:depth])
        if _role(path[depth]) in ("train", "test", "validation") and _role(*path[:depth]) != "other":
            beside = {one.split("/")[depth] for one in among if one.startswith(f"{above}/")}
            others = sum(_role(one) == "other" for one in beside)
            if others > 1 and 2 * others >= len(beside):
                return role_of(above, among, masks, shared)
    return _role(*path, masks=masks, shared=shared)


def _role(*path: str, masks: bool = True, shared: int = 0) -> Role:
    parts = list(map(words, path))
    if masks and any(any(map(_is_of_masks, (*part, "".join(part[-2:])))) for part in parts[shared:]):
        return "masks"
    return next(filter(None, map(part_said, reversed(parts))), "other")


def part_said(by: Iterable[str]) -> Part | None:
    """Which part of the data the first of these words names that names one."""
    for word in by:
        if word.startswith("test"):
            return "test"
        if word.startswith("train"):
            return "train"
        if word in ("val", "valid", "validation", "dev"):
            return "validation"
    return None


def _is_of_masks(word: str) -> bool:
    """`masked` says what pictures show."""
    return (word.startswith("mask") and word != "masked") or word in MASK_WORDS


def is_called_masks(folder: str) -> bool:
    """Has the folder's own name no other words than those for masks?"""
    return all(map(_is_of_masks, words(folder.rpartition("/")[2]) or ["?"]))


def is_part(folder: str) -> bool:
    """Is it called like a part of the images, `train_1` or `part2`, rather than like what these show?"""
    said = words(folder)
    return len(said) == 1 and said[0] in PARTS


def places(listing: Listing) -> dict[Role, Place]:
    """Images by their role, as their folders' names say."""
    by_role: dict[Role, dict[str, list[str]]] = {}
    top = common(list(listing.folders)) if len(listing.folders) > 1 else ""
    shared = len(top.split("/")) if top else 0
    for folder, names in listing.folders.items():
        by_role.setdefault(role_of(folder, listing.folders, shared=shared), {})[folder] = names
    return {role: Place(role, common(list(folders)), folders) for role, folders in by_role.items()}


def channels_of(place: Place) -> tuple[str, ...]:
    """Marks at the ends of names, `_w1`, `_w2` or `_red`, `_green`, of which each image has the same; else none."""
    of_image: dict[str, list[str]] = {}
    for path in place.files():
        match = CHANNEL.search(stem(path))
        if not match:
            return ()
        of_image.setdefault(splitext(path)[0][: -len(match.group())], []).append(match.group())
    found = [tuple(sorted(marks, key=_order)) for marks in of_image.values()]
    return found[0] if found and len(found[0]) > 1 and set(found) == {found[0]} else ()


def _order(mark: str) -> tuple[int, int, str]:
    """Red, green, blue and others; numbers by their size."""
    number = re.sub("[^0-9]", "", mark)
    word = mark.lstrip("_-").lower()
    return (COLOURS.index(word) if word in COLOURS else len(COLOURS), int(number or 0), mark)


def of_first_channel(place: Place, marks: Sequence[str]) -> Place:
    """The files of the first channel alone."""
    kept = {
        folder: [name for name in names if splitext(name)[0].endswith(marks[0])]
        for folder, names in place.folders.items()
    }
    return replace(place, folders={folder: names for folder, names in kept.items() if names})


def joined(role: Role, parts: Sequence[Place]) -> Place:
    folders = {folder: names for part in parts for folder, names in part.folders.items()}
    return Place(role, common(list(folders)), folders)


def tops(place: Place) -> list[str]:
    """The first folders in a place, by what their paths begin with."""
    inside = f"{place.path}/" if place.path else ""
    found = (folder.removeprefix(inside).partition("/")[0] for folder in place.folders)
    return list(dict.fromkeys(found)) if place.path not in place.folders else []


def homes(place: Place) -> list[str]:
    """The folders in a place that hold several images each, by what their paths begin with; none where images lie
    otherwise.
    """
    found = tops(place)
    return found if 2 * len(found) <= place.number else []


def without(place: Place, folders: Iterable[str]) -> Place:
    left = {folder: names for folder, names in place.folders.items() if folder not in set(folders)}
    return replace(place, folders=left, path=common(list(left)))


def copied(place: Place) -> list[str]:
    """Folders in one that holds the other ones of the place again, with files of the same names."""
    inside, found = f"{place.path}/" if place.path else "", set(tops(place))
    inner: dict[str, set[str]] = {}
    for folder in place.folders:
        top, _, below = folder.removeprefix(inside).partition("/")
        inner.setdefault(top, set()).add(below.partition("/")[0])
    for top, names in inner.items():
        if len(names) > 1 and names <= found - {top}:
            again = [one for one in place.folders if one.startswith(f"{inside}{top}/")]
            others = set().union(*(files for one, files in place.folders.items() if one not in {*again}))
            if all(others.issuperset(place.folders[one]) for one in again):
                return again
    return []


def common(folders: Sequence[str]) -> str:
    """The folder that all of these are, or lie in."""
    parts = [folder.split("/") for folder in folders]
    shared = []
    for level in zip(*parts, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared)


def stem(path: str) -> str:
    return splitext(path.rpartition("/")[2])[0]


def origin_in(stems: Sequence[str]) -> str:
    """A pattern of what follows a name's origin, the number of `1_17` or `a8f_03`, where each origin has several."""
    times = Counter(re.sub(NUMBERED, "", one) for one in stems)
    each = all(re.search(NUMBERED, one) for one in stems)
    return NUMBERED if each and len(times) >= FEW_GROUPS and min(times.values()) > 1 else ""


def affixes(names: Sequence[str], stems: set[str]) -> tuple[str, str] | None:
    """What stands before and after each of these names in one of the stems: ("train_", "_rgb"); None for no such."""
    if not names:
        return None
    for first in names[:3]:
        for candidate in sorted((one for one in stems if first and first in one), key=len)[:8]:
            before, _, after = candidate.partition(first)
            if sum(f"{before}{name}{after}" in stems for name in names) >= 0.9 * len(names):
                return before, after
    return None
