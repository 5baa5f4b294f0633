"""Submission files read back as the organisers would, by a reader that knows nothing of the writer.

Every fault is a UserError that names the row. Predictions that can be read but look wrong are told apart:
`suspicions` warns, it never refuses.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.formats.sample_file import unpacked
from toolkit.outcome import counted

BLOCK = 16 << 20  # bytes parsed at a time: 1 MiB took five times as long, more takes more memory
BLANK = ",;\t\r\n "  # what a line holds that a spreadsheet left empty
MARKS = {b"\xef\xbb\xbf": "UTF-8", b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
NAMED = 10  # classes that are never predicted
FAR = 0.2  # share of the predictions that would have to change class


def read_pixels(path: Path, images: int, shape: tuple[int, int], classes: int) -> np.ndarray:
    """Masks uint8 (images, H, W) of a CSV `id,0,1,…` with ids from 0 in order and whole labels below `classes`.

    pyarrow parses it, in blocks; only where it fails or a value is wrong are the lines looked at one by one.
    """
    import pyarrow as pa
    from pyarrow import csv as tables

    pixels = shape[0] * shape[1]
    _check_head(path, pixels)
    masks = np.empty((images, pixels), np.uint8)
    ids = np.empty(images, np.int64)
    rows = 0
    names = [str(i) for i in range(pixels)]
    types = {"id": pa.int64()} | dict.fromkeys(names, pa.uint8())
    try:
        blocks = tables.open_csv(
            path,
            read_options=tables.ReadOptions(block_size=BLOCK),
            parse_options=tables.ParseOptions(ignore_empty_lines=False),
            convert_options=tables.ConvertOptions(column_types=types, null_values=[]),
        )
        for block in blocks:
            kept = slice(rows, min(rows + block.num_rows, images))
            number = kept.stop - kept.start
            if number > 0:
                ids[kept] = block.column(0).to_numpy()[:number]
                columns = pa.concat_arrays(block.columns[1:]).to_numpy().reshape(pixels, -1)
                masks[kept] = columns.T[:number]
            rows += block.num_rows
    except pa.ArrowInvalid as error:
        _find_fault(path, pixels, classes)
        raise UserError(f"{path} can't be read: {str(error).splitlines()[0]}") from None
    _check_ids(path, ids[:rows])
    if rows != images:
        raise UserError(f"{path} has {counted(rows, 'row')}, the test set has {counted(images, 'image')}")
    if masks.size and masks.max() >= classes:
        _find_fault(path, pixels, classes)
    return masks.reshape(images, *shape)


def _check_head(path: Path, pixels: int) -> None:
    if not path.is_file():
        raise UserError(f"{path} {'is a folder, expected a CSV' if path.is_dir() else 'does not exist'}")
    with open(path, "rb") as file:
        line = file.readline()
    for mark, encoding in MARKS.items():
        if line.startswith(mark):
            raise UserError(f"{path} begins with a byte-order mark ({encoding}); save it as UTF-8 without one")
    found = line.decode(errors="replace").rstrip("\r\n").split(",")
    expected = ["id", *map(str, range(pixels))]
    if found != expected:
        if len(found) != len(expected):
            reason = f"it has {counted(len(found), 'column')}, expected {len(expected)}"
        else:
            at = next(i for i, pair in enumerate(zip(found, expected, strict=True)) if pair[0] != pair[1])
            reason = f"column {at} is {found[at]!r}, expected {expected[at]!r}"
        raise UserError(f"{path}: the first line must be id,0,1,…,{pixels - 1}; {reason}")


def _check_ids(path: Path, ids: np.ndarray) -> None:
    wrong = ids != np.arange(len(ids))
    if wrong.any():
        row = int(wrong.argmax())
        known, times = np.unique(ids, return_counts=True)
        if len(known) < len(ids):
            note = f"; id {known[times.argmax()]} occurs {times.max()} times"
        elif known[0] == 0 and known[-1] == len(ids) - 1:
            note = "; all ids are there, in another order"
        else:
            note = ""
        raise UserError(f"{path} row {row} (line {row + 2}): the id is {str(ids[row])!r}, expected {row}{note}")


def _find_fault(path: Path, pixels: int, classes: int) -> None:
    """UserError for the first line that is wrong, if there is one."""
    allowed = {str(i).encode() for i in range(classes)}
    with open(path, "rb") as file:
        file.readline()
        for row, line in enumerate(file):
            where = f"{path} row {row} (line {row + 2})"
            name, *values = line.rstrip(b"\r\n").split(b",")
            if not line.strip():
                raise UserError(f"{where} is empty")
            if len(values) != pixels:
                cut = "" if line.endswith(b"\n") else "; the file is cut short"
                raise UserError(f"{where} has {len(values)} pixels, expected {pixels}{cut}")
            if name != str(row).encode():
                raise UserError(f"{where}: the id is {name.decode(errors='replace')!r}, expected {row}")
            if not allowed.issuperset(values):
                at = next(i for i, value in enumerate(values) if value not in allowed)
                found = values[at].decode(errors="replace")
                raise UserError(f"{where}: pixel {at} is {found!r}, expected a whole number from 0 to {classes - 1}")


def compare_with_sample(path: Path, sample: Path) -> None:
    """UserError unless the CSV, packed or not, has the header, ids and number of rows of the sample submission.

    In any order: the organisers join rows by their ids, and where order counts `read_submission` looks at it. What
    they read alike counts as alike: a byte-order mark, quotes, the end of a line, blank lines.
    """
    ours, other = _lines(path), _lines(sample)
    (_, head), (_, wanted) = next(ours, (0, "")), next(other, (0, ""))
    if _cells(head) != _cells(wanted):
        at = f"{path.name}: the first line is {_shown(head)}, that of the sample submission {sample} is"
        raise UserError(f"{at} {_shown(wanted)}")
    have, want = (Counter(_first(line) for _, line in lines) for lines in (ours, other))
    if have.total() != want.total():
        raise UserError(f"{path.name} has {have.total()} rows, the sample submission {sample} has {want.total()}")
    if have == want or _some_column_agrees(path, sample):
        return
    wrong, missing = next((have - want).elements()), next((want - have).elements())
    number = next(number for number, line in _lines(path) if number > 1 and _first(line) == wrong)
    raise UserError(f"{path.name} line {number}: the id is {wrong!r}, the sample submission {sample} has {missing!r}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Those that hold more than separators, with their numbers, as any system ends them."""
    packed = path.suffix in (".gz", ".zip")
    text: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "replace"}
    with io.TextIOWrapper(io.BytesIO(unpacked(path)), **text) if packed else open(path, **text) as file:
        for number, line in enumerate(file, 1):
            if line.strip(BLANK):
                yield number, line


