"""Targets that a table says: which table it is, what its columns are, what the test images' table has as well."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from toolkit.data.tables import table_arrays, table_of
from toolkit.errors import UserError
from toolkit.outcome import counted
from toolkit.recognition import columns, grouped, run_order, samples
from toolkit.recognition.columns import Read, shown
from toolkit.recognition.found import Beside, Fact, Found, Listed, Sample, Sheet, Targets
from toolkit.recognition.grouped import Grouped
from toolkit.recognition.image_names import Named, are_files, named
from toolkit.recognition.listed_tests import joined_as, known_of_tests, listed_tests, test_table
from toolkit.recognition.listing import Place, homes, joined, stem, suffix_of, words
from toolkit.recognition.seen import Seen, looked_at, origin_of, source_of, suffixes_of
from toolkit.recognition.sheets import cells, rows_of

ENOUGH = 0.5  # of a table's names that are images
SEVERAL = 0.05  # of the images, from which on several classes of one are its labels, and no slips


def training_table(seen: Seen, files: Sequence[str], sample: Sample | None) -> tuple[Sheet, Named] | None:
    """The table that says what is asked for of these images, or folders; else one with a row for each, or most."""
    best: tuple[tuple[bool, bool, bool, float, bool, int], Sheet, Named] | None = None
    for sheet in seen.tables:
        if samples.is_sample(sheet) or (sample and sheet.path == sample.path) or len(sheet.columns) < 2:
            continue
        if "test" in [word[:4] for word in words(sheet.path.rpartition("/")[2])]:
            continue
        found = named(seen.folder, sheet, files)
        if found is None or found.share < ENOUGH:
            continue
        called = bool({"train", "training", "labels", "label", "annotations"} & set(words(sheet.path)))
        others = [one for one in sheet.columns if one != found.column]
        asked = columns.has_asked(seen.folder, sheet, others, sample, seen.wanted)
        most = found.share > 0.9
        rank = (asked, most, not found.repeated, round(found.share, 2), called, rows_of(seen.folder, sheet))
        if best is None or rank > best[0]:
            best = rank, sheet, found
    return None if best is None else best[1:]


def validated(seen: Seen, train: Place, sheet: Sheet, name: Named) -> tuple[Place, Named, tuple[Sheet, ...]]:
    """The training images with those for validation, and tables that say more of these, where a table does."""
    more = seen.places.get("validation")
    if more is None or more is train or name.pattern[0]:
        return train, name, ()
    both = joined("train", [train, more])
    also = named(seen.folder, sheet, more.files())
    where = f"{more.number:,} in {more.path}"
    if also and also.column == name.column and not also.before + also.after:
        seen.facts.append(Fact("validation images", where, f"{sheet.path} names them: used for training", "sure"))
        return both, named(seen.folder, sheet, both.files()) or name, ()
    for other in seen.tables:
        if other is not sheet and other.columns == sheet.columns and not samples.is_sample(other):
            also = named(seen.folder, other, more.files())
            if also and also.column == name.column and not also.missing:
                why = f"{other.path} names them: used with those of training"
                seen.facts.append(Fact("validation images", where, why, "sure"))
                return both, name, (other,)
    return train, name, ()


def of_table(
    seen: Seen,
    found: Found,
    train: Place,
    test: Place | None,
    sheet: Sheet,
    name: Named,
    sets: bool,
    others_of: tuple[Sheet, ...] = (),
) -> Found:
    """Targets are written in a table of the images' names, or of folders whose images are one sample. others_of:
    tables of further training images.
    """
    folder, facts = seen.folder, seen.facts
    _tell(seen, train, sheet, name, sets)
    others = [one for one in sheet.columns if one != name.column and not one.startswith("Unnamed")]
    asked = columns.asked_for(folder, sheet, others, found.sample)
    asked = (*asked, *seen.wanted)
    group = grouped.by_column(seen, sheet, [one for one in others if one not in asked])
    if not group and not sets and not name.pattern[0]:
        group = grouped.elsewhere(seen, sheet, train)
    own = group.column if group and not group.within else ""
    split = columns.split_of(folder, sheet, others)
    tests = test_table(seen, sheet)
    joint = joined_as(seen, found.sample, sheet, tests, name) if test and not sets else None
    shared = known_of_tests(seen, sheet, tests, asked)
    targets = [one for one in others if one not in {own, *(split or ())[:1]} and not are_files(sheet, one)]
    free = [one for one in targets if one not in shared] or targets
    wanted = _wanted(seen, sheet, name)
    free = [one for one in free if one in asked or not _counts_rows(seen, sheet, one)]
    read = columns.targets(folder, sheet, free, found.sample, wanted)
    if read and tests and found.sample is None and not wanted and shared & set(targets):
        read = _told_by_tests(read, tests, shared)
    found = replace(found, images=source_of(seen, train), pictures=looked_at(seen, train.files()))
    if read is None:
        return found
    if joint:
        title = f"rows of one {joint.title}" + (
            "" if joint.columns == (joint.title,) else f": {', '.join(joint.columns)}"
        )
        facts.append(
            Fact("sets", title, f"so {tests.path if tests else ''} and the sample submission have it", "sure")
        )
    again = name.repeated and not (joint or sets or name.pattern[0] or read.form == "runs")
    unlike = _unlike(seen, sheet, name, read) if again else []
    many = len(unlike) > SEVERAL * cells(folder, sheet, name.column).nunique()
    rows, again = many and read.form == "classes", again and not many
    if rows:
        why = f"{read.why}; {name.column} stands in several rows, each with one of its labels"
        labels = tuple(sorted({one.replace(" ", "_") for one in read.names}))
        read = replace(read, form="list", names=labels, why=why, sure="likely", gap="|")
    if read.form == "runs" and name.repeated and len(read.columns) == 1:
        several = f"{read.why}; images have several rows, which become one mask: objects aren't told apart"
        read = replace(read, why=several, sure="guess")
    facts.append(columns.fact_of(read, sheet))
    if again:
        _tell_again(seen, sheet, unlike)
    if not group and not (sets or joint or rows or name.pattern[0] or read.form == "runs"):
        group = grouped.by_folders(seen, sheet, name, read.columns)
    group = group or Grouped()
    used = (*read.columns, own, *(split or ())[:1], *(joint.columns if joint else ()))
    unused = [one for one in others if one not in used]
    listed = None if sets or test is None else listed_tests(seen, found.sample, tests, test, name, joint)
    shared -= {listed.ids if listed else ""}
    beside = None
    if test and tests and not (sets or joint or name.pattern[0] or read.form == "runs"):
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
        group.column,
        split,
        heads=read.heads,
        unknown=read.unknown,
        beside=beside,
        drop=name.drop,
        sets=sets,
        gap=read.gap,
        origin=origin_of(seen, train.files()) if read.form == "runs" and not group.column else "",
        rows=rows,
        title=joint.title if joint else "",
        joined=joint.columns if joint else (),
        joint=joint.joint if joint else "",
        in_paths=name.pattern,
        repeated=name.repeated,
        decimal=read.decimal,
        others=others_of,
        group_in=group.within,
        blank=group.blank,
        levels=() if group.level is None else (group.level,),
        again=again,
        unlike=again and bool(unlike),
    )
    if read.form == "runs":
        made = run_order.ordered(seen, made, train.files())
    _tell_left(seen, train, sheet, name, read, sets)
    if test is None:
        return replace(
            found,
            targets=made,
            test_names=_test_names(seen, found.sample, tests, train.files(), sheet, name, others_of),
        )
    return replace(found, targets=made, test=source_of(seen, test), test_names=listed)


def _wanted(seen: Seen, sheet: Sheet, name: Named) -> tuple[str, ...]:
    """Columns that people named, all of which the table must have."""
    lacking = [one for one in seen.wanted if one not in sheet.columns or one == name.column]
    if lacking:
        raise UserError(
            f"--target {lacking[0]!r} is no column of {sheet.path} to predict; it has {shown(sheet.columns)}"
        )
    return seen.wanted


def _counts_rows(seen: Seen, sheet: Sheet, column: str) -> bool:
    """Is it nothing but the rows' own number?"""
    said = cells(seen.folder, sheet, column).tolist()
    return len(said) > 1 and any(said == list(map(str, range(first, first + len(said)))) for first in (0, 1))


