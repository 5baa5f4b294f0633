"""The organisers' arrays, checked; each fault is one sentence that names its place."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from tokenize import TokenError

import numpy as np

from toolkit.errors import UserError
from toolkit.probabilities import chunks


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
            if isinstance(error, OSError) and error.errno is not None:  # no file's fault
                raise
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
    return _to_type(np.uint8, array, 255, where, "image", whole=False)


def mask_array(
    array: np.ndarray, shape: tuple[int, int, int], classes: int, where: str, values: Mapping[int, int] | None = None
) -> np.ndarray:
    """uint8 (N, H, W) from whole numbers in 0..classes-1, of shape (N, H, W), or with an axis of 1 for the channels.

    values: of pixels that stand for another class, {255: 1}.
    """
    if array.ndim == 4 and array.shape[1:] in ((*shape[:2], 1), (1, *shape[:2])):
        array = array.reshape(len(array), *shape[:2])
    if array.dtype == bool:
        array = array.astype(np.uint8)
    if values:
        array, given = array.copy(), array
        for value, label in values.items():
            array[given == value] = label
    if array.ndim != 3 or array.shape[1:] != shape[:2]:
        raise UserError(f"{where} has shape {array.shape}, expected (n, {shape[0]}, {shape[1]})")
    return _to_type(np.uint8, array, classes - 1, where, "mask", whole=True)


def label_array(array: np.ndarray, classes: int, where: str) -> np.ndarray:
    """int64 (N,) from whole numbers in 0..classes-1 of shape (N,) or (N, 1)."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise UserError(f"{where} has shape {array.shape}, expected (n,) or (n, 1)")
    return _to_type(np.int64, array, classes - 1, where, "label", whole=True)


def _to_type(kind: type, array: np.ndarray, top: int, where: str, noun: str, whole: bool) -> np.ndarray:
    if array.dtype.kind not in "uif":
        raise UserError(f"{where} has type {array.dtype}, expected numbers from 0 to {top}")
    result: np.ndarray = np.empty(array.shape, kind)
    brightest = 0.0
    for at in chunks(len(array)):  # so that a float64 file is never held twice
        chunk, start = array[at], at.start
        if array.dtype.kind == "f":
            _refuse(~np.isfinite(chunk), start, chunk, f"{where}: {noun}", "numbers, not NaN or infinity")
            if whole:
                _refuse(chunk != np.rint(chunk), start, chunk, f"{where}: {noun}", "whole numbers")
            else:
                chunk = np.rint(chunk)
        _refuse((chunk < 0) | (chunk > top), start, chunk, f"{where}: {noun}", f"values from 0 to {top}")
        result[at] = chunk
        brightest = max(brightest, float(chunk.max(initial=0)))
    if noun == "image" and array.dtype.kind == "f" and brightest <= 1:
        raise UserError(f"{where}: no value is above 1, expected the scale 0..255; multiply by 255")
    return result


def _refuse(wrong: np.ndarray, start: int, chunk: np.ndarray, what: str, expected: str) -> None:
    if wrong.any():
        place = np.unravel_index(int(wrong.argmax()), wrong.shape)
        raise UserError(f"{what} in row {start + place[0]} has {chunk[place]}, expected {expected}")
