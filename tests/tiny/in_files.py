"""The tiny competition with its pictures in PNG files, of 16x16 and 24x16 pixels."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from tests import tiny
from toolkit import ImageFiles, Npz, Samples

PARTS = ("train", "test")


def practice(folder: Path, seed: int, size: int) -> None:
    tiny.practice(folder, seed, size)
    raw = folder / "raw"
    for part, images in zip(PARTS, (Npz(raw / "data.npz")["images"], np.load(raw / "test.npy")), strict=True):
        (raw / part).mkdir()
        for row, image in enumerate(images):
            larger = cv2.resize(image, (16 + 8 * (row % 2), 16), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(raw / part / f"{row:03}.png"), larger[..., ::-1])


def load(folder: Path) -> Samples:
    targets = Npz(folder / "data.npz")["targets"]
    train, test = (ImageFiles(sorted((folder / part).glob("*.png"))) for part in PARTS)
    return Samples(train, targets, groups=np.arange(len(targets)) // 3, test_images=test)


competition = replace(tiny.looking, load=load, practice=practice)
