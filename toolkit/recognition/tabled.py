"""Targets that a table says: which table it is, what its columns are, what the test images' table has as well."""

from collections.abc import Sequence
from dataclasses import replace

from toolkit.data.tables import table_arrays, table_of
from toolkit.errors import UserError
from toolkit.recognition import columns, samples
from toolkit.recognition.columns import Named
from toolkit.recognition.found import Beside, Fact, Found, Sample, Sheet, Targets
from toolkit.recognition.listing import Place, homes, suffix_of, words
from toolkit.recognition.seen import Seen, looked_at, origin_of, source_of, suffixes_of
from toolkit.recognition.sheets import cells, rows_of

ENOUGH = 0.5  # of a table's names that are images


def training_table(seen: Seen, files: Sequence[str], sample: Sample | None) -> tuple[Sheet, Named] | None:
    """The table that says most of these images, or folders."""
    best: tuple[tuple[bool, float, bool, int], Sheet, Named] | None = None
    for sheet in seen.tables:
        if samples.is_sample(sheet) or (sample and sheet.path == sample.path) or len(sheet.columns) < 2:
            continue
        if "test" in [word[:4] for word in words(sheet.path.rpartition("/")[2])]:
            continue
        found = columns.named(seen.folder, sheet, files)
        if found is None or found.share < ENOUGH:
            continue
        called = bool({"train", "training", "labels", "label", "annotations"} & set(words(sheet.path)))
        rank = (found.share > 0.9, round(found.share, 2), called, rows_of(seen.folder, sheet))
        if best is None or rank > best[0]:
            best = rank, sheet, found
    return None if best is None else best[1:]


def _test_table(seen: Seen, table: Sheet) -> Sheet | None:
    for sheet in seen.tables:
        name = words(sheet.path.rpartition("/")[2])
        if sheet is not table and not samples.is_sample(sheet) and any(word.startswith("test") for word in name):
            return sheet
    return None


def of_table(
    seen: Seen, found: Found, train: Place, test: Place | None, sheet: Sheet, name: Named, sets: bool
) -> Found:
    """Targets are written in a table of the images' names, or of folders whose images are one sample."""
    folder, facts = seen.folder, seen.facts
    _tell(seen, train, sheet, name, sets)
    others = [one for one in sheet.columns if one != name.column and not one.startswith("Unnamed")]
    asked = columns.asked_for(folder, sheet, others, found.sample)
    group, said = columns.group_of(folder, sheet, [one for one in others if one not in asked])
    if group:
        facts.append(Fact("groups", group, said, "likely"))
    split = columns.split_of(folder, sheet, others)
    tests = _test_table(seen, sheet)
    shared = set(tests.columns) if tests and len(tests.columns) > 1 else set()
    free = [
        one for one in others if one not in shared | {group, *(split or ())[:1]} and not _are_files(sheet, one, train)
    ]
    read = columns.targets(folder, sheet, free, found.sample)
    found = replace(found, images=source_of(seen, train), pictures=looked_at(seen, train.files()))
    if read is None:
        return found
    if read.form == "runs" and name.repeated and len(read.columns) == 1:
        several = f"{read.why}; images have several rows, which become one mask: objects aren't told apart"
        read = replace(read, why=several, sure="guess")
    facts.append(columns.fact_of(read, sheet))
    unused = [one for one in others if one not in (*read.columns, group, *(split or ())[:1])]
    beside = None
    if test and tests and not sets:
        beside = _beside(seen, sheet, name, tests, test, [one for one in unused if one in shared])
    left = [one for one in unused if beside is None or one not in beside.columns]
    if left and read.form != "runs":
        facts.append(Fact("other columns", columns.shown(left), "not used", "sure"))
    missing = 0 if sets else name.missing
    if missing:
        facts.append(Fact("without image", f"{missing:,} rows of {sheet.path}", "left out", "sure"))
    made = Targets(
        read.form,
        read.names,
        "table",
        sheet.path,
        (name.column, *read.columns),
        sheet,
        name.before,
        name.after,
        missing,
        group,
        split,
        heads=read.heads,
        unknown=read.unknown,
        beside=beside,
        drop=name.drop,
        sets=sets,
        gap=read.gap,
        origin=origin_of(seen, train.files()) if read.form == "runs" and not group else "",
    )
    if test is not None:
        return replace(found, targets=made, test=source_of(seen, test))
    return replace(found, targets=made, test_names=_test_names(seen, found.sample, tests, train.files()))


def _tell(seen: Seen, train: Place, sheet: Sheet, name: Named, sets: bool) -> None:
    """What the table is, and why it is taken for that of the training images."""
    why = f"{name.share:.0%} of its {name.column} are {'folders' if sets else 'images'} in {train.path or '.'}"
    if name.drop:
        why += f", without the first {name.drop} folders"
    if name.before or name.after:
        why += f", called {name.before}…{name.after}"
    odd = f" (separated by {sheet.separator!r}, {sheet.encoding}{'' if sheet.header else ', no line of names'})"
    rows = f"{sheet.path}: {rows_of(seen.folder, sheet):,} rows{'' if sheet.plain else odd}"
    seen.facts.append(Fact("table", rows, why, "sure"))
    if sets:
        said = f"{train.number / len(homes(train)):.1f} images a sample, a folder each"
        seen.facts.append(Fact("sets", said, f"{sheet.path} names the folders", "sure"))


def _beside(seen: Seen, sheet: Sheet, name: Named, tests: Sheet, test: Place, shared: Sequence[str]) -> Beside | None:
    """Columns that say something of training and test images alike, as a network can take them."""
    if not (sheet.plain and tests.plain) or name.missing or name.before or name.after:
        return None
    known = columns.named(seen.folder, tests, test.files())
    if known is None or known.missing or known.repeated or known.before or known.after or not shared:
        return None
    names = cells(seen.folder, sheet, name.column).tolist()
    if len(set(names)) < len(names):
        return None
    usable = []
    for column in shared:
        try:
            table_arrays(table_of(seen.folder / sheet.path, names, (name.column, column)))
        except UserError:
            continue
        usable.append(column)
    if not usable:
        return None
    why = f"{tests.path} has them too, and each says something"
    seen.facts.append(Fact("table beside", columns.shown(usable), why, "likely"))
    suffixed = any(suffix_of(cell) in suffixes_of(test) for cell in tests.head[known.column])
    return Beside(tuple(usable), tests.path, known.column, suffixed)


def _are_files(sheet: Sheet, column: str, train: Place) -> bool:
    """Do its cells name files, such as paths of masks?"""
    filled = [cell for cell in sheet.head[column] if cell]
    return bool(filled) and all("." in cell and suffix_of(cell) in suffixes_of(train) for cell in filled)


def _test_names(
    seen: Seen, sample: Sample | None, tests: Sheet | None, files: Sequence[str]
) -> tuple[Sheet, str] | None:
    """A table whose names are test images that lie among the training images."""
    given = [sheet for sheet in seen.tables if sample and sheet.path == sample.path]
    for sheet in [*([tests] if tests else []), *given]:
        name = columns.named(seen.folder, sheet, files)
        if name and name.share > ENOUGH and not name.before + name.after:
            where, why = f"those that {sheet.path} lists", f"its {name.column} are images beside the training images"
            seen.facts.append(Fact("test images", where, why, "sure"))
            return sheet, name.column
    return None
