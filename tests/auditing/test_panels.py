"""Pictures beside each other: a gap shows where one ends, and what is joined is as large."""

import numpy as np
import pytest

from toolkit.auditing.panels import GAP, GREY, LONGEST, beside, fitted, joined


@pytest.mark.parametrize("axis", [0, 1])
def test_a_seam_has_a_gap_and_its_joined_form_is_of_the_same_size(axis: int) -> None:
    first, second = np.zeros((160, 200, 1), np.uint8), np.full((160, 200, 1), 255, np.uint8)
    apart, together = beside([first, second], axis), joined(first, second, axis)
    assert apart.shape == together.shape and apart.shape[axis] == 2 * first.shape[axis] + GAP
    gap = np.take(apart, range(first.shape[axis], first.shape[axis] + GAP), axis)
    assert (gap == GREY).all() and (apart == GREY).sum() == (together == GREY).sum() == gap.size
    middle = np.moveaxis(together, axis, 0)[first.shape[axis] + GAP // 2 - 1 :][:2]
    assert middle[0].max() == 0 and middle[1].min() == 255


def test_large_pictures_fit_the_page_and_small_ones_are_enlarged() -> None:
    assert fitted(np.zeros((1000, 3000, 3), np.uint8)).shape == (133, LONGEST, 3)
    assert fitted(np.zeros((20, 20, 1), np.uint8)).shape == (160, 160, 3)
