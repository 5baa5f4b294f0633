"""One of every odd file: each read as Pillow reads it, kept as deep as it is, or refused in a sentence."""

import io
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from toolkit.errors import UserError
from toolkit.images.pixels import Unreadable
from toolkit.images.reading import decoded, read_image, scaled, with_channels

RNG = np.random.default_rng(0)
SMOOTH = cv2.resize(RNG.integers(0, 256, (6, 8, 4), np.uint8), (60, 44), interpolation=cv2.INTER_CUBIC)
COLOUR, GREY = SMOOTH[..., :3], SMOOTH[..., 0]
DEEP = (SMOOTH.astype(np.uint16) * 257) ^ 3


def packed(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    """The bytes of a file."""
    out = io.BytesIO()
    opened = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    opened.save(out, kind, **options)
    return out.getvalue()


def by_pillow(data: bytes, mode: str = "RGB") -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.array(ImageOps.exif_transpose(opened).convert(mode))


def turned_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


PALETTE = Image.fromarray(COLOUR).quantize(17)
KINDS: dict[str, tuple[bytes, str]] = {
    "JPEG": (packed(COLOUR, "JPEG"), "RGB"),
    "progressive JPEG": (packed(COLOUR, "JPEG", progressive=True, subsampling=0), "RGB"),
    "JPEG of RGB": (packed(COLOUR, "JPEG", keep_rgb=True), "RGB"),
    "JPEG of 4:2:2": (packed(COLOUR, "JPEG", subsampling=1, restart_marker_blocks=2), "RGB"),
    "grey JPEG": (packed(GREY, "JPEG"), "L"),
    "CMYK JPEG": (packed(Image.fromarray(COLOUR).convert("CMYK"), "JPEG"), "RGB"),
    "PNG": (packed(COLOUR, "PNG"), "RGB"),
    "grey PNG": (packed(GREY, "PNG"), "L"),
    "PNG of bits": (packed(Image.fromarray(GREY > 99), "PNG"), "L"),
    "palette PNG": (packed(PALETTE, "PNG"), "RGB"),
    "BMP": (packed(COLOUR, "BMP"), "RGB"),
    "GIF": (packed(PALETTE, "GIF"), "RGB"),
    "WebP": (packed(COLOUR, "WEBP", quality=50), "RGB"),
    "AVIF": (packed(COLOUR, "AVIF"), "RGB"),
    "TGA": (packed(COLOUR, "TGA"), "RGB"),
    "PPM": (packed(COLOUR, "PPM"), "RGB"),
    "PBM": (packed(Image.fromarray(GREY > 99), "PPM"), "L"),
    "JPEG 2000": (packed(COLOUR, "JPEG2000"), "RGB"),
    "grey JPEG 2000": (packed(GREY, "JPEG2000"), "L"),
    "TIFF": (packed(COLOUR, "TIFF"), "RGB"),
    "TIFF by LZW": (packed(COLOUR, "TIFF", compression="tiff_lzw"), "RGB"),
    "TIFF by JPEG": (packed(COLOUR, "TIFF", compression="jpeg"), "RGB"),
    "grey TIFF by deflate": (packed(GREY, "TIFF", compression="tiff_adobe_deflate"), "L"),
    "TIFF of bits": (packed(Image.fromarray(GREY > 99), "TIFF", compression="group4"), "L"),
    "palette TIFF": (packed(PALETTE, "TIFF"), "RGB"),
    "CMYK TIFF": (packed(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), "RGB"),
    "MPO": (packed(COLOUR, "MPO", save_all=True, append_images=[Image.fromarray(COLOUR[::-1])]), "RGB"),
    "first of a GIF": (packed(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)]), "RGB"),
    "first of a WebP": (
        packed(COLOUR, "WEBP", lossless=True, save_all=True, append_images=[Image.fromarray(COLOUR[::-1])]),
        "RGB",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_what_pillow_makes_of_it(kind: str, tmp_path: Path) -> None:
    data, mode = KINDS[kind]
    path = tmp_path / "ein Bild mit Blanks und 写真.dat"  # the name says nothing
    path.write_bytes(data)
    found = read_image(path)
    assert found.dtype == np.uint8 and (found == by_pillow(data, mode)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_half_a_file_is_refused_and_never_half_a_picture(kind: str, tmp_path: Path) -> None:
    data, _ = KINDS[kind]
    for share in (0.3, 0.6, 0.9):
        path = tmp_path / "cut.jpg"
        path.write_bytes(data[: int(len(data) * share)])
        if kind in ("MPO", "first of a GIF", "first of a WebP") and share > 0.5:
            continue  # what is missing may be another picture
        with pytest.raises(UserError) as caught:
            read_image(path)
        assert str(caught.value).startswith(f"{path} ") and "\n" not in str(caught.value)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_what_exif_turns_is_turned(kind: str, orientation: int) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = packed(COLOUR, kind, exif=turned_exif(orientation), **options)
    assert (decoded(data) == by_pillow(data)).all()
    assert decoded(data).shape == ((44, 60, 3) if orientation < 5 else (60, 44, 3))


@pytest.mark.parametrize("ground", [0, 255, 77])
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparent_pictures_are_laid_on_a_ground_or_keep_it_as_a_channel(kind: str, ground: int) -> None:
    data = packed(SMOOTH, kind, **({"lossless": True, "exact": True} if kind == "WEBP" else {}))
    base = Image.new("RGBA", (60, 44), (ground, ground, ground, 255))
    expected = np.array(Image.alpha_composite(base, Image.fromarray(SMOOTH)).convert("RGB"))
    assert np.abs(decoded(data, ground=ground).astype(int) - expected).max() <= 1
    assert (decoded(data, ground=None) == SMOOTH).all()


def test_transparency_of_palettes_greys_and_single_colours_counts_as_well() -> None:
    for image, clear in ((PALETTE, 3), (Image.fromarray(GREY), int(GREY[5, 5])), (Image.fromarray(COLOUR), (1, 2, 3))):
        data = packed(image, "PNG", transparency=clear)
        kept = decoded(data, ground=None)
        assert kept.shape[2] in (2, 4) and (decoded(data, ground=9)[kept[..., -1] == 0] == 9).all()
        assert (decoded(data)[kept[..., -1] == 255] == decoded(packed(image, "PNG"))[kept[..., -1] == 255]).all()


def test_a_transparent_grey_of_16_bits_leaves_the_others_as_deep() -> None:
    data = packed(DEEP[..., 0], "PNG", transparency=int(DEEP[5, 5, 0]))
    kept = decoded(data, ground=None)
    assert kept.dtype == np.uint16 and (kept[..., 0] == DEEP[..., 0]).all()
    assert ((kept[..., 1] == 0) == (DEEP[..., 0] == DEEP[5, 5, 0])).all()
    assert decoded(data, ground=255)[5, 5] == 65535


def opencv(suffix: str, image: np.ndarray) -> bytes:
    flipped = image if image.ndim == 2 else np.dstack([image[..., 2::-1], image[..., 3:]])
    return bytes(cv2.imencode(suffix, flipped)[1])


def tiff(image: np.ndarray, **options: object) -> bytes:
    out = io.BytesIO()
    tifffile.imwrite(out, image, **options)
    return out.getvalue()


FLOATS = (DEEP[..., :3] / 7).astype(np.float32)
SIX = RNG.integers(0, 60000, (20, 30, 6), np.uint16)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (opencv(".png", DEEP[..., 0]), DEEP[..., 0]),
        (opencv(".png", DEEP[..., :3]), DEEP[..., :3]),
        (opencv(".tiff", DEEP[..., :3]), DEEP[..., :3]),
        (opencv(".tiff", DEEP[..., 0]), DEEP[..., 0]),
        (opencv(".jp2", DEEP[..., :3]), None),
        (opencv(".ppm", DEEP[..., :3]), DEEP[..., :3]),
        (tiff(FLOATS, photometric="rgb"), FLOATS),
        (tiff(FLOATS[..., 0]), FLOATS[..., 0]),
        (tiff(FLOATS[..., 0].astype(np.float16)), FLOATS[..., 0].astype(np.float16)),
        (tiff(DEEP[..., 0].astype(np.int16)), DEEP[..., 0].astype(np.int16)),
        (tiff(SIX, photometric="minisblack", planarconfig="contig"), SIX),
        (tiff(SIX.transpose(2, 0, 1), photometric="minisblack", planarconfig="separate"), SIX),
        (tiff(SIX, photometric="minisblack", planarconfig="contig", compression="zlib"), SIX),
        (tiff(SMOOTH, photometric="rgb", extrasamples=["unspecified"]), SMOOTH),
        (tiff(SIX.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX"}), SIX),
        (tiff(SIX, photometric="minisblack", planarconfig="contig", byteorder=">"), SIX),
    ],
    ids=str,
)
def test_more_than_8_bits_and_more_than_3_channels_are_kept(data: bytes, expected: np.ndarray | None) -> None:
    found = decoded(data)
    if expected is None:
        assert found.dtype == np.uint16 and np.abs(found.astype(int) - DEEP[..., :3]).mean() < 2000
    else:
        assert found.dtype == expected.dtype and found.shape == expected.shape and (found == expected).all()


def test_transparency_of_16_bits_is_laid_in_16_bits() -> None:
    data = opencv(".png", DEEP)
    assert (decoded(data, ground=None) == DEEP).all()
    share = DEEP[..., 3:] / 65535
    expected = DEEP[..., :3] * share + 65535 * (1 - share)
    assert np.abs(decoded(data, ground=255) - expected).max() < 1


def test_pages_are_asked_for_and_frames_may_be() -> None:
    pages = RNG.integers(0, 255, (3, 8, 9), np.uint8)
    data = tiff(pages, photometric="minisblack", metadata=None)
    with pytest.raises(ValueError, match="has 3 pages: say by `rows` which"):
        decoded(data)
    assert (decoded(data, row=2) == pages[2]).all()
    with pytest.raises(ValueError, match="has no page 3, it has 3, counted from 0"):
        decoded(data, row=3)
    moving = packed(PALETTE, "GIF", save_all=True, append_images=[PALETTE.rotate(180)])
    with Image.open(io.BytesIO(moving)) as opened:
        opened.seek(1)
        assert (decoded(moving, row=1) == np.array(opened.convert("RGB"))).all()
    with pytest.raises(ValueError, match="has no picture 2, it has 2"):
        decoded(moving, row=2)


JPEG = KINDS["JPEG"][0]


def with_thumbnail_alone() -> bytes:
    """A JPEG cut after the small picture in its head, which ends as a whole JPEG does."""
    small = packed(COLOUR[:8, :8], "JPEG")
    return JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(small) + 8) + b"Exif\0\0" + small + JPEG[2 : len(JPEG) // 2]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (JPEG[: len(JPEG) // 2], "is damaged or cut short"),
        (JPEG[:-2], "is damaged or cut short"),
        (JPEG[: len(JPEG) // 2] + bytes(len(JPEG) // 2), "is damaged or cut short"),
        (with_thumbnail_alone(), "is damaged or cut short"),
        (b"<!DOCTYPE html><html></html>", "is a web page or XML"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a pointer of Git LFS"),
        (b"id,label\n1,2\n", "is no picture of a known kind: it begins with 'id,label·1,2·'"),
        (RNG.bytes(500), "is no picture of a known kind"),
        (JPEG[:2], ""),
    ],
    ids=range(10),
)
def test_what_is_no_whole_picture_is_refused(data: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "1.jpg"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path} {said}") and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["PNG", "grey PNG", "PNG of bits", "palette PNG"])
def test_damage_anywhere_in_a_png_is_found(kind: str) -> None:
    data, _ = KINDS[kind]
    for place in range(0, len(data), 7):
        broken = data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]
        with pytest.raises(Unreadable):
            decoded(broken)


def painted(side: int, plain: bool = False, **options: Any) -> bytes:
    """A JPEG of smooth colours with grain, or of a single one."""
    ramp = np.add.outer(np.arange(side), np.arange(side))[..., None] * np.array([1, 2, 3]) % 200
    pixels = np.full_like(ramp, 128) if plain else ramp + np.random.default_rng(0).integers(0, 20, ramp.shape)
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "JPEG", **{"quality": 90} | options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"subsampling": 0}, {"restart_marker_blocks": 4}])
@pytest.mark.parametrize("size", [64, 512])
def test_zeros_inside_a_jpeg_are_found_wherever_they_lie(size: int, options: dict[str, Any]) -> None:
    whole = painted(96, **options)
    start = whole.index(b"\xff\xda") + 14
    for at in range(start, len(whole) - size - 40, 211):
        with pytest.raises(Unreadable, match="is damaged"):
            decoded(whole[:at] + bytes(size) + whole[at + size :])


