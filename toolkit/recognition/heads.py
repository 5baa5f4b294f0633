"""What images look like, from the heads of a few: sizes, channels, bits; and arrays in files, from their shapes."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from toolkit.errors import UserError
from toolkit.images.reading import read_image
from toolkit.recognition.found import Pictures

LOOKED_AT = 200  # images whose heads are read
DECODED = 24  # images that are read whole, where there are more than 8 bits
USUAL = ("L", "RGB", "P", "1", "CMYK", "YCbCr", "RGBA", "LA", "PA")


def spread(files: Sequence[str], number: int) -> list[str]:
    """So many of them, from all over."""
    places = np.unique(np.linspace(0, len(files) - 1, min(number, len(files))).astype(int))
    return [files[at] for at in places]


def pictures_of(folder: Path, files: Sequence[str]) -> tuple[Pictures | None, str]:
    """What some of the files show, and in words how that was seen; None where none of them can be read."""
    sizes, channels, deep, formats = [], [], False, set()
    for name in spread(files, LOOKED_AT):
        seen = _head(folder / name)
        if seen is None:
            continue
        height, width, number, bits, kind = seen
        sizes.append((height, width))
        channels.append(number)
        deep |= bits
        formats.add(kind)
    if not sizes:
        return None, f"none of {len(spread(files, LOOKED_AT))} files could be read as an image"
    heights, widths = np.array(sizes).T
    most = max(set(channels), key=channels.count)
    if {1, 3} >= set(channels):  # grey ones become colour, and not the other way round, where both occur
        most = max(channels)
    values = _range(folder, files) if deep else None
    differ, window = len(set(sizes)) > 1, values is not None and formats <= {"DCM", "DICOM"}
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
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            return {"": (array.shape, array.dtype)}
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                return {name.removesuffix(".npy"): _npz_head(archive, name) for name in archive.namelist()}
        import h5py

        with h5py.File(path, "r") as file:
            return {name: (one.shape, one.dtype) for name, one in file.items() if isinstance(one, h5py.Dataset)}
    except (ImportError, OSError, ValueError, zipfile.BadZipFile):
        return {}


def _npz_head(archive: zipfile.ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        return shape, dtype
