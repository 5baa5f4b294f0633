"""A download, recognised: where its images are, what is said of them, and what is handed in."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.data.tables import table_arrays, table_of
from toolkit.errors import UserError
from toolkit.recognition import arrays, columns, masks, samples, untabled
from toolkit.recognition.columns import Named
from toolkit.recognition.found import Beside, Fact, Found, Sample, Sheet, Source, Targets
from toolkit.recognition.heads import pictures_of
from toolkit.recognition.listing import (
    PACKED,
    Listing,
    Place,
    Role,
    homes,
    joined,
    listed,
    places,
    suffix_of,
    without,
    words,
)
from toolkit.recognition.sheets import cells, rows_of, sheets

ENOUGH = 0.5  # of a table's names that are images


@dataclass
class Seen:
    """What is known so far."""

    listing: Listing
    tables: list[Sheet]
    places: dict[Role, Place]
    facts: list[Fact] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.listing.folder


def recognise(folder: Path) -> Found:
    """What lies in a download. Nothing is decoded but a few images, no file is read but tables and heads.

    UserError where the folder is none, or empty.
    """
    listing = listed(folder)
    seen = Seen(listing, sheets(listing), places(listing))
    found = arrays.found_in(seen.folder, listing, seen.tables) if not listing.folders else None
    if found is None:
        found = _of_files(seen)
    metric, text = samples.metric_said(listing)
    if metric:
        seen.facts.append(Fact("metric", metric, f"{text} names it", "likely"))
    packed = tuple(listing.of(PACKED - {".zip"}) + [p for p in listing.of({".zip"}) if suffix_of(p) == ".zip"])
    if packed:
        more = f" and {len(packed) - 3:,} more" if len(packed) > 3 else ""
        seen.facts.append(Fact("packed", f"{', '.join(packed[:3])}{more}", "not looked into; unpack it first", "sure"))
    return replace(found, facts=(*found.facts, *seen.facts), metric=metric, packed=packed)


def _of_files(seen: Seen) -> Found:
    """Of images that are files of their own."""
    paired = _masks(seen)
    train, test = _train_and_test(seen)
    if train is None:
        return Found(seen.folder, ())
    tests = test.files() if test else []
    sample = _sample(seen, [*(tests or train.files()), *(homes(test) if test else [])])
    table = _training_table(seen, train.files(), sample)
    sets = table is None and bool(homes(train))
    if sets:
        table = _training_table(seen, homes(train), sample)
    found = Found(seen.folder, (), sample=sample)
    if table:
        return _of_table(seen, found, train, test, *table, sets)
    return _of_places(seen, found, train, test, paired)


def _masks(seen: Seen) -> masks.Paired | None:
    """Masks beside images; a folder that is called so but doesn't pair is one of images."""
    own = seen.places.pop("masks", None)
    called = "train" in seen.places
    others = [place for role, place in seen.places.items() if role != "test" and (role == "train" or not called)]
    if own is not None:
        images = joined("train", others) if others else None
        paired = masks.paired(images, own) if images else None
        if paired or images:
            return paired
        for folder, names in own.folders.items():
            seen.places["train"] = joined(
                "train",
                [*([seen.places["train"]] if "train" in seen.places else []), Place("train", folder, {folder: names})],
            )
        return None
    return masks.in_same_folder(joined("train", others)) if others else None


def _train_and_test(seen: Seen) -> tuple[Place | None, Place | None]:
    found, facts = seen.places, seen.facts
    test = found.get("test")
    train = found.get("train") or found.get("other") or found.get("validation")
    if train is None and test is not None:
        facts.append(Fact("test images", f"{test.number:,} in {test.path or '.'}", "there are no others", "sure"))
        return None, test
    if train is None:
        return None, None
    for role in ("other", "validation"):
        left = found.get(role)
        if left is not None and left is not train:
            where = f"{left.number:,} images in {left.path or '.'}"
            facts.append(
                Fact("not used", where, "beside those in a folder called train; add them to `load`", "likely")
            )
    return train, test


