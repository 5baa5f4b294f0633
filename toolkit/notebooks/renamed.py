"""A folder in the organisers' layout whose test images are training images: what a notebook meets on the hidden test.

They are called otherwise than the visible ones, by names of the same pattern, and are of another number; tables that
name test images have these names, in another order. All else is linked to.
"""

import os
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os.path import basename, splitext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, Samples
from toolkit.data.loading import loaded
from toolkit.errors import UserError, listed
from toolkit.formats.sample_file import NAME, SEPARATORS
from toolkit.images.files import ImageFiles
from toolkit.images.places import Places

if TYPE_CHECKING:
    import pandas as pd

TABLES = (".csv", ".tsv")
OTHER_TABLES = (".json", ".jsonl", ".parquet", ".feather", ".xlsx", ".gz", ".zip")  # that may name test images, too
LETTERS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
HEXADECIMAL = frozenset(string.hexdigits)
NOT_TRIED = "a hidden test of other names and number isn't tried"


@dataclass(frozen=True)
class Renamed:
    """rows: int64 (n,), the training samples that the test images are, by their places in the data; of masks at the
    size of each picture the pictures. ids: (n,), what they are called now. Both as `load` reads them in the folder.
    """

    rows: np.ndarray
    ids: np.ndarray


def renamed_folder(
    competition: Competition, raw: Path, data: Dataset | Samples, rows: np.ndarray, folder: Path, seed: int = 0
) -> Renamed:
    """Make the new `folder`; rows: int64 (n,), the training samples that become its test images.

    raw: the organisers' files, of which `data` was loaded. UserError, with what isn't tried therefore, where the layout
    is none that can be changed in this way; and where the competition can't load what was made.
    """
    from toolkit.notebooks.renamed_arrays import changed_arrays, is_of_arrays

    rng = np.random.default_rng(seed)
    as_loaded = data.as_dataset(raw) if isinstance(data, Samples) else data
    if as_loaded.sets is not None:
        raise UserError(f"samples are sets of images, so {NOT_TRIED}")
    if is_of_arrays(data):
        names = _array_names(as_loaded, rows, rng)
        changed = changed_arrays(raw, data, rows, names, folder)
    else:
        assert isinstance(data, Samples)
        names, changed = _renamed_files(raw, data, as_loaded, rows, folder, rng)
    tables = _tables(raw)
    changed |= _written_tables(raw, tables, names, folder, rng, beside=as_loaded.table is not None)
    link_others(raw, folder, changed)
    return _read_back(competition, folder, names)


@dataclass(frozen=True)
class Names:
    """How test images are called, and how those are that take their places.

    old: of each of M visible ones, the texts that tables may call it by, the longest first; new: of each of n, the texts
    in the same order; like: int64 (n,), the visible one that each takes after; of: what the training images are called,
    text (n,) (nothing where they have no names); numbered: their places, from `first`, are the names.
    """

    old: Sequence[tuple[str, ...]]
    new: Sequence[tuple[str, ...]]
    like: np.ndarray
    of: Sequence[str]
    ids: np.ndarray
    rows: np.ndarray
    numbered: bool = False

    @cached_property
    def places(self) -> dict[str, int]:
        """The visible image of each text."""
        return {text: at for at, texts in enumerate(self.old) for text in texts}


def _renamed_files(
    raw: Path, data: Samples, as_loaded: Dataset, rows: np.ndarray, folder: Path, rng: np.random.Generator
) -> tuple[Names, set[str]]:
    """Files of test images, linked to training images."""
    tests, train = data.files["test_images"], data.images
    visible = [_within(raw, path) for path in _pictures(tests, data.test_places)]
    pictures = _pictures(train, data.places)
    sources = [Path(pictures[row]) for row in rows.tolist()]
    ids = as_loaded.test_ids
    called = [str(one) for one in (np.arange(len(visible)) if ids is None else ids)]
    if len(called) != len(visible):
        raise UserError(f"a test id stands for several files, so {NOT_TRIED}")
    old = [_texts(one, path) for one, path in zip(called, visible, strict=True)]
    if len({len(texts) for texts in old}) > 1:  # for some the file is called as the id says, for others not
        old = [(texts[0], splitext(basename(path))[0]) for texts, path in zip(old, visible, strict=True)]
    taken = {splitext(basename(path))[0] for path in (*visible, *map(str, pictures))}
    taken |= {text for texts in old for text in texts}
    like = rng.permutation(np.resize(rng.permutation(len(visible)), len(rows)))
    made = _new_texts(old, like, taken, rng)
    for at, source in enumerate(sources):
        path = visible[like[at]]
        for text, other in zip(old[like[at]], made[at], strict=True):
            path = _exchanged(path, text, other)
        _link(source, folder / path)
    new_ids = np.array([texts[0] for texts in made])
    if ids is not None and ids.dtype.kind in "iu":
        new_ids = new_ids.astype(ids.dtype)
    of = [splitext(path.name)[0] for path in sources]
    return Names(old, made, like, of, new_ids, rows), set(visible)


