"""Augmentation of a batch: the seed decides it, masks move with their images, and the recipe says how much."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from competitions.blood_cells.recipes import AGGRESSIVE
from competitions.mars.recipes import LIGHT
from tests.augmentation import CHANNELS, GEOMETRY, GREY, NOTHING, PHOTO, augmented, noisy, pictures, scenes, tensor
from tests.conftest import RGB, rgb_of
from toolkit.augmentation.batch import DEGRADATIONS, augment_batch
from toolkit.recipe import Augment, Family
from toolkit.task import IGNORED

pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = st.integers(0, 2**31 - 1)
EVERYTHING = replace(AGGRESSIVE, degrade=0.9, erase=0.5, randaugment=2, augmix=0.5)
FAMILIES = get_args(Family)


@CHANNELS
@pytest.mark.parametrize("augment", [EVERYTHING, LIGHT], ids=["everything", "light"])
def test_the_seed_alone_decides(augment: Augment, channels: int) -> None:
    images, labels = tensor(noisy(channels)), torch.arange(3)
    for seed in range(10):
        once, _ = augment_batch(augment, images, labels, seed, rgb_of(channels))
        np.random.seed(seed)  # noqa: NPY002 - the global state must not matter
        torch.manual_seed(seed)
        augment_batch(EVERYTHING, images, labels, seed + 100, rgb_of(channels))
        assert torch.equal(once, augment_batch(augment, images, labels, seed, rgb_of(channels))[0])
    assert not torch.equal(augment_batch(augment, images, labels, 1, rgb_of(channels))[0], once)


@CHANNELS
@pytest.mark.parametrize("side", [48, 3, 1])
def test_shape_and_layout_stay_and_the_given_tensors_are_not_written(channels: int, side: int) -> None:
    masks = torch.from_numpy(scenes(0))[:, :side]
    images = tensor(pictures(masks.numpy(), channels))
    before = images.clone(), masks.clone()
    for seed in range(10):
        made, targets = augment_batch(EVERYTHING, images, masks, seed, rgb_of(channels))
        assert made.shape == images.shape and made.dtype == torch.float32
        assert made.is_contiguous(memory_format=torch.channels_last)
        assert made.isfinite().all() and made.min() > -0.001 and made.max() < 255.001
        assert targets.shape == masks.shape and targets.dtype == torch.uint8
        assert torch.equal(images, before[0]) and torch.equal(masks, before[1])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("augment", [replace(EVERYTHING, randaugment=0, augmix=0.0), GEOMETRY], ids=["most", "moves"])
def test_a_gpu_makes_of_a_batch_what_a_cpu_makes(augment: Augment) -> None:
    masks = torch.from_numpy(scenes(0, 16))
    images = tensor(np.stack([cv2.blur(image, (5, 5)) for image in pictures(masks.numpy(), 3)]))
    here, truth = augment_batch(augment, images, masks, 0, RGB)
    there, moved = augment_batch(augment, images.cuda(), masks.cuda(), 0, RGB)
    assert there.is_cuda and there.is_contiguous(memory_format=torch.channels_last)
    assert ((here - there.cpu()).abs() < 1).float().mean() > 0.99  # a coefficient may be rounded the other way
    assert (truth == moved.cpu()).float().mean() > 0.999


def away(images: torch.Tensor) -> np.ndarray:
    """How far from an image's middle its centroid lies, (n, 2) pixels, by how much each differs from a corner."""
    differing = (images - images[..., :1, :1]).abs().sum(1)
    y, x = (torch.arange(side) - (side - 1) / 2 for side in differing.shape[1:])
    total = differing.sum((1, 2))
    return torch.stack([differing.sum(2) @ y / total, differing.sum(1) @ x / total], 1).numpy()


def disc(count: int) -> torch.Tensor:
    """Images (count, 3, 48, 64) that look alike in both mirrors."""
    y, x = np.mgrid[:48, :64] - np.array([23.5, 31.5])[:, None, None]
    return torch.from_numpy(np.rint(40 + 160 * np.exp(-(y**2 + x**2) / 40))).float().expand(count, 3, 48, 64).clone()


