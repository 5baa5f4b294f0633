"""A part of a huge picture, read without the rest where its file allows: of TIFF the segments that it touches."""

import logging
import os
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from toolkit.disk import of_the_machine
from toolkit.errors import UserError
from toolkit.images.files import ImageFiles
from toolkit.images.pixels import Unreadable, laid_on, unmultiplied
from toolkit.images.reading import read_image
from toolkit.images.segments import JPEG, Box, assembled, is_shrinkable, segment
from toolkit.images.tiff import PREMULTIPLIED, is_tiff, others_beside

SAME = 1.01  # a level of a pyramid that is so little smaller than what is wanted is large enough
WHOLE = RLock()  # of pictures that are read as a whole one is held at a time: others wait


@dataclass(frozen=True, eq=False)
class Level:
    """A picture at one scale. pages: of tifffile, whose channels lie behind one another; shrinks: by what its segments
    can be divided while they are decoded.
    """

    pages: tuple[Any, ...]
    height: int
    width: int
    shrinks: tuple[int, ...] = (1,)


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture's file. size: height and width; levels: largest first; none where it is only read as a whole."""

    path: Path
    key: tuple[Any, ...]
    size: tuple[int, int]
    levels: tuple[Level, ...] = ()
    transparent: bool = False
    multiplied: bool = False  # colours by their transparency


def opened(path: Path) -> Picture:
    """What the head of a picture's file says; kept, as many regions are read of one. UserError where it has none."""
    try:
        stat = Path(path).stat()
        return _opened(Path(path), stat.st_mtime_ns, stat.st_size)
    except OSError as error:
        if of_the_machine(error):
            raise
        raise UserError(f"{path} {'is missing' if not Path(path).exists() else f'is not read: {error}'}") from None
    except Unreadable as error:
        raise UserError(f"{path} {error}") from None


@lru_cache(maxsize=32)
def _opened(path: Path, modified: int, size: int) -> Picture:
    key = (str(path), modified, size)
    with open(path, "rb") as file:
        start = file.read(4)
    if is_tiff(start):
        found = _levels(path, key)
        if found is not None:
            return found
    return Picture(path, key, _head(path) or read_image(path).shape[:2])


def _head(path: Path) -> tuple[int, int] | None:
    """Height and width as a file's head has them, turned as EXIF says; None of a kind that Pillow doesn't know."""
    try:
        with Image.open(path) as opened:
            tags = getattr(opened, "tag_v2", {})  # of TIFF: its size, but not these, is turned already
            width, height = (int(tags.get(*pair)) for pair in zip((256, 257), opened.size, strict=True))
            lying = opened.getexif().get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
            return (width, height) if lying else (height, width)
    except OSError as error:
        if of_the_machine(error):
            raise
        return None


def size_of(images: ImageFiles, row: int) -> tuple[int, int]:
    """Height and width of an image, turned as EXIF says; of most pictures their files' heads are enough."""
    if images.read is read_image and (images.rows is None or images.rows[row] < 0):
        path = Path(images.paths[row])
        return _head(path) or opened(path).size
    height, width = images.stored(row).shape[:2]
    return height, width


def turned_by_exif(images: ImageFiles, most: int) -> tuple[int, int]:
    """How many of at most so many images, evenly chosen, a tag turns, and how many were looked at."""
    if images.read is not read_image or not len(images):
        return 0, 0
    rows = np.unique(np.linspace(0, len(images) - 1, most).astype(int)).tolist()
    turned = 0
    for row in rows:
        with suppress(OSError), Image.open(images.paths[row]) as opened:  # what isn't read is told where it is decoded
            turned += opened.getexif().get(ExifTags.Base.Orientation, 1) != 1
    return turned, len(rows)


def _levels(path: Path, key: tuple[Any, ...]) -> Picture | None:
    """Of a TIFF file; None where its pixels mean something else than they are: palettes, bits, inverted greys."""
    from tifffile import TiffFile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what counts is raised
    try:
        with TiffFile(path) as file:
            whole = file.series[0]
            if others_beside(file.series):
                raise Unreadable(f"has {len(file.pages)} pages that aren't levels of one picture, expected one image")
            levels = [_level(level) for level in whole.levels]
            made = [level for level in levels if level is not None]
    except Unreadable:
        raise
    except Exception as error:  # of files that aren't whole it raises whatever it comes across
        raise Unreadable(f"can't be read: {' '.join(str(error).split()) or type(error).__name__}") from None
    if not made or levels[0] is None:
        return None
    page = made[0].pages[0]
    if page.tags.get(274) is not None and int(page.tags[274].value) != 1:
        return None
    transparent = (
        len(made[0].pages) == 1
        and page.samplesperpixel in (2, 4)
        and tuple(page.extrasamples) in ((PREMULTIPLIED,), (2,))
    )
    multiplied = transparent and tuple(page.extrasamples) == (PREMULTIPLIED,)
    return Picture(path, key, (made[0].height, made[0].width), tuple(made), transparent, multiplied)


