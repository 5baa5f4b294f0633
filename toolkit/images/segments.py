"""The tiles and strips that a TIFF file is made of: one is read and decoded without the others."""

import io
import os
import struct
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image

from toolkit.images.jpeg import decode_jpeg, jpeg_size
from toolkit.images.pixels import Unreadable

KEPT = 2**28  # bytes of decoded segments that a process keeps: neighbouring regions share them
JPEG = 7
UNPACKED = ("LZW", "ZSTD", "LZMA", "ADOBE_DEFLATE", "DEFLATE")  # by Pillow
Box = tuple[int, int, int, int]  # top, left, height, width
ADOBE = bytes.fromhex("ffee000e41646f626500640000000000")  # a JPEG's marker that says: three channels as they are


class Packed(Unreadable):
    """It is compressed in a way that needs another package."""


class Segments:
    """Decoded segments, of which those that weren't asked for longest go first; for several threads."""

    def __init__(self, most: int = KEPT) -> None:
        self.most, self.bytes, self.lock = most, 0, Lock()
        self.held: OrderedDict[Any, np.ndarray] = OrderedDict()

    def get(self, key: Any) -> np.ndarray | None:
        with self.lock:
            if key in self.held:
                self.held.move_to_end(key)
            return self.held.get(key)

    def put(self, key: Any, segment: np.ndarray) -> None:
        with self.lock:
            if key not in self.held:
                self.held[key] = segment
                self.bytes += segment.nbytes
            while self.bytes > self.most and len(self.held) > 1:
                self.bytes -= self.held.popitem(last=False)[1].nbytes


HELD = Segments()


def is_shrinkable(page: Any) -> bool:
    """Can a page's segments be decoded at a half, a quarter, an eighth? JPEG can, in less time."""
    return bool(page.compression == JPEG and page.bitspersample == 8 and page.samplesperpixel in (1, 3))


