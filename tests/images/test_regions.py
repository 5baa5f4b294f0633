"""A region is what slicing the whole picture gives, whatever its file is made of."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from tifffile import TiffFile, TiffWriter, imwrite

from toolkit.errors import UserError
from toolkit.images import segments
from toolkit.images.files import ImageFiles, image_folder
from toolkit.images.reading import read_image
from toolkit.images.regions import opened, region, size_of, turned_by_exif

HEIGHT, WIDTH = 300, 403
PICTURE = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8), (0, 0), 4)
PICTURE = ((PICTURE.astype(int) - 96) * 4).clip(0, 255).astype(np.uint8)
DEEP = PICTURE[..., 0].astype(np.uint16) * 200
DEEP3 = PICTURE.astype(np.uint16) * 200


def jpeg(tile: np.ndarray, plain: bool) -> bytes:
    """plain: red, green and blue as they are and not marked as such, as Aperio's scanners write them."""
    made = io.BytesIO()
    Image.fromarray(tile).save(made, "JPEG", quality=98, subsampling=0, keep_rgb=plain)
    data = made.getvalue()
    if not plain:
        return data
    at = data.index(b"\xff\xee")
    data = data[:at] + data[at + 2 + int.from_bytes(data[at + 2 : at + 4], "big") :]
    frame, scan = data.index(b"\xff\xc0"), data.index(b"\xff\xda")
    changed = bytearray(data)
    for place in range(3):
        changed[frame + 10 + 3 * place] = changed[scan + 5 + 2 * place] = place + 1
    return bytes(changed)


def jpeg_tiles(path: Path, plain: bool, side: int = 64) -> None:
    tiles = []
    for top in range(0, HEIGHT, side):
        for left in range(0, WIDTH, side):
            part = PICTURE[top : top + side, left : left + side]
            tall, wide = side - part.shape[0], side - part.shape[1]
            tiles.append(jpeg(np.pad(part, ((0, tall), (0, wide), (0, 0)), "edge"), plain))
    shape = (HEIGHT, WIDTH, 3)
    imwrite(path, iter(tiles), shape=shape, dtype="uint8", tile=(side, side), compression="zlib", photometric="rgb")
    with TiffFile(path, mode="r+") as file:  # as writing JPEG takes a package that reading doesn't
        file.pages.first.tags["Compression"].overwrite(7)
        file.pages.first.tags["PhotometricInterpretation"].overwrite(2 if plain else 6)


KINDS: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "one_strip": (PICTURE, {"photometric": "rgb"}),
    "strips": (PICTURE, {"photometric": "rgb", "rowsperstrip": 7, "compression": "zlib"}),
    "tiles": (PICTURE, {"photometric": "rgb", "tile": (64, 48)}),
    "deflate": (PICTURE, {"photometric": "rgb", "tile": (64, 64), "compression": "zlib", "predictor": True}),
    "big": (PICTURE, {"photometric": "rgb", "tile": (64, 64), "compression": "zlib", "bigtiff": True}),
    "motorola": (DEEP, {"photometric": "minisblack", "byteorder": ">"}),
    "motorola_tiles": (DEEP, {"photometric": "minisblack", "byteorder": ">", "tile": (64, 64), "compression": "zlib"}),
    "floats": (DEEP.astype(np.float32), {"photometric": "minisblack", "tile": (64, 64), "compression": "zlib"}),
    "planar": (np.moveaxis(PICTURE, 2, 0), {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 64)}),
    "planar_strips": (np.moveaxis(PICTURE, 2, 0), {"photometric": "rgb", "planarconfig": "separate",
                                                   "compression": "zlib", "rowsperstrip": 16}),
    "planar_whole": (np.moveaxis(PICTURE, 2, 0), {"photometric": "rgb", "planarconfig": "separate"}),
    "pages": (np.moveaxis(np.dstack([PICTURE, PICTURE[..., :2]]), 2, 0),
              {"photometric": "minisblack", "metadata": {"axes": "CYX"}, "tile": (64, 64), "compression": "zlib"}),
    "ome": (np.moveaxis(PICTURE, 2, 0), {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"},
                                         "tile": (64, 64), "compression": "zlib"}),
    "five": (np.dstack([PICTURE, PICTURE[..., :2]]), {"photometric": "minisblack", "planarconfig": "contig",
                                                      "tile": (64, 64), "compression": "zlib"}),
    "transparent": (np.dstack([PICTURE, 255 - PICTURE[..., :1]]),
                    {"photometric": "rgb", "extrasamples": ["unassalpha"], "tile": (64, 64)}),
}  # fmt: skip


