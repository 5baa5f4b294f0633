"""Pictures show what they are made from, in one palette."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from toolkit.data.preview import Preview
from toolkit.errors import UserError
from toolkit.pages.pictures import COLOURS, HUES, batch_picture, enlarged, stored_png, strip, with_mask, write_png
from toolkit.task import IGNORED

RNG = np.random.default_rng(0)


def test_a_png_holds_the_picture_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    write_png(tmp_path / "pictures" / "one.png", picture)
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["one.png"]
    read = cv2.imread(str(tmp_path / "pictures" / "one.png"))
    assert read is not None and (read[..., ::-1] == picture).all()


def test_a_stored_picture_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    write_png(path, RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    whole = path.read_bytes()
    assert stored_png(path, "draw it again") == whole
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    for damaged in (flipped, whole[:middle], b"", bytes(len(whole))):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"one\.png is damaged .*; draw it again"):
            stored_png(path, "draw it again")


def test_classes_have_colours_of_their_own_the_first_is_black_and_what_is_ignored_white() -> None:
    assert len(np.unique(COLOURS[: len(HUES) + 1], axis=0)) == len(HUES) + 1
    assert (COLOURS[0] == 0).all() and (COLOURS[IGNORED] == 255).all()
    assert (COLOURS[len(HUES) + 1] == COLOURS[1]).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_small_pictures_are_enlarged_and_stand_side_by_side(channels: int) -> None:
    image = RNG.integers(0, 256, (40, 80, channels), dtype=np.uint8)
    large = enlarged(image)
    assert large.shape == (160, 320, 3) and (large[::4, ::4] == image).all()
    both = strip([("one", image), ("two", image[:, :40])])
    assert both.shape == (186, 328 + 168, 3) and (both[24:184, 4:324] == large).all()


def test_a_mask_colours_all_but_its_first_class() -> None:
    image, mask = np.full((2, 3, 1), 100, np.uint8), np.array([[0, 1, 2], [0, 0, 1]], np.uint8)
    painted = with_mask(image, mask)
    assert (painted[mask == 0] == 100).all()
    assert (painted[mask > 0] == 50 + COLOURS[mask[mask > 0]] // 2).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("masks", [True, False])
def test_the_picture_of_a_batch_shows_every_image_with_its_mask(masks: bool, channels: int) -> None:
    images = torch.from_numpy(RNG.integers(0, 256, (10, channels, 48, 96)).astype(np.float32))
    truth = torch.from_numpy(RNG.integers(0, 4, (10, 48, 96), dtype=np.uint8))
    truth[:, :5] = IGNORED
    picture = batch_picture(images, truth if masks else torch.arange(10), Preview())
    assert picture.shape == (2 * 52, 8 * ((192 if masks else 96) + 4), 3)
    assert (picture[2:50, 2:98] == images[0].permute(1, 2, 0).numpy()).all()
    if masks:
        assert (picture[2:50, 98:194] == COLOURS[truth[0].numpy()]).all()
