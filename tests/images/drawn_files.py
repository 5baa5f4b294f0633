"""Readers of images that lie in no files; nothing heavy is imported in the processes that call them."""

import time
from pathlib import Path

import numpy as np

SHAPE = (4, 6, 3)


def drawn(path: Path, row: int, least: int) -> np.ndarray:
    """An image that follows from its row; a line in the file `path` for each that is read."""
    with open(path, "a") as log:
        log.write(f"{row}\n")
    return np.random.default_rng(row).integers(256, size=(8, 9, 3), dtype=np.uint8)


def drawn_slowly(path: Path, row: int, least: int) -> np.ndarray:
    time.sleep(0.001)
    return drawn(path, row, least)


def stopped(path: Path, row: int, least: int) -> np.ndarray:
    raise KeyboardInterrupt


def broken(path: Path, row: int, least: int) -> np.ndarray:
    drawn(path, row, least)
    raise KeyError("PixelData")