def _told_by_tests(read: Read, tests: Sheet, shared: set[str]) -> Read:
    """What is predicted isn't known of test images: so far as this says which column it is, others may be it."""
    if set(read.columns) & shared:
        return replace(read, why=f"{read.why}, though {tests.path} has it too", sure="guess")
    why = f"{read.why} that {tests.path} lacks" if read.sure == "sure" else read.why
    return replace(read, why=why, sure="likely" if read.sure == "sure" else read.sure)


def _unlike(seen: Seen, sheet: Sheet, name: Named, read: Read) -> list[str]:
    """Names of images that have several rows, which don't all say the same."""
    columns = (name.column, *read.columns)
    said = set(zip(*(cells(seen.folder, sheet, column) for column in columns), strict=True))
    times = Counter(each[0] for each in said)
    return [one for one, number in times.items() if number > 1]


def _tell_again(seen: Seen, sheet: Sheet, unlike: Sequence[str]) -> None:
    facts, where = seen.facts, f"several rows an image in {sheet.path}"
    if unlike:
        why = f"those of {counted(len(unlike), 'image')} contradict each other, such as of {unlike[0]}: left out"
        facts.append(Fact("rows", where, f"{why}; of others the first counts", "likely"))
    else:
        facts.append(Fact("rows", where, "they say the same: the first counts", "sure"))


