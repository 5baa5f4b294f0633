"""TIFF files whose compression needs more than tifffile: turned once, as transparent as they are, page by page."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from toolkit.errors import UserError
from toolkit.images.pixels import Unreadable, turned
from toolkit.images.reading import decoded, read_image
from toolkit.images.regions import region

RNG = np.random.default_rng(0)
COLOUR = RNG.integers(0, 255, (10, 14, 3), np.uint8)
GREY, DEEP = COLOUR[..., 0], COLOUR[..., 0].astype(np.uint16) * 257
FLOATS = (DEEP / 7).astype(np.float32)
CLEAR = np.dstack([np.full((8, 8, 3), 200, np.uint8), np.tile(np.arange(8, dtype=np.uint8) * 30, (8, 1))])


def tiff(image: np.ndarray, compression: str | None = None, orientation: int = 1, **more: Any) -> bytes:
    out, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    more |= {"quality": 100} if compression == "jpeg" else {}
    more |= {"quality": 100} if compression == "jpeg" else {}
    Image.fromarray(image).save(out, "TIFF", compression=compression, exif=exif, **more)
    return out.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg", "zstd", "packbits"])
def test_it_is_turned_once_however_it_is_compressed(compression: str | None, orientation: int) -> None:
    upright = decoded(tiff(COLOUR, compression))
    found = decoded(tiff(COLOUR, compression, orientation))
    assert (found == turned(upright, orientation)).all()
    if compression != "jpeg":
        assert (upright == COLOUR).all()
        assert (decoded(tiff(DEEP, compression, orientation)) == turned(DEEP, orientation)).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "jpeg", "zstd", "packbits"])
def test_transparency_is_counted_once_however_it_is_compressed(compression: str | None) -> None:
    data = tiff(CLEAR, compression)
    assert np.abs(decoded(data, ground=None).astype(int) - CLEAR).max() <= 2
    for ground in (0, 255):
        share = CLEAR[..., 3:] / 255
        assert np.abs(decoded(data, ground=ground) - (200 * share + ground * (1 - share))).max() <= 2


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
def test_colours_that_were_multiplied_by_their_transparency_are_not_again(kind: type, tmp_path: Path) -> None:
    most = 1 if kind is np.float32 else np.iinfo(kind).max
    share = CLEAR[..., 3:] / 255
    straight = CLEAR / 255 * most
    stored = np.dstack([straight[..., :3] * share, straight[..., 3:]])
    stored = (np.rint(stored) if most > 1 else stored).astype(kind)
    path, near = tmp_path / "a.tif", most * 5 / 255
    tifffile.imwrite(path, stored, photometric="rgb", extrasamples=["assocalpha"])
    kept = read_image(path, ground=None)
    assert kept.dtype == kind and np.abs(kept.astype(float) - straight)[share[..., 0] > 0].max() <= near
    for ground in (0, 255):
        expected = straight[..., :3] * share + most * ground / 255 * (1 - share)
        assert np.abs(read_image(path, ground=ground) - expected).max() <= near / 2
        assert np.abs(region(path, (0, 0, 8, 8), (8, 8), ground) - expected).max() <= near / 2


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "zstd"])
def test_what_is_stored_as_differences_is_summed_up(compression: str) -> None:
    assert (decoded(tiff(COLOUR, compression, tiffinfo={317: 2})) == COLOUR).all()
    found = decoded(tiff(FLOATS, compression, tiffinfo={317: 3}))
    assert found.dtype == np.float32 and (found == FLOATS).all()


@pytest.mark.parametrize("image", [GREY, DEEP, DEEP.astype(np.int16), FLOATS], ids=lambda one: str(one.dtype))
def test_greys_that_begin_with_white_are_turned_over(image: np.ndarray) -> None:
    out = io.BytesIO()
    tifffile.imwrite(out, image, photometric="miniswhite")
    found = decoded(out.getvalue())
    assert found.dtype == image.dtype
    most = {"u": np.iinfo(image.dtype).max if image.dtype.kind == "u" else 0, "i": -1, "f": 0}[image.dtype.kind]
    assert (found == most - image.astype(np.float64)).all()


@pytest.mark.parametrize(
    ("pages", "number"),
    [
        ([COLOUR, COLOUR[:4, :4]], 2),
        ([COLOUR[:4, :4], COLOUR], 2),
        ([COLOUR, GREY], 2),
        ([GREY, DEEP, GREY], 3),
    ],
)
def test_pages_that_are_unlike_are_pages_as_well(pages: list[np.ndarray], number: int, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(page, photometric="rgb" if page.ndim == 3 else "minisblack")
    with pytest.raises(UserError, match=f"has {number} pages: say by `rows` which"):
        read_image(path)
    with pytest.raises(UserError, match=f"has {number} pages that aren't levels of one picture"):
        region(path, (0, 0, 4, 4), (4, 4))
    for row, page in enumerate(pages):
        assert (read_image(path, row) == page).all()


@pytest.mark.parametrize("said", [True, False])
def test_smaller_copies_are_no_pages(said: bool, tmp_path: Path) -> None:
    path, large = tmp_path / "a.tif", COLOUR.repeat(4, 0).repeat(4, 1)
    with tifffile.TiffWriter(path) as file:
        for by in (1, 2, 4):
            file.write(large[::by, ::by], photometric="rgb", subfiletype=int(said and by > 1), metadata=None)
    assert (read_image(path) == large).all()
    assert (region(path, (0, 0, 40, 56), (40, 56)) == large).all()


def test_a_page_that_is_cut_short_is_refused() -> None:
    data = tiff(RNG.integers(0, 255, (64, 64, 3), np.uint8), "tiff_lzw")
    for share in (0.3, 0.9):
        with pytest.raises(Unreadable):
            decoded(data[: int(len(data) * share)])
