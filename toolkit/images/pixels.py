"""What decoders hand over, brought into one form."""

import numpy as np
from PIL import Image

KEPT = ("L", "LA", "RGB", "RGBA", "I", "F")  # modes of Pillow whose pixels are taken as they are
Stored = tuple[np.ndarray, bool]  # (h, w) or (h, w, channels), and whether the last channel is transparency


class Unreadable(ValueError):
    """What is wrong with a file: the rest of a sentence that begins with its name."""


def pixels_of(opened: Image.Image) -> Stored:
    """Of what Pillow has loaded."""
    clear = opened.info.get("transparency")
    if opened.mode.startswith("I") and clear is not None:  # Pillow would cut it to 8 bits
        image = np.array(opened).astype(np.uint16)
        return np.dstack([image, np.where(image == clear, 0, 65535).astype(np.uint16)]), True
    if clear is not None or opened.mode in ("PA", "La", "RGBa"):
        opened = opened.convert("LA" if opened.mode in ("L", "La") else "RGBA")
    elif opened.mode == "1":
        opened = opened.convert("L")
    elif opened.mode not in KEPT and not opened.mode.startswith("I;16"):
        opened = opened.convert("RGB")
    image = np.array(opened)
    return image.astype(image.dtype.newbyteorder("="), copy=False), opened.mode in ("LA", "RGBA")


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """As EXIF's number for it says, 1 to 8; any other is none."""
    if orientation in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def unmultiplied(image: np.ndarray) -> np.ndarray:
    """An image (h, w, channels) whose colours were multiplied by its last channel, transparency, as they were before;
    where nothing shows they are 0.
    """
    most = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1
    share = image[..., -1:] / np.float32(most)
    colours = np.divide(image[..., :-1], share, where=share > 0, out=np.zeros(image[..., :-1].shape, np.float32))
    colours = np.rint(colours).clip(0, most) if image.dtype.kind in "iu" else colours
    return np.concatenate([colours.astype(image.dtype), image[..., -1:]], axis=2)


def laid_on(image: np.ndarray, ground: int) -> np.ndarray:
    """(h, w) or (h, w, 3) of an image whose last channel is transparency; ground: a grey of 0..255."""
    most = np.iinfo(image.dtype).max if image.dtype.kind in "iu" else 1
    share = image[..., -1:] / np.float32(most)
    mixed = image[..., :-1] * share + ground / 255 * most * (1 - share)
    mixed = (np.rint(mixed) if image.dtype.kind in "iu" else mixed).astype(image.dtype)
    return mixed[..., 0] if mixed.shape[2] == 1 else mixed