def by_pillow(**options: Any) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(PICTURE).save(path, **options)


OTHERS: dict[str, Callable[[Path], object]] = {
    "lzw.tif": by_pillow(compression="tiff_lzw"),
    "zstd.tif": by_pillow(compression="zstd"),
    "packbits.tif": by_pillow(compression="packbits"),
    "pillow_jpeg.tif": by_pillow(compression="jpeg", quality=95),
    "deep_lzw.tif": lambda path: Image.fromarray(DEEP).save(path, compression="tiff_lzw"),
    "deep_colours.tif": lambda path: cv2.imwrite(str(path), DEEP3),
    "palette.tif": lambda path: Image.fromarray(PICTURE).quantize(32).save(path),
    "grey.png": lambda path: Image.fromarray(PICTURE[..., 0]).save(path),
    "turned.jpg": by_pillow(
        quality=95, exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    ),
}


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, np.ndarray]]:
    """Of each kind the file, and the whole picture."""
    folder = tmp_path_factory.mktemp("regions")
    made = {}
    for name, (image, options) in KINDS.items():
        path = folder / f"{name}.tif"
        imwrite(path, image, **options)
        made[name] = path, read_image(path)
    for name, write in OTHERS.items():
        write(folder / name)
        made[name] = folder / name, PICTURE if name == "zstd.tif" else read_image(folder / name)
    return made


@pytest.mark.parametrize("kind", [*KINDS, *OTHERS])
def test_a_region_is_a_slice_of_the_whole(kind: str, files: dict[str, tuple[Path, np.ndarray]]) -> None:
    path, whole = files[kind]
    height, width = whole.shape[:2]
    assert opened(path).size == (height, width)
    apart = 2 if "jpeg" in kind else 0  # two ways of drawing colours larger
    for top, left, tall, wide in (
        (0, 0, height, width),
        (60, 100, 70, 33),
        (height - 5, width - 40, 5, 40),
        (1, 2, 1, 1),
    ):
        found = region(path, (top, left, tall, wide), (tall, wide))
        expected = whole[top : top + tall, left : left + wide]
        assert found.dtype == whole.dtype and found.shape == expected.shape
        assert np.abs(found.astype(float) - expected).max() <= apart


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["tif", "jpg", "png"])
def test_the_size_is_that_of_the_picture_as_it_is_turned(kind: str, orientation: int, tmp_path: Path) -> None:
    path, tags = tmp_path / f"turned.{kind}", Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    Image.fromarray(PICTURE).save(path, exif=tags)
    shown = read_image(path)
    assert shown.shape[:2] == ((WIDTH, HEIGHT) if orientation > 4 else (HEIGHT, WIDTH))
    assert size_of(ImageFiles([path]), 0) == opened(path).size == shown.shape[:2]
    tall, wide = shown.shape[:2]
    assert np.array_equal(region(path, (tall - 30, wide - 40, 30, 40), (30, 40)), shown[-30:, -40:])


@pytest.mark.parametrize("plain", [False, True])
def test_jpeg_tiles_need_no_other_package(plain: bool, tmp_path: Path) -> None:
    jpeg_tiles(tmp_path / "slide.tif", plain)
    found = region(tmp_path / "slide.tif", (50, 60, 200, 300), (200, 300))
    assert np.abs(found.astype(int) - PICTURE[50:250, 60:360]).mean() < 2
    for by in (2, 4, 7, 8, 16):
        shape = 224 // by, 336 // by
        expected = cv2.resize(PICTURE[64:288, 16:352], shape[::-1], interpolation=cv2.INTER_AREA)
        found = region(tmp_path / "slide.tif", (64, 16, 224, 336), shape)
        assert found.shape == expected.shape and np.abs(found.astype(int) - expected).mean() < 3


def draw_pyramid(path: Path, within: bool) -> None:
    """Each level is a picture of its own grey, so that one sees which is read."""
    sizes, options = (
        [(512, 768), (256, 384), (128, 192)],
        {"tile": (64, 64), "compression": "zlib", "photometric": "rgb"},
    )
    with TiffWriter(path) as file:
        for number, (height, width) in enumerate(sizes):
            more = {"subifds": 2} if within and not number else {"subfiletype": 1} if number else {}
            file.write(np.full((height, width, 3), 50 * (number + 1), np.uint8), metadata=None, **options, **more)