def _pictures(images: ImageFiles, places: Places | None) -> Sequence[Path]:
    """The files of images, of tiles those of their pictures."""
    if places is None:
        return images.paths
    return [images.paths[int(some[0])] for some in places.samples if len(some)]


def _within(raw: Path, path: Path) -> str:
    try:
        return Path(path).absolute().relative_to(raw.absolute()).as_posix()
    except ValueError:
        raise UserError(f"{path} lies outside of {raw}, so {NOT_TRIED}") from None


def _texts(called: str, path: str) -> tuple[str, ...]:
    """What an image is called in tables and in its path: its id without folder and suffix, and, where that isn't in the
    name of its file, the name.
    """
    stem, suffix = splitext(basename(path))
    text = basename(called)
    text = text.removesuffix(suffix) if suffix else text
    if _exchanged(path, text, "") != path:
        return (text,)
    if stem.isdecimal() and text.isdecimal() and int(stem) == int(text):
        return (text, stem) if text != stem else (text,)
    return text, stem


def _pattern(text: str) -> re.Pattern[str]:
    """The text where it is a name of its own, and no part of a longer one."""
    edge = "0-9" if text.isdecimal() else "0-9A-Za-z"
    return re.compile(rf"(?<![{edge}]){re.escape(text)}(?![{edge}])")


def _exchanged(where: str, text: str, other: str) -> str:
    return _pattern(text).sub(lambda _: other, where)


def _new_texts(
    old: Sequence[tuple[str, ...]], like: np.ndarray, taken: set[str], rng: np.random.Generator
) -> list[tuple[str, ...]]:
    """For each image texts of the pattern of those that it takes after, none of them taken; adds them to `taken`."""
    varying = [_varying([texts[part] for texts in old]) for part in range(len(old[0]))]
    made = []
    for place in like.tolist():
        found: list[str] = []
        for part, text in enumerate(old[place]):
            if found and text.isdecimal() and found[0].isdecimal() and int(text) == int(old[place][0]):
                found.append(found[0].zfill(len(text)))  # the same number, with zeros before it
            else:
                found.append(_new_text(text, varying[part], taken, rng))
            taken.add(found[-1])
        made.append(tuple(found))
    return made


def _varying(texts: Sequence[str]) -> str:
    """The signs that differ between texts of one length, in those places; of one text, or of other lengths, digits, or
    where there are none all letters.
    """
    if len({len(text) for text in texts}) == 1 and len(texts) > 1:
        same = [len(set(signs)) == 1 for signs in zip(*texts, strict=True)]
        if not all(same):
            return "".join("0" if one else "1" for one in same)
    return ""


def _new_text(text: str, varying: str, taken: set[str], rng: np.random.Generator) -> str:
    tried = 0
    digits = any(sign.isdecimal() for sign in text)
    hexadecimal = len(text) >= 8 and {sign for sign in text if sign.isalnum()} <= HEXADECIMAL
    while True:
        signs = []
        for at, sign in enumerate(text):
            kind = next((letters for letters in LETTERS if sign in letters), "")
            free = varying[at] == "1" if varying else (sign.isdecimal() if digits and not hexadecimal else True)
            if hexadecimal and kind and not kind[0].isdecimal():
                kind = kind[:6]
            if not kind or not free:
                signs.append(sign)
            else:
                first = kind[0].isdecimal() and text.isdecimal() and not signs and text[0] != "0"
                signs.append(kind[int(rng.integers(1 if first else 0, len(kind)))])
        made = "".join(signs)
        if made not in taken:
            return made
        tried += 1
        if tried > 50:  # there are no more of that length
            text, varying, tried = text + "0", varying and varying + "1", 0


