"""Turns and shifts are exact, and drawn from the range that the recipe gives."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from tests.augmentation import NOTHING
from toolkit.augmentation.geometry import affine_matrices, draw_transform, identity_transform, warp_batch

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


@pytest.mark.parametrize(
    ("field", "amount", "drawn"),
    [
        ("rotate", 30, lambda matrices: np.rad2deg(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))),
        ("scale", 0.2, lambda matrices: matrices[:, 1, 1] - 1),
        ("shear", 10, lambda matrices: np.rad2deg(np.arctan(matrices[:, 0, 1]))),
        ("shift", 0.1, lambda matrices: matrices[:, 0, 2] / 9600),
    ],
)
def test_moves_are_drawn_evenly_up_to_the_recipes_amount(
    field: str, amount: float, drawn: Callable[[np.ndarray], np.ndarray]
) -> None:
    augment = replace(NOTHING, **{field: amount})  # type: ignore[arg-type]
    transform = draw_transform(augment, 2000, 4800, 9600, np.random.default_rng(0))
    assert transform.moved.mean() == pytest.approx(0.8, abs=0.03)
    assert transform.reflect.mean() == pytest.approx(0.5, abs=0.04) and not transform.flips.any()
    assert (transform.matrices[~transform.moved] == np.eye(3)).all()
    assert kstest(drawn(transform.matrices[transform.moved]), "uniform", (-amount, 2 * amount)).pvalue > 0.01
