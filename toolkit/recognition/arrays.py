"""Images that are rows of a file: arrays in .npy, .npz or HDF5, or rows of tables."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.images.array_files import array_files, opened
from toolkit.recognition import pixel_rows, samples
from toolkit.recognition.array_targets import (
    At,
    Seen,
    Shapes,
    called,
    classes_of,
    is_called,
    is_pickled,
    named,
    paths_of,
    targets_of,
    values_in,
    words_of,
)
from toolkit.recognition.columns import shown
from toolkit.recognition.found import Fact, Found, Pictures, Sheet, Source, Sure, Targets
from toolkit.recognition.heads import array_shapes, spread
from toolkit.recognition.listing import ARRAYS, Listing
from toolkit.recognition.sheets import byte_columns
from toolkit.recognition.table_parts import finds, is_test, part_of, pattern_of

MOST_FILES = 60  # that are opened
LEAST_SIDE = 8
CHANNELS = 4  # more are rather a side
IMAGES = {"x", "image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "rgb"}


def found_in(folder: Path, listing: Listing, tables: list[Sheet], wanted: Sequence[str] = ()) -> Found | None:
    """None where no file of the download holds images. wanted: what people say is to be predicted."""
    if not any(byte_columns(folder, one) for one in tables):
        found = _of_arrays(folder, listing, tables, wanted)
        if found and found.targets:  # columns are numbers beside images, and no pixels
            return found
    return pixel_rows.found_in(folder, listing, tables, wanted) or _of_arrays(folder, listing, tables, wanted)


def _of_arrays(folder: Path, listing: Listing, tables: list[Sheet], wanted: Sequence[str]) -> Found | None:
    files = listing.of(ARRAYS)
    shapes: Shapes = {
        (path, key): one for path in files[:MOST_FILES] for key, one in array_shapes(folder / path).items()
    }
    if not shapes:
        return None
    shapes = _joined(shapes, files)
    seen = Seen(folder, tables, shapes, samples.sample_among(folder, tables, ()), wanted)
    turned = _along_last_axis(seen)
    if turned:
        why = "images lie along the last axis, as MATLAB has them: save np.moveaxis(array, -1, 0)"
        return _refused(seen, f"{called(turned)} {shapes[turned][0]}", why)
    pictures = {at: first for at, one in shapes.items() if (first := _channels_first(one[0])) is not None}
    others = [at for at in pictures if not is_called(at)]
    trains = sorted((at for at in others if not is_test(*at)), key=lambda at: _rank(seen, at), reverse=True)
    if not trains or (pictures[trains[0]] and not named(seen, trains[0], list(shapes))):
        paired = _of_pairs(seen, tables)
        if paired:
            return paired
    if not trains:
        said = ", ".join(f"{called(at)} {one[0]}" for at, one in list(shapes.items())[:5])
        return _refused(seen, said, "none is (N, height, width), (N, height, width, channels) or (N, channels, …)")
    train, number, first = trains[0], shapes[trains[0]][0][0], pictures[trains[0]]
    seen.used.add(train)
    rivals = [called(at) for at in trains[1:] if _rank(seen, at) == _rank(seen, train) or _is_part(seen, at, train)]
    why = f"an array {shapes[train][0]}" + (", channels first" if first else "")
    why += f"; so is {shown(rivals)}, which isn't used" if rivals else ""
    sure: Sure = "guess" if rivals else "likely" if first else "sure"
    seen.facts.append(Fact("training images", f"{number:,} in {called(train)}", why, sure))
    tests = _tests(seen, tables, train, {at: pictures[at] for at in others if is_test(*at)})
    targets = targets_of(seen, train)
    source = _source(seen, train, first)
    images = array_files(paths_of(seen, train), train[1], channels_first=first)
    look = pixel_rows.looked(images, number, seen.facts)
    left = [called(at) for at in shapes if at not in seen.used and (at in others or not is_test(*at))]
    left += files[MOST_FILES:]
    if left:
        seen.facts.append(Fact("other arrays", shown(left), "not used", "sure"))
    return Found(folder, tuple(seen.facts), source, tests, None, look, targets, seen.sample)


def _joined(shapes: Shapes, files: Sequence[str]) -> Shapes:
    """With arrays of numbered files, each of which holds some of all of them, as one, whose path is a glob."""
    held: dict[str, dict[str, tuple[int, ...]]] = {}
    for (path, key), (shape, _) in shapes.items():
        held.setdefault(path, {})[key] = shape
    made = dict(shapes)
    for pattern in dict.fromkeys(map(pattern_of, held)):
        paths = [path for path in held if pattern_of(path) == pattern]
        ends = [{key: shape[1:] for key, shape in held[path].items()} for path in paths]
        rows = all(shape for path in paths for shape in held[path].values())
        whole = len(paths) == sum(finds(pattern, path) for path in files) > 1
        if not whole or not rows or len(ends[0]) < 2 or any(one != ends[0] for one in ends):
            continue
        made = {at: one for at, one in made.items() if at[0] not in paths}
        for key, end in ends[0].items():
            made[pattern, key] = ((sum(held[path][key][0] for path in paths), *end), shapes[paths[0], key][1])
    return made


def _is_part(seen: Seen, at: At, train: At) -> bool:
    """Is it called like the training images, but for numbers, and as large?"""
    same = at[1] == train[1] and pattern_of(at[0]) == pattern_of(train[0])
    return same and seen.shapes[at][0][1:] == seen.shapes[train][0][1:]


def _source(seen: Seen, at: At, first: bool, ids: At = ("", "")) -> Source:
    number, parts = seen.shapes[at][0][0], (at[0],) if "*" in at[0] else ()
    return Source("array", at[0], number, key=at[1], ids=ids, channels_first=first, parts=parts)


def _channels_first(shape: tuple[int, ...]) -> bool | None:
    """Of an array (N, h, w), (N, h, w, channels) or (N, channels, h, w); None for another."""
    if not shape or not shape[0]:
        return None
    if len(shape) == 3:
        return False if min(shape[1:]) >= LEAST_SIDE else None
    if len(shape) != 4:
        return None
    last, first = min(shape[1:3]) >= LEAST_SIDE, min(shape[2:]) >= LEAST_SIDE
    if first and (not last or (shape[3] > CHANNELS and shape[1] < shape[2] == shape[3])):
        return True
    return False if last else None


def _rank(seen: Seen, at: At) -> tuple[bool, bool, bool, int]:
    """How likely an array is that of the training images."""
    part = part_of(*at)
    return part == "train", part != "validation", bool(words_of(at) & IMAGES), seen.shapes[at][0][0]


def _along_last_axis(seen: Seen) -> At | None:
    """Images (h, w, N) or (h, w, channels, N) of which there are as many labels, and none are (N, …)."""
    lengths = {max(one[0]) for at, one in seen.shapes.items() if is_called(at) and len(one[0]) in (1, 2)}
    images = {at: one[0] for at, one in seen.shapes.items() if not is_called(at) and len(one[0]) in (3, 4)}
    if any(shape[0] in lengths for shape in images.values()):
        return None
    return next((at for at, shape in images.items() if shape[-1] in lengths), None)


def _refused(seen: Seen, said: str, why: str) -> Found:
    seen.facts.append(Fact("arrays", said, why, "sure"))
    return Found(seen.folder, tuple(seen.facts), sample=seen.sample)


def _tests(seen: Seen, tables: Sequence[Sheet], train: At, tests: dict[At, bool]) -> Source | None:
    """Test images, with the array that has the sample's ids, where there is one."""
    shapes = seen.shapes
    test = max(tests, key=lambda at: (shapes[at][0][1:] == shapes[train][0][1:], shapes[at][0][0]), default=None)
    if test is None:
        seen.facts.append(samples.fact_of(seen.sample))
        return None
    ids, doubt = _ids(seen, tables, shapes[test][0][0], shapes[train][0][0])
    why = f"an array {shapes[test][0]}" + (f"; {doubt}" if doubt else "")
    fact = Fact("test images", f"{shapes[test][0][0]:,} in {called(test)}", why, "guess" if doubt else "sure")
    seen.facts.append(fact)
    seen.used.add(test)
    return _source(seen, test, tests[test], ids)


