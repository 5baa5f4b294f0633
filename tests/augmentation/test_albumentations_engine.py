"""Augmentation by albumentations: decided by its seed alone, masks move with their images, no class is invented."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from competitions.blood_cells.recipes import AGGRESSIVE
from competitions.mars.recipes import LIGHT
from toolkit.augmentation.albumentations_engine import augment_images, build_pipeline
from toolkit.errors import UserError
from toolkit.metrics import IGNORED
from toolkit.recipe import Augment

settings.load_profile("ci")  # no deadline for an example: the machine may be busy
NOTHING = Augment(flip="none")
GEOMETRY = Augment(flip="both", rotate=30, scale=0.2, shift=0.1, shear=10)
SEEDS = st.integers(0, 2**31 - 1)
GREY = np.zeros(256, np.uint8)  # the grey value of each class in `pictures`; what comes from outside is black
GREY[:4] = 60, 120, 180, 240


def scenes(seed: int, count: int = 3) -> np.ndarray:
    """Masks of large even blocks, classes 0, 1, 3."""
    blocks = np.random.default_rng(seed).choice(np.array([0, 1, 3], np.uint8), (count, 2, 4))
    return blocks.repeat(24, 1).repeat(24, 2)


def pictures(masks: np.ndarray, channels: int = 1) -> np.ndarray:
    """Images whose grey value tells the class of the pixel."""
    return GREY[masks][..., None].repeat(channels, -1)


def noisy(channels: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 32, 64, channels)).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("augment", [AGGRESSIVE, LIGHT], ids=["aggressive", "light"])
def test_the_seed_alone_decides(augment: Augment, channels: int) -> None:
    images, labels = noisy(channels), np.arange(3)
    fresh, used = build_pipeline(augment, channels), build_pipeline(augment, channels)
    for seed in range(10):
        augment_images(used, images, labels, seed + 100)
        np.random.seed(seed)  # noqa: NPY002 - the global state must not matter
        torch.manual_seed(seed)
        once, again = (augment_images(pipeline, images, labels, seed)[0] for pipeline in (fresh, used))
        assert (once == again).all()
    assert (augment_images(fresh, images, labels, 1)[0] != once).any()


@pytest.mark.parametrize("channels", [1, 3])
def test_shape_and_type_stay_and_the_given_arrays_are_not_written(channels: int) -> None:
    masks = scenes(0)
    images = pictures(masks, channels)
    images.flags.writeable = masks.flags.writeable = False
    strong = replace(AGGRESSIVE, degrade=1.0, erase=1.0)
    pipeline = build_pipeline(strong, channels)
    for seed in range(20):
        made, targets = augment_images(pipeline, images, masks, seed)
        assert made.shape == images.shape and targets.shape == masks.shape
        assert made.dtype == targets.dtype == np.uint8


def test_the_images_of_a_batch_are_augmented_differently() -> None:
    images = noisy(3, 1).repeat(4, 0)
    made, _ = augment_images(build_pipeline(AGGRESSIVE, 3), images, np.zeros(4, int), 0)
    assert len({image.tobytes() for image in made}) == 4


def test_labels_are_left_alone() -> None:
    labels = np.array([3, 1, 2])
    assert (augment_images(build_pipeline(AGGRESSIVE, 3), noisy(3), labels, 0)[1] == labels).all()


@given(SEEDS)
def test_without_any_augmentation_nothing_changes(seed: int) -> None:
    masks = scenes(seed)
    images, targets = augment_images(build_pipeline(NOTHING, 1), pictures(masks), masks, seed)
    assert (images == pictures(masks)).all() and (targets == masks).all()


@pytest.mark.parametrize(("flip", "views"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_a_flip_goes_only_the_ways_that_the_recipe_allows(flip: str, views: int) -> None:
    # albumentations' set_random_seed draws the same for every transform: only none or both flips ever happened
    pipeline = build_pipeline(Augment(flip=flip), 1)  # type: ignore[arg-type]
    image = noisy(1, 1)
    seen = {augment_images(pipeline, image, np.zeros(1, int), seed)[0].tobytes() for seed in range(40)}
    allowed = [image, image[:, :, ::-1], image[:, ::-1], image[:, ::-1, ::-1]][:views]
    assert seen == {view.tobytes() for view in allowed}


@given(SEEDS, SEEDS)
def test_masks_move_with_their_images(seed: int, picture: int) -> None:
    masks = scenes(picture)
    images, targets = augment_images(build_pipeline(GEOMETRY, 1), pictures(masks), masks, seed)
    for image, mask in zip(images[..., 0], targets, strict=True):
        inside = cv2.erode(mask, np.ones((7, 7))) == cv2.dilate(mask, np.ones((7, 7)))
        inside[[0, -1]] = inside[:, [0, -1]] = False  # an edge between classes may lie just outside the picture
        assert inside.mean() > 0.3
        assert np.abs(image[inside].astype(int) - GREY[mask[inside]]).max() <= 1


@given(SEEDS, SEEDS)
def test_masks_get_no_class_that_was_not_there(seed: int, picture: int) -> None:
    masks = scenes(picture)
    strong = replace(AGGRESSIVE, degrade=1.0, erase=1.0)
    _, targets = augment_images(build_pipeline(strong, 1), pictures(masks), masks, seed)
    for mask, before in zip(targets, masks, strict=True):
        assert set(np.unique(mask)) <= {*np.unique(before), IGNORED}


def test_ignored_pixels_stay_ignored() -> None:
    masks = np.full((2, 48, 96), IGNORED, np.uint8)
    for seed in range(10):
        assert (augment_images(build_pipeline(GEOMETRY, 1), pictures(masks), masks, seed)[1] == IGNORED).all()


@given(SEEDS)
def test_what_does_not_move_pixels_leaves_the_mask(seed: int) -> None:
    masks = scenes(seed)
    still = Augment(flip="none", colour=1.0, degrade=1.0, erase=1.0)
    assert (augment_images(build_pipeline(still, 1), pictures(masks), masks, seed)[1] == masks).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_every_word_but_augmix_is_known(channels: int) -> None:
    masks = scenes(0)
    augment = replace(NOTHING, elastic=1.0, randaugment=3, magnitude=0.8)
    pipeline = build_pipeline(augment, channels)
    for seed in range(10):
        images, targets = augment_images(pipeline, pictures(masks, channels), masks, seed)
        assert images.shape == (*masks.shape, channels) and set(np.unique(targets)) <= {0, 1, 3, IGNORED}
    with pytest.raises(UserError, match=r"augment\.augmix: .*set augment\.engine=tensor"):
        build_pipeline(replace(augment, augmix=0.1), channels)
