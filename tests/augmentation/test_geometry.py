"""Turns and shifts are exact, and a warp has the size and smoothness it says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.augmentation import NOTHING
from toolkit.augmentation.batch import augment_batch
from toolkit.augmentation.geometry import DISPLACEMENT, SMOOTHNESS, affine_matrices, identity_transform, warp_batch

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_quarter_turn_and_a_shift_are_exact_and_an_oblong_image_is_not_sheared() -> None:
    images = torch.rand(3, 2, 20, 40) * 255
    angle = np.deg2rad([90.0, -90, 0])
    transform = identity_transform(3)
    transform.matrices[:] = affine_matrices(
        angle, np.ones((3, 2)), np.zeros((3, 2)), np.array([[0, 0], [0, 0], [3, -2]])
    )
    transform.moved[:] = True
    made, _ = warp_batch(transform, images, None)
    for turns, image, turned in zip((1, -1), images, made[:2], strict=False):
        square = torch.rot90(image[..., 10:30], turns, (1, 2))
        torch.testing.assert_close(turned[..., 10:30], square, atol=0.01, rtol=0)
        assert turned[..., :10].max() < 0.01 and turned[..., 30:].max() < 0.01
    torch.testing.assert_close(made[2, :, :18, 3:], images[2, :, 2:, :37], atol=0.01, rtol=0)


def test_a_warp_has_the_size_and_smoothness_it_says() -> None:
    y, x = np.mgrid[:64, :96].astype(np.float32)
    images = torch.from_numpy(np.stack([x, y]))[None].expand(200, -1, -1, -1)
    made, _ = augment_batch(replace(NOTHING, elastic=1.0), images, torch.zeros(200), 0)
    field = (made - images)[..., 12:-12, 12:-12]  # reflections bend it near the border
    assert field.std().item() == pytest.approx(DISPLACEMENT, rel=0.05) and abs(field.mean()) < 0.1
    apart = round(2 * SMOOTHNESS)
    for side in (field, field.transpose(2, 3)):
        correlation = (side[..., apart:] * side[..., :-apart]).mean() / (field**2).mean()
        assert correlation.item() == pytest.approx(np.exp(-1), abs=0.05)