def _tell_left(seen: Seen, train: Place, sheet: Sheet, name: Named, read: Read, sets: bool) -> None:
    """Training images that no row names."""
    named = len(set(cells(seen.folder, sheet, name.column))) - name.missing
    if not sets and not name.pattern[0] and train.number > named:
        what = "have empty masks" if read.form == "runs" else "left out"
        seen.facts.append(Fact("without row", f"{train.number - named:,} images in {train.path or '.'}", what, "sure"))


def _tell(seen: Seen, train: Place, sheet: Sheet, name: Named, sets: bool) -> None:
    """What the table is, and why it is taken for that of the training images."""
    why = f"{name.share:.0%} of its {name.column} are {'folders' if sets else 'images'} in {train.path or '.'}"
    if name.drop:
        why += f", without the first {name.drop} folders"
    if name.pattern[0]:
        why = f"{name.column} is put together from paths in {train.path or '.'}"
    if name.before or name.after:
        why += f", called {name.before}…{name.after}"
    if name.odd:
        why += f", if letters' case, suffixes, accents' coding and slashes don't count, as of {name.odd}"
    odd = (
        " (JSON)"
        if sheet.json
        else f" (separated by {sheet.separator!r}, {sheet.encoding}{'' if sheet.header else ', no line of names'})"
    )
    rows = f"{sheet.path}: {rows_of(seen.folder, sheet):,} rows{'' if sheet.plain else odd}"
    seen.facts.append(Fact("table", rows, why, "sure"))
    if name.pattern[0] and name.repeated:
        seen.facts.append(Fact("sets", f"several images a row of {sheet.path}", "paths of one such name", "likely"))
    if sets:
        said = f"{train.number / len(homes(train)):.1f} images a sample, a folder each"
        seen.facts.append(Fact("sets", said, f"{sheet.path} names the folders", "sure"))


def _beside(seen: Seen, sheet: Sheet, name: Named, tests: Sheet, test: Place, shared: Sequence[str]) -> Beside | None:
    """Columns that say something of training and test images alike, as a network can take them."""
    if not (sheet.plain and tests.plain) or name.missing or name.before or name.after:
        return None
    known = named(seen.folder, tests, test.files())
    if known is None or known.missing or known.repeated or known.before or known.after or known.odd or not shared:
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


def _test_names(
    seen: Seen,
    sample: Sample | None,
    tests: Sheet | None,
    files: Sequence[str],
    table: Sheet,
    names: Named,
    others: Sequence[Sheet],
) -> Listed | None:
    """A table whose names are test images that lie among the training images; others: of training images as well."""
    given = [sheet for sheet in seen.tables if sample and sheet.path == sample.path]
    sure = [*([tests] if tests else []), *given]
    known = set(cells(seen.folder, table, names.column)) if not names.pattern[0] else set()
    around = [f"{names.before}{one}{names.after}" for one in known]
    known |= {stem(one) for one in [*known, *around]} | set(around)
    for sheet in [*sure, *(one for one in seen.tables if one not in (*sure, *others, table))]:
        name = named(seen.folder, sheet, files)
        if name and name.share > ENOUGH and not name.before + name.after and not name.missing:
            said = cells(seen.folder, sheet, name.column)
            if sheet not in sure and any(one in known or stem(one) in known for one in said):
                continue
            where, why = f"those that {sheet.path} lists", f"its {name.column} are images beside the training images"
            seen.facts.append(Fact("test images", where, why, "sure"))
            return Listed(sheet, name.column)
    return None