@pytest.mark.parametrize(
    "options", [{}, {"optimize": True}, {"progressive": True}, {"progressive": True, "quality": 5}]
)
def test_a_jpeg_of_one_colour_has_zeros_of_its_own(options: dict[str, Any]) -> None:
    for plain in (True, False):
        assert decoded(painted(600, plain, **options)).shape == (600, 600, 3)


def test_rubbish_after_a_jpeg_and_before_its_end_is_no_damage() -> None:
    whole = decoded(JPEG)
    for data in (JPEG + b"\0" * 50, JPEG[:-2] + b"\0\1\2\3" + JPEG[-2:]):
        assert (decoded(data) == whole).all()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"2\.jpg is missing$"):
        read_image(tmp_path / "2.jpg")
    with pytest.raises(UserError, match="is not read: "):
        read_image(tmp_path)


@pytest.mark.parametrize(("least", "size"), [(0, (600, 800)), (256, (300, 400)), (128, (150, 200)), (500, (600, 800))])
def test_a_jpeg_comes_at_reduced_scale_where_that_is_enough(least: int, size: tuple[int, int]) -> None:
    image = cv2.resize(COLOUR, (800, 600), interpolation=cv2.INTER_CUBIC)
    small = cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA)
    found = decoded(packed(image, "JPEG", quality=95), least=least)
    assert found.shape == (*size, 3) and np.abs(found.astype(int) - small).mean() < 2
    turned = decoded(packed(image, "JPEG", quality=95, exif=turned_exif(6)), least=least)
    assert (turned == np.rot90(found, -1)).all()


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 60))
def test_no_side_gets_shorter_than_asked_for(height: int, width: int, least: int) -> None:
    data = packed(np.zeros((height * 8, width * 8), np.uint8), "JPEG")
    found = decoded(data, least=least)
    assert min(found.shape) >= min(least, 8 * height, 8 * width)


