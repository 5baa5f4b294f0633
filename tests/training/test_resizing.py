"""Smaller images are means of pixels; masks keep their labels."""

import pytest
import torch

from toolkit.training.resizing import nearest, shrunk


@pytest.mark.parametrize("kind", [torch.uint8, torch.float16, torch.float32])
def test_a_smaller_image_has_the_means_of_pixels_and_its_own_type(kind: torch.dtype) -> None:
    image = torch.tensor([[0, 2, 40, 40], [4, 6, 40, 40]]).to(kind)[None, None]
    made = shrunk(image, 1, 2)
    assert made.dtype == kind and made.flatten().tolist() == [3, 40]
    assert shrunk(image, 2, 4) is image


@pytest.mark.parametrize("kind", [torch.uint8, torch.int32])
def test_masks_keep_their_labels(kind: torch.dtype) -> None:
    masks = torch.tensor([[[7, 200], [255, 3]]]).to(kind)
    large = nearest(masks, 6, 4)
    assert large.dtype == kind and torch.equal(large[:, ::3, ::2], masks) and torch.equal(large[:, 2::3, 1::2], masks)
    assert torch.equal(nearest(large, 2, 2), masks)
    assert nearest(masks, 2, 2) is masks


def test_places_beyond_what_float32_counts_stay_exact() -> None:
    places = torch.arange(2**24, 2**24 + 8, dtype=torch.int32).reshape(1, 2, 4)
    assert torch.equal(nearest(places, 4, 8)[:, ::2, ::2], places)
