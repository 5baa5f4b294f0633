"""What is special to albumentations (test_batch.py has what both engines do): used pipelines, and no AugMix."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from competitions.blood_cells.recipes import AGGRESSIVE
from competitions.mars.recipes import LIGHT
from tests.augmentation import CHANNELS, NOTHING, noisy, pictures, scenes
from toolkit.augmentation.albumentations_engine import augment_images, build_pipeline
from toolkit.errors import UserError
from toolkit.metrics import IGNORED
from toolkit.recipe import Augment


@CHANNELS
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


@CHANNELS
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


@CHANNELS
def test_every_field_but_augmix_is_known(channels: int) -> None:
    masks = scenes(0)
    augment = replace(NOTHING, elastic=1.0, randaugment=3, magnitude=0.8)
    pipeline = build_pipeline(augment, channels)
    for seed in range(10):
        images, targets = augment_images(pipeline, pictures(masks, channels), masks, seed)
        assert images.shape == (*masks.shape, channels) and set(np.unique(targets)) <= {0, 1, 3, IGNORED}
    with pytest.raises(UserError, match=r"augment\.augmix: .*set augment\.engine=tensor"):
        build_pipeline(replace(augment, augmix=0.1), channels)
