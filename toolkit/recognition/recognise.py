"""A download, recognised: where its images are, what is said of them, and what is handed in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.formats.sample_file import PARQUET
from toolkit.recognition import arrays, masks, samples, untabled
from toolkit.recognition.found import Fact, Found, Sample, Sheet, Source, Targets
from toolkit.recognition.heads import spread
from toolkit.recognition.image_names import Known, of_no_image, without_titles
from toolkit.recognition.in_paths import table_in_paths
from toolkit.recognition.listing import (
    JSON,
    Place,
    channels_of,
    common,
    copied,
    homes,
    is_called_masks,
    joined,
    listed,
    of_first_channel,
    places,
    role_of,
    stem,
    tops,
    without,
)
from toolkit.recognition.mask_values import values_of
from toolkit.recognition.packed import packed_in
from toolkit.recognition.seen import Seen, glob_of, is_mixed, looked_at, mixed_suffixes, origin_of, source_of, told
from toolkit.recognition.sheets import cells, sheets
from toolkit.recognition.tabled import of_table, training_table, validated

LOOKED_AT = 6  # images, for what they show
SEVERAL = 64  # values of pixels, which masks seldom have


def recognise(folder: Path, targets: Sequence[str] = ()) -> Found:
    """What lies in a download. Nothing is decoded but a few images, no file is read but tables and heads.

    targets: columns that are to be predicted, where people name them.

    UserError where the folder is none, or empty.
    """
    listing = listed(folder)
    known = Known(listing.images())
    tables = [without_titles(folder, sheet, known) for sheet in sheets(listing)]
    seen = Seen(listing, tables, places(listing), wanted=tuple(targets))
    found = arrays.found_in(seen.folder, listing, seen.tables, seen.wanted) if not listing.folders else None
    if found is None:
        found = _of_files(seen)
    metric, text = samples.metric_said(listing)
    if metric:
        seen.facts.append(Fact("metric", metric, f"{text} names it", "likely"))
    packed = tuple(packed_in(listing))
    if packed:
        more = f" and {len(packed) - 3:,} more" if len(packed) > 3 else ""
        seen.facts.append(
            Fact("packed", f"{', '.join(packed[:3])}{more}", "not looked into; --unpack unpacks it first", "sure")
        )
    notes = [path for path in listing.of(JSON) if path not in {sheet.path for sheet in seen.tables}]
    if notes:
        more = f" and {len(notes) - 3:,} more" if len(notes) > 3 else ""
        said = "no table of images; where it says what images show, write `load` by hand"
        seen.facts.append(Fact("JSON", f"{', '.join(notes[:3])}{more}", said, "sure"))
    return replace(found, facts=(*found.facts, *seen.facts), metric=metric, packed=packed)


def _of_files(seen: Seen) -> Found:
    """Of images that are files of their own."""
    own = seen.places.get("masks")
    paired = _masks(seen)
    train, test = _train_and_test(seen)
    if train is None:
        return Found(seen.folder, ())
    tests = test.files() if test else []
    sample = _sample(seen, tests or train.files(), tops(test) if test else [])
    if test is None and sample and (parts := _by_sample(seen, train, sample)):
        train, test = parts
        paired = _paired_again(train, own) or paired
        seen.places = {role: place for role, place in seen.places.items() if role not in ("other", "validation")}
        seen.places |= {"train": train, "test": test}
        seen.facts.pop()
        sample = _sample(seen, test.files(), tops(test))
    elif test is None and sample and (test := _beside_training(seen, train, sample)):
        seen.places["test"] = test
        seen.facts.pop()
        sample = _sample(seen, test.files(), tops(test))
    table = training_table(seen, train.files(), sample)
    marks = channels_of(train) if table is None or table[1].after else ()
    if marks:
        train, test = of_first_channel(train, marks), of_first_channel(test, marks) if test else None
        why = f"each image has a file of each, such as {train.files()[0]}"
        seen.facts.append(Fact("channels", f"{len(marks)} files an image: {', '.join(marks)}", why, "likely"))
        table = training_table(seen, train.files(), sample)
    sets = table is None and bool(homes(train))
    if sets:
        table = training_table(seen, homes(train), sample)
        sets = table is not None and not table[1].repeated and not table[1].odd
        table = table if sets else None
    table = table or table_in_paths(seen, train.files(), sample)
    found = Found(seen.folder, (), sample=sample)
    if table:
        whole, name, others = validated(seen, train, *table)
        made = of_table(seen, found, whole, test, table[0], name, sets, others)
        train = whole if made.targets else train
    if not table or not made.targets:
        made = _of_places(seen, found, train, test, paired)
    if own and not paired and not any({*own.folders} & {*place.folders} for place in seen.places.values()):
        where, why = f"{own.number:,} images in {own.path or '.'}", "called like masks, but they fit no images' names"
        seen.facts.append(Fact("not used", where, why, "likely"))
    left = [place for role, place in seen.places.items() if role in ("other", "validation") and not _used(place, made)]
    for place in left:
        if place is not train:
            where = f"{place.number:,} images in {place.path or '.'}"
            seen.facts.append(Fact("not used", where, "beside those of training; add them to `load`", "likely"))
    return with_channels(made, marks) if marks else made


def _ids_of(seen: Seen, sample: Sample) -> list[str]:
    (sheet,) = (one for one in seen.tables if one.path == sample.path)
    return [str(one) for one in cells(seen.folder, sheet, sample.columns[0])]


def _by_sample(seen: Seen, train: Place, sample: Sample) -> tuple[Place, Place] | None:
    """Folders of which the sample names the images, or that it names itself, are test images; None where none are."""
    tests = _named_by(seen, train, sample)
    if not tests or len(tests) == len(train.folders):
        return None
    rest = [folder for folder in train.folders if folder not in set(tests)]
    left, chosen = without(train, tests), without(train, rest)
    return Place("train", left.path, left.folders), Place("test", chosen.path, chosen.folders)


def _beside_training(seen: Seen, train: Place, sample: Sample) -> Place | None:
    """Test images in folders of other names than training images, `evaluation` or so; they are no others then."""
    for role in ("other", "validation"):
        place = seen.places.get(role)
        if place is None or place is train or not (tests := _named_by(seen, place, sample)):
            continue
        left = without(place, tests)
        seen.places[role] = left
        if not left.folders:
            del seen.places[role]
        chosen = without(place, left.folders)
        return Place("test", chosen.path, chosen.folders)
    return None


def _named_by(seen: Seen, place: Place, sample: Sample) -> list[str]:
    """Folders of a place that the sample names, or whose images it names; none where it names others for the most."""
    ids = set(_ids_of(seen, sample))
    ids |= {stem(one) for one in ids}
    tests = [
        folder
        for folder, names in place.folders.items()
        if folder.rpartition("/")[2] in ids or all(stem(name) in ids for name in names)
    ]
    named = {name for one in tests for name in (one.rpartition("/")[2], *map(stem, place.folders[one]))}
    return tests if sum(one in named for one in ids) >= len(ids) / 2 else []


def _used(place: Place, found: Found) -> bool:
    """Are images of that place among the training images?"""
    source = found.images
    return source is not None and (place.path == source.path or place.path in source.parts or bool(source.glob))


def with_channels(found: Found, marks: Sequence[str]) -> Found:
    """With images that have a file a channel."""
    images, test, pictures = found.images, found.test, found.pictures
    assert images is not None
    tests = None if test is None else replace(test, channels=tuple(marks), glob="")
    channels = None if pictures is None else replace(pictures, channels=pictures.channels * len(marks))
    return replace(found, images=replace(images, channels=tuple(marks), glob=""), test=tests, pictures=channels)


def _masks(seen: Seen) -> masks.Paired | None:
    """Masks beside images; a folder that is called so but doesn't pair is one of images."""
    own = seen.places.pop("masks", None)
    called = "train" in seen.places
    others = [place for role, place in seen.places.items() if role != "test" and (role == "train" or not called)]
    if own is not None:
        images = joined("train", others) if others else None
        more = seen.places.get("validation") if called else None
        paired = masks.paired(joined("train", [*others, more]), own) if more else None
        paired = paired or (masks.paired(images, own) if images else None)
        if paired and (paired.fault or _fits(paired)):
            return paired
        if images and not _are_images(seen, own, images):
            return None
        for folder, names in own.folders.items():
            role = role_of(folder, seen.listing.folders, masks=False)
            there = [seen.places[role]] if role in seen.places else []
            seen.places[role] = joined(role, [*there, Place(role, folder, {folder: names})])
        return _masks(seen)
    return masks.in_same_folder(joined("train", others)) if others else None


