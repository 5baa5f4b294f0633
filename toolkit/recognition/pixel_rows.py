"""Images that are rows of pixels: their shape, and rows that are named, of which another table says the targets."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from toolkit.images.array_files import array_files
from toolkit.recognition import columns, samples
from toolkit.recognition.found import Fact, Found, Pictures, Sample, Sheet, Source, Sure, Targets
from toolkit.recognition.listing import words
from toolkit.recognition.sheets import cells, rows_of

LOOKED_AT = 8  # images
NARROWEST = 0.25  # a side by the other


def pixel_shape(folder: Path, sheet: Sheet, start: str, number: int) -> tuple[tuple[int, ...], Sure]:
    """(h, w) or (h, w, 3) of so many pixels, and how surely: squares, or the width under which rows are most alike."""
    side = math.isqrt(number)
    if side * side == number:
        return (side, side), "likely"
    third = math.isqrt(number // 3)
    if 3 * third * third == number:
        return (third, third, 3), "likely"
    widths = [w for w in range(8, number // 8 + 1) if number % w == 0 and NARROWEST <= number / w / w <= 1 / NARROWEST]
    if not widths:
        return (), "guess"
    flat = array_files(folder / sheet.path, start, shape=(1, number))
    rows = [flat.stored(row)[0].astype(np.float32) for row in range(min(LOOKED_AT, len(flat)))]
    apart = {w: float(np.mean([np.abs(np.diff(row.reshape(-1, w), axis=0)).mean() for row in rows])) for w in widths}
    width = min(widths, key=lambda w: apart[w])
    return (number // width, width), "guess"


def is_key(folder: Path, sheet: Sheet, column: str) -> bool:
    """Does it name rows, each otherwise?"""
    said = cells(folder, sheet, column)
    return bool({"id", "image", "name", "file"} & set(words(column))) and said.nunique() == len(said)


def of_named_rows(
    folder: Path,
    parts: Sequence[Sheet],
    tables: Sequence[Sheet],
    ids: str,
    start: str,
    shape: tuple[int, ...],
    sure: Sure,
    sample: Sample | None,
    facts: list[Fact],
) -> Found | None:
    """Images of several tables of pixels whose column `ids` another table names; None where none does."""
    named = [str(one) for sheet in parts for one in cells(folder, sheet, ids)]
    best = None
    for sheet in tables:
        if sheet in parts or samples.is_sample(sheet) or any(word.startswith("test") for word in words(sheet.path)):
            continue
        found = columns.named(folder, sheet, named)
        if found and found.share > 0.5 and (best is None or found.share > best[1].share):
            best = sheet, found
    if best is None:
        return None
    sheet, name = best
    why = f"columns called {start or 'by numbers'}…, which make {' x '.join(map(str, shape))}; {ids} names the rows"
    where = f"{len(named):,} rows of {parts[0].path}" + (f" and {len(parts) - 1} more" if len(parts) > 1 else "")
    facts.append(Fact("training images", where, why, sure))
    facts.append(Fact("table", sheet.path, f"{name.share:.0%} of its {name.column} are such rows", "sure"))
    others = [one for one in sheet.columns if one != name.column]
    read = columns.targets(folder, sheet, others, sample)
    if read is None:
        return None
    facts.append(columns.fact_of(read, sheet))
    left = [one for one in others if one not in read.columns]
    if left:
        facts.append(Fact("other columns", columns.shown(left), "not used", "sure"))
    targets = Targets(
        read.form,
        read.names,
        "table",
        sheet.path,
        (name.column, *read.columns),
        sheet,
        missing=name.missing,
        heads=read.heads,
        unknown=read.unknown,
    )
    source = Source("pixels", _glob([one.path for one in parts]), len(named), key=start, shape=shape, names=ids)
    seen = Pictures(shape[0], shape[1], False, 3 if len(shape) == 3 else 1)
    return Found(folder, tuple(facts), source, None, None, seen, targets, sample)


def with_tests(
    folder: Path, found: Found, tests: Sequence[Sheet], ids: str, start: str, shape: tuple[int, ...]
) -> Found:
    """With test images of other such tables."""
    if not tests or ids not in tests[0].columns:
        return found
    number = sum(rows_of(folder, sheet) for sheet in tests)
    source = Source("pixels", _glob([one.path for one in tests]), number, key=start, shape=shape, names=ids)
    fact = Fact("test images", f"{number:,} rows of {source.path}", "the same columns", "sure")
    return replace(found, test=source, facts=(*found.facts, fact))


def _glob(paths: Sequence[str]) -> str:
    """What finds these files."""
    if len(paths) == 1:
        return paths[0]
    start, end = (_equal(paths), _equal([path[::-1] for path in paths])[::-1])
    return (
        f"{start}*{end}"
        if len(start) + len(end) <= min(map(len, paths))
        else f"{start}*.{paths[0].rpartition('.')[2]}"
    )


def _equal(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    return first[
        : next((at for at, pair in enumerate(zip(first, last, strict=False)) if len(set(pair)) > 1), len(first))
    ]
