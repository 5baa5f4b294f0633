"""Arrays on disk: read from the organisers' files, checked, then memory-mapped by everything else."""

import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError

import numpy as np

from toolkit.errors import UserError
from toolkit.store import atomic, read_manifest, write_manifest
from toolkit.task import Classification, Task

CHUNK = 512  # images converted at a time, so that a float64 file is never held twice


@dataclass(frozen=True)
class Dataset:
    """One competition's data.

    images: uint8 (N, H, W, C). targets: int64 labels (N,) or uint8 masks (N, H, W). ids: int64 (N,), the
    row in the raw training file. groups: int64 (N,), equal for samples of one origin. test_images: uint8
    (M, H, W, C), M = 0 where the organisers keep them.
    """

    images: np.ndarray
    targets: np.ndarray
    ids: np.ndarray
    groups: np.ndarray
    test_images: np.ndarray


ARRAYS = tuple(Dataset.__dataclass_fields__)


class Npz:
    """The arrays of an .npz file, read one at a time. Every fault is a UserError that names the file."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            near = sorted(p.name for p in path.parent.glob("*.npz")) if path.parent.is_dir() else []
            found = f"the folder holds {', '.join(near)}" if near else "the folder holds no .npz file"
            raise UserError(f"{path} does not exist ({found}); put the organisers' file there or point --data at it")
        if not path.is_file():
            raise UserError(f"{path} is a folder, expected the organisers' file")
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                self.keys = sorted(name.removesuffix(".npy") for name in archive.namelist())
        except zipfile.BadZipFile:
            raise UserError(f"{path} is not a whole .npz file (damaged or cut short); download it again") from None

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self.keys:
            raise UserError(f"{self.path} has no array {key!r}, it has {', '.join(self.keys) or 'none'}")
        try:
            with np.load(self.path, allow_pickle=False) as arrays:
                array = arrays[key]
        except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, TokenError) as error:
            if str(error).startswith("Object arrays"):
                raise UserError(
                    f"{self.path}: array {key!r} holds pickled objects, which can run code and are not loaded; "
                    "expected plain numbers"
                ) from None
            reason = str(error).partition("\n")[0]
            raise UserError(f"{self.path}: array {key!r} is damaged ({reason}); download the file again") from None
        if not isinstance(array, np.ndarray):
            raise UserError(f"{self.path}: {key!r} is not a numpy array; download the file again")
        return array


def image_array(array: np.ndarray, shape: tuple[int, int, int], where: str) -> np.ndarray:
    """uint8 (N, H, W, C) from numbers on the 0..255 scale of shape (N, H, W, C) or, if C is 1, (N, H, W).

    `where` names file and key in the UserError that a wrong shape, type, range or NaN raises.
    """
    height, width, channels = shape
    if channels == 1 and array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[1:] != shape:
        raise UserError(f"{where} has shape {array.shape}, expected (n, {height}, {width}, {channels})")
    if len(array) == 0:
        raise UserError(f"{where} holds no image")
    return _to_uint8(array, 255, where, "image", whole=False)


def mask_array(array: np.ndarray, shape: tuple[int, int, int], classes: int, where: str) -> np.ndarray:
    """uint8 (N, H, W) from whole numbers in 0..classes-1."""
    if array.ndim != 3 or array.shape[1:] != shape[:2]:
        raise UserError(f"{where} has shape {array.shape}, expected (n, {shape[0]}, {shape[1]})")
    return _to_uint8(array, classes - 1, where, "mask", whole=True)


def label_array(array: np.ndarray, classes: int, where: str) -> np.ndarray:
    """int64 (N,) from whole numbers in 0..classes-1 of shape (N,) or (N, 1)."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"{where} has shape {array.shape}, expected (n,) or (n, 1)")
    return _to_uint8(array, classes - 1, where, "label", whole=True).astype(np.int64)


def image_files(paths: Sequence[Path], shape: tuple[int, int, int]) -> np.ndarray:
    """uint8 (N, H, W, C) of image files, C 1 (grey) or 3 (RGB); those of another size are resized, by area.

    UserError for a file that can't be read.
    """
    import cv2

    height, width, channels = shape
    images = np.empty((len(paths), *shape), np.uint8)
    for image, path in zip(images, paths, strict=True):
        read = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB if channels == 3 else cv2.IMREAD_GRAYSCALE)
        if read is None:
            reason = "is not an image that can be read" if path.exists() else "does not exist"
            raise UserError(f"{path} {reason}; download the organisers' files again")
        if read.shape[:2] != (height, width):
            read = cv2.resize(read, (width, height), interpolation=cv2.INTER_AREA)
        image[:] = read.reshape(shape)
    return images


