"""A folder in the organisers' layout whose test images are training images: what a notebook meets on the hidden test.

They are called otherwise than the visible ones, by names of the same pattern, and are of another number; tables that
name test images have these names, in another order. All else is linked to.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os.path import basename, splitext
from pathlib import Path

import numpy as np

from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, Samples
from toolkit.data.origin import loaded
from toolkit.errors import UserError, listed
from toolkit.formats.sample_file import samples_in
from toolkit.images.channel_files import files_of
from toolkit.images.files import ImageFiles
from toolkit.images.places import Places
from toolkit.notebooks.new_names import Names, NotTried, array_names, exchanged, new_texts, texts_of
from toolkit.notebooks.renamed_arrays import changed_arrays, is_of_arrays
from toolkit.notebooks.renamed_tables import tables_in, written_tables


@dataclass(frozen=True)
class Renamed:
    """rows: int64 (n,), the training samples that the test images are, or pictures where masks have their sizes; ids:
    (n,), what they are called now. Both in the order in which `load` has them in the folder.
    """

    rows: np.ndarray
    ids: np.ndarray


def renamed_folder(
    competition: Competition, raw: Path, data: Dataset | Samples, rows: np.ndarray, folder: Path, seed: int = 0
) -> Renamed:
    """Make the new `folder`; rows: int64 (n,), the training samples (or pictures) that become its test images.

    raw: the organisers' files, of which `data` was loaded. NotTried where their layout is none that can be changed in
    this way; UserError where the competition can't load what was made.
    """
    rng = np.random.default_rng(seed)
    as_loaded = data.as_dataset(raw) if isinstance(data, Samples) else data
    if as_loaded.sets is not None:
        raise NotTried("samples are sets of images")
    if is_of_arrays(data):
        names = array_names(as_loaded, rows, rng)
        changed = changed_arrays(raw, data, rows, names, folder)
    else:
        assert isinstance(data, Samples)
        names, changed = _renamed_files(raw, data, as_loaded, rows, folder, rng)
    tables = tables_in(raw)
    changed |= written_tables(raw, tables, names, folder, rng, beside=as_loaded.table is not None)
    packed = next((one.name for one in samples_in(raw) if one.relative_to(raw).as_posix() not in changed), None)
    if packed is not None and (competition.form is not None or competition.follows_sample):
        raise NotTried(f"in {packed} test images aren't found by their names")
    link_others(raw, folder, changed)
    return _read_back(competition, folder, names)


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
        raise NotTried("a test id stands for several files")
    old = [texts_of(one, path) for one, path in zip(called, visible, strict=True)]
    if len({len(texts) for texts in old}) > 1:  # for some the file is called as the id says, for others not
        old = [(texts[0], splitext(basename(path))[0]) for texts, path in zip(old, visible, strict=True)]
    taken = {splitext(basename(path))[0] for path in (*visible, *map(str, pictures))}
    taken |= {text for texts in old for text in texts}
    like = rng.permutation(np.resize(rng.permutation(len(visible)), len(rows)))
    made = new_texts(old, like, taken, rng)
    spelt = _spelt(visible, [texts[-1] for texts in old])
    for at, source in enumerate(sources):
        path = visible[like[at]]
        for text, other in zip(old[like[at]], made[at], strict=True):
            path = exchanged(path, text, other)
        *folders, name = path.split("/")
        for depth, part in spelt.items():
            folders[depth] = made[at][-1][part]
        files = _files_of("/".join([*folders, name]), tests), _files_of(str(source), train)
        for made_of, file in zip(*files[::-1], strict=True):
            _link(Path(made_of), folder / file)
    new_ids = np.array([texts[0] for texts in made])
    if ids is not None and ids.dtype.kind in "iu":
        new_ids = new_ids.astype(ids.dtype)
    of = [splitext(path.name)[0] for path in sources]
    return Names(old, made, like, of, new_ids, rows), {file for path in visible for file in _files_of(path, tests)}


def _files_of(path: str, images: ImageFiles) -> list[str]:
    """All files of an image, of which one is named, where its channels lie in a file each (`channel_files`)."""
    found = files_of(path, images)
    if not found:
        raise NotTried(f"{images.options['marks'][0]!r} of the channels' files may stand in names otherwise")
    return found


def _spelt(paths: Sequence[str], texts: Sequence[str]) -> dict[int, slice]:
    """Folders that are called after the first letters of their images' names, and which letters these are."""
    found, parts = {}, [path.split("/")[:-1] for path in paths]
    begin = 0
    for depth in range(min(map(len, parts))):
        for start in (begin, 0):
            part = slice(start, start + len(parts[0][depth]))
            if all(one[depth] == text[part] for one, text in zip(parts, texts, strict=True)):
                found[depth] = part
                begin = part.stop
                break
    return found


def _pictures(images: ImageFiles, places: Places | None) -> Sequence[Path]:
    """The files of images, of tiles those of their pictures."""
    if places is None:
        return images.paths
    return [images.paths[int(some[0])] for some in places.samples if len(some)]


def _within(raw: Path, path: Path) -> str:
    try:
        return Path(path).absolute().relative_to(raw.absolute()).as_posix()
    except ValueError:
        raise NotTried(f"{path} lies outside of {raw}") from None


def link_others(raw: Path, folder: Path, changed: set[str]) -> None:
    """Link all that isn't `changed` (paths within) to the organisers' files, by whole folders where it can be."""
    above = {parent.as_posix() for path in changed for parent in Path(path).parents}

    def fill(within: str) -> None:
        with os.scandir(raw / within) as entries:
            for entry in entries:
                path = f"{within}/{entry.name}" if within else entry.name
                if entry.name.startswith(".") or path in changed:
                    continue
                if entry.is_dir() and path in above:
                    fill(path)
                elif not (folder / path).exists():
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
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
        raise UserError(
            f"{competition.name}'s load fails on {what}, as the hidden one is: {text}; if only the test that was made "
            "is at fault, --visible-only leaves it out"
        ) from error
    dataset = found.as_dataset(folder) if isinstance(found, Samples) else found
    ids = np.arange(len(dataset.test_images)) if dataset.test_ids is None else dataset.test_ids
    place = {str(one): at for at, one in enumerate(names.ids.tolist())}
    called = [_short(str(one), place) for one in ids.tolist()]
    if set(called) != set(place) or len(called) != number:
        odd = [one for one in called if one not in place] or [one for one in place if one not in set(called)]
        raise UserError(
            f"{competition.name}'s load finds {len(called):,} test images of {number:,} in {what} "
            f"({listed(odd, most=3)}): it must take names and number from the files"
        )
    return Renamed(names.rows[[place[one] for one in called]], ids)


def _short(called: str, place: Mapping[str, int]) -> str:
    options = [called, basename(called), splitext(basename(called))[0]]
    return next((one for one in options if one in place), called)
