"""Images in TIFF files: any number of channels, any type, pages."""

import io
import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from toolkit.images.pixels import Stored, Unreadable, pixels_of, turned, unmultiplied
from toolkit.images.segments import Packed, page_of
from toolkit.outcome import counted

# what scanners of slides keep beside a picture, by the names that tifffile gives it
BESIDE = ("thumbnail", "label", "macro", "map", "overview", "probability")
PREMULTIPLIED = 1  # of extrasamples: colours that were multiplied by their transparency
ALIKE = 0.02  # by so much may the aspect of a picture's smaller copy differ


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(data: bytes, row: int) -> Stored:
    """Page `row`, or where it is -1 the only image there is; Unreadable where there are several, or none.

    Channels may lie within the pixels, in planes or in pages. Greys of which the lowest is white are turned over.
    """
    from tifffile import PHOTOMETRIC, TiffFile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what counts is raised
    with TiffFile(io.BytesIO(data)) as file:
        if row >= len(file.pages):
            raise Unreadable(f"has no page {row}, it has {len(file.pages)}, counted from 0")
        whole = file.series[0]
        page = file.pages[max(row, 0)].aspage()
        images = int(np.prod([size for axis, size in zip(whole.axes, whole.shape, strict=True) if axis not in "YXSC"]))
        if row < 0 and (images > 1 or others_beside(file.series)):
            pages = images if len(file.series) == 1 else len(file.pages)
            raise Unreadable(f"has {pages} pages: say by `rows` which of them is the image, counted from 0")
        over = page.photometric == PHOTOMETRIC.MINISWHITE and page.samplesperpixel == 1
        plain = over or page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB)
        if not plain or page.bitspersample < 8:  # palettes, CMYK, bits
            return _by_pillow(data, page, row)
        part = whole if row < 0 else page
        try:
            image = _by_tifffile(part, data)
        except Packed as error:
            if page.dtype != np.uint8 or (part is whole and len(whole.pages) > 1):
                raise
            return _by_pillow(data, page, row, error)
        if over:
            image = _turned_over(image, page.bitspersample)
        tag = page.tags.get(274)
        image = turned(image, 1 if tag is None else int(tag.value))
        transparent = page.samplesperpixel in (2, 4) and tuple(page.extrasamples) in ((PREMULTIPLIED,), (2,))
        if transparent and tuple(page.extrasamples) == (PREMULTIPLIED,):
            image = unmultiplied(image)
        return (image[..., 0] if image.shape[2] == 1 else image), transparent


def others_beside(series: Sequence[Any]) -> bool:
    """Has a file, by tifffile's series of its pages, images beside the first that aren't smaller copies of it?"""
    return any(not _is_beside(one, series[0]) for one in series[1:])


def _is_beside(one: Any, first: Any) -> bool:
    """Is it a smaller copy of the first, its mask, or what slides have beside it?"""
    page = one.keyframe
    if page.is_reduced or page.subfiletype & 5 or any(word in one.name.lower() for word in BESIDE):
        return True
    large = first.keyframe
    if (page.dtype, page.samplesperpixel, page.photometric) != (large.dtype, large.samplesperpixel, large.photometric):
        return False
    down, across = large.imagelength / page.imagelength, large.imagewidth / page.imagewidth
    return bool(min(down, across) > 2 - ALIKE and abs(down / across - 1) < ALIKE)  # pyramids without a word of it


def _by_tifffile(part: Any, data: bytes) -> np.ndarray:
    """(h, w, channels) of a page or all pages, as they lie in the file; Packed where that needs another package."""
    try:
        image, axes = part.asarray(), part.axes
    except (ValueError, ImportError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):
            raise
        return np.concatenate([page_of(data, one.aspage()) for one in getattr(part, "pages", [part])], axis=2)
    for axis in "SC":  # channels come last
        if axis in axes and axes.index(axis) < axes.index("X"):
            at = axes.index(axis)
            image, axes = np.moveaxis(image, at, -1), axes[:at] + axes[at + 1 :] + axis
    height, width = (image.shape[axes.index(axis)] for axis in "YX")
    return image.reshape(height, width, -1)


def _by_pillow(data: bytes, page: Any, row: int, otherwise: Packed | None = None) -> Stored:
    """What it reads whole; it turns TIFF by itself. otherwise: is raised where it wouldn't keep all channels."""
    with Image.open(io.BytesIO(data)) as opened:
        opened.seek(max(row, 0))
        if otherwise is not None and opened.mode not in ("L", "LA", "RGB", "RGBA"):
            raise otherwise
        opened.load()
        if len(opened.getbands()) != page.samplesperpixel:
            raise Unreadable(f"has {counted(page.samplesperpixel, 'channel')} of kind {page.photometric.name}")
        return pixels_of(opened)


def _turned_over(image: np.ndarray, bits: int) -> np.ndarray:
    """Greys (h, w, 1) of which the lowest is white, so that it is black."""
    if image.dtype.kind == "f":
        return -image
    most = -1 if image.dtype.kind == "i" else 2**bits - 1
    return (most - image.astype(np.int64)).astype(image.dtype)
