"""Mixed images of a batch: targets follow their pixels, and nothing that was given is written."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.augmentation import GREY
from toolkit.augmentation.mixing import MARGIN, mix_batch
from toolkit.recipe import Augment
from toolkit.task import IGNORED

SEEDS = st.integers(0, 2**31 - 1)
COUNTS = np.array([1000, 3000, 900, 30, 10])  # classes 3 and 4 are rare


def mixed(
    images: torch.Tensor, targets: torch.Tensor, seed: int = 0, counts: np.ndarray | None = COUNTS, **words: Any
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, float]:
    return mix_batch(Augment(**words), images, targets, np.random.default_rng(seed), counts)


@given(SEEDS)
def test_cutmix_moves_mask_pixels_with_image_pixels(seed: int) -> None:
    masks = torch.from_numpy(np.random.default_rng(seed).integers(0, 4, (4, 12, 20)).astype(np.uint8))
    masks[:, 3] = IGNORED
    images = torch.from_numpy(GREY)[masks.long()][:, None]
    before = masks.clone(), images.clone()
    made, targets, others, share = mixed(images, masks, seed, cutmix=1, mixup=1)
    assert share == 1 and others is targets, "masks have no mixup"
    assert (made[:, 0] == torch.from_numpy(GREY)[targets.long()]).all()
    assert 0 < (made != images).float().mean() <= 0.6
    assert (masks == before[0]).all() and (images == before[1]).all()


@given(SEEDS, st.integers(2, 6), st.integers(1, 40), st.integers(1, 40))
def test_the_share_of_cutmix_is_the_share_of_the_pixels(seed: int, size: int, height: int, width: int) -> None:
    labels = torch.arange(size)
    images = labels[:, None, None, None].expand(size, 3, height, width).to(torch.uint8)
    made, first, second, share = mixed(images, labels, seed, cutmix=1)
    own = (made == first[:, None, None, None]).float().mean((1, 2, 3))
    other = (made == second[:, None, None, None]).float().mean((1, 2, 3))
    assert own.tolist() == pytest.approx([share] * size) and other.tolist() == pytest.approx([1 - share] * size)
    assert (first == labels).all()


@given(SEEDS, st.sampled_from([torch.uint8, torch.float32]))
def test_the_share_of_mixup_is_that_of_the_values(seed: int, dtype: torch.dtype) -> None:
    labels = torch.arange(5)
    images = (labels[:, None, None, None] * 50).expand(5, 1, 4, 4).to(dtype)
    made, first, second, share = mixed(images, labels, seed, mixup=1)
    expected = 50 * (share * first + (1 - share) * second)
    error = (made[:, 0, 0, 0].float() - expected).abs().max()
    assert made.dtype == dtype and 0 <= share <= 1
    assert error < (1 if dtype == torch.uint8 else 1e-3)


def test_mixing_happens_as_often_as_the_recipe_asks() -> None:
    images, labels = torch.arange(4).reshape(4, 1, 1, 1) * torch.ones(1, 1, 8, 8), torch.arange(4)
    blended = cut = 0
    for seed in range(1000):
        made, first, second, _ = mixed(images, labels, seed, mixup=0.2, cutmix=0.3)
        even = bool((made == made[..., :1, :1]).all())
        blended += even and first is not second
        cut += not even
    assert blended == pytest.approx(200, abs=60) and cut == pytest.approx(300, abs=60)


def test_without_mixing_the_batch_is_the_same() -> None:
    images, labels = torch.rand(3, 1, 4, 4), torch.arange(3)
    made, first, second, share = mixed(images, labels)
    assert made is images and first is second is labels and share == 1


def rocks() -> tuple[torch.Tensor, torch.Tensor]:
    """Eight images of class 0 and 1, whose grey value tells image and class; the third has class 3, the sixth 4."""
    masks = torch.zeros(8, 20, 30, dtype=torch.uint8)
    masks[:, 10:] = 1
    masks[2, 5:8, 5:9] = 3
    masks[5, 12:15, 20:22] = 4
    return (masks.float() + 10 * torch.arange(8.0)[:, None, None])[:, None], masks


@given(SEEDS)
def test_rare_classes_are_copied_with_their_pixels_and_a_margin(seed: int) -> None:
    images, masks = rocks()
    before = images.clone(), masks.clone()
    made, targets, _, _ = mixed(images, masks, seed, copy_paste=1)
    assert torch.equal(images, before[0]) and torch.equal(masks, before[1])
    assert torch.equal((made[:, 0] % 10).to(torch.uint8), targets), "pixels and classes came together"
    sources = (made[:, 0] / 10).floor().long()
    for number, source in enumerate(sources):
        donor = 2 if (source == 2).any() and number != 2 else 5
        region = masks[donor] > 2
        ys, xs = torch.where(region)
        box = torch.full_like(region, False)
        box[ys.min() - MARGIN : ys.max() + MARGIN + 1, xs.min() - MARGIN : xs.max() + MARGIN + 1] = True
        assert torch.equal(source == donor, box) and (source[~box] == number).all()


def test_the_rarer_class_is_copied_more_often_and_no_image_from_itself() -> None:
    images, masks = rocks()
    copied = np.zeros(5)
    for seed in range(200):
        _, targets, _, _ = mixed(images, masks, seed, copy_paste=0.5)
        copied += [(targets[[0, 1, 3, 4, 6, 7]] == name).flatten(1).any(1).sum() for name in range(5)]
        assert (targets[2] == 3).any() and not (targets[5] == 3).all()
    assert copied[3] + copied[4] == pytest.approx(600, abs=60), "half of the six other images"
    assert copied[4] / copied[3] == pytest.approx(3, rel=0.35), "by 1 / count: 10 against 30 pixels"


@pytest.mark.parametrize(
    ("counts", "classes"), [(None, 5), (np.array([10, 10, 10]), 3), (COUNTS, 2)], ids=["no counts", "even", "absent"]
)
def test_nothing_is_copied_without_a_rare_class(counts: np.ndarray | None, classes: int) -> None:
    images, masks = rocks()
    images, masks = images[[0, 1, 3]], masks[[0, 1, 3]].clamp(max=classes - 1)
    made, targets, _, _ = mixed(images, masks, 0, counts, copy_paste=1)
    assert torch.equal(made, images) and torch.equal(targets, masks)


def test_ignored_pixels_are_not_copied() -> None:
    images, masks = rocks()
    masks[5, 11] = IGNORED
    _, targets, _, _ = mixed(images, masks, copy_paste=1)
    assert (targets[[0, 1, 3, 4, 6, 7]] != IGNORED).all() and (targets[0] > 2).any()


@pytest.mark.parametrize("word", ["mixup", "cutmix", "copy_paste"])
def test_images_stay_channels_last_in_memory(word: str) -> None:
    images, masks = rocks()
    images = images.repeat(1, 3, 1, 1).contiguous(memory_format=torch.channels_last)
    targets = torch.arange(8) if word == "mixup" else masks
    made, _, _, _ = mixed(images, targets, 0, COUNTS, **{word: 1})
    assert not torch.equal(made, images) and made.is_contiguous(memory_format=torch.channels_last)