def assembled(page: Any, box: Box, by: int, read: Callable[[int], np.ndarray | None]) -> np.ndarray:
    """(h, w, channels) of a page divided by a number, of which only the segments that the box touches are decoded.

    read: segment of an index, (h, w, channels); None where a sparse file has none.
    """
    top, left, tall, wide = box
    height, width = page.imagelength, page.imagewidth
    high, broad = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    down, across = -(-height // high), -(-width // broad)
    high, broad = -(-high // by), -(-broad // by)
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    result = np.full((tall, wide, page.samplesperpixel), page.nodata, page.dtype)
    for plane in range(planes):
        into = result[..., plane : plane + 1] if planes > 1 else result
        for row in range(top // high, min(down, -(-(top + tall) // high))):
            for column in range(left // broad, min(across, -(-(left + wide) // broad))):
                found = read((plane * down + row) * across + column)
                if found is None:
                    continue
                begin, start = max(top, row * high), max(left, column * broad)
                found = found[begin - row * high :, start - column * broad :][
                    : top + tall - begin, : left + wide - start
                ]
                into[begin - top :, start - left :][: found.shape[0], : found.shape[1]] = found
    return result


def page_of(data: bytes, page: Any) -> np.ndarray:
    """(h, w, channels) of a whole page of the TIFF file that `data` is, as it lies there: neither turned nor laid on
    anything. Packed where it is compressed in a way that needs another package.
    """

    def read(index: int) -> np.ndarray | None:
        at, size = page.dataoffsets[index], page.databytecounts[index]
        if at + size > len(data):
            raise Unreadable("is cut short")
        return decoded_segment(page, data[at : at + size], index) if size else None

    return assembled(page, (0, 0, page.imagelength, page.imagewidth), 1, read)


def segment(file: int, key: Any, page: Any, index: int, by: int = 1) -> np.ndarray | None:
    """Segment `index` of a page of tifffile, (h, w, channels); None where a sparse file has none.

    file: open to be read; key: names the file; by: 2, 4 or 8 for one that is so much smaller, of a shrinkable page.
    Unreadable where it is cut short or damaged, or is compressed in a way that needs another package.
    """
    at, size = page.dataoffsets[index], page.databytecounts[index]
    if not size:
        return None
    held = HELD.get((key, at, by))
    if held is None:
        data = os.pread(file, size, at)
        if len(data) < size:
            raise Unreadable("is cut short")
        held = decoded_segment(page, data, index, by)
        HELD.put((key, at, by), held)
    return held


def decoded_segment(page: Any, data: bytes, index: int, by: int = 1) -> np.ndarray:
    """As `segment`, of its bytes. JPEG is decoded here; of the rest what tifffile can't goes to Pillow."""
    try:
        if is_shrinkable(page):
            return _by_libjpeg(page, data, by)
        try:
            return page.decode(data, index, jpegtables=page.jpegtables)[0][0]
        except (ValueError, ImportError) as error:
            if not isinstance(error, ImportError) and "imagecodecs" not in str(error):
                raise
        found = _by_pillow(page, data, index)
    except Unreadable:
        raise
    except Exception as error:  # decoders raise whatever they come across
        raise Unreadable(f"is damaged: {' '.join(str(error).split()) or type(error).__name__}") from None
    if found is None:
        raise Packed(f"is compressed by {page.compression.name}, which needs `pip install imagecodecs`")
    return found


def _by_libjpeg(page: Any, data: bytes, by: int) -> np.ndarray:
    if page.jpegtables is not None:
        data = page.jpegtables[:-2] + data[2:]
    grey = page.samplesperpixel == 1 or page.planarconfig == 2
    if page.photometric.name == "RGB" and not grey and not page.is_jfif:
        data = data[:2] + ADOBE + data[2:]
    tall, wide = jpeg_size(data)
    return decode_jpeg(data, grey, (-(-tall // by), -(-wide // by)) if by > 1 else (0, 0))


def _by_pillow(page: Any, data: bytes, index: int) -> np.ndarray | None:
    """By putting its bytes into a TIFF file of their own, a grey picture that Pillow unpacks; None where it can't."""
    if page.compression.name not in UNPACKED or page.predictor not in (1, 2, 3) or page.fillorder != 1:
        return None
    tall, wide = page.tilelength, page.tilewidth
    if not page.is_tiled:
        strips = -(-page.imagelength // page.rowsperstrip)
        tall, wide = min(page.rowsperstrip, page.imagelength - index % strips * page.rowsperstrip), page.imagewidth
    channels = 1 if page.planarconfig == 2 else page.samplesperpixel
    stored = np.dtype(page.dtype).newbyteorder(page.parent.byteorder)
    with Image.open(io.BytesIO(_alone(data, tall, wide * channels * stored.itemsize, page.compression))) as opened:
        unpacked = np.asarray(opened)
    if page.predictor == 3:  # floats: of a row first all highest bytes, each less than the one before it
        summed = np.cumsum(unpacked.reshape(tall, -1, channels), axis=1, dtype=np.uint8)
        apart = summed.reshape(tall, stored.itemsize, wide * channels).swapaxes(1, 2)
        found = np.ascontiguousarray(apart).view(stored.newbyteorder(">"))
        return found.reshape(tall, wide, channels).astype(page.dtype)
    found = unpacked.view(stored).reshape(tall, wide, channels).astype(page.dtype)
    return found if page.predictor == 1 else np.cumsum(found, axis=1, dtype=page.dtype)


def _alone(data: bytes, tall: int, wide: int, compression: int) -> bytes:
    """A TIFF file of one strip of so many bytes."""
    tags = {256: wide, 257: tall, 258: 8, 259: compression, 262: 1, 273: 0, 277: 1, 278: tall, 279: len(data)}
    tags[273] = 8 + 2 + 12 * len(tags) + 4
    entries = b"".join(struct.pack("<HHII", number, 4, 1, value) for number, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data