def _first(line: str) -> str:
    """The first cell."""
    return next(iter(_cells(line)), "") if line.lstrip().startswith('"') else line.partition(",")[0].strip()


def _cells(line: str) -> list[str]:
    return [cell.strip() for row in csv.reader([line.strip()]) for cell in row]


def _shown(line: str) -> str:
    return repr(line.strip()[:60])


def _some_column_agrees(path: Path, sample: Path) -> bool:
    """Is there a column of names, each once, that both have: ids that don't stand first?"""
    ours, other = ([_cells(line) for _, line in _lines(one)][1:] for one in (path, sample))
    for column in range(1, min(map(len, [*ours, *other]))):
        wanted = {row[column] for row in other}
        if len(wanted) == len(other) and {row[column] for row in ours} == wanted:
            return True
    return False


def suspicions(counts: np.ndarray, expected: np.ndarray, classes: Sequence[str]) -> list[str]:
    """What is strange about predictions, in sentences.

    counts: int64 (C,), how often each class is predicted; expected: the same of the out-of-fold predictions.
    """
    if counts.sum() == 0 or expected.sum() == 0:
        return []
    if counts.max() == counts.sum() > 1 and len(classes) > 1:
        return [f"every prediction is {classes[int(counts.argmax())]!r}"]
    found = []
    ours, theirs = counts / counts.sum(), expected / expected.sum()
    never = np.flatnonzero((counts == 0) & (theirs * counts.sum() >= 5))  # fewer may be missing by chance
    for i in never[np.argsort(-theirs[never], kind="stable")][:NAMED] if len(never) > NAMED else never:
        found.append(f"class {classes[i]!r} is never predicted; out of fold it has {theirs[i]:.2%}")
    if len(never) > NAMED:
        found.append(f"{len(never) - NAMED:,} more classes are never predicted, of which some are expected")
    chance = np.sqrt(theirs * (1 - theirs) / counts.sum()).sum()  # more than twice what drawing so many makes of it
    if np.abs(ours - theirs).sum() / 2 > FAR + chance:
        i = int(np.abs(ours - theirs).argmax())
        found.append(
            f"the classes' shares are far from those out of fold: {classes[i]!r} {ours[i]:.1%}, there {theirs[i]:.1%}"
        )
    return found