def _fits(paired: masks.Paired) -> bool:
    """Has each image a mask of its own, and none that others have, too?"""
    return paired.many or 0.9 * paired.images.number <= paired.masks.number


def _are_images(seen: Seen, place: Place, images: Place) -> bool:
    """Does it show what these images show, in a folder that may be one of several classes?"""
    folders = seen.listing.folders
    for folder in place.folders:
        above = folder.rpartition("/")[0]
        beside = [one for one in folders if one != folder and one.rpartition("/")[0] == above]
        if is_called_masks(folder) and len(beside) < 2:
            return False
    shown, other = (values_of(seen.folder, spread(each.files(), LOOKED_AT)) for each in (place, images))
    return len(shown.values) > SEVERAL and shown.colours == other.colours


def _tables(seen: Seen, sample: Sample | None) -> list[Sheet]:
    """Of training images, perhaps."""
    found = [one for one in seen.tables if not samples.is_sample(one) and (sample is None or one.path != sample.path)]
    return [one for one in found if "test" not in one.path.rpartition("/")[2].lower()]


def _with_validation(seen: Seen, found: Found, train: Place, also: Place, made: Targets) -> Found | None:
    """With images for validation, whose folders say the same; None where they don't."""
    other, _ = untabled.targets(also, found.sample)
    if other is None or replace(other, path=made.path) != made or (made.where == "folders" and is_mixed(seen, train)):
        return None
    if made.where == "folders":
        parts = train.path, also.path
        both = told(seen, Source("files", "", train.number + also.number, parts=parts), train)
    else:
        place = joined("train", [train, also])
        deeper, same = (len(Path(one.path).parts) - len(Path(place.path).parts) for one in (train, also))
        if deeper != same:
            return None
        both = source_of(seen, place)
        levels = tuple(level + deeper for level in made.levels)
        made = replace(made, path=place.path, level=made.level + deeper, levels=levels)
    said = f"{also.number:,} in {also.path}"
    seen.facts.append(Fact("validation images", said, "the same folders: used with those of training", "sure"))
    return replace(found, images=both, targets=made)