def _level(series: Any) -> Level | None:
    """None where its pixels can't be taken as they lie in its segments. Unreadable where it holds several images."""
    sizes = dict(zip(series.axes, series.shape, strict=True))
    images = int(np.prod([size for axis, size in sizes.items() if axis not in "YXSC"]))
    if images > 1:
        raise Unreadable(f"has {images} pages of one size, expected one image; its channels may be pages (CYX)")
    if any(page is None for page in series.pages):
        raise Unreadable("lies in several files, of which some are missing")
    pages = tuple(page.aspage() for page in series.pages)
    channels = sizes.get("C", 1) * sizes.get("S", 1)
    first = pages[0]
    plain = first.photometric.name in ("MINISBLACK", "RGB") or (
        first.photometric.name == "YCBCR" and first.compression == JPEG and first.planarconfig == 1
    )
    if first.photometric.name == "YCBCR" and not plain and first.compression != 1:
        raise Unreadable(f"is compressed by {first.compression.name}, which isn't read: make tiles of JPEG of it")
    if not plain or first.bitspersample < 8 or sum(page.samplesperpixel for page in pages) != channels:
        return None
    if first.imagedepth != 1 or getattr(series, "is_multifile", False):
        return None
    _ = [(page.jpegtables, page.is_jfif) for page in pages]  # read while the file is open
    sides = first.tilelength | first.tilewidth if first.is_tiled else first.rowsperstrip
    shrinks = tuple(by for by in (8, 4, 2) if all(map(is_shrinkable, pages)) and sides % by == 0)
    return Level(pages, first.imagelength, first.imagewidth, (*shrinks, 1))


def region(path: Path, box: Box, shape: tuple[int, int], ground: int | None = 0) -> np.ndarray:
    """What lies in a box of a picture, at `shape` (height, width): (height, width) or (height, width, channels).

    The box lies within the picture, and is no smaller than `shape`. Of a pyramid the smallest level that is still
    large enough is read. ground: as of `read_image`. UserError for a file that can't be read.
    """
    picture = opened(path)
    try:
        if picture.levels:
            image = _of_levels(picture, box, shape)
            image = unmultiplied(image) if picture.multiplied else image
            if picture.transparent and ground is not None:
                image = laid_on(image, ground)
        else:
            image = _of_whole(picture, box, ground)
    except Unreadable as error:
        raise UserError(f"{path} {error}") from None
    image = shrunk(image if image.ndim == 3 else image[..., None], *shape)
    return image[..., 0] if image.shape[2] == 1 else image


def _of_whole(picture: Picture, box: Box, ground: int | None) -> np.ndarray:
    top, left, tall, wide = box
    with WHOLE:
        image = _whole(*picture.key, ground)
    return image[top : top + tall, left : left + wide]


@lru_cache(maxsize=1)
def _whole(path: str, modified: int, size: int, ground: int | None) -> np.ndarray:
    return read_image(Path(path), ground=ground)


def _of_levels(picture: Picture, box: Box, shape: tuple[int, int]) -> np.ndarray:
    """(h, w, channels), h and w at least `shape`."""
    height, width = picture.size
    top, left, tall, wide = box
    level = picture.levels[0]
    for smaller in picture.levels[1:]:
        enough = SAME * tall * smaller.height >= shape[0] * height and SAME * wide * smaller.width >= shape[1] * width
        if enough and smaller.height <= level.height:
            level = smaller
    down, across = level.height / height, level.width / width
    by = next(
        by for by in level.shrinks if by == 1 or SAME * min(tall * down / shape[0], wide * across / shape[1]) >= by
    )
    rows, columns = -(-level.height // by), -(-level.width // by)
    tall, wide = (max(1, round(side * scale / by)) for side, scale in ((tall, down), (wide, across)))
    tall, wide = min(tall, rows), min(wide, columns)
    top, left = min(round(top * down / by), rows - tall), min(round(left * across / by), columns - wide)
    part = top, left, tall, wide
    with open(picture.path, "rb", buffering=0) as file:
        parts = [_of_page(file.fileno(), picture.key, page, part, by) for page in level.pages]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def _of_page(file: int, key: Any, page: Any, box: Box, by: int) -> np.ndarray:
    """(h, w, channels) of a page divided by a number, of which only the segments that the box touches are decoded."""
    if page.is_final:
        return _uncompressed(file, page, box)
    return assembled(page, box, by, lambda index: segment(file, key, page, index, by))


def _uncompressed(file: int, page: Any, box: Box) -> np.ndarray:
    """As `_of_page`, of a page whose pixels lie one after the other in the file."""
    top, left, tall, wide = box
    planes, _, height, width, within = page.shaped
    stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    result = np.empty((planes, tall, wide * within), stored)
    step = within * stored.itemsize
    for plane in range(planes):
        for row in range(tall):
            at = page.dataoffsets[0] + ((plane * height + top + row) * width + left) * step
            if os.preadv(file, [result[plane, row]], at) != wide * step:
                raise Unreadable("is cut short")
    found = result.reshape(planes, tall, wide, within).astype(stored.newbyteorder("="), copy=False)
    return np.moveaxis(found, 0, -2).reshape(tall, wide, planes * within)


def shrunk(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(height, width, channels) of an image (h, w, channels) of any type of numbers, by area."""
    import cv2

    if image.shape[:2] == (height, width):
        return image
    known = (
        image if image.dtype in (np.uint8, np.uint16, np.int16, np.float32, np.float64) else image.astype(np.float32)
    )
    parts = (np.ascontiguousarray(known[..., at : at + 4]) for at in range(0, image.shape[2], 4))
    made = [
        cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA).reshape(height, width, -1) for part in parts
    ]
    return made[0] if len(made) == 1 else np.concatenate(made, axis=2)
