"""A download, recognised: where its images are, what is said of them, and what is handed in."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.recognition import arrays, masks, samples, untabled
from toolkit.recognition.found import Fact, Found, Sample, Source
from toolkit.recognition.listing import PACKED, Place, homes, joined, listed, places, suffix_of
from toolkit.recognition.seen import Seen, glob_of, is_mixed, looked_at, origin_of, source_of, told
from toolkit.recognition.sheets import sheets
from toolkit.recognition.tabled import of_table, training_table


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
    notes = listing.of({".json"})
    if notes:
        more = f" and {len(notes) - 3:,} more" if len(notes) > 3 else ""
        said = "not looked into; where it says what images show, write `load` by hand"
        seen.facts.append(Fact("JSON", f"{', '.join(notes[:3])}{more}", said, "sure"))
    return replace(found, facts=(*found.facts, *seen.facts), metric=metric, packed=packed)


def _of_files(seen: Seen) -> Found:
    """Of images that are files of their own."""
    paired = _masks(seen)
    train, test = _train_and_test(seen)
    if train is None:
        return Found(seen.folder, ())
    tests = test.files() if test else []
    sample = _sample(seen, [*(tests or train.files()), *(homes(test) if test else [])])
    table = training_table(seen, train.files(), sample)
    sets = table is None and bool(homes(train))
    if sets:
        table = training_table(seen, homes(train), sample)
    found = Found(seen.folder, (), sample=sample)
    if table:
        return of_table(seen, found, train, test, *table, sets)
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
