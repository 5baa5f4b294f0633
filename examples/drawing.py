"""What the examples' practice data share: pictures with shapes on them, files as organisers have them, and the truth.

An example's `practice.py` draws a few hundred small pictures in the organisers' own layout. What tells the classes
apart is a shape, a colour or a number of marks; noise, light, size and place are drawn for each picture. The hidden
test pictures are a little worse than the training pictures, as they are in real competitions (`worn`).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import pandas as pd

Rng = np.random.Generator
Colour = Sequence[float] | np.ndarray  # red, green, blue: 0..255
Pixels = int | np.integer[Any]
Shape = Literal["disc", "ring", "square", "frame", "triangle", "bar", "cross", "wave"]
TRAIN, TEST = 0, 1  # parts of the data, each with draws of its own


def rng_of(seed: int, part: int) -> Rng:
    """The draws of one part: the test pictures are the same however many training pictures are drawn."""
    return np.random.default_rng([seed, part])


def texture(rng: Rng, height: Pixels, width: Pixels, strength: float = 10) -> np.ndarray:
    """Wool, as no other picture has it, (height, width): by it the audit tells pictures of the same shape apart."""
    noise = [cv2.GaussianBlur(rng.normal(0, 2 * grain, (height, width)), (0, 0), grain) for grain in (1.0, 2.0, 4.0)]
    return strength * sum(noise, np.zeros(()))


def ground(rng: Rng, height: Pixels, width: Pixels, colour: Colour = (128, 128, 128), noise: float = 10) -> np.ndarray:
    """An empty picture, float32 (height, width, 3) on the scale 0..255: a colour, lit from one side, with noise."""
    slope = rng.normal(0, 8, 2)
    light = slope[0] * np.linspace(-1, 1, height)[:, None] + slope[1] * np.linspace(-1, 1, width)
    light += texture(rng, height, width, noise)
    made: np.ndarray = np.asarray(colour) + light[..., None] + rng.normal(0, noise, (height, width, 3))
    return made.astype(np.float32)


def mark(
    rng: Rng,
    image: np.ndarray,
    shape: Shape,
    at: tuple[float, float],
    size: float,
    colour: Colour,
    angle: float = 0.0,
    strength: float = 0.85,
    thick: float | None = None,
) -> np.ndarray:
    """Paint a shape on a picture (H, W, 3), in place; returns which pixels it covers, bool (H, W).

    at: (y, x) of its middle; size: from there to its edge, in pixels; angle: degrees; strength: 1 hides what
    lies below; thick: of a line, in pixels (None: a third of the size).
    """
    mask = np.zeros(image.shape[:2], np.uint8)
    middle, turn = np.array(at[::-1]), np.deg2rad(angle)
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    wide, line = np.linspace(-1, 1, 24), max(1, round(size / 3 if thick is None else thick))

    def points(*corners: Sequence[float]) -> np.ndarray:
        return np.rint((middle + size * np.array(corners) @ turned) * 16).astype(np.int32)  # sixteenths of a pixel

    square = points((-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85))
    if shape in ("disc", "ring"):
        centre = tuple(np.rint(middle * 16).astype(int).tolist())
        cv2.circle(mask, centre, round(size * 16), (1,), -1 if shape == "disc" else line, shift=4)
    elif shape in ("square", "triangle"):
        corners = square if shape == "square" else points((0, -1), (0.95, 0.8), (-0.95, 0.8))
        cv2.fillPoly(mask, [corners], (1,), shift=4)
    elif shape == "frame":
        cv2.polylines(mask, [square], True, (1,), line, shift=4)
    else:
        strokes = {
            "bar": [points((-1, 0), (1, 0))],
            "cross": [points((-1, 0), (1, 0)), points((0, -1), (0, 1))],
            "wave": [points(*zip(wide, 0.5 * np.sin(wide * np.pi * 1.5), strict=True))],
        }[shape]
        cv2.polylines(mask, strokes, False, (1,), line, shift=4)
    covered = mask.astype(bool)
    left, top, across, down = cv2.boundingRect(mask)  # no texture is drawn where none is seen
    box = slice(top, top + down), slice(left, left + across)
    if down:
        own = np.asarray(colour) + texture(rng, down, across, 14)[covered[box]][:, None]
        image[covered] += strength * (own.astype(np.float32) - image[covered])
    return covered


def somewhere(rng: Rng, height: Pixels, width: Pixels, away: float) -> tuple[float, float]:
    """A place (y, x) in a picture, so many pixels `away` from its edges."""
    return rng.uniform(away, height - away), rng.uniform(away, width - away)


def worn(rng: Rng, image: np.ndarray, strength: float = 1.0) -> np.ndarray:
    """The picture as another camera takes it: darker or paler, with more noise, a little blurred."""
    image = cv2.GaussianBlur(image, (0, 0), 0.4 * strength) if strength > 0 else image
    contrast, light = 1 + strength * rng.uniform(-0.15, 0.1), strength * rng.uniform(-14, 8)
    made: np.ndarray = ((image - 128) * contrast + 128 + light + rng.normal(0, 4 * strength, image.shape)).astype(
        np.float32
    )
    return made


def whole(image: np.ndarray, most: int = 255) -> np.ndarray:
    """Rounded and clipped: uint8, or uint16 where `most` is more than 255."""
    made: np.ndarray = np.clip(np.rint(image), 0, most).astype(np.uint8 if most < 256 else np.uint16)
    return made


def save(path: Path, image: np.ndarray, **dicom: Any) -> None:
    """Write a picture (H, W) or (H, W, 3), uint8, uint16 or float on the scale 0..255, as its suffix says: .jpg, .png,
    .tif, .dcm. Folders are made. dicom: further elements of a DICOM file, such as `PatientID="7"`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    image = whole(image) if image.dtype.kind == "f" else image
    if path.suffix == ".dcm":
        _save_dicom(path, image, dicom)
    elif not cv2.imwrite(str(path), image if image.ndim == 2 else image[..., ::-1]):
        raise OSError(f"{path} can't be written")