def _ids(seen: Seen, tables: Sequence[Sheet], number: int, trains: int) -> tuple[At, str]:
    """The array that has the sample's ids of so many test images, and why that is in doubt. trains: of training
    images, to which an array may belong as well.
    """
    parts = ("test",) if number == trains else ("test", "")
    names: dict[str, At] = {}
    said: dict[str, list[str]] = {}
    for at, (shape, kind) in sorted(seen.shapes.items(), key=lambda one: not is_test(*one[0])):
        if shape == (number,) and part_of(*at) in parts and not is_pickled(at, kind) and kind.kind in "iuSUO":
            values = values_in(seen, at).astype(str).tolist()
            if len(set(values)) == number:
                names[called(at)], said[called(at)] = at, values
    seen.sample, name, doubt = samples.naming(seen.folder, tables, said)
    seen.facts.append(samples.fact_of(seen.sample, name))
    seen.used |= {names[name]} if name else set()
    return names.get(name, ("", "")), doubt


def _of_pairs(seen: Seen, tables: Sequence[Sheet]) -> Found | None:
    """An array (N, 2, height, width) of images and their masks."""
    shapes, facts = seen.shapes, seen.facts
    known = [(at, one[0]) for at, one in shapes.items() if "*" not in at[0] and len(one[0]) == 4]
    pairs = [at for at, shape in known if shape[1] == 2 and min(shape[2:]) >= LEAST_SIDE]
    train = max((at for at in pairs if not is_test(*at)), key=lambda at: shapes[at][0][0], default=None)
    if train is None:
        return None
    number, _, height, width = shapes[train][0]
    rows = opened(seen.folder / train[0], train[1])
    some = [np.asarray(rows[int(row)]) for row in spread(list(map(str, range(number))), 32)]
    found = classes_of(np.unique(np.stack([pair[1] for pair in some])))
    high = max(float(pair[0].max()) for pair in some)
    if found is None or high > 255 or min(float(pair[0].min()) for pair in some) < 0:
        return None
    what = f"{number:,} in {called(train)}"
    facts.append(Fact("training images", what, f"an array {shapes[train][0]}: an image and its mask each", "likely"))
    facts.append(Fact("images", f"{height} x {width}, 1 channels", f"{len(some)} rows, values up to {high:g}", "sure"))
    names, stand, said = found
    facts.append(
        Fact("targets", f"one of {len(names)} classes a pixel", f"the second of each pair is of {said}", "likely")
    )
    shaped = {(number, height, width)[1:]: (), (1, height, width): (1,)}
    tests = None
    for at, one in shapes.items():
        if is_test(*at) and one[0][1:] in shaped and tests is None:
            ids, doubt = _ids(seen, tables, one[0][0], number)
            tests = Source("array", at[0], one[0][0], key=at[1], shape=shaped[one[0][1:]], ids=ids)
            why = f"an array {one[0]}" + (f"; {doubt}" if doubt else "")
            facts.append(Fact("test images", f"{tests.number:,} in {called(at)}", why, "guess" if doubt else "sure"))
    if tests is None:
        facts.append(samples.fact_of(seen.sample))
    source = Source("pairs", train[0], number, key=train[1])
    look = Pictures(height, width, False, 1)
    targets = Targets("masks", names, "pairs", train[0], values=stand)
    return Found(seen.folder, tuple(facts), source, tests, None, look, targets, seen.sample)