def _sample(seen: Seen, tests: Sequence[str]) -> Sample | None:
    sample = samples.sample_among(seen.folder, seen.tables, tests)
    if sample:
        seen.facts.append(samples.fact_of(sample))
        return sample
    seen.facts.append(Fact("sample submission", "none", "no table is called sample_submission or so", "sure"))
    return None


def _training_table(seen: Seen, files: Sequence[str], sample: Sample | None) -> tuple[Sheet, Named] | None:
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


def _of_table(
    seen: Seen, found: Found, train: Place, test: Place | None, sheet: Sheet, name: Named, sets: bool
) -> Found:
    """Targets are written in a table of the images' names, or of folders whose images are one sample."""
    folder, facts = seen.folder, seen.facts
    why = f"{name.share:.0%} of its {name.column} are {'folders' if sets else 'images'} in {train.path or '.'}"
    if sets:
        each = train.number / len(homes(train))
        facts.append(
            Fact("sets", f"{each:.1f} images a sample, a folder each", f"{sheet.path} names the folders", "sure")
        )
    if name.drop:
        why += f", without the first {name.drop} folders"
    if name.before or name.after:
        why += f", called {name.before}…{name.after}"
    odd = (
        ""
        if sheet.plain
        else f" (separated by {sheet.separator!r}, {sheet.encoding}" + (")" if sheet.header else ", no line of names)")
    )
    facts.append(Fact("table", f"{sheet.path}: {rows_of(folder, sheet):,} rows{odd}", why, "sure"))
    others = [one for one in sheet.columns if one != name.column and not one.startswith("Unnamed")]
    group, said = columns.group_of(folder, sheet, others)
    split = columns.split_of(folder, sheet, others)
    tests = _test_table(seen, sheet)
    shared = set(tests.columns) if tests and len(tests.columns) > 1 else set()
    free = [one for one in others if one not in shared | {group, *(split or ())[:1]}]
    read = columns.targets(folder, sheet, [one for one in free if not _are_files(sheet, one, train)], found.sample)
    if group:
        facts.append(Fact("groups", group, said, "likely"))
    if read is None:
        return replace(found, images=_source(seen, train), pictures=_pictures(seen, train.files()))
    facts.append(columns.fact_of(read, sheet))
    unused = tuple(one for one in others if one not in (*read.columns, group) and not (split and one == split[0]))
    beside = None
    if test and not sets and tests and sheet.plain and tests.plain and not (name.missing or name.before or name.after):
        beside = _beside(seen, sheet, name, tests, test, [one for one in unused if one in shared])
    left = [one for one in unused if beside is None or one not in beside.columns]
    if left and read.form != "runs":
        facts.append(Fact("other columns", ", ".join(left[:8]), "not used", "sure"))
    missing = name.missing if (test is not None or split) and not sets else 0
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
    )
    if missing:
        facts.append(Fact("without image", f"{missing:,} rows of {sheet.path}", "left out", "sure"))
    test_names = None if test else _test_names(seen, found.sample, tests, train.files())
    source = _source(seen, train)
    if test_names:
        listed_in, column = test_names
        where = f"those that {listed_in.path} lists"
        facts.append(Fact("test images", where, f"its {column} are images beside the training images", "sure"))
    return replace(
        found,
        images=source,
        test=_test_source(seen, test),
        test_names=test_names,
        targets=made,
        pictures=_pictures(seen, train.files()),
    )


def _beside(seen: Seen, sheet: Sheet, name: Named, tests: Sheet, test: Place, shared: Sequence[str]) -> Beside | None:
    """Columns that say something of training and test images alike, as a network can take them."""
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
    seen.facts.append(Fact("table beside", ", ".join(usable[:8]), why, "likely"))
    suffixed = any(suffix_of(cell) in _suffixes(test) for cell in tests.head[known.column])
    return Beside(tuple(usable), tests.path, known.column, suffixed)


