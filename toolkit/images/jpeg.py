"""JPEGs by libjpeg-turbo's own interface, or by Pillow's where simplejpeg isn't installed, as on Kaggle's machines.

Both decode to the same bits, but where a picture comes at 3/8 of its size: Pillow knows 1/2, 1/4 and 1/8 alone.
"""

import io
from typing import Any

import numpy as np
from PIL import Image

try:
    import simplejpeg
except ImportError:
    simplejpeg = None


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