def _save_dicom(path: Path, image: np.ndarray, more: Mapping[str, Any]) -> None:
    """Grey, (H, W) uint8 or uint16."""
    import pydicom
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    kind, uid = "1.2.840.10008.5.1.4.1.1.7", generate_uid(entropy_srcs=[str(path)])  # the same file for the same path
    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID, made.file_meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, kind
    made.file_meta.MediaStorageSOPInstanceUID = uid
    made.SOPClassUID, made.SOPInstanceUID, made.Modality = kind, uid, "OT"
    for name, value in more.items():
        setattr(made, name, value)
    made.set_pixel_data(image, "MONOCHROME2", image.dtype.itemsize * 8)
    made.save_as(path, enforce_file_format=True)


def table(path: Path, columns: Mapping[str, Any]) -> None:
    """A CSV of columns of equal length; None and NaN are blank."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(dict(columns)).to_csv(path, index=False)


def run_lengths(mask: np.ndarray) -> str:
    """`start length …` of the true pixels of a mask (H, W): down the first column, then the next, from 1."""
    inside = np.concatenate([[False], mask.T.ravel().astype(bool), [False]])
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    edges[1::2] -= edges[::2]
    return " ".join(map(str, edges))


def truth(folder: Path, targets: Any) -> None:
    """`truth/truth.npz` for `grade`: a row a test picture, in the order in which `load` has them, in the form of the
    training targets; a list of masks of several sizes is laid one after the other.
    """
    (folder / "truth").mkdir(parents=True, exist_ok=True)
    if isinstance(targets, list) and np.ndim(targets[0]) == 2:
        targets = np.concatenate([np.asarray(mask, np.uint8).ravel() for mask in targets])
    np.savez(folder / "truth" / "truth.npz", targets=np.asarray(targets))