@pytest.mark.parametrize("degrade", DEGRADATIONS)
def test_a_degradation_moves_nothing_away_from_its_mask(degrade: Callable[..., torch.Tensor]) -> None:
    images = disc(64)
    assert np.abs(away(images.roll(1, -1)) - [0, 1]).max() < 0.02
    found = away(degrade(images, rgb=RGB, rng=np.random.default_rng(0)))
    if DEGRADATIONS[degrade] == "noise":  # which hides where the disc is
        found = found.mean(0)
    assert np.abs(found).max() < 0.1


@pytest.mark.parametrize(
    "augment",
    [replace(NOTHING, colour=1), replace(NOTHING, augmix=1), replace(NOTHING, randaugment=2, leave_out=("geometry",))],
    ids=["colour", "augmix", "randaugment"],
)
def test_what_is_drawn_of_light_and_mixtures_moves_nothing_away_from_its_mask(augment: Augment) -> None:
    images, masks = disc(64).to(torch.uint8), torch.zeros(64, 48, 64, dtype=torch.uint8)
    assert np.abs(away(augment_batch(augment, images, masks, 0, RGB)[0])).max() < 0.1


def test_the_type_follows_from_the_recipe_not_from_the_draw() -> None:
    image = tensor(noisy(1, 1))
    turned = [augment_batch(Augment(rotate=5), image, torch.zeros(1), seed, ())[0] for seed in range(20)]
    assert any((made % 1 == 0).all() for made in turned), "some image was not turned"
    assert {made.dtype for made in turned} == {torch.float32}


def test_colours_are_augmented_as_without_other_channels() -> None:
    images, labels = tensor(noisy(4, 12)), torch.zeros(12)
    made, _ = augment_batch(EVERYTHING, images, labels, 3, RGB)
    colours, _ = augment_batch(EVERYTHING, images[:, :3], labels, 3, RGB)
    assert (made[:, :3] - colours).abs().max() < 0.01


def test_hue_and_saturation_leave_other_channels() -> None:
    images, labels, augment = tensor(noisy(5, 40)), torch.zeros(40), replace(NOTHING, colour=1, leave_out=("light",))
    made, _ = augment_batch(augment, images, labels, 0, (4, 0, 2))
    changed = (made != images).flatten(2).any(2)
    assert 0.3 < changed[:, [0, 2, 4]].all(1).float().mean() < 0.7 and not changed[:, [1, 3]].any()


@CHANNELS
def test_floats_are_augmented_as_whole_numbers_are_and_keep_what_lies_between(channels: int) -> None:
    images, labels, rgb = tensor(noisy(channels)), torch.zeros(3), rgb_of(channels)
    for augment in (EVERYTHING, Augment(flip="both")):
        made, _ = augment_batch(augment, images, labels, 5, rgb)
        assert torch.equal(augment_batch(augment, images.half(), labels, 5, rgb)[0], made.to(torch.float32))
    between, _ = augment_batch(Augment(flip="both"), images.half() / 2 + 0.25, labels, 5, rgb)
    assert between.dtype == torch.float16 and ((between % 1 == 0.25) | (between % 1 == 0.75)).all()


def test_the_images_of_a_batch_are_augmented_differently_and_labels_are_left_alone() -> None:
    made, labels = augmented(AGGRESSIVE, noisy(3, 1).repeat(8, 0), np.arange(8), 0)
    assert len({image.tobytes() for image in made}) == 8
    assert (labels == np.arange(8)).all()


@given(SEEDS)
def test_without_any_augmentation_nothing_changes(seed: int) -> None:
    masks = scenes(seed)
    images, targets = augmented(NOTHING, pictures(masks), masks, seed)
    assert images.dtype == np.uint8 and (images == pictures(masks)).all() and (targets == masks).all()


