"""Augmentation, by either engine: the seed decides it, masks move with their images, and both do alike."""

from collections.abc import Callable
from dataclasses import replace
from typing import get_args

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from competitions.blood_cells.recipes import AGGRESSIVE
from competitions.mars.recipes import LIGHT
from tests.augmentation import (
    CHANNELS,
    ENGINES,
    GEOMETRY,
    GREY,
    NOTHING,
    PHOTO,
    Engine,
    albumentations,
    noisy,
    pictures,
    scenes,
    tensor,
    tensors,
)
from toolkit.augmentation.batch import augment_batch
from toolkit.metrics import IGNORED
from toolkit.recipe import Augment, Family

settings.load_profile("ci")  # no deadline for an example: the machine may be busy
pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = st.integers(0, 2**31 - 1)
STRONG = replace(AGGRESSIVE, degrade=1.0, erase=1.0, elastic=0.5, randaugment=2)
EVERYTHING = replace(AGGRESSIVE, degrade=0.9, erase=0.5, elastic=0.5, randaugment=2, augmix=0.5)
FAMILIES = get_args(Family)


@CHANNELS
@pytest.mark.parametrize("augment", [EVERYTHING, LIGHT], ids=["everything", "light"])
def test_the_seed_alone_decides(augment: Augment, channels: int) -> None:
    images, labels = tensor(noisy(channels)), torch.arange(3)
    for seed in range(10):
        once, _ = augment_batch(augment, images, labels, seed)
        np.random.seed(seed)  # noqa: NPY002 - the global state must not matter
        torch.manual_seed(seed)
        augment_batch(EVERYTHING, images, labels, seed + 100)
        assert torch.equal(once, augment_batch(augment, images, labels, seed)[0])
    assert not torch.equal(augment_batch(augment, images, labels, 1)[0], once)


@CHANNELS
@pytest.mark.parametrize("side", [48, 3, 1])
def test_shape_and_layout_stay_and_the_given_tensors_are_not_written(channels: int, side: int) -> None:
    masks = torch.from_numpy(scenes(0))[:, :side]
    images = tensor(pictures(masks.numpy(), channels))
    before = images.clone(), masks.clone()
    for seed in range(10):
        made, targets = augment_batch(EVERYTHING, images, masks, seed)
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
    here, truth = augment_batch(augment, images, masks, 0)
    there, moved = augment_batch(augment, images.cuda(), masks.cuda(), 0)
    assert there.is_cuda and there.is_contiguous(memory_format=torch.channels_last)
    assert ((here - there.cpu()).abs() < 1).float().mean() > 0.99  # a coefficient may be rounded the other way
    assert (truth == moved.cpu()).float().mean() > 0.999


def test_the_type_follows_from_the_recipe_not_from_the_draw() -> None:
    image = tensor(noisy(1, 1))
    turned = [augment_batch(Augment(rotate=5), image, torch.zeros(1), seed)[0] for seed in range(20)]
    assert any((made % 1 == 0).all() for made in turned), "some image was not turned"
    assert {made.dtype for made in turned} == {torch.float32}


@ENGINES
def test_the_images_of_a_batch_are_augmented_differently_and_labels_are_left_alone(engine: Engine) -> None:
    made, labels = engine(AGGRESSIVE, noisy(3, 1).repeat(8, 0), np.arange(8), 0)
    assert len({image.tobytes() for image in made}) == 8
    assert (labels == np.arange(8)).all()


@ENGINES
@given(SEEDS)
def test_without_any_augmentation_nothing_changes(engine: Engine, seed: int) -> None:
    masks = scenes(seed)
    images, targets = engine(NOTHING, pictures(masks), masks, seed)
    assert images.dtype == np.uint8 and (images == pictures(masks)).all() and (targets == masks).all()


