"""Images whose channels lie in a file each: the stains of a microscope, the bands of a satellite."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.images.files import ImageFiles
from toolkit.images.pixels import Unreadable
from toolkit.images.reading import read_image


def channel_files(images: ImageFiles, marks: Sequence[str]) -> ImageFiles:
    """Images of several files each, whose channels follow each other in the order of the marks.

    images: the files that have the first mark in their paths; those of the other channels are called by the others in
    its place, the last one in the path: `("_w1", "_w2")` of `B03_s1_w1.png` and `B03_s1_w2.png`, `("rgb/", "nir/")` of
    a folder each. A file may hold several channels; all files of an image are of one size. What lacks a file is an
    image that can't be read.

    UserError for fewer than two marks, one that is given twice, and a file that lacks the first one.
    """
    if len(marks) < 2 or len(set(marks)) < len(marks) or not all(marks):
        raise UserError(f"channel_files(…, {tuple(marks)}): expected two or more marks, all different")
    if images.read is not read_image:
        raise UserError("channel_files joins picture files: give it what image_folder gives, without a `read`")
    without = next((path for path in images.paths if marks[0] not in str(path)), None)
    if without is not None:
        raise UserError(
            f"{without} has no {marks[0]!r} in its path; choose the files of the first channel, such as "
            f'image_folder(…, "*{marks[0].rpartition("/")[2]}*")'
        )
    return replace(images, read=read_channels, options={**images.options, "marks": list(marks)})


def files_of(path: str, images: ImageFiles) -> list[str]:
    """All files of the image of which that is the one, or the first; none where it lacks the first channel's mark."""
    if getattr(images.read, "function", images.read) is not read_channels:
        return [path]
    marks = images.options["marks"]
    before, first, after = path.rpartition(marks[0])
    return [f"{before}{mark}{after}" for mark in marks] if first else []


def read_channels(path: Path, row: int, least: int, marks: Sequence[str], **options: Any) -> np.ndarray:
    """(h, w, channels) of all files of an image, `path` that of the first; otherwise as `read_image`."""
    before, first, after = str(path).rpartition(marks[0])
    assert first  # channel_files has looked
    files = [Path(f"{before}{mark}{after}") for mark in marks]
    parts = [read_image(file, row, least, **options) for file in files]
    if least and len({part.shape[:2] for part in parts}) > 1:  # JPEG at reduced scale beside another kind
        parts = [read_image(file, row, 0, **options) for file in files]
    parts = [part[..., None] if part.ndim == 2 else part for part in parts]
    for file, part in zip(files, parts, strict=True):
        if part.shape[:2] != parts[0].shape[:2]:
            (height, width), (tall, wide) = part.shape[:2], parts[0].shape[:2]
            raise Unreadable(
                f"has {tall} x {wide} pixels, its channel {file.name} {height} x {width}; make them alike"
            )
    return np.concatenate(parts, axis=2)
