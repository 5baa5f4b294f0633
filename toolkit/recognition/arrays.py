"""Images that are rows of a file: arrays, columns of pixels, bytes in Parquet."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.errors import UserError
from toolkit.images.array_files import array_files, opened
from toolkit.recognition import columns, samples
from toolkit.recognition.found import Fact, Found, Pictures, Sample, Sheet, Source, Targets
from toolkit.recognition.heads import array_shapes, spread
from toolkit.recognition.listing import ARRAYS, Listing, words
from toolkit.recognition.pixel_rows import is_key, of_named_rows, pixel_shape, with_tests
from toolkit.recognition.sheets import byte_columns, cells, rows_of

Shapes = dict[tuple[str, str], tuple[tuple[int, ...], np.dtype]]  # by file and key
LABELS = {"label", "labels", "y", "target", "targets", "class", "classes", "mask", "masks"}
MOST_CLASSES = 32
PIXELS = 64  # columns that are numbered, from which on they are pixels


def found_in(folder: Path, listing: Listing, tables: list[Sheet]) -> Found | None:
    """None where no file of the download holds images."""
    facts: list[Fact] = []
    sample = _sample(folder, tables, facts)
    tabled = [sheet for sheet in tables if not samples.is_sample(sheet)]
    for find in (_of_bytes, _of_pixels):
        found = find(folder, tabled, sample, facts)
        if found:
            return found
    return _of_arrays(folder, listing, sample, facts)


def _sample(folder: Path, tables: list[Sheet], facts: list[Fact]) -> Sample | None:
    tests: list[str] = []
    for sheet in tables:
        start, number = _pixel_columns(sheet)
        if number >= PIXELS and _is_test((sheet.path, "")):
            named = [one for one in sheet.columns if not _is_pixel(one, start) and is_key(folder, sheet, one)]
            tests += cells(folder, sheet, named[0]).tolist() if named else []
    made = samples.sample_among(folder, tables, tests)
    facts.append(samples.fact_of(made) if made else Fact("sample submission", "none", "no table is called so", "sure"))
    return made


def _of_arrays(folder: Path, listing: Listing, sample: Sample | None, facts: list[Fact]) -> Found | None:
    shapes: Shapes = {
        (path, key): one for path in listing.of(ARRAYS)[:20] for key, one in array_shapes(folder / path).items()
    }
    pictures = {at: one for at, one in shapes.items() if len(one[0]) in (3, 4) and min(one[0][1:3]) >= 8}
    others = {at: one for at, one in pictures.items() if not _words(at) & LABELS}
    test = max((at for at in others if _is_test(at)), key=lambda at: shapes[at][0][0], default=None)
    train = max((at for at in others if not _is_test(at)), key=lambda at: shapes[at][0][0], default=None)
    if train is None and (found := _of_pairs(folder, shapes, sample, facts)):
        return found
    if train is None:
        if not shapes:
            return None
        said = ", ".join(f"{_called(at)} {one[0]}" for at, one in list(shapes.items())[:5])
        facts.append(Fact("arrays", said, "none is (N, height, width) or (N, height, width, channels)", "sure"))
        return Found(folder, tuple(facts), sample=sample)
    number = shapes[train][0][0]
    facts.append(Fact("training images", f"{number:,} in {_called(train)}", f"an array {shapes[train][0]}", "sure"))
    fitting = [at for at, one in shapes.items() if at != train and one[0][:1] == (number,) and not _is_test(at)]
    labels = [at for at in fitting if len(shapes[at][0]) == 1 or shapes[at][0][1:] == (1,)]
    masks = [at for at in fitting if at in pictures and shapes[at][0][1:3] == shapes[train][0][1:3]]
    made = _labels(folder, labels[0], facts) if labels else _masks(folder, masks[0], facts) if masks else None
    source = Source("array", train[0], number, key=train[1])
    tests = None
    if test is not None:
        tests = Source("array", test[0], shapes[test][0][0], key=test[1])
        facts.append(
            Fact("test images", f"{tests.number:,} in {_called(test)}", f"an array {shapes[test][0]}", "sure")
        )
    seen = _looked(folder, source, facts)
    return Found(folder, tuple(facts), source, tests, None, seen, made, sample)


def _of_pairs(folder: Path, shapes: Shapes, sample: Sample | None, facts: list[Fact]) -> Found | None:
    """An array (N, 2, height, width) of images and their masks."""
    pairs = [at for at, one in shapes.items() if len(one[0]) == 4 and one[0][1] == 2 and min(one[0][2:]) >= 8]
    train = max((at for at in pairs if not _is_test(at)), key=lambda at: shapes[at][0][0], default=None)
    if train is None:
        return None
    number, _, height, width = shapes[train][0]
    rows = opened(folder / train[0], train[1])
    some = [np.asarray(rows[int(row)]) for row in spread(list(map(str, range(number))), 32)]
    masks = np.unique(np.stack([pair[1] for pair in some]))
    if len(masks) > MOST_CLASSES or masks.min() < 0 or (masks != np.rint(masks)).any():
        return None
    high = max(float(pair[0].max()) for pair in some)
    if high > 255 or min(float(pair[0].min()) for pair in some) < 0:
        return None
    what = f"{number:,} in {_called(train)}"
    facts.append(Fact("training images", what, f"an array {shapes[train][0]}: an image and its mask each", "likely"))
    facts.append(Fact("images", f"{height} x {width}, 1 channels", f"{len(some)} rows, values up to {high:g}", "sure"))
    names = ("background", *(f"class {place}" for place in range(1, int(masks.max()) + 1)))
    why = f"the second of each pair is of {', '.join(f'{one:g}' for one in masks)}"
    facts.append(Fact("targets", f"one of {len(names)} classes a pixel", why, "likely"))
    shaped = {(number, height, width)[1:]: (), (1, height, width): (1,)}
    tests = None
    for at, one in shapes.items():
        if _is_test(at) and one[0][1:] in shaped:
            tests = Source("array", at[0], one[0][0], key=at[1], shape=shaped[one[0][1:]])
            facts.append(Fact("test images", f"{tests.number:,} in {_called(at)}", f"an array {one[0]}", "sure"))
    source = Source("pairs", train[0], number, key=train[1])
    seen = Pictures(height, width, False, 1)
    return Found(folder, tuple(facts), source, tests, None, seen, Targets("masks", names, "pairs", train[0]), sample)


def _labels(folder: Path, at: tuple[str, str], facts: list[Fact]) -> Targets:
    rows = opened(folder / at[0], at[1])
    values = np.array([rows[row] for row in range(len(rows))]).reshape(-1)
    numbers = np.unique(values)
    if values.dtype.kind == "f" and (values != np.rint(values)).any():
        facts.append(Fact("targets", "numbers", f"{_called(at)}: {len(numbers):,} values", "likely"))
        return Targets("numbers", (at[1] or "value",), "array", at[0], (at[1],))
    names = tuple(map(str, range(int(numbers.max()) + 1)))
    why = f"{_called(at)}: whole numbers from {numbers.min():g} to {numbers.max():g}"
    facts.append(Fact("targets", f"one of {len(names)} classes", why, "likely"))
    return Targets("classes", names, "array", at[0], (at[1],))


def _masks(folder: Path, at: tuple[str, str], facts: list[Fact]) -> Targets:
    rows = opened(folder / at[0], at[1])
    values = np.unique(np.stack([rows[row] for row in range(min(32, len(rows)))]))
    most = int(values.max()) if len(values) <= 32 else 1
    names = ("background", *(f"class {place}" for place in range(1, most + 1)))
    facts.append(Fact("targets", f"one of {len(names)} classes a pixel", f"{_called(at)}: masks", "likely"))
    return Targets("masks", names, "array", at[0], (at[1],))


def _of_pixels(folder: Path, tables: list[Sheet], sample: Sample | None, facts: list[Fact]) -> Found | None:
    """Columns of pixels, such as pixel0, pixel1, …"""
    known = [(sheet, *_pixel_columns(sheet)) for sheet in tables]
    known = [each for each in known if each[2] >= PIXELS]
    if not known:
        return None
    trains = [each for each in known if not _is_test((each[0].path, ""))]
    sheet, start, number = max(trains or known, key=lambda each: len(each[0].columns))
    shape, sure = pixel_shape(folder, sheet, start, number)
    if not shape:
        return None
    if parts := [each[0] for each in trains if each[1:] == (start, number)]:
        ids = next((one for one in sheet.columns if not _is_pixel(one, start) and is_key(folder, sheet, one)), "")
        named = of_named_rows(folder, parts, tables, ids, start, shape, sure, sample, facts) if ids else None
        if named:
            pixels = [each[0] for each in known if _is_test((each[0].path, "")) and each[1:] == (start, number)]
            return with_tests(folder, named, pixels, ids, start, shape)
    rows = rows_of(folder, sheet)
    why = f"{number:,} columns called {start or 'by numbers'}…, which make {' x '.join(map(str, shape))}"
    facts.append(Fact("training images", f"{rows:,} rows of {sheet.path}", why, sure))
    others = [one for one in sheet.columns if not _is_pixel(one, start)]
    made = _targets(folder, sheet, others, sample, facts)
    tests = None
    for each in known:
        if each[0] is not sheet and _is_test((each[0].path, "")) and each[1:] == (start, number):
            tests = Source("pixels", each[0].path, rows_of(folder, each[0]), key=start, shape=shape)
            facts.append(Fact("test images", f"{tests.number:,} rows of {tests.path}", "the same columns", "sure"))
    source = Source("pixels", sheet.path, rows, key=start, shape=shape)
    seen = Pictures(shape[0], shape[1], False, 3 if len(shape) == 3 else 1)
    return Found(folder, tuple(facts), source, tests, None, seen, made, sample)


def _targets(
    folder: Path, sheet: Sheet, others: Sequence[str], sample: Sample | None, facts: list[Fact]
) -> Targets | None:
    """What the columns beside the images say, told among the facts; None where they say nothing."""
    read = columns.targets(folder, sheet, others, sample)
    if not read:
        return None
    facts.append(columns.fact_of(read, sheet))
    return Targets(read.form, read.names, "table", sheet.path, ("", *read.columns), sheet)


def _of_bytes(folder: Path, tables: list[Sheet], sample: Sample | None, facts: list[Fact]) -> Found | None:
    """Bytes of files in a column of Parquet."""
    known = [(sheet, byte_columns(folder, sheet)) for sheet in tables]
    known = [each for each in known if each[1]]
    trains = [each for each in known if not _is_test((each[0].path, ""))]
    if not trains:
        return None
    sheet, (column, *_) = max(trains, key=lambda each: rows_of(folder, each[0]))
    source = Source("bytes", sheet.path, rows_of(folder, sheet), key=column)
    facts.append(Fact("training images", f"{source.number:,} rows of {sheet.path}", f"{column} holds bytes", "sure"))
    others = [one for one in sheet.columns if one not in byte_columns(folder, sheet)]
    made = _targets(folder, sheet, others, sample, facts)
    tests = None
    for other, named in known:
        if other is not sheet and _is_test((other.path, "")):
            tests = Source("bytes", other.path, rows_of(folder, other), key=named[0])
            facts.append(Fact("test images", f"{tests.number:,} rows of {tests.path}", "the same column", "sure"))
    seen = _looked(folder, source, facts)
    return Found(folder, tuple(facts), source, tests, None, seen, made, sample)


def _looked(folder: Path, source: Source, facts: list[Fact]) -> Pictures | None:
    """The size and depth of a few images."""
    images = array_files(folder / source.path, source.key)
    sizes, channels, low, high, deep = [], 1, np.inf, -np.inf, False
    for row in spread(list(map(str, range(len(images)))), 64):
        try:
            image = images.stored(int(row))
        except (UserError, ValueError) as error:
            facts.append(Fact("images", "unreadable", str(error), "sure"))
            return None
        sizes.append(image.shape[:2])
        channels = image.shape[2] if image.ndim == 3 else 1
        deep |= image.dtype != np.uint8
        low, high = min(low, float(image.min())), max(high, float(image.max()))
    height, width = (int(one) for one in np.median(np.array(sizes), axis=0))
    values = (0.0, 255.0) if 1 < high <= 255 and low >= 0 else (low, high)
    made = Pictures(height, width, len(set(sizes)) > 1, channels, values if deep and low < high else None)
    depth = f", values from {low:g} to {high:g}" if deep else ""
    facts.append(Fact("images", f"{height} x {width}, {channels} channels{depth}", f"{len(sizes)} rows", "sure"))
    return made


def _pixel_columns(sheet: Sheet) -> tuple[str, int]:
    """What most columns begin with before a number, and how many do."""
    starts: dict[str, int] = {}
    for column in sheet.columns:
        match = re.fullmatch(r"(.*?)\d+", column)
        if match:
            starts[match.group(1)] = starts.get(match.group(1), 0) + 1
    most = max(starts, key=lambda start: starts[start], default="")
    return most, starts.get(most, 0)


def _is_pixel(column: str, start: str) -> bool:
    return column.startswith(start) and column[len(start) :].isdecimal()


def _words(at: tuple[str, str]) -> set[str]:
    return set(words(at[1] or Path(at[0]).stem))


def _is_test(at: tuple[str, str]) -> bool:
    return any(word.startswith("test") for word in words(f"{Path(at[0]).stem} {at[1]}"))


def _called(at: tuple[str, str]) -> str:
    return f"{at[0]}: {at[1]}" if at[1] else at[0]