@pytest.mark.parametrize(("flip", "views"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_a_flip_goes_only_the_ways_that_the_recipe_allows(flip: str, views: int) -> None:
    image = noisy(1, 1)
    made, _ = augmented(Augment(flip=flip), image.repeat(200, 0), np.zeros(200, int), 0)  # type: ignore[arg-type]
    allowed = [image, image[:, :, ::-1], image[:, ::-1], image[:, ::-1, ::-1]][:views]
    counts = [int((made == view).all((1, 2, 3)).sum()) for view in allowed]
    assert made.dtype == np.uint8 and sum(counts) == 200 and min(counts) > 120 / views


@given(SEEDS, SEEDS)
def test_masks_move_with_their_images(seed: int, picture: int) -> None:
    masks = scenes(picture)
    images, targets = augmented(GEOMETRY, pictures(masks), masks, seed)
    for image, mask in zip(images[..., 0].astype(np.float32), targets, strict=True):
        inside = cv2.erode(mask, np.ones((7, 7))) == cv2.dilate(mask, np.ones((7, 7)))
        inside[[0, -1]] = inside[:, [0, -1]] = False  # an edge between classes may lie just outside the picture
        assert inside.mean() > 0.25
        assert np.abs(image[inside] - GREY[mask[inside]]).max() <= 0.01


@given(SEEDS, SEEDS)
def test_masks_get_no_class_that_was_not_there(seed: int, picture: int) -> None:
    masks = scenes(picture)
    _, targets = augmented(EVERYTHING, pictures(masks), masks, seed)
    for mask, before in zip(targets, masks, strict=True):
        assert set(np.unique(mask)) <= {*np.unique(before), IGNORED}


def test_ignored_pixels_stay_ignored() -> None:
    masks = np.full((8, 48, 96), IGNORED, np.uint8)
    for seed in range(3):
        assert (augmented(GEOMETRY, pictures(masks), masks, seed)[1] == IGNORED).all()


@given(SEEDS)
def test_what_does_not_move_pixels_leaves_the_mask(seed: int) -> None:
    masks = scenes(seed)
    still = Augment(flip="none", colour=1.0, degrade=1.0, erase=1.0, augmix=1.0)
    assert (augmented(still, pictures(masks), masks, seed)[1] == masks).all()


def changes(augment: Augment, image: np.ndarray, count: int = 400) -> np.ndarray:
    """(count, H, W, C): how far, in grey values, each pixel of so many copies of an image is from what it was."""
    made, _ = augmented(augment, image[None].repeat(count, 0), np.zeros(count, int), 0)
    return np.abs(made.astype(np.float32) - image)


@pytest.mark.parametrize(
    ("word", "value", "share"),
    [("rotate", 30, 0.8), ("colour", 1, 0.79), ("degrade", 0.3, 0.3), ("erase", 0.6, 0.6), ("augmix", 0.4, 0.4)],
)
def test_images_are_changed_as_often_as_the_recipe_asks(word: str, value: float, share: float) -> None:
    augment = replace(NOTHING, **{word: value})  # type: ignore[arg-type]
    assert (changes(augment, noisy(1, 1)[0]) > 0.5).any((1, 2, 3)).mean() == pytest.approx(share, abs=0.07)


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (replace(NOTHING, colour=0.6), {"colour": 0.3}),
        (replace(NOTHING, randaugment=2, magnitude=0.6), {"magnitude": 0.3}),
        (replace(NOTHING, randaugment=3), {"randaugment": 1}),
    ],
    ids=["colour", "magnitude", "randaugment"],
)
def test_a_greater_number_changes_more(more: Augment, less: dict[str, Any]) -> None:
    assert changes(more, PHOTO).mean() > 1.2 * changes(replace(more, **less), PHOTO).mean()


def test_what_is_erased_is_black_and_the_rest_stays() -> None:
    made, _ = augmented(replace(NOTHING, erase=1.0), np.full((100, 40, 80, 3), 120, np.uint8), np.arange(100), 0)
    assert set(np.unique(made)) == {0, 120}
    black = (made[..., 0] == 0).mean((1, 2))
    assert (black >= 0.1 * 0.1 * 0.7).all() and (black < 5 * 0.3 * 0.3).all()


@CHANNELS
def test_with_every_family_left_out_nothing_changes(channels: int) -> None:
    every = replace(EVERYTHING, flip="none", leave_out=FAMILIES)
    assert every.families(rgb_of(channels)) == () and set(EVERYTHING.families(RGB)) == set(FAMILIES)
    for image in noisy(channels):
        assert changes(every, image, 20).max() < 0.001


@pytest.mark.parametrize(
    ("family", "augment"),
    [
        ("noise", replace(NOTHING, degrade=1)),
        ("light", replace(NOTHING, colour=1)),
        ("geometry", replace(NOTHING, rotate=30)),
    ],
)
def test_a_family_that_is_left_out_is_not_trained_on(family: Family, augment: Augment) -> None:
    """An even grey image shows noise and light, and a black border what was turned."""
    even = np.full((32, 32, 1), 120, np.uint8)
    assert changes(augment, even, 40).max() > 10
    assert changes(replace(augment, leave_out=(family,)), even, 40).max() < 3.4, "half a step of JPEG at its worst"
