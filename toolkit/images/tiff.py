"""Images in TIFF files: any number of channels, any type, pages."""

import io
import logging

import numpy as np
from PIL import Image

from toolkit.images.pixels import Stored, Unreadable, pixels_of, turned
from toolkit.outcome import counted


def is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(data: bytes, row: int) -> Stored:
    """Page `row`, or where it is -1 the only image there is; Unreadable where there are several, or none.

    Channels may lie within the pixels, in planes or in pages.
    """
    from tifffile import PHOTOMETRIC, TiffFile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what counts is raised
    with TiffFile(io.BytesIO(data)) as file:
        if row >= len(file.pages):
            raise Unreadable(f"has no page {row}, it has {len(file.pages)}, counted from 0")
        whole = file.series[0]
        page = file.pages[max(row, 0)].aspage()
        images = int(np.prod([size for axis, size in zip(whole.axes, whole.shape, strict=True) if axis not in "YXSC"]))
        if row < 0 and images > 1:
            raise Unreadable(f"has {images} pages: say by `rows` which of them is the image, counted from 0")
        plain = page.photometric in (PHOTOMETRIC.MINISBLACK, PHOTOMETRIC.RGB) and page.bitspersample >= 8
        if not plain:  # palettes, CMYK, bits, inverted greys
            with Image.open(io.BytesIO(data)) as opened:
                opened.seek(max(row, 0))
                opened.load()
                if len(opened.getbands()) != page.samplesperpixel:
                    raise Unreadable(f"has {counted(page.samplesperpixel, 'channel')} of kind {page.photometric.name}")
                return pixels_of(opened)
        part = whole if row < 0 else page
        image = _pixels(data, part, page, row)
        axes = part.axes
        for axis in "SC":  # channels come last
            if axis in axes and axes.index(axis) < axes.index("X"):
                at = axes.index(axis)
                image, axes = np.moveaxis(image, at, -1), axes[:at] + axes[at + 1 :] + axis
        height, width = (image.shape[axes.index(axis)] for axis in "YX")
        image = image.reshape(height, width, -1)
        tag = page.tags.get(274)
        image = turned(image, 1 if tag is None else int(tag.value))
        transparent = page.samplesperpixel in (2, 4) and tuple(page.extrasamples) in ((1,), (2,))
        return (image[..., 0] if image.shape[2] == 1 else image), transparent


def _pixels(data: bytes, part, page, row: int) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Of a page or all pages; some compressions need a package beside tifffile, of which OpenCV knows a few."""
    try:
        return part.asarray()
    except (ValueError, ImportError) as error:
        if isinstance(error, ValueError) and "imagecodecs" not in str(error):
            raise
    import cv2

    found = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if row <= 0 else None
    if found is None or found.dtype != page.dtype or found.size != np.prod(part.shape):
        raise Unreadable(f"is compressed by {page.compression.name}, which needs `pip install imagecodecs`")
    if found.ndim == 3:
        found[..., :3] = found[..., 2::-1].copy()
    return found if "S" not in part.axes or part.axes.endswith("S") else np.moveaxis(found, -1, 0)