@pytest.mark.parametrize("within", [True, False])
def test_of_a_pyramid_the_smallest_level_that_is_large_enough_is_read(within: bool, tmp_path: Path) -> None:
    path = tmp_path / "slide.tif"
    draw_pyramid(path, within)
    assert opened(path).size == (512, 768)
    for side, grey in ((256, 50), (131, 50), (128, 100), (100, 100), (64, 150), (10, 150)):
        found = region(path, (200, 300, 256, 256), (side, side))
        assert found.shape == (side, side, 3) and (found == grey).all()


def test_only_the_segments_that_are_touched_are_decoded_and_once(
    files: dict[str, tuple[Path, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[int] = []
    known = segments.decoded_segment
    monkeypatch.setattr(segments, "HELD", segments.Segments())

    def noted(page: Any, data: bytes, at: int, by: int) -> np.ndarray:
        decoded.append(at)
        return known(page, data, at, by)

    monkeypatch.setattr(segments, "decoded_segment", noted)
    path, _ = files["deflate"]  # of 5 rows of 7 tiles
    region(path, (70, 70, 60, 70), (60, 70))
    assert decoded == [8, 9, 15, 16]
    region(path, (64, 64, 10, 130), (10, 130))
    assert decoded[4:] == [10]


def test_of_segments_the_last_used_are_kept() -> None:
    held = segments.Segments(most=200)
    for name in "abcd":
        held.put(name, np.zeros(80, np.uint8))
        assert held.get("a") is not None or name == "d"
    assert [name for name in "abcd" if held.get(name) is not None] == ["a", "d"] and held.bytes == 160


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data[: len(data) // 2], "cut short|can't be read"),
        (lambda data: data[:2000] + bytes(9000) + data[11000:], "damaged|can't be read"),
        (lambda data: b"II*\0" + bytes(100), "can't be read"),
        (lambda data: b"", "is empty|no picture|can't be read"),
        (lambda data: b"<html>", "web page"),
    ],
)
def test_damaged_files_are_refused_by_name(damage: Callable[[bytes], bytes], said: str, tmp_path: Path) -> None:
    imwrite(tmp_path / "a.tif", PICTURE, tile=(64, 64), compression="zlib", photometric="rgb")
    (tmp_path / "a.tif").write_bytes(damage((tmp_path / "a.tif").read_bytes()))
    with pytest.raises(UserError, match=f"a.tif .*({said})"):
        region(tmp_path / "a.tif", (0, 0, HEIGHT, WIDTH), (HEIGHT, WIDTH))


def test_a_file_of_several_pictures_is_refused(tmp_path: Path) -> None:
    imwrite(tmp_path / "stack.tif", np.zeros((4, 64, 64), np.uint8), photometric="minisblack")
    with pytest.raises(UserError, match=r"stack.tif has 4 pages of one size, expected one image"):
        opened(tmp_path / "stack.tif")
    with pytest.raises(UserError, match=r"none.tif is missing"):
        opened(tmp_path / "none.tif")


@pytest.mark.parametrize(("compression", "photometric", "said"), [(33003, 6, "isn't read"), (33005, 2, "imagecodecs")])
def test_what_needs_another_package_is_said(compression: int, photometric: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.svs"
    imwrite(path, PICTURE, tile=(64, 64), compression="zlib", photometric="rgb")
    with TiffFile(path, mode="r+") as file:
        file.pages.first.tags["Compression"].overwrite(compression)
        file.pages.first.tags["PhotometricInterpretation"].overwrite(photometric)
    with pytest.raises(UserError, match=f"a.svs is compressed by APERIO_JP2000.*{said}"):
        region(path, (0, 0, 64, 64), (64, 64))


def test_lzw_that_is_damaged_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    assert cv2.imwrite(str(path), DEEP3)
    data = bytearray(path.read_bytes())
    with TiffFile(path) as file:
        page = file.pages.first.aspage()
        assert page.compression.name == "LZW" and page.predictor == 2
        begin = page.dataoffsets[0]
    data[begin + 50 : begin + 5000] = bytes(range(1, 251)) * 19 + bytes(200)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"a.tif is damaged"):
        region(path, (0, 0, 200, 200), (200, 200))


def test_pictures_that_a_tag_turns_are_counted(tmp_path: Path) -> None:
    for row in range(6):
        tag = Image.Exif()
        tag[ExifTags.Base.Orientation] = 3 if row < 2 else 1
        Image.new("RGB", (8, 6)).save(tmp_path / f"{row}.jpg", exif=tag)
    (tmp_path / "9.jpg").write_text("none")
    assert turned_by_exif(image_folder(tmp_path), 200) == (2, 7)
    assert turned_by_exif(image_folder(tmp_path), 1) == (1, 1)
