"""The values or colours that pixels of masks have."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from toolkit.errors import UserError
from toolkit.images.reading import read_image
from toolkit.recognition.heads import spread

LEAST, MOST = 12, 2_000  # masks that are read
PIXELS = 1 << 25  # of those that are read, where these are more than LEAST


@dataclass(frozen=True)
class Values:
    """Greys, or colours (red, green, blue), of so many masks."""

    values: set[Any]
    colours: bool
    number: int


def values_of(folder: Path, files: Sequence[str]) -> Values:
    """Of as many masks as take a second: what a few images alone show is seldom in a dozen."""
    first = _pixels(folder / files[0])
    size = 0 if first is None else first[..., 0].size if first.ndim == 3 else first.size
    looked_at = spread(files, min(MOST, max(LEAST, PIXELS // max(1, size))))
    greys: set[Any] = set()
    colours: set[Any] = set()
    for name in looked_at:
        pixels = _pixels(folder / name)
        if pixels is None:
            continue
        if pixels.ndim == 3 and (pixels != pixels[..., :1]).any():
            colours |= _colours(pixels)
        else:
            greys |= set(pd.unique((pixels[..., 0] if pixels.ndim == 3 else pixels).ravel()).tolist())
    if colours:
        return Values(colours | {(grey,) * 3 for grey in greys}, True, len(looked_at))
    return Values(greys, False, len(looked_at))


def smeared(folder: Path, files: Sequence[str]) -> int | None:
    """Half of the brightest, where one of some pictures has several values beside 0, as JPEG leaves at edges; None
    where none has.
    """
    found = [read_image(folder / name) for name in spread(files, LEAST) if _pixels(folder / name) is not None]
    levels = [np.unique(one.max(2) if one.ndim == 3 else one) for one in found]
    if all(len(set(some.tolist()) - {0}) < 2 for some in levels):
        return None
    return int(max(some.max() for some in levels) // 2)


def _pixels(path: Path) -> np.ndarray | None:
    """Of palettes the places in it; None for what can't be read."""
    try:
        with Image.open(path) as opened:
            return np.array(opened) if opened.mode == "P" else read_image(path)
    except (UserError, OSError):
        return None


def _colours(pixels: np.ndarray) -> set[tuple[Any, ...]]:
    flat = pixels.reshape(-1, pixels.shape[2])
    if pixels.dtype == np.uint8:  # as one number each, of which different ones are found sooner
        packed = np.zeros((len(flat), 4), np.uint8)
        packed[:, : flat.shape[1]] = flat[:, :4]
        found = np.asarray(pd.unique(packed.view(np.uint32).ravel()))
        return set(map(tuple, found.view(np.uint8).reshape(-1, 4)[:, : flat.shape[1]].tolist()))
    return set(map(tuple, np.unique(flat, axis=0).tolist()))
