"""Masks that lie beside images: which belongs to which, and what their pixels mean."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.recognition.columns import GROUPS
from toolkit.recognition.found import Fact, Sure, Targets
from toolkit.recognition.heads import spread
from toolkit.recognition.listing import (
    FEW_GROUPS,
    Place,
    affixes,
    common,
    is_called_masks,
    is_part,
    role_of,
    stem,
    words,
)
from toolkit.recognition.mask_values import smeared, values_of
from toolkit.recognition.seen import MOST_PARTS, alike, start_of
from toolkit.recognition.text import quoted
from toolkit.task import IGNORED

LOOKED_AT = 12  # names
ENOUGH = 0.9  # of the images that have a mask
NOT_SCORED = 255  # beside classes
MOST = 20  # values of a mask that are classes
MARKED = re.compile(r"[._ -](mask|label|seg|gt|annotation)s?\.\w+$", re.IGNORECASE)


@dataclass(frozen=True)
class Paired:
    """before, after: what masks' names have around those of the images. many: a folder of masks for each image."""

    images: Place
    masks: Place
    before: str = ""
    after: str = ""
    many: bool = False
    strip: tuple[str, str] = ("", "")  # what images' names begin and end with, and masks' don't
    together: bool = False  # do they lie in the same folders?
    home: str = ""  # Python of the folder of the mask of an image `path`, where they lie in several
    within: tuple[str, ...] = ()  # folders that hold masks alone, where their names alone say whose they are
    others: tuple[str, ...] = ()  # further masks that fit as well
    fault: str = ""  # why it can't be said which belongs to which


@dataclass(frozen=True)
class _Way:
    """From the folder of images to that of their masks. called: the part of its path that is another."""

    python: str
    called: str
    leads: Callable[[str], str]


def paired(images: Place, masks: Place) -> Paired | None:
    """Which mask belongs to which image, by their folders and names; None where that can't be seen."""
    own = {folder: names for folder, names in masks.folders.items() if not _is_test(folder)}
    if not own:
        return None
    found = []
    for way in _ways(images.folders, own):
        homes = {folder: way.leads(folder) for folder in images.folders}
        part = _place(own, set(homes.values()))
        if len(homes) == images.number > 1 and part.number > images.number:
            found.append((way, Paired(images, part, many=True, home=way.python)))
        elif pair := _by_name(images, part, homes):
            found.append((way, replace(pair, home=way.python if len(part.folders) > 1 else "")))
    if not found:
        pair = _by_name(images, _place(own, own))
        return None if pair is None else _alone(pair, [*images.folders, *(masks.folders.keys() - own.keys())])
    near = [each for each in found if each[0].python.startswith("path.parent")] or found
    if len(near) == 1:
        return near[0][1]
    plain = [pair for way, pair in near if is_called_masks(way.called)]
    if len(plain) != 1:
        kinds = ", ".join(way.called for way, _ in near[:6])
        return replace(near[0][1], fault=f"each image has a mask in several folders, {kinds}; leave one of them")
    return replace(plain[0], others=tuple(way.called for way, pair in near if pair is not plain[0]))


def _place(folders: Mapping[str, list[str]], chosen: Collection[str]) -> Place:
    return Place("masks", common(list(chosen)), {one: names for one, names in folders.items() if one in chosen})


def _ways(images: Collection[str], masks: Collection[str]) -> list[_Way]:
    """All that take each folder of images to one of masks of its own."""
    found: dict[frozenset[str], _Way] = {}
    for mask in masks:
        for way in _between(next(iter(images)), mask):
            if all(way.leads(one) in masks for one in images):
                ends = frozenset(map(way.leads, images))
                if len(ends) == len(images):
                    found.setdefault(ends, way)
    return list(found.values())


def _between(image: str, mask: str) -> Iterator[_Way]:
    """Ways from one folder to another, that which is easiest to read first."""
    above = image.rpartition("/")[0]
    inside, beside = (f"{one}/" if one else "" for one in (image, above))
    if mask.startswith(inside):
        inner = mask.removeprefix(inside)
        yield _Way(f"path.parent / {quoted(inner)}", inner, lambda one: f"{one}/{inner}" if one else inner)
    elif mask.startswith(beside):
        last = mask.removeprefix(beside)
        python = f"path.parents[1] / {quoted(last)}"
        yield _Way(python, last, lambda one: "/".join([*one.split("/")[:-1], last]) if one else "?")
    for joint in ("/", ""):  # whole folders of the path are others, or a part of their names
        parts = [image.split(joint), mask.split(joint)] if joint else [image, mask]
        old, new = (joint.join(part) for part in _apart(*parts))
        if old:
            python = f"folder / str(path.parent.relative_to(folder)).replace({quoted(old)}, {quoted(new)})"
            yield _Way(python, new, partial(_replaced, old, new))
        elif mask == image + new:
            yield _Way(
                f"path.parent.with_name(path.parent.name + {quoted(new)})", new, lambda one: one + mask[len(image) :]
            )


