"""Images that are rows of tables, as columns of pixels or as bytes of files: which tables, their shape, their names.

Rows may be named: another table says their targets then, and the sample submission calls test images by these names.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from toolkit.errors import UserError
from toolkit.images.array_files import array_files
from toolkit.images.files import ImageFiles
from toolkit.recognition import columns, image_names, samples
from toolkit.recognition.found import Fact, Found, Pictures, Sample, Sheet, Source, Sure, Targets
from toolkit.recognition.heads import DECODED
from toolkit.recognition.listing import Listing, words
from toolkit.recognition.sheets import byte_columns, cells, rows_of
from toolkit.recognition.table_parts import globs_of, is_test, joined, part_of, told

PIXELS = 64  # columns that are numbered, from which on they are pixels
Kind = Literal["pixels", "bytes"]
LOOKED_AT = 8  # images
NARROWEST = 0.25  # a side by the other
PLANES = 0.9  # of how far rows are apart, where colours lie pixel by pixel
PICTURES = {"image", "img", "picture", "photo"}


@dataclass(frozen=True)
class Held:
    """How rows hold images: as pixels in so many columns that begin with `key`, or as bytes in the column `key`."""

    kind: Kind
    key: str
    number: int = 1

    def has(self, column: str) -> bool:
        if self.kind == "bytes":
            return column == self.key
        return column.startswith(self.key) and column[len(self.key) :].isdecimal()


@dataclass(frozen=True)
class Rows:
    """Tables whose rows are images, with what is said of them. free: their other columns."""

    folder: Path
    tables: Sequence[Sheet]
    sheet: Sheet
    free: tuple[str, ...]
    sample: Sample | None
    wanted: Sequence[str]
    facts: list[Fact]


def found_in(folder: Path, listing: Listing, tables: Sequence[Sheet], wanted: Sequence[str]) -> Found | None:
    """None where no table has images in its rows. wanted: columns of targets that people named."""
    known = [(sheet, held) for sheet in tables if not samples.is_sample(sheet) and (held := held_in(folder, sheet))]
    of_bytes = any(held.kind == "bytes" and not is_test(sheet.path) for sheet, held in known)
    kind: Kind = "bytes" if of_bytes else "pixels"
    known = [each for each in known if each[1].kind == kind]
    trains = [each for each in known if not is_test(each[0].path)] or known
    if not trains:
        return None
    sheet, held = max(trains, key=lambda each: (len(each[0].columns), rows_of(folder, each[0])))
    shape, sure = _shape(folder, sheet, held)
    if kind == "pixels" and not shape:
        return None
    facts: list[Fact] = []
    train = joined(folder, listing, tables, sheet)
    tests = [one for one, other in known if other == held and is_test(one.path) and one is not sheet]
    test = joined(folder, listing, tables, max(tests, key=lambda one: rows_of(folder, one))) if tests else None
    names = {one: cells(folder, test, one) for one in _free(folder, test, held)} if test else {}
    said = {one: found.tolist() for one, found in names.items() if found.is_unique}
    sample, name, doubt = samples.naming(folder, tables, said)
    facts.append(samples.fact_of(sample, f"{name} of {test.path}" if test and name else ""))
    rows = Rows(folder, tables, train, _free(folder, train, held), sample, wanted, facts)
    ids, targets = _targets(rows)
    why = f"{held.number:,} columns called {held.key or 'by numbers'}…, which make {' x '.join(map(str, shape))}"
    why = (why if kind == "pixels" else f"{held.key} holds bytes") + (f"; {ids} names the rows" if ids else "")
    parts = globs_of(train)
    if sum(part_of(one) != "validation" for one in parts) > 1:
        why, sure = f"{why}; tables with the same columns are used together", "likely" if sure == "sure" else sure
    facts.append(Fact("training images", told(folder, train), why, sure))
    images = Source(
        kind,
        train.path,
        rows_of(folder, train),
        key=held.key,
        shape=shape,
        names=ids,
        parts=parts,
        channels_first=_in_planes(shape),
    )
    name = name or (ids if test and ids in test.columns else "")
    source = _test_images(rows, images, test, name, doubt) if test else None
    used = {one.path for one in (train, *train.more, *((test, *test.more) if test else ()))}
    left = [f"{rows_of(folder, one):,} rows of {one.path}" for one, _ in known if one.path not in used]
    left += [f"bytes in {one}" for one in byte_columns(folder, train) if not held.has(one)]
    if left:
        facts.append(Fact("not used", columns.shown(left), "other columns hold images too", "likely"))
    first = array_files(folder / train.path, held.key, shape or None, channels_first=images.channels_first)
    most = len(first) if kind == "bytes" else min(DECODED, len(first))  # of pixels a large part is read at once
    return Found(folder, tuple(facts), images, source, None, looked(first, most, facts), targets, sample)


def _test_images(rows: Rows, images: Source, test: Sheet, name: str, doubt: str) -> Source:
    """Where test images are, told among the facts. name: a column that has their ids, with a doubt."""
    parts, number = globs_of(test), rows_of(rows.folder, test)
    if len(parts) > 1 and not name:
        doubt = "files in the order of their names"
    why = "the same column" + ("s" if images.kind == "pixels" else "") + (f"; {doubt}" if doubt else "")
    rows.facts.append(Fact("test images", told(rows.folder, test), why, "guess" if doubt else "sure"))
    return replace(images, path=test.path, number=number, names=name, parts=parts)


def held_in(folder: Path, sheet: Sheet) -> Held | None:
    """None where its rows hold no images."""
    of_bytes = sorted(byte_columns(folder, sheet), key=lambda one: not PICTURES & set(words(one)))
    if of_bytes:
        return Held("bytes", of_bytes[0])
    starts: dict[str, int] = {}
    for column in sheet.columns:
        match = re.fullmatch(r"(.*?)\d+", column)
        if match:
            starts[match.group(1)] = starts.get(match.group(1), 0) + 1
    most = max(starts, key=lambda start: starts[start], default="")
    return Held("pixels", most, starts[most]) if starts.get(most, 0) >= PIXELS else None


def _shape(folder: Path, sheet: Sheet, held: Held) -> tuple[tuple[int, ...], Sure]:
    """(h, w), (h, w, 3) or (3, h, w) of pixels, and how surely: squares, or that under which rows are most alike."""
    number = held.number
    if held.kind == "bytes":
        return (), "sure"
    side = math.isqrt(number)
    if side * side == number:
        return (side, side), "likely"
    third = math.isqrt(number // 3)
    widths = [w for w in range(8, number // 8 + 1) if number % w == 0 and NARROWEST <= number / w / w <= 1 / NARROWEST]
    colour = 3 * third * third == number
    if not (colour or widths):
        return (), "guess"
    flat = array_files(folder / sheet.path, held.key, shape=(1, number))
    rows = [flat.stored(row)[0].astype(np.float32) for row in range(min(LOOKED_AT, len(flat)))]
    if colour:
        last, first = (third, third, 3), (3, third, third)
        planes = _apart(rows, first, 1) < PLANES * _apart(rows, last, 0)
        return (first, "guess") if planes else (last, "likely")
    width = min(widths, key=lambda w: _apart(rows, (number // w, w), 0))
    return (number // width, width), "guess"


def _apart(rows: Sequence[np.ndarray], shape: tuple[int, ...], axis: int) -> float:
    """How far pixels are from those below, the mean of some images."""
    return float(np.mean([np.abs(np.diff(row.reshape(shape), axis=axis)).mean() for row in rows] or [0]))


def _in_planes(shape: tuple[int, ...]) -> bool:
    """A colour behind another, (3, h, w)?"""
    return len(shape) == 3 and shape[0] == 3


def _free(folder: Path, sheet: Sheet, held: Held) -> tuple[str, ...]:
    """The columns that hold no images."""
    of_bytes = byte_columns(folder, sheet)
    return tuple(one for one in sheet.columns if not held.has(one) and one not in of_bytes)


def is_key(folder: Path, sheet: Sheet, column: str) -> bool:
    """Does it name rows, each otherwise?"""
    return bool(samples.NAMES & set(words(column))) and cells(folder, sheet, column).is_unique


def _targets(rows: Rows) -> tuple[str, Targets | None]:
    """The column that names rows, where another table says their targets ("": they do themselves), and these."""
    keys = [one for one in rows.free if one not in rows.wanted and is_key(rows.folder, rows.sheet, one)]
    own = [one for one in rows.free if one not in keys]
    said = columns.has_asked(rows.folder, rows.sheet, own, rows.sample, rows.wanted)
    for ids in [] if said or any(columns.is_called(one, rows.sheet) for one in own) else keys:
        named = _by_another_table(rows, ids)
        if named:
            return ids, named
    read = read_columns(rows, rows.sheet, own)
    return "", replace(read, columns=("", *read.columns)) if read else None


def _by_another_table(rows: Rows, ids: str) -> Targets | None:
    """Of rows that a table names, other than these; None where none does."""
    own = {one.path for one in (rows.sheet, *rows.sheet.more)}
    named = cells(rows.folder, rows.sheet, ids).tolist()
    best: tuple[Sheet, image_names.Named] | None = None
    for sheet in rows.tables:
        if sheet.path in own or samples.is_sample(sheet) or is_test(sheet.path):
            continue
        found = image_names.named(rows.folder, sheet, named)
        if found and found.share > 0.5 and (best is None or found.share > best[1].share):
            best = sheet, found
    if best is None:
        return None
    sheet, name = best
    fact = Fact("table", sheet.path, f"{name.share:.0%} of its {name.column} are such rows", "sure")
    rows.facts.append(fact)
    read = read_columns(rows, sheet, [one for one in sheet.columns if one != name.column])
    if read is None:
        rows.facts.remove(fact)
        return None
    return replace(read, columns=(name.column, *read.columns), missing=name.missing)


def read_columns(rows: Rows, sheet: Sheet, others: Sequence[str]) -> Targets | None:
    """What some columns say, told among the facts; None where they say nothing. The column of names isn't in it."""
    folder, facts, wanted = rows.folder, rows.facts, rows.wanted
    lacking = [one for one in wanted if one not in others]
    if lacking:
        raise UserError(
            f"--target {lacking[0]!r} is no column of {sheet.path} to predict; it has {columns.shown(others)}"
        )
    split = columns.split_of(folder, sheet, others)
    if split and split[2]:
        why = f"{split[0]} of {sheet.path} says which rows are for test: save these as a table of their own"
        facts.append(Fact("targets", "not looked at", why, "sure"))
        return None
    asked = (*columns.asked_for(folder, sheet, others, rows.sample), *wanted)
    group, said, blank = columns.group_of(folder, sheet, [one for one in others if one not in asked])
    left = [one for one in others if one not in (group, *(split or ())[:1])]
    read = columns.targets(folder, sheet, left, rows.sample, wanted)
    if read is None:
        return None
    if group:
        facts.append(Fact("groups", group, said, "likely"))
    facts.append(columns.fact_of(read, sheet))
    left = [one for one in left if one not in read.columns]
    if left:
        facts.append(Fact("other columns", columns.shown(left), "not used", "sure"))
    return Targets(
        read.form,
        read.names,
        "table",
        sheet.path,
        read.columns,
        sheet,
        group=group,
        blank=blank,
        heads=read.heads,
        unknown=read.unknown,
        gap=read.gap,
        decimal=read.decimal,
    )


