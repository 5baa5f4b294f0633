"""A download with one of every odd file: each is read as it is meant, or named with what is wrong with it."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import Heard
from toolkit.errors import UserError
from toolkit.images.cache import decode_all, unreadable
from toolkit.images.files import class_folders
from toolkit.store import Workspace

SIDE = 16
CLASSES = ("healthy leaves", "kranke Bl\u00e4tter")


def bright(where: str, mode: str = "RGB") -> Image.Image:
    """Dark, with a bright quarter at one side."""
    pixels = np.full((SIDE, SIDE), 40, np.uint8)
    quarter = SIDE // 4
    pixels[(slice(quarter), slice(None)) if where == "top" else (slice(None), slice(SIDE - quarter, None))] = 200
    return Image.fromarray(pixels).convert(mode)


def packed(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> bytes:
    """Stored with its right side bright; a quarter turn to the left makes that its top."""
    exif = Image.Exif()
    exif[0x0112] = 8
    return packed(bright("right"), "JPEG", quality=95, exif=exif)


READABLE = {  # each has its top bright
    "as they come.png": packed(bright("top"), "PNG"),
    "turned by EXIF.jpg": turned(),
    "CMYK.jpg": packed(bright("top", "CMYK"), "JPEG", quality=95),
    "grey with alpha.png": packed(bright("top", "LA"), "PNG"),
    "palette.png": packed(bright("top", "P"), "PNG"),
    "moving.gif": packed(bright("top", "P"), "GIF", save_all=True, append_images=[bright("right", "P")]),
    "really a PNG.jpg": packed(bright("top"), "PNG"),
    "no suffix": packed(bright("top"), "PNG"),
    "\u00fcber  (1) #2 100%.png": packed(bright("top"), "PNG"),
    "\u8449.PNG": packed(bright("top"), "PNG"),
}
BROKEN = {
    "cut short.jpg": (packed(bright("top"), "JPEG", quality=95)[:-8], "is damaged or cut short"),
    "empty.png": (b"", "is empty"),
    "a web page.jpg": (b"<!DOCTYPE html><html></html>", "is a web page or XML"),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Both classes hold files of the same names."""
    for name in CLASSES:
        (tmp_path / "train" / name).mkdir(parents=True)
        for file, content in READABLE.items():
            (tmp_path / "train" / name / file).write_bytes(content)
    return tmp_path / "train"


def test_each_is_read_as_a_person_sees_it(folder: Path, tmp_path: Path) -> None:
    images, labels = class_folders(folder, CLASSES)
    assert len(images) == 2 * len(READABLE) and np.bincount(labels).tolist() == [len(READABLE)] * 2
    with pytest.raises(UserError, match="2 images are called 'palette'; call them by their folders as well"):
        images.chosen(["palette"])
    assert len(images.chosen([f"{CLASSES[1]}/palette"])) == 1
    decoded = np.load(
        decode_all({"images": images}, "key", Workspace(tmp_path, "odd"), (SIDE, SIDE, 3)) / "images.npy"
    )
    for name, image in zip(images.file_names, decoded, strict=True):
        assert image[0].min() > 150 and image[-1].max() < 90, name


def test_what_can_not_be_read_is_named_with_its_reason(folder: Path, tmp_path: Path) -> None:
    for file, (content, _) in BROKEN.items():
        (folder / CLASSES[0] / file).write_bytes(content)
    images, _ = class_folders(folder, CLASSES)
    workspace = Workspace(tmp_path, "odd")
    with pytest.raises(UserError, match=f"{len(BROKEN)} of {len(images)} images can't be read"):
        decode_all({"images": images}, "key", workspace, (SIDE, SIDE, 3))
    decode_all({"images": images}, "key", workspace, (SIDE, SIDE, 3), progress=Heard(), skip=True)
    told = unreadable(workspace)
    assert {Path(name).name for name in told["name"]} == set(BROKEN)
    for file, (_, reason) in BROKEN.items():
        assert told.loc[told["name"].str.endswith(file), "reason"].str.contains(reason, regex=False).all(), file


def test_16_bits_say_how_they_are_to_be_scaled(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    Image.fromarray(np.asarray(bright("top", "L")).astype(np.uint16) * 257).save(tmp_path / "deep" / "16 bits.png")
    images, _ = class_folders(tmp_path, ("deep",))
    with pytest.raises(UserError, match=r"type uint16 .*values="):
        decode_all({"images": images}, "key", Workspace(tmp_path, "odd"), (SIDE, SIDE, 3))
