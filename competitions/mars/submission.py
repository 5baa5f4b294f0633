"""The CSV submission: header `id,0,1,…,8191`, then a row an image in test order, its pixels row by row."""

from pathlib import Path

import numpy as np

from toolkit.competition import Segmentation
from toolkit.errors import UserError


def write(masks: np.ndarray, path: Path) -> None:
    """Write masks uint8 (M, H, W) of single-digit labels."""
    pixels = masks.reshape(len(masks), -1)
    # a row is "," and a digit a pixel: bytes put side by side take seconds where a table writer takes minutes
    row = np.empty((pixels.shape[1], 2), np.uint8)
    row[:, 0] = ord(",")
    with open(path, "wb") as file:
        file.write(header(pixels.shape[1]))
        for number, labels in enumerate(pixels):
            row[:, 1] = labels + ord("0")
            file.write(str(number).encode() + row.tobytes() + b"\n")


def header(pixels: int) -> bytes:
    return b"id," + ",".join(map(str, range(pixels))).encode() + b"\n"


def read(path: Path, images: int, task: Segmentation) -> np.ndarray:
    """Masks uint8 (images, H, W) of a CSV; UserError, naming the row, where the organisers would refuse it."""
    height, width, _ = task.image_shape
    classes = len(task.classes)
    masks = np.empty((images, height * width), np.uint8)
    if not path.is_file():
        raise UserError(f"{path} {'is a folder, expected a CSV' if path.is_dir() else 'does not exist'}")
    rows = 0
    with open(path, "rb") as file:
        first = file.readline().rstrip(b"\r\n")
        if first != header(height * width).rstrip():
            found = first.decode(errors="replace")
            raise UserError(
                f"{path}: the first line must be id,0,1,…,{height * width - 1}, it begins with {found[:12]!r} "
                f"and has {found.count(',') + 1} columns"
            )
        for number, line in enumerate(file):
            if number < images:
                masks[number] = _labels(line.rstrip(b"\r\n"), number, height * width, classes, path)
            rows = number + 1
    if rows != images:
        raise UserError(f"{path} has {rows} rows, the test set has {images} images")
    return masks.reshape(images, height, width)


def _labels(line: bytes, number: int, pixels: int, classes: int, path: Path) -> np.ndarray:
    name, _, rest = line.partition(b",")
    where = f"{path} row {number} (line {number + 2})"
    if name != str(number).encode():
        raise UserError(f"{where}: the id is {name.decode(errors='replace')!r}, expected {number}")
    if len(rest) == 2 * pixels - 1:
        characters = np.frombuffer(rest, np.uint8)
        labels = characters[::2] - ord("0")  # anything but a digit wraps round to 10 or more
        if (characters[1::2] == ord(",")).all() and labels.max() < classes:
            return labels
    values = rest.split(b",")
    if len(values) != pixels:
        raise UserError(f"{where} has {len(values)} pixels, expected {pixels}")
    allowed = {str(i).encode() for i in range(classes)}
    wrong = next(i for i, value in enumerate(values) if value not in allowed)
    found = values[wrong].decode(errors="replace")
    raise UserError(f"{where}: pixel {wrong} is {found!r}, expected a whole number from 0 to {classes - 1}")