@ENGINES
@pytest.mark.parametrize(("flip", "views"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_a_flip_goes_only_the_ways_that_the_recipe_allows(engine: Engine, flip: str, views: int) -> None:
    # albumentations' set_random_seed draws the same for every transform: only none or both flips ever happened
    image = noisy(1, 1)
    made, _ = engine(Augment(flip=flip), image.repeat(200, 0), np.zeros(200, int), 0)  # type: ignore[arg-type]
    allowed = [image, image[:, :, ::-1], image[:, ::-1], image[:, ::-1, ::-1]][:views]
    counts = [int((made == view).all((1, 2, 3)).sum()) for view in allowed]
    assert made.dtype == np.uint8 and sum(counts) == 200 and min(counts) > 120 / views


@pytest.mark.parametrize(
    ("engine", "elastic", "error"), [(tensors, 0.0, 0.01), (tensors, 1.0, 0.01), (albumentations, 0.0, 1)]
)
@given(SEEDS, SEEDS)
def test_masks_move_with_their_images(engine: Engine, elastic: float, error: float, seed: int, picture: int) -> None:
    masks = scenes(picture)
    images, targets = engine(replace(GEOMETRY, elastic=elastic), pictures(masks), masks, seed)
    for image, mask in zip(images[..., 0].astype(np.float32), targets, strict=True):
        inside = cv2.erode(mask, np.ones((7, 7))) == cv2.dilate(mask, np.ones((7, 7)))
        inside[[0, -1]] = inside[:, [0, -1]] = False  # an edge between classes may lie just outside the picture
        assert inside.mean() > 0.25
        assert np.abs(image[inside] - GREY[mask[inside]]).max() <= error


@pytest.mark.parametrize(("engine", "augment"), [(tensors, EVERYTHING), (albumentations, STRONG)])
@given(SEEDS, SEEDS)
def test_masks_get_no_class_that_was_not_there(engine: Engine, augment: Augment, seed: int, picture: int) -> None:
    masks = scenes(picture)
    _, targets = engine(augment, pictures(masks), masks, seed)
    for mask, before in zip(targets, masks, strict=True):
        assert set(np.unique(mask)) <= {*np.unique(before), IGNORED}


@ENGINES
def test_ignored_pixels_stay_ignored(engine: Engine) -> None:
    masks = np.full((8, 48, 96), IGNORED, np.uint8)
    for seed in range(3):
        assert (engine(replace(GEOMETRY, elastic=0.5), pictures(masks), masks, seed)[1] == IGNORED).all()


@pytest.mark.parametrize(("engine", "augmix"), [(tensors, 1.0), (albumentations, 0.0)])
@given(SEEDS)
def test_what_does_not_move_pixels_leaves_the_mask(engine: Engine, augmix: float, seed: int) -> None:
    masks = scenes(seed)
    still = Augment(flip="none", colour=1.0, degrade=1.0, erase=1.0, augmix=augmix)
    assert (engine(still, pictures(masks), masks, seed)[1] == masks).all()


@CHANNELS
@pytest.mark.parametrize(("engine", "augmix"), [(tensors, 0.5), (albumentations, 0.0)])
def test_with_every_family_left_out_nothing_changes(engine: Engine, augmix: float, channels: int) -> None:
    every = replace(EVERYTHING, flip="none", augmix=augmix, leave_out=FAMILIES)
    assert every.families(channels) == () and set(EVERYTHING.families(3)) == set(FAMILIES)
    images = noisy(channels)
    for seed in range(5):
        made, _ = engine(every, images, np.arange(3), seed)
        np.testing.assert_allclose(made.astype(np.float32), images, atol=0.001)


@ENGINES
@pytest.mark.parametrize(
    ("family", "augment"),
    [
        ("noise", replace(NOTHING, degrade=1)),
        ("light", replace(NOTHING, colour=1)),
        ("geometry", replace(NOTHING, rotate=30)),
    ],
)
def test_a_family_that_is_left_out_is_not_trained_on(engine: Engine, family: Family, augment: Augment) -> None:
    """An even grey image shows noise and light, and a black border what was turned."""

    def change(augment: Augment) -> float:
        made, _ = engine(augment, np.full((40, 32, 32, 1), 120, np.uint8), np.arange(40), 0)
        return float(np.abs(made.astype(np.float32) - 120).max())

    assert change(augment) > 10
    assert change(replace(augment, leave_out=(family,))) <= 2


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda images: images.mean((1, 2, 3)),
    "deviation": lambda images: images.std((1, 2, 3)),
    "red": lambda images: images[..., 0].mean((1, 2)) - images.mean((1, 2, 3)),
    "detail": lambda images: np.log1p(np.abs(np.diff(images, axis=2)).mean((1, 2, 3))),
    "black": lambda images: (images < 1).all(-1).mean((1, 2)),
}


# distance that two samples of 800 from one distribution exceed once in 1000 times (Kolmogorov and Smirnov)
ALIKE = 1.95 * (2 / 800) ** 0.5


def copies(engine: Engine, augment: Augment, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """800 augmented copies of an image and its mask."""
    images, masks = engine(augment, image[None].repeat(800, 0), mask[None].repeat(800, 0), 0)
    return images.astype(np.float32).round(), masks


PALE = cv2.resize(PHOTO, (48, 40)) // 3 + np.array([120, 90, 140], np.uint8)


@pytest.mark.parametrize(
    ("augment", "names", "weaker"),
    [
        pytest.param(Augment(colour=0.6), ("mean", "deviation", "red"), {"colour": 0.35}, id="colour"),
        pytest.param(Augment(degrade=1.0), ("detail", "deviation"), {"degrade": 0.85}, id="degrade"),
        pytest.param(Augment(erase=0.6), ("black",), {"erase": 0.45}, id="erase"),
        pytest.param(
            Augment(randaugment=2, magnitude=0.6),
            ("mean", "deviation", "detail"),
            {"magnitude": 0.45},
            id="randaugment",
        ),
    ],
)
def test_both_engines_change_pixels_alike(augment: Augment, names: tuple[str, ...], weaker: dict[str, float]) -> None:
    mask = np.zeros(PALE.shape[:2], np.uint8)
    theirs, _ = copies(albumentations, augment, PALE, mask)

    def distance(augment: Augment) -> float:
        ours, _ = copies(tensors, augment, PALE, mask)
        return max(ks_2samp(STATISTICS[name](ours), STATISTICS[name](theirs)).statistic for name in names)

    assert distance(augment) < ALIKE
    assert distance(replace(augment, **weaker)) > ALIKE  # type: ignore[arg-type]


def moves(images: np.ndarray) -> np.ndarray:
    """(B, 7) of an image with a spot in each channel: flipped, angle, scales, shear and shifts, recovered."""
    weight = np.maximum(images - 20, 0)
    columns, rows = weight.sum(1), weight.sum(2)
    places = [np.einsum("bsc,s->bc", side, np.arange(side.shape[1])) / side.sum(1) for side in (columns, rows)]
    spots = np.stack(places, 1)  # (B, x and y, spot)
    right, down = (spots[..., channel] - spots[..., 0] for channel in (1, 2))
    area = right[:, 0] * down[:, 1] - right[:, 1] * down[:, 0]
    lengths = np.hypot(*right.T), np.hypot(*down.T)
    slant = (right * down).sum(1) / lengths[0] / lengths[1]
    shift = spots[..., 0] - [(images.shape[2] - 1) / 2, (images.shape[1] - 1) / 2]
    angle = np.arctan2(right[:, 1], np.abs(right[:, 0]))
    return np.column_stack([area < 0, angle, *lengths, np.abs(slant), shift])


def test_both_engines_move_images_alike() -> None:
    marker = np.zeros((48, 96, 3), np.float32)
    y, x = np.mgrid[:48, :96]
    for channel, (right, down) in enumerate(((0, 0), (10, 0), (0, 10))):
        marker[..., channel] = 255 * np.exp(-((x - 47.5 - right) ** 2 + (y - 23.5 - down) ** 2) / 8)
    augment = Augment(flip="horizontal", rotate=40, scale=0.2, shift=0.1, shear=12)
    mask = np.ones((48, 96), np.uint8)
    theirs, their_masks = copies(albumentations, augment, marker.astype(np.uint8), mask)

    def distance(augment: Augment) -> tuple[float, float]:
        ours, our_masks = copies(tensors, augment, marker.astype(np.uint8), mask)
        outside = [(masks == IGNORED).mean((1, 2)) for masks in (our_masks, their_masks)]
        pairs = zip(moves(ours).T, moves(theirs).T, strict=True)
        return max(ks_2samp(*pair, method="asymp").statistic for pair in pairs), ks_2samp(*outside).statistic

    assert max(distance(augment)) < ALIKE
    for other in ({"rotate": 25}, {"scale": 0.12}, {"shift": 0.06}, {"shear": 7}, {"flip": "none"}):
        assert distance(replace(augment, **other))[0] > ALIKE, other
    assert distance(replace(augment, rotate=20, shift=0.0))[1] > ALIKE
