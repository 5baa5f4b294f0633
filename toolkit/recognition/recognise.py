"""A download, recognised: where its images are, what is said of them, and what is handed in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.formats.sample_file import PARQUET
from toolkit.recognition import arrays, masks, samples, untabled
from toolkit.recognition.found import Fact, Found, Sample, Source
from toolkit.recognition.in_paths import table_in_paths
from toolkit.recognition.listing import (
    JSON,
    Place,
    channels_of,
    homes,
    joined,
    listed,
    of_first_channel,
    places,
    stem,
    tops,
    without,
)
from toolkit.recognition.packed import packed_in
from toolkit.recognition.seen import Seen, glob_of, is_mixed, looked_at, origin_of, source_of, told
from toolkit.recognition.sheets import cells, sheets
from toolkit.recognition.tabled import of_table, training_table, validated


def recognise(folder: Path, targets: Sequence[str] = ()) -> Found:
    """What lies in a download. Nothing is decoded but a few images, no file is read but tables and heads.

    targets: columns that are to be predicted, where people name them.

    UserError where the folder is none, or empty.
    """
    listing = listed(folder)
    seen = Seen(listing, sheets(listing), places(listing), wanted=tuple(targets))
    found = arrays.found_in(seen.folder, listing, seen.tables) if not listing.folders else None
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
        sets = table is not None and not table[1].repeated
        table = table if sets else None
    table = table or table_in_paths(seen, train.files(), sample)
    found = Found(seen.folder, (), sample=sample)
    if table:
        train, name, others = validated(seen, train, *table)
        made = of_table(seen, found, train, test, table[0], name, sets, others)
    else:
        made = _of_places(seen, found, train, test, paired)
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
        if paired or images:
            return paired
        for folder, names in own.folders.items():
            seen.places["train"] = joined(
                "train",
                [*([seen.places["train"]] if "train" in seen.places else []), Place("train", folder, {folder: names})],
            )
        return None
    return masks.in_same_folder(joined("train", others)) if others else None


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
        made = replace(made, origin=origin_of(seen, train.files())) if made else None
    else:
        made, fact = untabled.targets(train)
        facts.append(fact)
        also = seen.places.get("validation")
        if also is not None and also is not train and made and made.where == "folders" and not is_mixed(seen, train):
            other, _ = untabled.targets(also)
            if other and other.names == made.names:
                both = told(
                    seen, Source("files", "", train.number + also.number, parts=(train.path, also.path)), train
                )
                said = f"{also.number:,} in {also.path}"
                facts.append(Fact("validation images", said, "the same folders: used with those of training", "sure"))
                tests = source_of(seen, test) if test else None
                return replace(found, images=both, test=tests, targets=made, pictures=looked_at(seen, train.files()))
    if made and made.where == "homes":
        told_as = "groups"
        if test and found.sample and set(_ids_of(seen, found.sample)) <= set(tops(test)):
            made, told_as = replace(made, sets=True), "sets"
        why = f"{train.number / len(homes(train)):.1f} images each"
        facts.append(Fact(told_as, "the folders", why, "likely"))
    source = None if made and made.where == "folders" and is_mixed(seen, train) else source_of(seen, train)
    if source and paired and paired.together:
        source = replace(source, glob=glob_of(train), without=paired.after)
    if source is None:
        source = told(seen, Source("files", "*", train.number), train)
    return replace(
        found,
        images=source,
        test=source_of(seen, test) if test else None,
        targets=made,
        pictures=looked_at(seen, train.files()),
    )