def test_channels_are_brought_to_their_number_or_refused() -> None:
    assert (with_channels(GREY, 3) == np.dstack([GREY] * 3)).all() and with_channels(GREY, 1).shape == (44, 60, 1)
    grey = np.array(Image.fromarray(COLOUR).convert("L"))
    assert np.abs(with_channels(COLOUR, 1)[..., 0].astype(int) - grey).max() <= 1
    assert with_channels(SIX, 6) is SIX
    assert (with_channels(np.full((2, 2, 3), 1000, np.int32), 1) == 1000).all()
    for image, channels, said in (
        (SMOOTH, 3, "has 4 channels, expected 3"),  # the fourth may be infrared
        (SIX, 3, "has 6 channels, expected 3"),
        (COLOUR, 4, "has 3 channels, expected 4"),
        (np.zeros((2, 2, 2, 2)), 1, "has the shape"),
    ):
        with pytest.raises(ValueError, match=said):
            with_channels(image, channels)


def test_deep_images_are_scaled_as_they_are_told_and_never_cut() -> None:
    assert scaled(GREY, None) is GREY
    image = np.array([[100, 1000], [50, 4000]], np.uint16)
    with pytest.raises(ValueError, match=r"type uint16 from 50 to 4000, not 8 bits.* values=\(50, 4000\)\)$"):
        scaled(image, None)
    assert scaled(image, (0, 2000)).tolist() == [[12.75, 127.5], [6.375, 255]]
    assert (scaled(GREY, (0, 255)) == GREY).all() and scaled(GREY, (0, 255)).dtype == np.float32
    assert scaled(image, (4000, 50))[1].tolist() == [255, 0]
    pair = np.dstack([image, image])
    assert scaled(pair, ((0, 50), (2000, 4000)))[1].tolist() == [[6.375, 0], [255, 255]]
    with pytest.raises(ValueError, match="has 2 channels, `values` are for 3"):
        scaled(pair, ((0, 0, 0), 255))
    with pytest.raises(ValueError, match="has NaN"):
        scaled(np.array([[np.nan, 1]]), (0, 1))
    with pytest.raises(ValueError, match="of type complex128, expected numbers"):
        scaled(np.zeros((2, 2), complex), (0, 1))


def test_arrays_are_images_as_well(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", SIX)
    assert (read_image(tmp_path / "a.npy") == SIX).all()
    np.save(tmp_path / "b.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(UserError, match=r"b.npy can't be read: Object arrays cannot be loaded"):
        read_image(tmp_path / "b.npy")
