"""The tiles and strips that a TIFF file is made of: one is read and decoded without the others."""

import io
import os
import struct
from collections import OrderedDict
from threading import Lock
from typing import Any

import numpy as np

from toolkit.data.pixels import Unreadable

KEPT = 2**28  # bytes of decoded segments that a process keeps: neighbouring regions share them
JPEG = 7
ADOBE = bytes.fromhex("ffee000e41646f626500640000000000")  # a JPEG's marker that says: three channels as they are


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


def segment(file: int, key: Any, page: Any, index: int) -> np.ndarray | None:
    """Segment `index` of a page of tifffile, (h, w, channels); None where a sparse file has none.

    file: open to be read; key: names the file. Unreadable where it is cut short or damaged, or is compressed in a way
    that needs another package.
    """
    at, size = page.dataoffsets[index], page.databytecounts[index]
    if not size:
        return None
    held = HELD.get((key, at))
    if held is None:
        data = os.pread(file, size, at)
        if len(data) < size:
            raise Unreadable("is cut short")
        held = decoded_segment(page, data, index)
        HELD.put((key, at), held)
    return held


def decoded_segment(page: Any, data: bytes, index: int) -> np.ndarray:
    """As `segment`, of its bytes. JPEG is decoded here; of the rest what tifffile can't goes to Pillow and OpenCV."""
    try:
        if page.compression == JPEG and page.bitspersample == 8 and page.samplesperpixel in (1, 3):
            return _by_libjpeg(page, data)
        try:
            return page.decode(data, index, jpegtables=page.jpegtables)[0][0]
        except (ValueError, ImportError) as error:
            if not isinstance(error, ImportError) and "imagecodecs" not in str(error):
                raise
        found = _by_libtiff(page, data, index)
    except Unreadable:
        raise
    except Exception as error:  # decoders raise whatever they come across
        raise Unreadable(f"is damaged: {' '.join(str(error).split()) or type(error).__name__}") from None
    if found is None:
        raise Unreadable(f"is compressed by {page.compression.name}, which needs `pip install imagecodecs`")
    return found


def _by_libjpeg(page: Any, data: bytes) -> np.ndarray:
    import simplejpeg

    if page.jpegtables is not None:
        data = page.jpegtables[:-2] + data[2:]
    grey = page.samplesperpixel == 1 or page.planarconfig == 2
    if page.photometric.name == "RGB" and not grey and not page.is_jfif:
        data = data[:2] + ADOBE + data[2:]
    return simplejpeg.decode_jpeg(data, "GRAY" if grey else "RGB")


def _by_libtiff(page: Any, data: bytes, index: int) -> np.ndarray | None:
    """By putting it into a TIFF file of its own, which Pillow and OpenCV read; None where they can't."""
    import cv2
    from PIL import Image

    tall, wide = page.tilelength, page.tilewidth
    if not page.is_tiled:
        strips = -(-page.imagelength // page.rowsperstrip)
        tall, wide = min(page.rowsperstrip, page.imagelength - index % strips * page.rowsperstrip), page.imagewidth
    channels = 1 if page.planarconfig == 2 else page.samplesperpixel
    file = _alone(page, data, tall, wide, channels)
    made = []
    try:
        with Image.open(io.BytesIO(file)) as opened:
            made.append(np.array(opened))
    except Exception:  # of a kind that it doesn't know: OpenCV may
        found = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
        if found is not None:
            made.append(found[..., [2, 1, 0, 3][: found.shape[2]]] if found.ndim == 3 else found)
    fits = [one for one in made if one.dtype == page.dtype and one.size == tall * wide * channels]
    return fits[0].reshape(tall, wide, channels) if fits else None


def _alone(page: Any, data: bytes, tall: int, wide: int, channels: int) -> bytes:
    """A little-endian TIFF file of one strip."""
    order = "<" if page.parent.byteorder == "<" else ">"
    tags: list[tuple[int, str, tuple[int, ...]]] = [
        (256, "I", (wide,)),
        (257, "I", (tall,)),
        (258, "H", (page.bitspersample,) * channels),
        (259, "H", (int(page.compression),)),
        (262, "H", (1 if channels == 1 else int(page.photometric),)),
        (273, "I", (0,)),  # filled in below
        (277, "H", (channels,)),
        (278, "I", (tall,)),
        (279, "I", (len(data),)),
        (284, "H", (1,)),
        (317, "H", (int(page.predictor),)),
        (339, "H", (int(page.sampleformat),) * channels),
    ]
    if channels in (2, 4):
        tags.insert(-1, (338, "H", (0,) * (channels - (1 if channels == 2 else 3))))
    start = 8 + 2 + 12 * len(tags) + 4
    beside, entries = b"", b""
    for number, kind, values in tags:
        packed = struct.pack(f"{order}{len(values)}{kind}", *values)
        if len(packed) > 4:
            packed, beside = struct.pack(f"{order}I", start + len(beside)), beside + packed + b"\0" * (len(packed) % 4)
        entries += struct.pack(f"{order}HHI", number, {"H": 3, "I": 4}[kind], len(values)) + packed.ljust(4, b"\0")
    place = entries.index(struct.pack(f"{order}HHI", 273, 4, 1))
    entries = entries[: place + 8] + struct.pack(f"{order}I", start + len(beside)) + entries[place + 12 :]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    return head + struct.pack(f"{order}H", len(tags)) + entries + b"\0" * 4 + beside + data
