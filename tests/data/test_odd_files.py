"""A folder with one of every odd file: all that are right are decoded right, all others are in one list."""

from pathlib import Path

import numpy as np
import pytest

from tests.data.test_image_reading import JPEG, KINDS, by_pillow
from toolkit.data.cache import decode_all
from toolkit.data.image_files import ImageFiles, image_folder
from toolkit.data.image_reading import with_channels
from toolkit.errors import UserError
from toolkit.store import Workspace

BROKEN = {
    "broken/cut in half.jpg": (JPEG[: len(JPEG) // 2], "is damaged or cut short"),
    "broken/empty.png": (b"", "is empty"),
    "broken/page.jpg": (b"<html></html>", "is a web page"),
    "broken/notes.jpg": (b"to do", "is no picture of a known kind"),
    "broken/half.png": (KINDS["PNG"][0][:900], "is cut short"),
}
SHAPE = (44, 60, 3)


def decoded(folder: Path) -> np.ndarray:
    images = image_folder(folder / "raw")
    files = {"images": images, "test_images": ImageFiles([])}
    made = decode_all(files, str(len(images)), Workspace(folder, "odd"), SHAPE)
    found: np.ndarray = np.load(made / "images.npy")
    return found


def test_every_file_is_decoded_or_listed(tmp_path: Path) -> None:
    for home in ("a", "b"):  # the same names in two folders
        for kind, (data, _) in KINDS.items():
            (tmp_path / "raw" / home).mkdir(parents=True, exist_ok=True)
            (tmp_path / "raw" / home / f"{kind} ü.jpg").write_bytes(data)
    for name, (data, _) in BROKEN.items():
        (tmp_path / "raw" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "raw" / name).write_bytes(data)
    with pytest.raises(UserError) as caught:
        decoded(tmp_path)
    said = str(caught.value)
    assert [name for name, (_, why) in BROKEN.items() if f"{name} {why}" not in said] == [] and "ü" not in said
    for name in BROKEN:
        (tmp_path / "raw" / name).unlink()
    found = decoded(tmp_path)
    expected = [with_channels(by_pillow(*KINDS[kind]), 3) for kind in sorted(KINDS, key=lambda kind: f"{kind} ü.jpg")]
    assert (found == np.stack([*expected, *expected])).all()