def _array_names(as_loaded: Dataset, rows: np.ndarray, rng: np.random.Generator) -> Names:
    """Of rows of arrays: their ids, where these aren't their places."""
    ids, number = as_loaded.test_ids, len(as_loaded.test_images)
    like = rng.permutation(np.resize(rng.permutation(number), len(rows)))
    places = np.arange(len(rows))
    if ids is None or (ids.dtype.kind in "iu" and np.array_equal(ids, np.arange(number) + ids[0])):
        new = places if ids is None else places + int(ids[0])
        first = 0 if ids is None else int(ids[0])
        old = [(str(at + first),) for at in range(number)]
        return Names(old, [(str(one),) for one in new], like, [], new, rows, numbered=True)
    old = [(str(one),) for one in ids]
    taken = {text for texts in old for text in texts} | set(as_loaded.called.tolist())
    made = _new_texts(old, like, taken, rng)
    new_ids = np.array([texts[0] for texts in made])
    return Names(old, made, like, [], new_ids.astype(ids.dtype) if ids.dtype.kind in "iu" else new_ids, rows)


def _tables(raw: Path) -> list[str]:
    found = []
    for here, folders, files in os.walk(raw, followlinks=True):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        within = Path(here).relative_to(raw)
        found += [(within / one).as_posix() for one in sorted(files) if splitext(one)[1].lower() in TABLES]
    return found


def _written_tables(
    raw: Path, tables: Sequence[str], names: Names, folder: Path, rng: np.random.Generator, *, beside: bool
) -> set[str]:
    """Tables that name test images, with the new ones. beside: is something known of images that stands in tables?"""
    changed, order = set(), rng.permutation(len(names.new)) if not names.numbered else np.arange(len(names.new))
    read = {path: _read_table(raw / path) for path in tables}
    known = _training_tables(read, names)
    filled: set[str] = set()
    for path, table in read.items():
        sample = bool(NAME.search(basename(path)))
        if table is None or not (found := _key(path, table, names)):
            continue
        title, at = found
        new = _rows_of(table, title, at, names, order)
        if not sample:
            filled |= _fill(new, title, names, known)
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        new.drop(columns=PLACE).to_csv(folder / path, sep=_separator(raw / path), index=False)
        changed.add(path)
    if beside and not filled:
        raise UserError(f"what is known beside training images isn't found by their names, so {NOT_TRIED}")
    return changed


PLACE = "\0place"  # a column of tables as they are made: which new image a row is of, negative for none


def _read_table(path: Path) -> "pd.DataFrame | None":
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=_separator(path), dtype=str, na_filter=False, encoding="utf-8-sig")
    except (ValueError, OSError):
        return None  # what isn't a table names no images
    return table if len(table) and len(set(table.columns)) == table.shape[1] else None


def _separator(path: Path) -> str:
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        return max(SEPARATORS, key=file.readline().count)


def _named(cells: Iterable[str], places: Mapping[str, int]) -> np.ndarray:
    """int64, of each cell the place of the name that it is or begins with; -1 where it has none."""
    found = []
    for cell in cells:
        text = basename(cell)
        options = [cell, text, splitext(text)[0]]
        while (cut := max(text.rfind(sign) for sign in "_-: ")) > 0:
            text = text[:cut]
            options.append(text)
        found.append(next((places[one] for one in options if one in places), -1))
    return np.array(found, np.int64)


def _key(path: str, table: "pd.DataFrame", names: Names) -> tuple[str, np.ndarray] | None:
    """The column that names test images, and which of them each cell names; None where a table is of something else."""
    best: tuple[int, str, np.ndarray] | None = None
    for title in table.columns:
        at = _named(table[title], names.places)
        number = len(np.unique(at[at >= 0]))
        if number and (best is None or number > best[0]):
            best = number, title, at
    if best is None:
        return None
    number, title, at = best
    most, all_of_them = 2 * int((at >= 0).sum()) >= len(at), 2 * number >= len(names.old)
    told = NAME.search(basename(path)) is not None or "test" in path.lower()
    # names that are small numbers are found in any table
    plain = all(texts[0].isdecimal() and len(texts[0]) < 6 for texts in names.old)
    if names.numbered or plain:
        return (title, at) if told and all_of_them else None
    return (title, at) if most or (all_of_them and len(names.old) > 1) or (told and all_of_them) else None


def _rows_of(
    table: "pd.DataFrame", title: str, at: np.ndarray, names: Names, order: np.ndarray
) -> "pd.DataFrame":
    """For each new image, in that order, the rows of the visible one that it takes after, by its name; after those of
    no test image.
    """
    import pandas as pd

    rows_of: dict[int, list[int]] = {}
    for row, place in enumerate(at.tolist()):
        rows_of.setdefault(place, []).append(row)
    some = next(rows for place, rows in rows_of.items() if place >= 0)
    picked, placed = list(rows_of.get(-1, [])), [-1] * len(rows_of.get(-1, []))
    for new in order.tolist():
        rows = rows_of.get(int(names.like[new]), [])
        picked += rows or some
        placed += [new] * len(rows or some)
    made: pd.DataFrame = table.iloc[picked].reset_index(drop=True)
    made[PLACE] = placed
    columns = [one for one in table.columns if one == title or _same_images(table[one], at, names)]
    for column in columns:
        cells = made[column].tolist()
        old = at[picked]
        for row, new in enumerate(placed):
            if new >= 0:
                for text, other in zip(names.old[old[row]], names.new[new], strict=True):
                    cells[row] = _exchanged(cells[row], text, other)
        made[column] = cells
    return made


