"""Tables and lists that name test images, with other names in another order."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os.path import basename, splitext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.formats.sample_file import NAME, SEPARATORS
from toolkit.notebooks.new_names import Names, NotTried, exchanged

if TYPE_CHECKING:
    import pandas as pd

TABLES, LISTS = (".csv", ".tsv"), (".json",)
LARGE = 100 << 20  # bytes of a file of lists, from which on it is read only where it is called after the test
ROW = "\0row"  # and which row of the former table it was
PLACE = "\0place"  # a column of tables as they are made: which new image a row is of, negative for none


def tables_in(raw: Path) -> list[str]:
    found = []
    for here, folders, files in os.walk(raw, followlinks=True):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        within = Path(here).relative_to(raw)
        found += [(within / one).as_posix() for one in sorted(files) if splitext(one)[1].lower() in (*TABLES, *LISTS)]
    return found


def written_tables(
    raw: Path, tables: Sequence[str], names: Names, folder: Path, rng: np.random.Generator, *, beside: bool
) -> set[str]:
    """Tables that name test images, with the new ones. beside: is something known of images that stands in tables?"""
    changed, order = set(), rng.permutation(len(names.new)) if not names.numbered else np.arange(len(names.new))
    lists = [path for path in tables if path.lower().endswith(LISTS)]
    read = {path: _read_table(raw / path) for path in tables if path not in lists}
    if not names.numbered and len(names.old[0]) > 1 and not _is_told(raw, tables, names):
        text, stem = names.old[0]
        raise NotTried(f"no table says that the file {stem} is test image {text}")
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
        new.drop(columns=[PLACE, ROW]).to_csv(folder / path, sep=_separator(raw / path), index=False)
        changed.add(path)
    changed |= {path for path in lists if _written_list(raw, path, names, folder, order)}
    if beside and not filled:
        raise NotTried("what is known beside training images isn't found by their names")
    return changed


def _is_told(raw: Path, tables: Sequence[str], names: Names) -> bool:
    """Does a line somewhere, or the number alone, say which file an image is in?"""
    text, stem = names.old[0]
    if text.isdecimal() and stem.isdecimal() and int(text) == int(stem):
        return True
    for path in tables:
        if (raw / path).stat().st_size <= LARGE or "test" in path.lower():
            with open(raw / path, encoding="utf-8", errors="replace") as file:
                if any(text in line and stem in line for line in file):
                    return True
    return False


def _written_list(raw: Path, path: str, names: Names, folder: Path, order: np.ndarray) -> bool:
    """Lists of objects in a file of JSON, as rows of a table; False where none names test images."""
    import pandas as pd

    if (raw / path).stat().st_size > LARGE and "test" not in path.lower():
        return False
    try:
        held: Any = json.loads((raw / path).read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError):
        return False
    changed = False
    whole = {"": held}  # so that a list at the top is one that is held, too
    for holder, at in list(_lists(whole)):
        records = holder[at]
        cells = [{k: str(v) for k, v in one.items() if isinstance(v, str | int)} for one in records]
        table = pd.DataFrame(cells).fillna("").astype(str)
        found = _key(path, table, names) if table.shape[1] else None
        if found is None:
            continue
        new = _rows_of(table, *found, names, order)
        holder[at] = [
            {
                k: type(v)(row[k]) if isinstance(v, str | int) and str(v) != row[k] else v
                for k, v in records[old].items()
            }
            for old, row in zip(new[ROW], new.to_dict("records"), strict=True)
        ]
        changed = True
    if changed:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(whole[""]), encoding="utf-8")
    return changed


def _lists(held: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Lists of objects, by what holds them."""
    for name, value in held.items():
        if isinstance(value, dict):
            yield from _lists(value)
        elif isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
            yield held, name


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
    """The column that names test images, and which each cell names; None where a table is of something else."""
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


def _rows_of(table: "pd.DataFrame", title: str, at: np.ndarray, names: Names, order: np.ndarray) -> "pd.DataFrame":
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
    made[PLACE], made[ROW] = placed, picked
    columns = [one for one in table.columns if one == title or _same_images(table[one], at, names)]
    for column in columns:
        cells = made[column].tolist()
        old = at[picked]
        for row, new in enumerate(placed):
            if new >= 0:
                for text, other in zip(names.old[old[row]], names.new[new], strict=True):
                    cells[row] = exchanged(cells[row], text, other)
        made[column] = cells
    return made


def _same_images(cells: "pd.Series", at: np.ndarray, names: Names) -> bool:
    """Does another column name the same images, row by row?"""
    if any(max(map(len, texts)) < 3 for texts in names.old):
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


def _fill(table: "pd.DataFrame", title: str, names: Names, known: Sequence[tuple[str, "pd.DataFrame"]]) -> set[str]:
    """What a table says beside names becomes what is said of the training images; the columns of which this is so."""
    new, filled = table[PLACE].to_numpy(), set()
    for key, of_training in known:
        for column in table.columns:
            if column in (title, key, PLACE, ROW) or column in filled or column not in of_training:
                continue
            cells = table[column].to_numpy(object).copy()
            cells[new >= 0] = of_training[column].to_numpy(object)[new[new >= 0]]
            table[column] = cells
            filled.add(column)
    return filled