def looked(images: ImageFiles, most: int, facts: list[Fact]) -> Pictures | None:
    """The size and depth of a few of the first `most` images."""
    sizes, deep, low, high, channels = [], False, np.inf, -np.inf, 1
    for row in np.unique(np.linspace(0, most - 1, min(DECODED, most)).astype(int)):
        try:
            image = images.stored(int(row))
        except (UserError, ValueError) as error:
            facts.append(Fact("images", "unreadable", str(error), "sure"))
            return None
        sizes.append(image.shape[:2])
        channels = image.shape[2] if image.ndim == 3 else 1
        deep |= image.dtype != np.uint8
        low, high = min(low, float(image.min())), max(high, float(image.max()))
    if not sizes:
        facts.append(Fact("images", "none", "there is no row", "sure"))
        return None
    height, width = (int(one) for one in np.median(np.array(sizes), axis=0))
    values = _scale(low, high) if deep or high <= 1 else None
    made = Pictures(height, width, len(set(sizes)) > 1, channels, values)
    depth = f", values from {low:g} to {high:g}" if deep or values else ""
    facts.append(Fact("images", f"{height} x {width}, {channels} channels{depth}", f"{len(sizes)} rows", "sure"))
    return made


def _scale(low: float, high: float) -> tuple[float, float] | None:
    """What becomes 0 and 255: ends of a usual scale that a few images needn't reach, or what they reach."""
    if not low < high:
        return None
    usual = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))
    return next(((start, end) for start, end in usual if start <= low and high <= end), (low, high))