def _same_images(cells: "pd.Series", at: np.ndarray, names: Names) -> bool:
    """Does another column name the same images, row by row?"""
    if any(len(texts[0]) < 3 for texts in names.old):
        return False
    found = _named(cells, names.places)
    return bool(2 * ((found == at) & (at >= 0)).sum() >= max(1, (at >= 0).sum()))


def _training_tables(read: Mapping[str, "pd.DataFrame | None"], names: Names) -> list[tuple[str, "pd.DataFrame"]]:
    """Tables with one row for each of the training images that become test images, and the column that names them."""
    places = {text: at for at, text in enumerate(names.of)}
    found = []
    for table in read.values():
        for title in table.columns if table is not None and names.of else ():
            assert table is not None
            at = _named(table[title], places)
            of, times = np.unique(at[at >= 0], return_counts=True)
            if len(of) == len(places) and (times == 1).all():
                rows = np.empty(len(places), np.int64)
                rows[at[at >= 0]] = np.flatnonzero(at >= 0)
                found.append((title, table.iloc[rows].reset_index(drop=True)))
                break
    return found


def _fill(
    table: "pd.DataFrame", title: str, names: Names, known: Sequence[tuple[str, "pd.DataFrame"]]
) -> set[str]:
    """What a table says beside names becomes what is said of the training images; the columns of which this is so."""
    new, filled = table[PLACE].to_numpy(), set()
    for key, of_training in known:
        for column in table.columns:
            if column in (title, key, PLACE) or column in filled or column not in of_training:
                continue
            cells = table[column].to_numpy(object).copy()
            cells[new >= 0] = of_training[column].to_numpy(object)[new[new >= 0]]
            table[column] = cells
            filled.add(column)
    return filled


def link_others(raw: Path, folder: Path, changed: set[str]) -> None:
    """Link all that isn't `changed` (paths within) to the organisers' files, whole folders where nothing in them is."""
    above = {parent.as_posix() for path in changed for parent in Path(path).parents}

    def fill(within: str) -> None:
        (folder / within).mkdir(parents=True, exist_ok=True)
        with os.scandir(raw / within) as entries:
            for entry in entries:
                path = f"{within}/{entry.name}" if within else entry.name
                if entry.name.startswith(".") or path in changed:
                    continue
                if entry.is_dir() and path in above:
                    fill(path)
                elif not (folder / path).exists():
                    (folder / path).symlink_to(Path(entry.path).resolve())

    fill("")


def _link(source: Path, path: Path) -> None:
    """A second name of a file where the disk allows it, so that nobody sees where it lay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), path)
    except OSError:
        path.symlink_to(source.resolve())


def _read_back(competition: Competition, folder: Path, names: Names) -> Renamed:
    """UserError where the competition doesn't find in the folder what was put there."""
    number = len(names.ids)
    what = f"a test of {number:,} other names"
    try:
        found = loaded(competition, folder)
    except UserError as error:
        text = str(error).replace(f"{folder}{os.sep}", "")
        raise UserError(f"{competition.name}'s load fails on {what}, as the hidden one is: {text}") from error
    dataset = found.as_dataset(folder) if isinstance(found, Samples) else found
    ids = np.arange(len(dataset.test_images)) if dataset.test_ids is None else dataset.test_ids
    place = {str(one): at for at, one in enumerate(names.ids.tolist())}
    text = [_short(str(one), place) for one in ids.tolist()]
    if set(text) != set(place) or len(text) != number:
        odd = [one for one in text if one not in place] or [one for one in place if one not in set(text)]
        raise UserError(
            f"{competition.name}'s load finds {len(text):,} test images of {number:,} in {what} ({listed(odd, most=3)}): "
            "it must take names and number from the files"
        )
    return Renamed(names.rows[[place[one] for one in text]], ids)


def _short(called: str, place: Mapping[str, int]) -> str:
    options = [called, basename(called), splitext(basename(called))[0]]
    return next((one for one in options if one in place), called)