def _are_files(sheet: Sheet, column: str, train: Place) -> bool:
    """Do its cells name files, such as paths of masks?"""
    filled = [cell for cell in sheet.head[column] if cell]
    return bool(filled) and all("." in cell and suffix_of(cell) in _suffixes(train) for cell in filled)


def _suffixes(place: Place) -> set[str]:
    return {suffix_of(names[0]) for names in place.folders.values()}


def _test_names(
    seen: Seen, sample: Sample | None, tests: Sheet | None, files: Sequence[str]
) -> tuple[Sheet, str] | None:
    """A table whose names are test images that lie among the training images."""
    given = [sheet for sheet in seen.tables if sample and sheet.path == sample.path]
    for sheet in [*([tests] if tests else []), *given]:
        name = columns.named(seen.folder, sheet, files)
        if name and name.share > ENOUGH and not name.before + name.after:
            return sheet, name.column
    return None


def _of_places(seen: Seen, found: Found, train: Place, test: Place | None, paired: "masks.Paired | None") -> Found:
    """Targets are masks, or say themselves where or how images are called."""
    facts = seen.facts
    if paired:
        train = paired.images
        made, more = masks.targets(seen.folder, paired)
        facts += more
    else:
        made, fact = untabled.targets(train)
        facts.append(fact)
    source = None if made and made.where == "folders" and _mixed(seen, train) else _source(seen, train)
    if source and paired and paired.together:
        source = replace(source, glob=_glob(train), without=paired.after)
    if source is None:
        source = _told(seen, Source("files", "*", train.number), train)
    return replace(
        found, images=source, test=_test_source(seen, test), targets=made, pictures=_pictures(seen, train.files())
    )


def _mixed(seen: Seen, place: Place) -> bool:
    """Are there other images below the folder that holds these?"""
    inside = f"{place.path}/" if place.path else ""
    below = [folder for folder in seen.listing.folders if folder == place.path or folder.startswith(inside)]
    return len(below) > len(place.folders)


def _source(seen: Seen, place: Place) -> Source:
    glob = _glob(place) if _mixed(seen, place) else ""
    return _told(seen, Source("files", place.path, place.number, glob), place)


def _glob(place: Place) -> str:
    """What finds these images alone: the parts of their folders' paths that are equal, and `*` for others."""
    levels = zip(*(folder.split("/") for folder in place.folders), strict=False)
    parts = [level[0] if len(set(level)) == 1 else "*" for level in levels]
    suffixes = _suffixes(place)
    return "/".join([*filter(None, parts), f"*{suffixes.pop()}" if len(suffixes) == 1 else "*.*"])


def _told(seen: Seen, source: Source, place: Place) -> Source:
    inside = f" in {len(place.folders):,} folders" if len(place.folders) > 1 else ""
    facts = {"test": "test images"}.get(place.role, "training images")
    why = "a folder called so" if place.role in ("train", "test") else "no folder is called train"
    sure = "sure" if place.role in ("train", "test") else "likely"
    where = f"{place.number:,} in {place.path or 'the folder itself'}{inside}"
    seen.facts.append(Fact(facts, where, why, sure))  # type: ignore[arg-type]
    return source


def _test_source(seen: Seen, test: Place | None) -> Source | None:
    return None if test is None else _source(seen, without(test, ()))


def _pictures(seen: Seen, files: Sequence[str]):  # type: ignore[no-untyped-def]
    made, how = pictures_of(seen.folder, files)
    if made is None:
        seen.facts.append(Fact("images", "unreadable", how, "sure"))
        return None
    depth = "" if made.values is None else f", more than 8 bits from {made.values[0]:g} to {made.values[1]:g}"
    size = f"{'median ' if made.differ else ''}{made.height} x {made.width}"
    colours = {1: "grey", 3: "colour"}.get(made.channels, f"{made.channels} channels")
    seen.facts.append(Fact("images", f"{size}, {colours}{depth}", how, "sure"))
    return made