def label_table(path: Path, columns: tuple[str, str], classes: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Names, and labels int64 (N,), of a CSV with a column of names and one of class names.

    UserError, naming the line, where a class isn't known.
    """
    import pandas as pd

    if not path.is_file():
        raise UserError(f"{path} does not exist; put the organisers' file there or point --data at its folder")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise UserError(f"{path} can't be read: {str(error).splitlines()[0]}") from None
    missing = [name for name in columns if name not in table]
    if missing:
        raise UserError(f"{path} has no column {missing[0]!r}, it has {', '.join(map(str, table))}")
    names, given = (table[name] for name in columns)
    unknown = ~given.isin(classes)
    if unknown.any():
        row = int(unknown.to_numpy().argmax())
        raise UserError(f"{path} line {row + 2}: {columns[1]} is {given[row]!r}, expected {', '.join(classes)}")
    return names.tolist(), pd.Index(classes).get_indexer(pd.Index(given)).astype(np.int64)


def _to_uint8(array: np.ndarray, top: int, where: str, noun: str, whole: bool) -> np.ndarray:
    if array.dtype.kind not in "uif":
        raise UserError(f"{where} has type {array.dtype}, expected numbers from 0 to {top}")
    result = np.empty(array.shape, np.uint8)
    brightest = 0.0
    for start in range(0, len(array), CHUNK):
        chunk = array[start : start + CHUNK]
        if array.dtype.kind == "f":
            _refuse(~np.isfinite(chunk), start, chunk, f"{where}: {noun}", "numbers, not NaN or infinity")
            if whole:
                _refuse(chunk != np.rint(chunk), start, chunk, f"{where}: {noun}", "whole numbers")
            else:
                chunk = np.rint(chunk)
        _refuse((chunk < 0) | (chunk > top), start, chunk, f"{where}: {noun}", f"values from 0 to {top}")
        result[start : start + CHUNK] = chunk
        brightest = max(brightest, float(chunk.max(initial=0)))
    if noun == "image" and array.dtype.kind == "f" and brightest <= 1:
        raise UserError(f"{where}: no value is above 1, expected the scale 0..255; multiply by 255")
    return result


def _refuse(wrong: np.ndarray, start: int, chunk: np.ndarray, what: str, expected: str) -> None:
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise UserError(f"{what} in row {start + place[0]} has {chunk[place]}, expected {expected}")


def check_dataset(dataset: Dataset, task: Task, where: str) -> None:
    """UserError if lengths differ or a class never occurs."""
    if len(dataset.targets) != len(dataset.images):
        raise UserError(f"{where} has {len(dataset.images)} images and {len(dataset.targets)} targets; need as many")
    counts = class_counts(dataset.targets, task)
    for name, count in zip(task.classes, counts, strict=True):
        if count == 0:
            unit = "image" if isinstance(task, Classification) else "pixel"
            raise UserError(f"{where}: class {name!r} has no {unit}; every class needs some to be learnt")


def class_counts(targets: np.ndarray, task: Task) -> np.ndarray:
    """Images (or pixels, for masks) of each class, int64 (C,)."""
    counts = np.zeros(256, np.int64)
    for start in range(0, len(targets), CHUNK):
        counts += np.bincount(targets[start : start + CHUNK].ravel(), minlength=256)
    return counts[: len(task.classes)]


def relabel(targets: np.ndarray, relabels: np.ndarray) -> np.ndarray:
    """Targets with the labels of `relabels`, int64 (n, 2): row, label. A copy, where there are any."""
    if len(relabels):
        targets = targets.copy()
        targets[relabels[:, 0]] = relabels[:, 1]
    return targets


def hash_sample(sample: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(sample).data).hexdigest()


def hash_dataset(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for name in ARRAYS:
        array = getattr(dataset, name)
        digest.update(f"{name} {array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()[:12]


def save_dataset(dataset: Dataset, folder: Path, source: str, reader: str = "") -> None:
    """Write the arrays as .npy files. source: the hash of the raw files; reader: that of the code that read them."""
    with atomic(folder) as partial:
        partial.mkdir()
        for name in ARRAYS:
            np.save(partial / f"{name}.npy", getattr(dataset, name), allow_pickle=False)
        write_manifest(partial, {"source": source, "hash": hash_dataset(dataset), "reader": reader})


def open_dataset(folder: Path) -> Dataset:
    """The saved arrays, memory-mapped read-only; UserError if there are none."""
    if read_manifest(folder) is None:
        raise UserError(f"there is no data in {folder} yet; run `python -m toolkit.audit` first")
    arrays = {}
    for name in ARRAYS:
        try:
            arrays[name] = np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError):
            raise UserError(f"{folder / name}.npy is damaged; remove {folder} and run the audit again") from None
    return Dataset(**arrays)


def data_hash(folder: Path) -> str:
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"there is no data in {folder} yet; run `python -m toolkit.audit` first")
    value: str = manifest["hash"]
    return value
