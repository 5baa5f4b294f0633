"""Tiles lie where they say, show what is there, and leave out what is blank."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tifffile import imwrite

from toolkit import ImageFiles, Samples, UserError, tiles
from toolkit.data.data_folder import open_dataset, save_samples
from toolkit.data.dataset import check_images
from toolkit.images import regions
from toolkit.images.cache import decode
from toolkit.images.file_list import describe_files, open_files
from toolkit.images.reading import read_image
from toolkit.images.tiles import grid, read_tile
from toolkit.store import Workspace


def draw_slide(path: Path, seed: int = 0, size: tuple[int, int] = (700, 900), ground: int = 240) -> np.ndarray:
    """One round piece of tissue on glass; its mask, bool (h, w)."""
    rng = np.random.default_rng(seed)
    image = rng.normal(ground, 2, (*size, 3))
    shape = np.zeros(size, np.uint8)
    cv2.circle(shape, (size[1] // 3, size[0] // 3), 160, 1, -1)
    stain = np.array((190, 110, 170)) + cv2.GaussianBlur(rng.normal(0, 200, (*size, 3)), (0, 0), 5)
    image[shape == 1] = stain[shape == 1]
    imwrite(path, image.clip(0, 255).astype(np.uint8), tile=(64, 64), compression="zlib", photometric="rgb")
    return shape == 1


@given(
    st.integers(1, 400), st.integers(1, 400), st.integers(1, 120), st.sampled_from([0.0, 0.25, 0.6]), st.floats(0.2, 1)
)
def test_tiles_cover_a_picture_evenly(height: int, width: int, side: int, overlap: float, at: float) -> None:
    boxes = grid((height, width), side, overlap, at)
    covered, large = np.zeros((height, width), bool), round(side / at)
    for top, left, tall, wide in boxes.tolist():
        assert tall == wide == large and top >= 0 and left >= 0
        assert top + large <= max(height, large) and left + large <= max(width, large)
        covered[top : top + tall, left : left + wide] = True
    assert covered.all()
    tops = np.unique(boxes[:, 0])
    step = max(1, round(large * (1 - overlap)))
    assert len(tops) < 2 or (np.ptp(np.diff(tops)) <= 1 and np.diff(tops).max() <= step)


def test_a_tile_is_what_lies_in_its_place(tmp_path: Path) -> None:
    draw_slide(tmp_path / "one.tif")
    draw_slide(tmp_path / "two.tif", 1, (200, 90))
    made = tiles([tmp_path / "one.tif", tmp_path / "two.tif"], 128, overlap=0.25)
    assert made.images.names is not None and made.images.names[1] == "one (0, 86)" and len(made) == 7 * 10 + 2
    assert made.places.sizes.tolist() == [[700, 900], [200, 90]] and (made.sets == made.picture).all()
    for row in (0, 20, 69, 70, 71):
        whole = read_image([tmp_path / "one.tif", tmp_path / "two.tif"][made.picture[row]])
        top, left, tall, wide = made.places.boxes[row].tolist()
        part = whole[top : top + tall, left : left + wide]
        found = made.images.stored(row)
        assert found.shape == (128, 128, 3)
        assert (found[: part.shape[0], : part.shape[1]] == part).all() and not found[:, part.shape[1] :].any()
    some = made[np.array([71, 3])]
    assert some.places.picture.tolist() == [1, 0] and (some.images.stored(0) == made.images.stored(71)).all()


def test_a_tile_at_a_smaller_scale_is_the_picture_made_smaller(tmp_path: Path) -> None:
    draw_slide(tmp_path / "one.tif")
    made = tiles(ImageFiles([tmp_path / "one.tif"]), 100, at=0.5)
    top, left, tall, wide = made.places.boxes[5].tolist()
    assert (tall, wide) == (200, 200)
    part = read_image(tmp_path / "one.tif")[top : top + tall, left : left + wide]
    assert (made.images.stored(5) == cv2.resize(part, (100, 100), interpolation=cv2.INTER_AREA)).all()


@pytest.mark.parametrize("ground", [240, 8])
@pytest.mark.parametrize("kind", ["tif", "png"])
def test_blank_tiles_are_left_out_and_no_tissue_is(ground: int, kind: str, tmp_path: Path) -> None:
    mask = draw_slide(tmp_path / "one.tif", ground=ground)
    path = tmp_path / f"one.{kind}"
    if kind == "png":
        cv2.imwrite(str(path), read_image(tmp_path / "one.tif"))
    every, made = tiles([path], 64), tiles([path], 64, blank=0.02)
    shares = np.array([mask[t : t + h, a : a + w].mean() for t, a, h, w in every.places.boxes.tolist()])
    kept = set(made.images.names.tolist()) if made.images.names is not None else set()
    assert every.images.names is not None
    for name, share in zip(every.images.names.tolist(), shares.tolist(), strict=True):
        assert share == 0 or (share > 0.04 and name in kept) or share <= 0.04
    assert (shares > 0.04).sum() <= len(made) <= (shares > 0).sum() + 4
    for row in (0, len(made) - 1):
        top, left, *_ = made.places.boxes[row].tolist()
        assert (made.images.stored(row) == read_image(path)[top : top + 64, left : left + 64]).all()


def test_pictures_that_are_no_tiff_are_decoded_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []

    def noted(path: Path, **options: Any) -> np.ndarray:
        read.append(path)
        return read_image(path, **options)

    monkeypatch.setattr(regions, "read_image", noted)
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        draw_slide(tmp_path / "slide.tif", number)
        cv2.imwrite(str(path), read_image(tmp_path / "slide.tif"))
    assert set(tiles(paths, 64, blank=0.02).picture.tolist()) == {0, 1, 2, 3}
    assert sorted(read) == paths


def test_of_glass_alone_one_tile_stays_and_faint_light_is_no_glass(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 2, (300, 300, 3))
    imwrite(tmp_path / "glass.tif", (noise + 245).clip(0, 255).astype(np.uint8), photometric="rgb")
    assert len(tiles([tmp_path / "glass.tif"], 100, blank=0.02)) == 1
    faint = (noise + 5).clip(1, 255)
    faint[100:200, 100:200] += 12
    imwrite(tmp_path / "faint.tif", faint.astype(np.uint8), photometric="rgb")
    assert tiles([tmp_path / "faint.tif"], 100, blank=0.02).places.boxes.tolist() == [[100, 100, 100, 100]]


def test_16_bits_are_looked_at_by_their_values(tmp_path: Path) -> None:
    image = np.full((200, 200), 100, np.uint16)
    image[:100, :100] = np.random.default_rng(0).integers(500, 4000, (100, 100))
    imwrite(tmp_path / "deep.tif", image, photometric="minisblack")
    made = tiles([tmp_path / "deep.tif"], 100, blank=0.02, values=(0, 4095))
    assert len(made) == 1 and made.images.dtype == np.float16 and made.images.stored(0).dtype == np.uint16
    with pytest.raises(UserError, match=r"deep.tif has values of type uint16 .* say which become 0 and 255"):
        tiles([tmp_path / "deep.tif"], 100, blank=0.02)
    beyond = tiles([tmp_path / "deep.tif"], 300, values=(100, 4095))
    assert decode(beyond.images, 0, (300, 300, 1), "letterbox")[250, 250, 0] == 0


def test_tiles_are_images_like_others(tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a", "b"):
        draw_slide(folder / f"{name}.tif", ord(name))
    made = tiles([folder / "a.tif", folder / "b.tif"], 96, at=0.75, blank=0.02)
    samples = Samples(made.images, made.picture % 2, groups=made.picture)
    workspace = Workspace(tmp_path / "workspace", "slides")
    described = describe_files(samples.files, folder, "source")
    save_samples(samples, samples.as_dataset(folder), described, workspace, "source", "", folder, (96, 96, 3))
    data = open_dataset(workspace.data)
    check_images(data.images, (96, 96, 3), "slides")
    assert data.names is not None and data.names[-1] == made.images.named(folder)[-1]
    again = open_files(workspace.data)["images"]
    for row in (0, 7, len(made) - 1):
        assert (data.images[row] == made.images.stored(row)).all() and (again.stored(row) == data.images[row]).all()


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    draw_slide(tmp_path / "one.tif")
    with pytest.raises(UserError, match=r"tiles\(side=0, .*expected"):
        tiles([tmp_path / "one.tif"], 0)
    with pytest.raises(UserError, match="tiles are cut from picture files, one a file"):
        tiles(ImageFiles([tmp_path / "one.tif"], read=read_tile), 64)
    with pytest.raises(UserError, match=r"two.tif is missing"):
        tiles([tmp_path / "one.tif", tmp_path / "two.tif"], 64)
    assert len(tiles([], 64)) == 0
