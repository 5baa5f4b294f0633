"""Pictures beside each other with a gap, uint8 (h, w, 3), which says where one ends on light and dark pages alike."""

from collections.abc import Sequence

import cv2
import numpy as np

from toolkit.pages.pictures import enlarged

GAP, GREY = 4, 128
LONGEST = 400  # pixels of a picture on a page


def fitted(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 1 or 3) as it is shown on a page: small ones enlarged, large ones no longer than LONGEST."""
    shown = enlarged(picture)
    factor = LONGEST / max(shown.shape[:2])
    if factor >= 1:
        return shown
    size = [max(1, round(side * factor)) for side in shown.shape[1::-1]]
    return np.asarray(cv2.resize(shown, size, interpolation=cv2.INTER_AREA))


def beside(pictures: Sequence[np.ndarray], axis: int = 1) -> np.ndarray:
    """Pictures (H, W, 1 or 3), fitted to the page, beside (axis 1) or below (0) each other."""
    shown = [fitted(picture) for picture in pictures]
    most = max(picture.shape[1 - axis] for picture in shown)
    filled = [_to_length(picture, 1 - axis, most) for picture in shown]
    gap = [*filled[0].shape]
    gap[axis] = GAP
    parts = [part for picture in filled for part in (np.full(gap, GREY, np.uint8), picture)]
    return np.concatenate(parts[1:], axis=axis)


def joined(first: np.ndarray, second: np.ndarray, axis: int) -> np.ndarray:
    """Two pictures as `beside`, without the gap, of the same size: what was between them is around them."""
    whole = np.concatenate([fitted(first), fitted(second)], axis=axis)
    around = [(0, 0)] * 3
    around[axis] = (GAP // 2, GAP - GAP // 2)
    return np.pad(whole, around, constant_values=GREY)


def _to_length(picture: np.ndarray, axis: int, length: int) -> np.ndarray:
    around = [(0, 0)] * 3
    around[axis] = (0, length - picture.shape[axis])
    return np.pad(picture, around, constant_values=GREY)
