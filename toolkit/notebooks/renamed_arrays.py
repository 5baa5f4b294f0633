"""Test images that are rows of an array: files of another length, with rows of the training images."""

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.data.dataset import Dataset, Samples
from toolkit.images.arrays import Npz
from toolkit.images.files import ImageFiles
from toolkit.notebooks.new_names import Names, NotTried

Key = tuple[str, str]  # a file within the organisers' folder, and an array in it


def is_of_arrays(data: Dataset | Samples) -> bool:
    """Are test images rows of files, and not files?"""
    if isinstance(data, Dataset):
        return True
    rows = data.files["test_images"].rows
    return data.test_places is None and data.places is None and rows is not None and bool((rows >= 0).any())


def changed_arrays(raw: Path, data: Dataset | Samples, rows: np.ndarray, names: Names, folder: Path) -> set[str]:
    """Write files in which training images `rows` are the test images; their paths within the organisers' folder.

    UserError where they are of a kind that isn't written here.
    """
    if isinstance(data, Samples):
        tests = data.files["test_images"]
        kinds = {Path(path).suffix.lower() for path in [*data.images.paths[:1], *tests.paths[:1]]}
        if kinds == {".parquet"}:
            return _parquet(raw, data.images, tests, rows, names, folder)
        if not kinds <= {".npz", ".npy"}:
            raise NotTried(f"test images are rows of {', '.join(sorted(kinds))} files")
    return _numpy(raw, data, rows, names, folder)


def _numpy(raw: Path, data: Dataset | Samples, rows: np.ndarray, names: Names, folder: Path) -> set[str]:
    number, tests = len(data.images), len(names.old)
    shapes = dict(_shapes(raw))

    def of_tests(key: Key) -> bool:
        said = "test" in f"{key[0]} {key[1]}".lower()
        return shapes[key][0][:1] == (tests,) and (number != tests or said)

    partner: dict[Key, Key] = {}
    for key, (shape, kind) in shapes.items():
        if of_tests(key) and len(shape) > 1:
            like = [k for k, (s, t) in shapes.items() if s[:1] == (number,) and (s[1:], t) == (shape[1:], kind)]
            like = [one for one in like if not of_tests(one)]
            if len(like) == 1:
                partner[key] = like[0]
    if not partner:
        raise NotTried(f"no array of training images is like one of the {tests:,} test images")
    changed: set[str] = set()
    for name in {key[0] for key in partner}:
        made: dict[str, np.ndarray] = {}
        for key in [one for one in shapes if one[0] == name]:
            array = _array(raw, key)
            if key in partner:
                array = _array(raw, partner[key])[rows]
            elif of_tests(key) and len(array.shape) == 1 and [str(one) for one in array] == [o[0] for o in names.old]:
                array = np.array([texts[0] for texts in names.new]).astype(array.dtype)
            elif of_tests(key):
                array = array[names.like]
            made[key[1]] = array
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".npy":
            np.save(path, made[""], allow_pickle=False)
        else:
            arrays: Any = made
            np.savez(path, **arrays)
        changed.add(name)
    return changed


def _shapes(raw: Path) -> Iterator[tuple[Key, tuple[tuple[int, ...], np.dtype]]]:
    """Of each array its shape and type, without reading it."""
    for path in sorted(raw.rglob("*.np[yz]")):
        within = path.relative_to(raw).as_posix()
        if path.suffix == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            yield (within, ""), (array.shape, array.dtype)
            continue
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    version = np.lib.format.read_magic(file)
                    read = (
                        np.lib.format.read_array_header_1_0
                        if version == (1, 0)
                        else np.lib.format.read_array_header_2_0
                    )
                    shape, _, kind = read(file)
                    yield (within, name.removesuffix(".npy")), (shape, kind)


def _array(raw: Path, key: Key) -> np.ndarray:
    path = raw / key[0]
    return np.load(path, mmap_mode="r", allow_pickle=False) if path.suffix == ".npy" else Npz(path)[key[1]]


def _parquet(
    raw: Path, images: ImageFiles, tests: ImageFiles, rows: np.ndarray, names: Names, folder: Path
) -> set[str]:
    """As many files as the test has, each with its part of the rows."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    files = list(dict.fromkeys(str(path) for path in tests.paths))
    assert images.rows is not None
    first = parquet.ParquetFile(files[0]).schema_arrow
    parts, places = [], []  # tens of thousands of columns are no rarity: rows are taken together
    paths, at = np.array([str(images.paths[row]) for row in rows.tolist()]), images.rows[rows]
    for path in dict.fromkeys(paths.tolist()):
        file = parquet.ParquetFile(path)
        if lacking := sorted(set(first.names) - set(file.schema_arrow.names)):
            raise NotTried(f"training images have no column {lacking[0]}, as {Path(files[0]).name} has")
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        here = np.flatnonzero(paths == path)
        groups = np.searchsorted(ends, at[here], side="right")
        for group in np.unique(groups).tolist():
            some = here[groups == group]
            start = int(ends[group - 1]) if group else 0
            parts.append(file.read_row_group(group, columns=first.names).take(at[some] - start))
            places.append(some)
    made = pa.concat_tables(parts).to_pandas().iloc[np.argsort(np.concatenate(places))]
    texts = [one.name for one in first if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    named = parquet.read_table(files[0], columns=texts)
    called = [one for one in texts if {*named[one].to_pylist()} <= {texts[0] for texts in names.old}]
    for column in called:
        made[column] = [texts[0] for texts in names.new]
    changed = set()
    for number, name in enumerate(files):
        within = Path(name).relative_to(raw).as_posix()
        (folder / within).parent.mkdir(parents=True, exist_ok=True)
        part = slice(number * len(rows) // len(files), (number + 1) * len(rows) // len(files))
        made.iloc[part].to_parquet(folder / within, index=False)
        changed.add(within)
    return changed