def _replaced(old: str, new: str, text: str) -> str:
    return text.replace(old, new)


def _apart(one: Sequence[str], other: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """What two have between a beginning and an end that are equal."""
    start = alike(one, other)
    one, other = one[start:], other[start:]
    end = alike(one[::-1], other[::-1])
    return one[: len(one) - end], other[: len(other) - end]


def _by_name(images: Place, masks: Place, homes: Mapping[str, str] | None = None) -> Paired | None:
    """By names in folders that belong to each other, or wherever masks lie; None where they don't fit."""
    pair = _named(images, masks) if masks.number >= ENOUGH * images.number else None
    if pair is None:
        return None
    there = {folder: set(map(stem, names)) for folder, names in masks.folders.items()}
    every = set() if homes else set().union(*there.values())
    fits = 0
    for folder, names in images.folders.items():
        known = there[homes[folder]] if homes else every
        fits += sum(_called(pair, name) in known for name in names)
    if fits < ENOUGH * images.number:
        return None
    return pair


def _alone(pair: Paired, foreign: Collection[str]) -> Paired:
    """Where names are all that says which mask belongs to which image. foreign: folders of other files."""
    above, folders = pair.masks.path, tuple(pair.masks.folders)
    mixed = any(f"{one}/".startswith(f"{above}/") or not above for one in foreign)
    if mixed and len(folders) > MOST_PARTS:
        return replace(pair, fault=f"masks lie in {len(folders):,} folders, and others with images are among these")
    within = () if len(folders) == 1 else folders if mixed else (above,)
    return replace(pair, within=within, fault=_same_name(pair))


def _same_name(pair: Paired) -> str:
    """What is wrong where several images or masks have one name."""
    wanted = Counter(_called(pair, path) for path in pair.images.files())
    given = Counter(name for name in map(stem, pair.masks.files()) if name in wanted)
    for what, times in (("images belong to a mask called", wanted), ("masks are called", given)):
        name, number = times.most_common(1)[0]
        if number > 1:
            return f"{number} {what} {name}, and their folders don't say which mask belongs to which image"
    return ""


def _named(images: Place, masks: Place) -> Paired | None:
    """What stands around the names of images in those of masks."""
    stems, marked = [stem(path) for path in images.files()], {stem(path) for path in masks.files()}
    around = _around(stems, marked)
    if around is not None:
        return Paired(images, masks, *around)
    strip, ends = _ends(stems), _ends(marked)
    bare = {one[len(strip[0]) : len(one) - len(strip[1])] for one in stems}
    inner = {one[len(ends[0]) : len(one) - len(ends[1])] for one in marked}
    if len(bare) == len(set(stems)) and len(bare & inner) >= ENOUGH * len(bare):
        return Paired(images, masks, *ends, strip=strip)
    around = affixes(spread(sorted(bare), LOOKED_AT), marked) if any(strip) else None
    return Paired(images, masks, *around, strip=strip) if around else None


def _called(pair: Paired, path: str) -> str:
    """The name of the mask of an image, without suffix."""
    return f"{pair.before}{stem(path).removeprefix(pair.strip[0]).removesuffix(pair.strip[1])}{pair.after}"


def _ends(names: Collection[str]) -> tuple[str, str]:
    """What all names begin with before a number, and end with behind one."""
    turned = [name[::-1] for name in names]
    start, end = (start_of(each) for each in (names, turned))
    return start, end[::-1]


def _is_test(folder: str) -> bool:
    return any(word.startswith("test") for word in words(folder))


def _around(images: Sequence[str], masks: set[str]) -> tuple[str, str] | None:
    if sum(one in masks for one in images) >= ENOUGH * len(images):
        return "", ""
    return affixes(spread(images, LOOKED_AT), masks)


def in_same_folder(place: Place) -> Paired | None:
    """Where `x.jpg` and `x_mask.png` lie side by side."""
    images, masks = {}, {}
    for folder, names in place.folders.items():
        masks[folder] = [name for name in names if MARKED.search(name)]
        images[folder] = [name for name in names if not MARKED.search(name)]
        if not masks[folder] or not images[folder]:
            return None
    made, others = Place(place.role, place.path, images), Place("masks", place.path, masks)
    pair = _by_name(made, others, {folder: folder for folder in images})
    if pair is None:
        return None
    odd = pair.before or any(pair.strip)
    fault = "masks lie beside images, and their names have other beginnings or ends than these" if odd else ""
    return replace(pair, together=True, fault=fault)


def origins_in(images: Place) -> tuple[str, Fact] | None:
    """The folders of patients or the like, as Python of an image's `path`; None where there are none."""
    depths = {folder.count("/") for folder in images.folders if folder}
    if len(depths) != 1 or "" in images.folders:
        return None
    levels, outer = list(zip(*(folder.split("/") for folder in images.folders), strict=True)), False
    for at, level in enumerate(levels):
        parted = {one for one in level if role_of(one) == "other" and not is_part(one)}
        if len(parted) < 2:
            continue
        called = all({*GROUPS} & set(words(one)) for one in parted)
        if FEW_GROUPS <= len(parted) < images.number and (called or all(re.search("[0-9]", one) for one in parted)):
            above = f"path.parents[{len(levels) - 1 - at}]" if at < len(levels) - 1 else "path.parent"
            why = f"{images.number:,} images in {len(parted):,} folders, such as {level[0]}"
            sure: Sure = "likely" if called else "guess"
            return f"{above}.as_posix()" if outer else f"{above}.name", Fact("groups", "the folders", why, sure)
        outer = True
    return None


def targets(folder: Path, pair: Paired) -> tuple[Targets | None, list[Fact]]:
    """What the masks say, from the pixels of many."""
    if pair.fault:
        return None, [Fact("targets", "masks that can't be told apart", pair.fault, "guess")]
    files, others = pair.masks.files(), pair.others
    if not pair.many:
        wanted = {_called(pair, path) for path in pair.images.files()}
        left = [path for path in files if stem(path) not in wanted]
        others = (*others, left[0].rpartition("/")[2]) if 2 * len(left) > pair.images.number else others
        files = [path for path in files if stem(path) in wanted]
    suffix = "." + files[0].rpartition(".")[2]
    called = "several an image, in a folder each" if pair.many else f"called {pair.before}…{pair.after}{suffix}"
    called += f"; {', '.join(others)} isn't used" if others else ""
    where = f"{len(files):,} in {pair.masks.path or '.'}"
    facts = [Fact("masks", where, f"beside the images, {called}", "guess" if others else "sure")]
    if pair.together and len(files) < pair.images.number:
        facts.append(Fact("without mask", f"{pair.images.number - len(files):,} images", "left out", "sure"))
    origins = origins_in(pair.images)
    facts += [origins[1]] if origins else []
    read = values_of(folder, files)
    values, pixels = read.values, f"pixels of {read.number:,} masks are "
    names: tuple[str, ...]
    mapped: dict[Any, int] = {}
    if not values:
        return None, [*facts, Fact("targets", "masks that can't be read", f"such as {files[0]}", "guess")]
    if pair.many or (not read.colours and len(values) <= 2):
        names = ("object",)
        if not pair.many and not values <= {0, 1}:
            mapped = dict(zip(sorted(values), (0, 1) if len(values) > 1 else (1,), strict=True))
        if pair.many and (above := smeared(folder, files)) is not None:
            mapped = {"above": above}
        facts.append(_said("masks of one kind", pixels, values, pair.many))
    elif len(values) > MOST:
        said = f"{pixels}of {len(values):,} values"
        return None, [*facts, Fact("targets", "masks that can't be read", said, "guess")]
    else:
        void = not read.colours and NOT_SCORED in values
        ordered = sorted(values - {NOT_SCORED} if void else values)
        names = ("background", *(f"class {at}" for at in range(1, len(ordered))))
        if read.colours or ordered != list(range(len(ordered))):
            mapped = {value: at for at, value in enumerate(ordered)}
        mapped |= {NOT_SCORED: IGNORED} if void else {}
        facts.append(_said(f"one of {len(names)} classes a pixel", pixels, ordered))
    made = Targets(
        "masks",
        names,
        "masks",
        pair.masks.path,
        before=pair.before,
        after=pair.after,
        values=mapped,
        suffix=suffix,
        pattern="many" if pair.many else "beside" if pair.together else "",
        strip=pair.strip,
        within=pair.within,
        home=pair.home,
        kinds=others,
        origins=origins[0] if origins else "",
    )
    return made, facts


def _said(found: str, pixels: str, values: Collection[Any], many: bool = False) -> Fact:
    """A guess where no value is 0: which is the background isn't known then."""
    listed = [str(one) for one in sorted(values)]
    shown = ", ".join(listed[:6]) + (", …" if len(listed) > 6 else "")
    known = many or {0, (0, 0, 0)} & set(values) or len(values) < 2
    why = f"{pixels}{shown}" + ("" if known else f"; none is 0, so {listed[0]} is taken for the background")
    return Fact("targets", found, why, "likely" if known else "guess")
