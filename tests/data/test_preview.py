"""Pictures of images: those that are pictures already stay as they are, others are stretched all alike."""

import numpy as np
import pytest

from tests.conftest import RGB
from toolkit.data.dataset import Dataset
from toolkit.data.preview import find_preview, previewed

RNG = np.random.default_rng(0)
BYTES = RNG.integers(0, 256, (6, 12, 10, 6), dtype=np.uint8)


def data(images: np.ndarray) -> Dataset:
    rows = np.arange(len(images))
    return Dataset(images, rows, rows, rows, images[:2])


@pytest.mark.parametrize(("channels", "rgb"), [(1, ()), (3, RGB)])
def test_grey_and_colour_of_8_bits_are_the_same_arrays(channels: int, rgb: tuple[int, ...]) -> None:
    given = data(BYTES[..., :channels])
    assert previewed(given, rgb) is given and find_preview(given.images, rgb)(given.images) is given.images


@pytest.mark.parametrize(("channels", "shown"), [(1, [0]), (2, [0]), (3, [0, 1, 2]), (4, [0, 1, 2]), (6, [0, 1, 2])])
def test_without_colour_the_first_three_channels_are_shown_or_the_first(channels: int, shown: list[int]) -> None:
    images = (BYTES[..., :channels] / 16 + np.arange(channels) * 20).astype(np.float16)
    made = find_preview(images, ())(images)
    assert made.dtype == np.uint8 and made.shape == (6, 12, 10, len(shown))
    for at, channel in enumerate(shown):
        order = np.argsort(images[..., channel], axis=None, kind="stable")
        assert (np.diff(made[..., at].ravel()[order].astype(int)) >= 0).all()
        assert made[..., at].min() == 0 and made[..., at].max() == 255 and len(np.unique(made[..., at])) > 50


def test_colours_are_found_where_they_lie_and_are_stretched_alike() -> None:
    assert (find_preview(BYTES, (5, 0, 3))(BYTES) == BYTES[..., [5, 0, 3]]).all()
    dark = (BYTES[..., [5, 0, 3]] / [8, 16, 16] + 20).astype(np.float16)
    made = find_preview(dark, RGB)(dark)
    assert made[..., 0].max() == 255 and 110 < made[..., 1:].max() < 140, "red is twice as bright, and stays so"


def test_one_image_and_other_images_are_shown_as_the_set_is() -> None:
    images = (BYTES / 32).astype(np.float16)
    preview = find_preview(images, ())
    assert (preview(images[3]) == preview(images)[3]).all()
    assert (preview(images * 2) >= preview(images)).all() and preview(images * 2).mean() > 1.4 * preview(images).mean()


def test_pictures_of_a_dataset_are_made_where_they_are_looked_at() -> None:
    given = data((BYTES / 32).astype(np.float16))
    seen, preview = previewed(given, (1, 2, 3)), find_preview(given.images, (1, 2, 3))
    whole = preview(given.images)
    assert seen.images.shape == (6, 12, 10, 3) and seen.images.dtype == np.uint8 and len(seen.images) == 6
    assert (seen.images[4] == whole[4]).all() and (seen.images[[5, 0]] == whole[[5, 0]]).all()
    assert (seen.images[:, :, -1] == whole[:, :, -1]).all() and (np.asarray(seen.images) == whole).all()
    assert len(list(seen.images)) == 6 and (seen.test_images[1] == whole[1]).all()
    assert seen.targets is given.targets


@pytest.mark.parametrize("value", [0, 40, 255])
def test_even_images_make_even_pictures(value: int) -> None:
    images = np.full((3, 4, 4, 2), value, np.float16)
    assert len(np.unique(find_preview(images, ())(images))) == 1
    assert find_preview(images[:0], ())(images[:0]).shape == (0, 4, 4, 1)
