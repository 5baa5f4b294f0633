"""Which rows of a sample submission are of which test image, and of which class, label or head of it."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.errors import UserError, listed
from toolkit.formats.sample_file import SampleFile

SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,4}$")  # of a file's name: `.5` of a number is none
PIXELS = 64  # rows an image, from which on these are its pixels
TRIED = 200  # rows in which a name of an image is looked for


@dataclass(frozen=True, eq=False)
class Keys:
    """As the fields of `SampleFormat` are; things: () where a row is an image."""

    image: str
    ids: Mapping[str, str]
    things: tuple[str, ...] = ()
    thing: str = ""
    between: str | None = None
    by_thing: bool = False


def keys_of(sample: SampleFile, ids: Sequence[str], column: str = "") -> Keys:
    """What tells the rows apart; ids: what `load` calls the test images by; column: where they stand, if it is known.

    UserError where the sample's images aren't the test images, or it doesn't say which row is of which.
    """
    if column and column not in sample.cells:
        raise UserError(f"{sample.path} has no column {column!r}, it has {listed(sample.titles, most=8)}")
    titles = [column] if column else list(sample.cells)
    _refuse_pixels(sample, titles[0], ids)
    shares = {}
    for title in titles:
        called = list(dict.fromkeys(sample.cells[title].tolist()))
        found = matched(called, ids)
        if len(found) == len(called) == len(ids):
            return _of_rows(sample, title, found)
        shares[title] = len(found) / max(len(called), len(ids))
    for title in titles:
        if joined := _joined(sample, title, ids):
            return joined
    best = max(shares, key=lambda title: shares[title])
    raise UserError(_misfit(sample, best, ids))


def _refuse_pixels(sample: SampleFile, title: str, ids: Sequence[str]) -> None:
    """UserError for one row per pixel: `7_1_1`, `7_1_2`, … of image 7."""
    texts = sample.cells[title][:TRIED]
    parts = [text.rsplit("_", 2) for text in texts.tolist()]
    known = {_bare(one) for one in ids}
    if sample.rows >= PIXELS * len(ids) and all(
        len(one) == 3 and one[0] in known and one[2].isdecimal() for one in parts
    ):
        raise UserError(
            f"{sample.path} has one row per pixel, {texts[0]!r}, which isn't recognised: give the competition "
            "write_submission and read_submission (docs/unlike.md has such a pair)"
        )


def matched(called: Sequence[str], ids: Sequence[str]) -> dict[str, str]:
    """What a sample calls images by, by what they are called here: the same, or the same without folder and suffix.

    In the sample's order. Zeros before a number are kept apart: `007` isn't `7`.
    """
    known = set(ids)
    same = {one: one for one in called if one in known}
    if len(same) == len(called) or len({*map(_bare, ids)}) < len(known):
        return same
    bare = {_bare(one): one for one in ids}
    other = {bare[_bare(one)]: one for one in called if _bare(one) in bare}
    return other if len(other) > len(same) else same


def _bare(name: str) -> str:
    return SUFFIX.sub("", name.replace("\\", "/").rpartition("/")[2])


def _of_rows(sample: SampleFile, title: str, ids: Mapping[str, str]) -> Keys:
    """A row an image; or each image in several rows, and another column that says of what they are."""
    each, rest = divmod(sample.rows, len(ids))
    if each == 1 and not rest:
        return Keys(title, ids)
    column = sample.cells[title]
    for other, texts in sample.cells.items():
        things = tuple(dict.fromkeys(texts.tolist()))
        if (
            other != title
            and not rest
            and len(things) == each
            and len({*zip(column, texts, strict=True)}) == len(column)
        ):
            return Keys(title, ids, things, other, by_thing=bool(column[0] != column[1]))
    names, times = np.unique(column.astype(str), return_counts=True)
    raise UserError(
        f"{sample.path} has {times.max()} rows of {title} {str(names[times.argmax()])!r}, and no other column has "
        f"another text in each: there may be one an image, or one an image and class; {BY_HAND}"
    )


BY_HAND = "else give the competition write_submission and read_submission"


def _joined(sample: SampleFile, title: str, ids: Sequence[str]) -> Keys | None:
    """Names of images that are followed by what a row is of, as in `0007_rust`; None where they aren't."""
    texts = sample.cells[title].tolist()
    known = set(texts)
    if len(known) < len(texts):
        return None
    bare, same = {_bare(one): one for one in ids}, set(ids)
    odd, shared = "", 0
    for text in texts[:TRIED]:
        for called, between in _prefixes(text, bare):
            things = [one[len(called) + 1 :] for one in texts if one.startswith(called + between)]
            suffix = called[len(_bare(called)) :]
            names = {one: one if called in same else _bare(one) + suffix for one in ids}
            wanted = {f"{name}{between}{thing}" for name in names.values() for thing in things}
            if wanted == known:
                ends = set(things)
                order = dict.fromkeys(_image(one, ends, between) for one in texts)
                back = {name: one for one, name in names.items()}
                second = len(things) > 1 and _image(texts[1], ends, between) != _image(texts[0], ends, between)
                return Keys(title, {back[one]: one for one in order}, tuple(things), "", between, second)
            if len(wanted & known) > shared:
                odd, shared = min(wanted ^ known), len(wanted & known)
        if shared:
            break
    if shared:
        which = "is of no test image" if odd in known else "is missing"
        raise UserError(
            f"{sample.path}: {title} has {len(texts):,} names such as {texts[0]!r}, but not one of each of the "
            f"{len(ids):,} test images and each class: {odd!r} {which}; let `load` return the sample's test images"
        )
    return None


def _prefixes(text: str, bare: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Beginnings of a text that are the name of an image, and the sign after it, the longest first."""
    for at in range(len(text) - 2, 0, -1):
        if not text[at].isalnum() and _bare(text[:at]) in bare:
            yield text[:at], text[at]


def _image(text: str, things: Collection[str], between: str) -> str:
    """What stands before the longest of the things that the text ends in."""
    at = text.index(between)
    while text[at + 1 :] not in things:
        at = text.index(between, at + 1)
    return text[:at]


def _misfit(sample: SampleFile, title: str, ids: Sequence[str]) -> str:
    """What to say where the names in the column that is most like the test images' aren't theirs."""
    called = list(dict.fromkeys(sample.cells[title].tolist()))
    found = matched(called, ids)
    counted = [[str(at + first) for at in range(len(ids))] for first in (0, 1)]
    if [*ids] == counted[0] and called == counted[1]:
        hint = f"they are counted from 1 there: test_ids=np.arange(1, {len(ids) + 1}) in `load`"
    elif not found and {one.lstrip("0") for one in called} & {one.lstrip("0") for one in ids}:
        hint = "zeros before a number count: read such names as text"
    elif not found:
        hint = "let `load` say test_ids=…, or Dialect(id=…) the column"
    else:
        there = set(found.values())
        surplus, missing = [one for one in called if one not in there], [one for one in ids if one not in found]
        said = [f"{title} {listed(surplus, repr, 2)}: there is no such test image"] if surplus else []
        if missing:
            chosen = "leave them out by test_images=images.chosen(names) in `load`"
            said.append(f"of the test images {listed(missing, repr, 2)} it has no row: {chosen}")
        return f"{sample.path}: {'; '.join(said)}"
    return (
        f"no column of {sample.path} names the test images: they are called {listed(ids, repr, 2)}, the sample's "
        f"{title} has {listed(called, repr, 2)}; {hint}"
    )
