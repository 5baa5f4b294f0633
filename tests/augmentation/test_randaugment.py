"""The operations of RandAugment are those of OpenCV, and AugMix mixes them."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch

from tests.augmentation import PHOTO, changed
from tests.conftest import RGB
from toolkit.augmentation.randaugment import PHOTOMETRIC, at_most, at_most_by_sorting, aug_mix
from toolkit.recipe import Augment

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("way", [-1.0, 1.0])
def test_the_operations_of_randaugment_are_those_of_opencv(way: float) -> None:
    level = np.array([way * 0.5])
    grey = cv2.cvtColor(PHOTO, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None]
    low, high = PHOTO.min((0, 1)).astype(np.float32), PHOTO.max((0, 1)).astype(np.float32)
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    smooth = cv2.filter2D(PHOTO.astype(np.float32), -1, kernel, borderType=cv2.BORDER_REPLICATE)
    factor = 1 + 0.9 * level[0]
    expected = {
        "brightness": PHOTO * factor,
        "contrast": grey.mean() + (PHOTO - grey.mean()) * factor,
        "colour": grey + (PHOTO - grey) * factor,
        "sharpness": smooth + (PHOTO - smooth) * factor,
        "posterize": PHOTO & 0b11111100,
        "solarize": np.where(PHOTO >= 128, 255 - PHOTO, PHOTO),
        "autocontrast": (PHOTO - low) * 255 / (high - low),
        "equalize": np.stack([cv2.equalizeHist(channel) for channel in np.moveaxis(PHOTO, -1, 0)], -1),
    }
    assert expected.keys() == PHOTOMETRIC.keys()
    for name, image in expected.items():
        ours = changed(partial(PHOTOMETRIC[name], levels=level, rgb=RGB))
        assert np.abs(ours - np.clip(image, 0, 255)).max() < 0.6, name
        assert np.abs(ours - PHOTO).mean() > (0.1 if name == "autocontrast" else 0.4), name


@pytest.mark.parametrize("value", [0, 77, 255])
def test_an_even_image_stays_as_it_is_where_its_range_is_stretched(value: int) -> None:
    even = np.full((9, 9, 3), value, np.uint8)
    for name in ("autocontrast", "equalize"):
        assert (changed(partial(PHOTOMETRIC[name], levels=np.ones(1), rgb=RGB), even) == value).all()


def test_augmix_is_a_mixture() -> None:
    ramp = torch.arange(256.0).reshape(1, 1, 16, 16).expand(40, 3, 16, 16).contiguous()
    same = aug_mix(ramp, Augment(magnitude=0), False, RGB, np.random.default_rng(0))
    torch.testing.assert_close(same, ramp, atol=0.01, rtol=0)  # weights sum to one; at level 0 a ramp doesn't change
    strong = aug_mix(ramp, Augment(magnitude=1), False, RGB, np.random.default_rng(0))
    assert strong.min() >= 0 and strong.max() <= 255.001
    assert ((strong - ramp).abs().mean((1, 2, 3)) > 1).float().mean() > 0.8


def test_values_are_counted_alike_on_a_gpu() -> None:
    values = torch.randint(0, 256, (5, 700), generator=torch.Generator().manual_seed(0))
    values[0], values[1, :300] = 255, 0
    counted = at_most(values)
    assert torch.equal(at_most_by_sorting(values), counted) and counted[0, 254] == 0 and counted[1, 0] >= 300