def _paired_again(train: Place, own: Place | None) -> masks.Paired | None:
    """Masks of the training images alone, without test images that lay among them."""
    if own is None:
        return masks.in_same_folder(train)
    return None if set(own.folders) & set(train.folders) else masks.paired(train, own)


def _train_and_test(seen: Seen) -> tuple[Place | None, Place | None]:
    found, facts = seen.places, seen.facts
    test = found.get("test")
    train = found.get("train") or found.get("other") or found.get("validation")
    if train is None and test is not None:
        facts.append(Fact("test images", f"{test.number:,} in {test.path or '.'}", "there are no others", "sure"))
        return None, test
    if train is None:
        return None, None
    return train, test


def _sample(seen: Seen, tests: Sequence[str], homes: Sequence[str]) -> Sample | None:
    sample = samples.sample_among(seen.folder, seen.tables, tests, homes)
    if sample:
        seen.facts.append(samples.fact_of(sample))
        return sample
    other = next((one.path for one in seen.tables if PARQUET.search(one.path)), "")
    why = (
        "Parquet, which isn't followed: write it by write_parquet"
        if other
        else "no table is called sample_submission or so"
    )
    seen.facts.append(Fact("sample submission", other or "none", why, "sure"))
    return None


def _of_places(seen: Seen, found: Found, train: Place, test: Place | None, paired: "masks.Paired | None") -> Found:
    """Targets are masks, or say themselves where or how images are called."""
    facts = seen.facts
    if paired:
        train = paired.images
        made, more = masks.targets(seen.folder, paired)
        facts += more
        made = replace(made, origin=origin_of(seen, train.files())) if made and not made.origins else made
    else:
        if again := copied(train):
            train = without(train, again)
            where, why = f"{len(again):,} folders in {common(again)}", "the same folders and files once more"
            facts.append(Fact("not used", where, why, "sure"))
        made, told_of = untabled.targets(train, found.sample)
        if unlike := of_no_image(_tables(seen, found.sample), seen.listing.images()):
            why = f"but {unlike[0].path} names images that aren't here, such as {unlike[1]}"
            told_of = [replace(one, why=f"{one.why}; {why}", sure="guess") for one in told_of]
        facts += told_of
        also = seen.places.get("validation")
        if also is not None and also is not train and made and made.where in ("folders", "levels"):
            both = _with_validation(seen, found, train, also, made)
            if both is not None:
                tests = source_of(seen, test) if test else None
                return replace(both, test=tests, pictures=looked_at(seen, train.files()))
    if made and made.where == "homes":
        told_as = "groups"
        if test and found.sample and set(_ids_of(seen, found.sample)) <= set(tops(test)):
            made, told_as = replace(made, sets=True), "sets"
        why = f"{train.number / len(homes(train)):.1f} images each"
        facts.append(Fact(told_as, "the folders", why, "likely"))
    source = None if made and made.where == "folders" and is_mixed(seen, train) else source_of(seen, train)
    if test and paired and paired.together and masks.in_same_folder(test):
        why = "they lie beside test images, and `load` has to leave them out"
        facts.append(Fact("not told apart", f"masks in {test.path or '.'}", why, "guess"))
    if source and paired and paired.together:
        source = replace(source, glob=source.glob or glob_of(train), suffixes=mixed_suffixes(train))
    if source is None:
        source = told(seen, Source("files", "*", train.number), train)
    return replace(
        found,
        images=source,
        test=source_of(seen, test) if test else None,
        targets=made,
        pictures=looked_at(seen, train.files()),
    )
