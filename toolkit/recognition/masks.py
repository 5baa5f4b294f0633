"""Masks that lie beside images: which belongs to which, and what their pixels mean."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolkit.errors import UserError
from toolkit.images.reading import read_image
from toolkit.recognition.found import Fact, Targets
from toolkit.recognition.heads import spread
from toolkit.recognition.listing import Place, affixes, common, stem, words
from toolkit.task import IGNORED

LOOKED_AT = 12  # masks that are read
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


def paired(images: Place, masks: Place) -> Paired | None:
    """Which mask belongs to which image, by their names or their folders; None where that can't be seen."""
    own = {folder: names for folder, names in masks.folders.items() if not _is_test(folder)}
    if not own:
        return None
    masks = Place("masks", masks.path if len(own) == len(masks.folders) else common(list(own)), own)
    parents = {folder.rpartition("/")[0] for folder in own}
    beside = {folder.rpartition("/")[0] for folder in images.folders}
    if len(own) > 1 and parents == beside and masks.number > images.number:
        return Paired(images, masks, many=True)
    stems, marked = [stem(path) for path in images.files()], {stem(path) for path in masks.files()}
    around = _around(stems, marked)
    if around is not None:
        return Paired(images, masks, *around)
    strip, ends = _ends(stems), _ends(marked)
    bare = {one[len(strip[0]) : len(one) - len(strip[1])] for one in stems}
    inner = {one[len(ends[0]) : len(one) - len(ends[1])] for one in marked}
    if len(bare) == len(stems) and len(bare & inner) >= 0.9 * len(bare):
        return Paired(images, masks, *ends, strip=strip)
    return None


def _ends(names: Collection[str]) -> tuple[str, str]:
    """What all names begin with before a number, and end with behind one."""
    turned = [name[::-1] for name in names]
    start, end = (_start(each) for each in (list(names), turned))
    return start, end[::-1]


def _start(names: Sequence[str]) -> str:
    first, last = min(names), max(names)
    equal = next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first))
    return first[:equal].rstrip("0123456789")


def _is_test(folder: str) -> bool:
    return any(word.startswith("test") for word in words(folder))


def _around(images: Sequence[str], masks: set[str]) -> tuple[str, str] | None:
    if sum(one in masks for one in images) >= 0.9 * len(images):
        return "", ""
    return affixes(spread(images, LOOKED_AT), masks)


def in_same_folder(place: Place) -> Paired | None:
    """Where `x.jpg` and `x_mask.png` lie side by side."""
    images, masks = {}, {}
    for folder, names in place.folders.items():
        marked = [name for name in names if MARKED.search(name)]
        plain = [name for name in names if name not in set(marked)]
        if not marked or len(marked) != len(plain):
            return None
        images[folder], masks[folder] = plain, marked
    made, others = Place(place.role, place.path, images), Place("masks", place.path, masks)
    around = _around([stem(path) for path in made.files()], {stem(path) for path in others.files()})
    return None if around is None else Paired(made, others, *around, together=True)


def targets(folder: Path, pair: Paired) -> tuple[Targets | None, list[Fact]]:
    """What the masks say, from the pixels of a few."""
    files = pair.masks.files()
    suffix = "." + files[0].rpartition(".")[2]
    called = "several an image, in a folder each" if pair.many else f"called {pair.before}…{pair.after}{suffix}"
    facts = [Fact("masks", f"{len(files):,} in {pair.masks.path or '.'}", f"beside the images, {called}", "sure")]
    values, colours = _values(folder, files)
    pixels = "pixels of " + (f"{len(spread(files, LOOKED_AT))} masks are ")
    names: tuple[str, ...]
    mapped: dict[Any, int] = {}
    if pair.many or (not colours and len(values) <= 2):
        names = ("object",)
        mapped = {} if pair.many or max(values) in (0, 1) else {max(values): 1}
        facts.append(Fact("targets", "masks of one kind", f"{pixels}{_shown(values)}", "likely"))
    elif len(values) > MOST:
        said = f"{pixels}of {len(values):,} values"
        return None, [*facts, Fact("targets", "masks that can't be read", said, "guess")]
    else:
        void = not colours and NOT_SCORED in values
        ordered = sorted(values - {NOT_SCORED} if void else values)
        names = ("background", *(f"class {at}" for at in range(1, len(ordered))))
        if colours or ordered != list(range(len(ordered))):
            mapped = {value: at for at, value in enumerate(ordered)}
        mapped |= {NOT_SCORED: IGNORED} if void else {}
        facts.append(Fact("targets", f"one of {len(names)} classes a pixel", f"{pixels}{_shown(ordered)}", "likely"))
    made = Targets(
        "masks",
        names,
        "masks",
        pair.masks.path,
        before=pair.before,
        after=pair.after,
        values=mapped,
        suffix=suffix,
        pattern="many" if pair.many else "",
        strip=pair.strip,
        nested=len(pair.masks.folders) > 1 and not pair.many,
    )
    return made, facts


def _values(folder: Path, files: Sequence[str]) -> tuple[set[Any], bool]:
    """Values or colours of a few masks, and which of both they are."""
    greys: set[Any] = set()
    colours: set[Any] = set()
    for name in spread(files, LOOKED_AT):
        try:
            with Image.open(folder / name) as opened:
                pixels = np.array(opened) if opened.mode == "P" else read_image(folder / name)
        except (UserError, OSError):
            continue
        if pixels.ndim == 3 and (pixels != pixels[..., :1]).any():
            colours |= {tuple(one) for one in np.unique(pixels.reshape(-1, pixels.shape[2]), axis=0).tolist()}
        else:
            greys |= set(np.unique(pixels[..., 0] if pixels.ndim == 3 else pixels).tolist())
    if colours:
        return colours | {(grey,) * 3 for grey in greys}, True
    return greys, False


def _shown(values: Any) -> str:
    listed = [str(one) for one in values]
    return ", ".join(listed[:6]) + (", …" if len(listed) > 6 else "")
