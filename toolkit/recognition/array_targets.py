"""Which of a download's arrays says what of the images: targets and their form, groups of one origin."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from os.path import splitext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.errors import UserError
from toolkit.images.array_files import opened
from toolkit.recognition.columns import GROUPS, MEASURED, SEVERAL, is_origin, shown
from toolkit.recognition.found import Fact, Sample, Sheet, Sure, Targets
from toolkit.recognition.heads import spread
from toolkit.recognition.listing import MASK_WORDS, stem, suffix_of, words
from toolkit.recognition.pixel_rows import Rows, is_key, read_columns
from toolkit.recognition.samples import NAMES, is_sample
from toolkit.recognition.sheets import cells, rows_of
from toolkit.recognition.table_parts import part_of

At = tuple[str, str]  # a file, or a glob of numbered ones, and the array in it
Shapes = dict[At, tuple[tuple[int, ...], np.dtype]]
LABELS = MASK_WORDS | {"y", "target", "targets", "class", "classes", "mask", "masks"}
COLUMNS = 1000  # of targets
MOST_CLASSES = 32  # of masks whose values nobody named
LOOKED_AT = 200  # masks


@dataclass
class Seen:
    """The arrays of a download, with what is said of them. used: those that are told among the facts."""

    folder: Path
    tables: Sequence[Sheet]
    shapes: Shapes
    sample: Sample | None
    wanted: Sequence[str]
    facts: list[Fact] = field(default_factory=list)
    used: set[At] = field(default_factory=set)


def words_of(at: At) -> set[str]:
    """Of its own name."""
    return set(words(at[1] or stem(at[0])))


def is_called(at: At) -> bool:
    """Is it called like a target?"""
    return bool(words_of(at) & LABELS)


def called(at: At) -> str:
    return f"{at[0]}: {at[1]}" if at[1] else at[0]


def is_pickled(at: At, kind: np.dtype) -> bool:
    """Objects of Python, and not text as HDF5 has it?"""
    return kind.hasobject and suffix_of(at[0]) in (".npy", ".npz")


def paths_of(seen: Seen, at: At) -> list[Path]:
    return sorted(seen.folder.glob(at[0])) if "*" in at[0] else [seen.folder / at[0]]


def values_in(seen: Seen, at: At) -> np.ndarray:
    """All of an array, text as text; UserError for pickled objects, which can run code."""
    if is_pickled(at, seen.shapes[at][1]):
        what = f"{seen.folder / at[0]}{f': {at[1]}' if at[1] else ''}"
        raise UserError(f"{what} holds pickled objects, which can run code and aren't loaded: save array.astype(str)")
    parts: list[Any] = [opened(path, at[1]) for path in paths_of(seen, at)]
    found = np.concatenate([one[:] for one in parts])
    try:
        return found.astype(str) if found.dtype.kind in "SO" else found
    except UnicodeDecodeError:
        raise UserError(f"{called(at)} holds text that isn't ASCII as bytes: save it as text") from None


def targets_of(seen: Seen, train: At) -> Targets | None:
    """What is predicted of the images of an array, and groups of these, told among the facts; None where that isn't
    known.
    """
    number = seen.shapes[train][0][0]
    parts = {part_of(*train), "train", ""}
    fitting = [at for at, one in seen.shapes.items() if one[0][:1] == (number,) and part_of(*at) in parts]
    fitting.remove(train)
    tables = [one for one in seen.tables if _has_rows(seen, one, number)]
    if seen.wanted and (own := [one for one in tables if set(seen.wanted) <= set(one.columns)]):
        return _by_table(seen, own[0], fitting)
    chosen, why, sure = _chosen(seen, train, fitting)
    if tables and not any(map(is_called, fitting)):
        return _by_table(seen, tables[0], fitting)
    if chosen is None:
        seen.facts.append(Fact("targets", "none", why, sure))
        return None
    seen.used.add(chosen)
    flat = len(seen.shapes[chosen][0]) < 3
    made = _targets(seen, chosen, why, sure) if flat else _masks(seen, chosen, why, sure)
    return made and _grouped(seen, made, [at for at in fitting if at != chosen])


def _has_rows(seen: Seen, sheet: Sheet, number: int) -> bool:
    """Is it a table with as many rows as there are training images?"""
    if is_sample(sheet) or (seen.sample and seen.sample.path == sheet.path):
        return False
    return part_of(sheet.path) in ("train", "") and rows_of(seen.folder, sheet) == number


def _by_table(seen: Seen, sheet: Sheet, fitting: Sequence[At]) -> Targets | None:
    """What a table says whose rows are the images; UserError where it numbers them in another order."""
    keys = [one for one in sheet.columns if one not in seen.wanted and is_key(seen.folder, sheet, one)]
    ordered = not keys
    for key in keys:
        said = cells(seen.folder, sheet, key).tolist()
        counted = [[str(at + first) for at in range(len(said))] for first in (0, 1)]
        if said not in counted and {*said} in [{*one} for one in counted]:
            raise UserError(f"{sheet.path}: {key} counts the images of an array in another order than rows: sort it")
        ordered |= said in counted
    why = "it has as many rows as there are images" + ("" if ordered else ", and names that nothing compares")
    seen.facts.append(Fact("table", sheet.path, f"{why}: taken in this order", "likely" if ordered else "guess"))
    free = tuple(one for one in sheet.columns if one not in keys)
    rows = Rows(seen.folder, seen.tables, sheet, free, seen.sample, seen.wanted, seen.facts)
    read = read_columns(rows, sheet, free)
    made = replace(read, columns=("", *read.columns)) if read else None
    return _grouped(seen, made, fitting) if made and not made.group else made


def named(seen: Seen, train: At, fitting: Sequence[At]) -> list[At]:
    """Those that are called like targets, of which most words are those of the images: `y_train` beside `x_train`."""
    own = _all_words(train)
    scores = {}
    for at in fitting:
        if is_called(at):
            rest = _all_words(at) - LABELS
            scores[at] = len(rest & own) - len(rest - own)
    return [at for at, score in scores.items() if score == max(scores.values())]


def _all_words(at: At) -> set[str]:
    return set(words(f"{splitext(at[0])[0]} {at[1]}"))


def _chosen(seen: Seen, train: At, fitting: Sequence[At]) -> tuple[At | None, str, Sure]:
    """The array of targets, why, and how surely; None for none."""
    shape, sample = {at: seen.shapes[at][0] for at in [train, *fitting]}, seen.sample
    flat = [at for at in fitting if len(shape[at]) == 1 or (len(shape[at]) == 2 and shape[at][1] <= COLUMNS)]
    masks = [at for at in fitting if _is_mask(shape[at], shape[train])]
    names = {at: at[1] or stem(at[0]) for at in [*flat, *masks]}
    if seen.wanted:
        found = [at for at, name in names.items() if seen.wanted[0] in (name, at[0], called(at))]
        if len(seen.wanted) > 1 or len(found) != 1:
            has = shown([*names.values()]) or "none"
            raise UserError(f"--target {seen.wanted[-1]!r} is no array with a value an image; there is {has}")
        return found[0], "as you say", "sure"
    asked = [at for at in flat if sample and names[at] in sample.columns[1:]]
    if len(asked) == 1:
        return asked[0], "stands in the sample submission too", "sure"
    runs = sample is not None and sample.cells == "runs"
    best = named(seen, train, masks) if runs else named(seen, train, [*flat, *masks])
    first = [at for at in best if at in flat] or best
    if len(first) == 1:
        others = [called(at) for at in best if at not in first]
        doubt = f", as {shown(others)} is" if others else ""
        return first[0], f"is called like a target{doubt}", "guess" if others else "likely"
    rest = [at for at in [*flat, *masks] if not words_of(at) & {*GROUPS, *NAMES}]
    if not best and len(rest) == 1:
        return rest[0], "is the only other array with a value an image", "guess"
    several = [called(at) for at in best or rest or names]
    if not several:
        return None, f"no array has a value for each of the {shape[train][0]:,} images", "sure"
    which = "are all called like targets" if best else "none is called like a target"
    return None, f"of {shown(several)} {which}: say by --target which is to be predicted", "sure"


def _is_mask(shape: tuple[int, ...], images: tuple[int, ...]) -> bool:
    """(N, h, w), or with an axis of 1 for the channels, of images as large."""
    plain = shape[:3] if len(shape) == 3 or (len(shape) == 4 and shape[3] == 1) else (shape[0], *shape[2:])
    fits = len(shape) == 3 or (len(shape) == 4 and 1 in (shape[1], shape[3]))
    return fits and plain[1:] in (images[1:3], images[2:])


def _targets(seen: Seen, at: At, why: str, sure: Sure) -> Targets | None:
    values = values_in(seen, at)
    values = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if values.dtype.kind == "U" or (values.dtype.kind == "b" and values.ndim == 1):
        return _by_name(seen, at, values.astype(str), why, sure)
    numbers = np.unique(values)
    if values.dtype.kind not in "iufb" or len(numbers) < 2:
        wrong = "the same everywhere" if len(numbers) < 2 else f"of type {values.dtype}"
        seen.facts.append(Fact("targets", "none", f"{called(at)} {why}, but is {wrong}", "sure"))
        return None
    if values.ndim == 2:
        return _by_column(seen, at, values, why, sure)
    whole = values.dtype.kind != "f" or bool((values == np.rint(values)).all())
    sample, often = seen.sample, len(values) >= SEVERAL * len(numbers)
    decimal = sample is not None and sample.cells == "values" and len(sample.columns) == 2
    counted = whole and numbers.tolist() == list(range(len(numbers)))
    if not whole or (len(numbers) > 2 and (decimal or MEASURED & words_of(at))) or not (counted or often):
        doubt: Sure = sure if not whole or decimal else "guess"
        seen.facts.append(Fact("targets", "numbers", f"{called(at)} {why}; {len(numbers):,} values", doubt))
        return Targets("numbers", (at[1] or "value",), "array", at[0], (at[1],))
    names = tuple((numbers.astype(int) if counted else numbers).astype(str).tolist())
    doubt = sure if counted and often else "guess"
    said = f"{called(at)} {why}; whole numbers from {names[0]} to {names[-1]}"
    seen.facts.append(Fact("targets", f"one of {len(names)} classes", said, doubt))
    return Targets("classes", names, "array", at[0], (at[1],))


def _by_name(seen: Seen, at: At, values: np.ndarray, why: str, sure: Sure) -> Targets | None:
    names = tuple(np.unique(values).tolist())
    if values.ndim > 1 or "" in names or len(names) < 2:
        wrong = "several texts an image" if values.ndim > 1 else "blank texts" if "" in names else "one text"
        seen.facts.append(Fact("targets", "none", f"{called(at)} {why}, but has {wrong}", "sure"))
        return None
    own = len(names) > 0.9 * len(values) and len(values) > 20
    said = f"{called(at)} {why}; {len(names):,} names{', nearly one an image' if own else ''}"
    seen.facts.append(Fact("targets", f"one of several classes: {shown(names)}", said, "guess" if own else sure))
    return Targets("classes", names, "array", at[0], (at[1],))


def _by_column(seen: Seen, at: At, values: np.ndarray, why: str, sure: Sure) -> Targets:
    """Of an array (N, columns): a column a class, of which one is 1; a column a label, or a number."""
    number, sample = values.shape[1], seen.sample
    yes_no = bool(np.isin(values, (0, 1)).all())
    if yes_no and bool((values.sum(axis=1) == 1).all()):
        said = f"{called(at)} {why}; in each row one of {number} columns is 1"
        seen.facts.append(Fact("targets", f"one of {number} classes", said, sure))
        return Targets("classes", tuple(map(str, range(number))), "array", at[0], (at[1],), one_hot=True)
    titled = sample is not None and len(sample.columns) == number + 1
    names = tuple(sample.columns[1:]) if sample and titled else tuple(f"column {one}" for one in range(number))
    said = f"{called(at)} {why}; {number} columns" + (", called as in the sample submission" if titled else "")
    what = "yes/no labels, a column each" if yes_no else "numbers"
    seen.facts.append(Fact("targets", f"{what}: {shown(names)}", said, "guess" if titled else sure))
    return Targets("labels" if yes_no else "numbers", names, "array", at[0], (at[1],))


def _masks(seen: Seen, at: At, why: str, sure: Sure) -> Targets | None:
    parts = [opened(path, at[1]) for path in paths_of(seen, at)]
    some = [np.unique(rows[int(row)]) for rows in parts for row in spread(list(map(str, range(len(rows)))), LOOKED_AT)]
    values = np.unique(np.concatenate(some))
    found = classes_of(values)
    if found is None:
        seen.facts.append(Fact("targets", "none", f"{called(at)} {why}, but has {len(values):,} values", "sure"))
        return None
    names, stand, said = found
    why = f"{called(at)} {why}; masks of {said}"
    seen.facts.append(Fact("targets", f"one of {len(names)} classes a pixel", why, sure))
    return Targets("masks", names, "array", at[0], (at[1],), values=stand)


def classes_of(values: np.ndarray) -> tuple[tuple[str, ...], dict[int, int], str] | None:
    """Names of the classes of masks with these values, which values stand for others (255 for 1), and the values as
    text; None where they are none of masks.
    """
    if len(values) > MOST_CLASSES or values.min() < 0 or (values != np.rint(values)).any():
        return None
    numbers = [int(one) for one in values if one]
    apart = bool(numbers) and min(numbers) > len(numbers)  # 255, or 50 and 100
    most = len(numbers) if apart else max(numbers, default=0)
    stand = {number: place for place, number in enumerate(numbers, start=1)} if apart else {}
    names = ("background", *(f"class {place}" for place in range(1, most + 1)))
    return names, stand, shown([f"{float(one):g}" for one in values])


def _grouped(seen: Seen, targets: Targets, fitting: Sequence[At]) -> Targets:
    """With groups that an array says, called like those in tables."""
    for word in GROUPS:
        for at in fitting:
            shape, kind = seen.shapes[at]
            if word not in words_of(at) or is_called(at) or len(shape) != 1 or is_pickled(at, kind):
                continue
            found = pd.Series(values_in(seen, at))
            if is_origin(found):
                why = f"{found.nunique():,} for {len(found):,} images, of which one occurs several times"
                seen.facts.append(Fact("groups", called(at), why, "likely"))
                seen.used.add(at)
                return replace(targets, groups_at=at)
    return targets
