"""What images look like, from the heads of a few: sizes, channels, bits; and arrays in files, from their shapes."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
from PIL import Image

from toolkit.errors import UserError
from toolkit.images.reading import read_image
from toolkit.recognition.found import Pictures

LOOKED_AT = 200  # images whose heads are read
DECODED = 24  # images that are read whole, where there are more than 8 bits
MOST_ARRAYS = 1000  # of an HDF5 file: where it has more, each is of an image
T = TypeVar("T")
USUAL = ("L", "RGB", "P", "1", "CMYK", "YCbCr", "RGBA", "LA", "PA")


def spread(files: Sequence[T], number: int) -> list[T]:
    """So many of them, from all over."""
    places = np.unique(np.linspace(0, len(files) - 1, min(number, len(files))).astype(int))
    return [files[at] for at in places]


def pictures_of(folder: Path, files: Sequence[str]) -> tuple[Pictures | None, str]:
    """What some of the files show, and in words how that was seen; None where none of them can be read.

    UserError where some have 8 bits and others more: `values` are for all of them.
    """
    sizes, channels, formats = [], [], set()
    depths: dict[bool, str] = {}
    for name in spread(files, LOOKED_AT):
        seen = _head(folder / name)
        if seen is None:
            continue
        height, width, number, bits, kind = seen
        sizes.append((height, width))
        channels.append(number)
        depths.setdefault(bits, name)
        formats.add(kind)
    if not sizes:
        return None, f"none of {len(spread(files, LOOKED_AT))} files could be read as an image"
    heights, widths = np.array(sizes).T
    most = max(set(channels), key=channels.count)
    if {1, 3} >= set(channels):  # grey ones become colour, and not the other way round, where both occur
        most = max(channels)
    values = _range(folder, files) if True in depths else None
    differ, window = len(set(sizes)) > 1, values is not None and formats <= {"DCM", "DICOM"}
    if len(depths) > 1 and not window:
        raise UserError(
            f"{folder}: {depths[False]} has 8 bits a pixel and {depths[True]} more; save all images with as many, or "
            "write `load` by hand, with a `read` that brings them to one scale (docs/unlike.md)"
        )
    made = Pictures(int(np.median(heights)), int(np.median(widths)), differ, most, values, window)
    small, large = (
        f"{part.min()}" if part.min() == part.max() else f"{part.min()} to {part.max()}"
        for part in (
            heights,
            widths,
        )
    )
    return made, f"{len(sizes):,} of {len(files):,} were looked at: {', '.join(sorted(formats))}, {small} x {large}"


def _head(path: Path) -> tuple[int, int, int, bool, str] | None:
    """Height, width, channels, whether there are more than 8 bits, and the format."""
    try:
        with Image.open(path) as opened:
            if opened.mode in USUAL and opened.format != "TIFF":
                width, height = opened.size
                deep = opened.format == "PNG" and _is_deep_png(path)
                return height, width, 1 if opened.mode in ("L", "1", "LA") else 3, deep, opened.format or "?"
    except OSError:
        pass
    try:
        image = read_image(path)
    except (UserError, OSError):
        return None
    kind = path.suffix.lower().lstrip(".").upper()
    return image.shape[0], image.shape[1], image.shape[2] if image.ndim == 3 else 1, image.dtype != np.uint8, kind


def _is_deep_png(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(25)[24] == 16


def _range(folder: Path, files: Sequence[str]) -> tuple[float, float] | None:
    low, high = np.inf, -np.inf
    for name in spread(files, DECODED):
        try:
            image = read_image(folder / name)
        except UserError:
            continue
        low, high = min(low, float(image.min())), max(high, float(image.max()))
    return (low, high) if low < high else None


def array_shapes(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Of the arrays in .npy, .npz or HDF5, by name; only heads are read. Empty for what can't be read."""
    try:
        if path.suffix == ".npy":
            with open(path, "rb") as file:
                return {"": _npy_head(file)}
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return {name.removesuffix(".npy"): _npz_head(archive, name) for name in archive.namelist()}
        import h5py

        found: dict[str, tuple[tuple[int, ...], np.dtype]] = {}

        def look(name: str, one: object) -> bool | None:
            if isinstance(one, h5py.Dataset) and one.shape is not None:
                found[name] = (one.shape, one.dtype)
            return True if len(found) >= MOST_ARRAYS else None

        with h5py.File(path, "r") as file:
            file.visititems(look)  # those in groups too
        return found
    except (ImportError, OSError, ValueError, zipfile.BadZipFile):
        return {}


def _npz_head(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(name) as file:
        return _npy_head(file)


def _npy_head(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
