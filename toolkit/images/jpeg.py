"""JPEGs by libjpeg-turbo's own interface, or by Pillow's where simplejpeg isn't installed, as on Kaggle's machines.

Both decode to the same bits, but where a picture comes at 3/8 of its size: Pillow knows 1/2, 1/4 and 1/8 alone.
"""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

try:
    import simplejpeg
except ImportError:
    simplejpeg = None

HOLE = 32  # zeros


def decode_jpeg(data: bytes, grey: bool, least: tuple[int, int] = (0, 0), factor: int = 1) -> np.ndarray:
    """uint8 (h, w, 1) or (h, w, 3), at the smallest scale whose height and width are `least` or more; 0: as it is.

    factor: scales above 1 / factor take longer than the whole, and aren't taken. ValueError or OSError for a JPEG
    that can't be read or isn't whole.
    """
    height, width = least
    if simplejpeg is not None:
        space = "GRAY" if grey else "RGB"
        found: np.ndarray = simplejpeg.decode_jpeg(data, space, min_height=height, min_width=width, min_factor=factor)
        return found
    with Image.open(io.BytesIO(data)) as opened:
        mode = "L" if grey else "RGB"
        if height and width:
            opened.draft(mode, (width, height))
        made: Any = np.asarray(opened.convert(mode))
        return made.reshape(*made.shape[:2], 1 if grey else 3)


def jpeg_size(data: bytes) -> tuple[int, int]:
    """Height and width."""
    if simplejpeg is not None:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
        return int(height), int(width)
    with Image.open(io.BytesIO(data)) as opened:
        return opened.height, opened.width


def has_hole(data: bytes, surely: bool = True) -> bool:
    """Do HOLE or more zeros lie in the coded part of a JPEG that can't have been written there, as a failed disk or
    download leaves them?

    Decoders take them for codes and read on, mostly without a word. The tables of a plain (baseline) scan say what
    zeros stand for: a flat area in some files, in most coefficients that are all -1. surely=False: where a decoder
    complained that bytes are left over, zeros tell enough, but for those at the very end.
    """
    if data.find(bytes(HOLE)) < 0:
        return False
    for start, end, flat in _scans(data):
        if not (flat and surely) and bytes(HOLE) in data[start:end].rstrip(b"\0"):
            return True
    return False


def _scans(data: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each scan's codes begin and end, and whether zeros in it may be a flat area."""
    first: dict[int, int] = {}  # of each table the symbol whose code is all zeros: the most frequent one
    at, baseline = 2, False
    while at + 4 <= len(data) and data[at] == 0xFF:
        kind, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        body, at = data[at + 4 : at + 2 + size], at + 2 + size
        if kind in (0xC0, 0xC1, 0xC2):
            baseline = kind != 0xC2
        elif kind == 0xC4:
            while len(body) > 17:
                first[body[0]], body = body[17], body[17 + sum(body[1:17]) :]
        elif kind == 0xDA:
            tables = [table for pair in body[2 : 1 + 2 * body[0] : 2] for table in (pair >> 4, 0x10 | pair & 15)]
            end = _end(data, at)
            yield at, end, not baseline or all(first.get(table, 0) == 0 for table in tables)
            at = end


def _end(data: bytes, at: int) -> int:
    """Of the codes that begin there: the next marker that is none of restarting."""
    while (at := data.find(b"\xff", at)) >= 0:
        if at + 1 < len(data) and data[at + 1] not in (0x00, 0xFF, *range(0xD0, 0xD8)):
            return at
        at += 1
    return len(data)
