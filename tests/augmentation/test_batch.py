"""Augmentation of whole batches: the seed decides it, masks move with their images, and it does as albumentations."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
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
from tests.augmentation.test_albumentations_engine import GEOMETRY, GREY, NOTHING, noisy, pictures, scenes
from toolkit.augmentation import pixels
from toolkit.augmentation import randaugment as policies
from toolkit.augmentation.albumentations_engine import augment_images, build_pipeline
from toolkit.augmentation.batch import augment_batch
from toolkit.augmentation.geometry import DISPLACEMENT, SMOOTHNESS, affine_matrices, still_motion, warp_batch
from toolkit.metrics import IGNORED
from toolkit.recipe import Augment, Family

settings.load_profile("ci")  # no deadline for an example: the machine may be busy
pytestmark = pytest.mark.usefixtures("one_thread")
SEEDS = st.integers(0, 2**31 - 1)
EVERYTHING = replace(AGGRESSIVE, degrade=0.9, erase=0.5, elastic=0.5, randaugment=2, augmix=0.5)
CHANNELS = pytest.mark.parametrize("channels", [1, 3])


def tensor(images: np.ndarray) -> torch.Tensor:
    """(B, C, H, W), channels last in memory, of images (B, H, W, C)."""
    return torch.from_numpy(images.copy()).permute(0, 3, 1, 2)


def array(images: torch.Tensor) -> np.ndarray:
    return images.permute(0, 2, 3, 1).numpy()


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


def test_the_images_of_a_batch_are_augmented_differently() -> None:
    made, labels = augment_batch(AGGRESSIVE, tensor(noisy(3, 1).repeat(8, 0)), torch.arange(8), 0)
    assert len({image.numpy().tobytes() for image in made}) == 8
    assert torch.equal(labels, torch.arange(8))


@given(SEEDS)
def test_without_any_augmentation_nothing_changes(seed: int) -> None:
    masks = torch.from_numpy(scenes(seed))
    images = tensor(pictures(masks.numpy()))
    made, targets = augment_batch(NOTHING, images, masks, seed)
    assert made.dtype == torch.uint8 and torch.equal(made, images) and torch.equal(targets, masks)


@pytest.mark.parametrize(("flip", "views"), [("none", 1), ("horizontal", 2), ("both", 4)])
def test_a_flip_goes_only_the_ways_that_the_recipe_allows(flip: str, views: int) -> None:
    image = tensor(noisy(1, 1))
    made, _ = augment_batch(Augment(flip=flip), image.expand(200, -1, -1, -1), torch.zeros(200), 0)  # type: ignore[arg-type]
    allowed = [image, image.flip(-1), image.flip(-2), image.flip(-1, -2)][:views]
    counts = [int((made == view).all((1, 2, 3)).sum()) for view in allowed]
    assert made.dtype == torch.uint8 and sum(counts) == 200 and min(counts) > 120 / views


@given(SEEDS, SEEDS, st.sampled_from([0.0, 1.0]))
def test_masks_move_with_their_images(seed: int, picture: int, elastic: float) -> None:
    masks = torch.from_numpy(scenes(picture))
    images = tensor(pictures(masks.numpy()))
    made, targets = augment_batch(replace(GEOMETRY, elastic=elastic), images, masks, seed)
    for image, mask in zip(made[:, 0].numpy(), targets.numpy(), strict=True):
        inside = cv2.erode(mask, np.ones((7, 7))) == cv2.dilate(mask, np.ones((7, 7)))
        inside[[0, -1]] = inside[:, [0, -1]] = False  # an edge between classes may lie just outside the picture
        assert inside.mean() > 0.25
        assert np.abs(image[inside] - GREY[mask[inside]]).max() < 0.01


@given(SEEDS, SEEDS)
def test_masks_get_no_class_that_was_not_there(seed: int, picture: int) -> None:
    masks = scenes(picture)
    _, targets = augment_batch(EVERYTHING, tensor(pictures(masks)), torch.from_numpy(masks), seed)
    for mask, before in zip(targets.numpy(), masks, strict=True):
        assert set(np.unique(mask)) <= {*np.unique(before), IGNORED}


def test_ignored_pixels_stay_ignored() -> None:
    masks = torch.full((8, 48, 96), IGNORED, dtype=torch.uint8)
    _, targets = augment_batch(replace(GEOMETRY, elastic=0.5), torch.zeros(8, 1, 48, 96), masks, 0)
    assert (targets == IGNORED).all()


@given(SEEDS)
def test_what_does_not_move_pixels_leaves_the_mask(seed: int) -> None:
    masks = torch.from_numpy(scenes(seed))
    still = Augment(flip="none", colour=1.0, degrade=1.0, erase=1.0, augmix=1.0)
    assert torch.equal(augment_batch(still, tensor(pictures(masks.numpy())), masks, seed)[1], masks)


def test_a_quarter_turn_and_a_shift_are_exact_and_an_oblong_image_is_not_sheared() -> None:
    images = torch.rand(3, 2, 20, 40) * 255
    angle = np.deg2rad([90.0, -90, 0])
    motion = still_motion(3)
    motion.matrices[:] = affine_matrices(angle, np.ones((3, 2)), np.zeros((3, 2)), np.array([[0, 0], [0, 0], [3, -2]]))
    motion.moved[:] = True
    made, _ = warp_batch(motion, images, None)
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


PHOTO = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (80, 104, 3), np.uint8), (0, 0), 1.5)
PHOTO = cv2.normalize(PHOTO, None, 0, 255, cv2.NORM_MINMAX)


def changed(operation: Callable[[torch.Tensor], torch.Tensor], image: np.ndarray = PHOTO) -> np.ndarray:
    """(H, W, C) float32."""
    return array(operation(tensor(image[None]).float().contiguous()))[0]


@pytest.mark.parametrize("sigma", [0.5, 1.3, 2.4])
def test_gaussian_blur_is_that_of_opencv(sigma: float) -> None:
    def blur(images: torch.Tensor) -> torch.Tensor:
        rows, columns = (pixels.gaussian_matrices(np.array([sigma]), side, images.device) for side in PHOTO.shape[:2])
        return pixels.separable(images, rows, columns)

    size = 2 * int(3.5 * sigma) + 1
    assert np.abs(changed(blur) - cv2.GaussianBlur(PHOTO.astype(np.float32), (size, size), sigma)).max() < 0.01


@pytest.mark.parametrize("scale", [0.3, 0.5, 0.61])
def test_a_loss_of_resolution_is_that_of_opencv(scale: float) -> None:
    sides = [(side, round(side * scale)) for side in PHOTO.shape[:2]]

    def coarsen(images: torch.Tensor) -> torch.Tensor:
        rows, columns = (torch.from_numpy(pixels.resolution_matrix(*side))[None] for side in sides)
        return pixels.separable(images, rows, columns)

    small = cv2.resize(PHOTO.astype(np.float32), (sides[1][1], sides[0][1]), interpolation=cv2.INTER_AREA)
    assert np.abs(changed(coarsen) - cv2.resize(small, PHOTO.shape[1::-1])).max() < 0.01


@pytest.mark.parametrize("quality", [15, 49, 80])
@pytest.mark.parametrize("grey", [True, False])
def test_compression_is_that_of_jpeg(quality: int, grey: bool) -> None:
    photo = PHOTO[..., :1] if grey else PHOTO
    ours = changed(lambda images: pixels.compress(images, np.array([quality])), photo)
    _, file = cv2.imencode(".jpg", photo[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, quality))
    theirs = np.asarray(cv2.imdecode(file, cv2.IMREAD_UNCHANGED), np.float32).reshape(photo.shape)[..., ::-1]
    loss = np.abs(theirs - photo).mean()
    assert np.abs(ours - theirs).mean() < 0.25 * loss
    assert np.abs(ours - photo).mean() == pytest.approx(loss, rel=0.05)


@pytest.mark.parametrize("shift", [(40, 30, -20), (-60, -60, 30), (0, 60, 0), (25, 0, 0)])
def test_hue_saturation_and_value_are_those_of_opencv(shift: tuple[int, int, int]) -> None:
    arrays = [np.array([value], float) for value in shift]
    photo = PHOTO.copy()
    photo[:10] = photo[:10, :, :1]  # grey has no hue and gets none
    ours = changed(lambda images: pixels.shift_hsv(images, *arrays), photo)
    hsv = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2HSV)
    grey = hsv[..., 1] == 0
    hsv[..., 0] = (hsv[..., 0] + shift[0]) % 360
    hsv[..., 1:] = np.clip(hsv[..., 1:] + np.array(shift[1:]) / 255, 0, 1)
    hsv[..., 1][grey] = 0
    assert np.abs(ours - 255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)).max() < 0.1


def test_noise_is_normal_and_another_in_each_image() -> None:
    grey = torch.full((6, 3, 64, 64), 128.0)
    noise = pixels.add_noise(grey.clone(), np.array([4, 8, 12, 16, 20, 24.0]), np.random.default_rng(0)) - 128
    np.testing.assert_allclose(noise.flatten(1).std(1), [4, 8, 12, 16, 20, 24], rtol=0.03)
    assert (noise.flatten(1).mean(1).abs() < 1).all()
    assert (torch.corrcoef(noise.flatten(1)) - torch.eye(6)).abs().max() < 0.04


def test_gamma_is_a_power_and_black_stays_black() -> None:
    photo = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    ours = changed(lambda images: pixels.adjust_gamma(images, np.array([1.4])), photo)
    np.testing.assert_allclose(ours, 255 * (photo / 255.0) ** 1.4, atol=0.01)


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
    assert expected.keys() == policies.LOOKS.keys()
    for name, image in expected.items():
        ours = changed(partial(policies.LOOKS[name], levels=level))
        assert np.abs(ours - np.clip(image, 0, 255)).max() < 0.6, name
        assert np.abs(ours - PHOTO).mean() > (0.1 if name == "autocontrast" else 0.4), name


@pytest.mark.parametrize("value", [0, 77, 255])
def test_an_even_image_stays_as_it_is_where_its_range_is_stretched(value: int) -> None:
    even = np.full((9, 9, 3), value, np.uint8)
    for look in (policies.autocontrast, policies.equalize):
        assert (changed(partial(look, levels=np.ones(1)), even) == value).all()


FAMILIES = get_args(Family)


@CHANNELS
@pytest.mark.parametrize("engine", ["tensor", "albumentations"])
def test_with_every_family_left_out_nothing_changes(engine: str, channels: int) -> None:
    every = replace(EVERYTHING, flip="none", leave_out=FAMILIES)
    assert every.families(channels) == () and set(EVERYTHING.families(3)) == set(FAMILIES)
    for seed in range(5):
        images = noisy(channels)
        if engine == "tensor":
            made = array(augment_batch(every, tensor(images), torch.arange(3), seed)[0])
        else:
            pipeline = build_pipeline(replace(every, augmix=0), channels)
            made = augment_images(pipeline, images, np.arange(3), seed)[0].astype(np.float32)
        np.testing.assert_allclose(made, images, atol=0.001)


@pytest.mark.parametrize("engine", ["tensor", "albumentations"])
@pytest.mark.parametrize(
    ("family", "augment"),
    [
        ("noise", replace(NOTHING, degrade=1)),
        ("light", replace(NOTHING, colour=1)),
        ("geometry", replace(NOTHING, rotate=30)),
    ],
)
def test_a_family_that_is_left_out_is_not_trained_on(engine: str, family: Family, augment: Augment) -> None:
    """An even grey image shows noise and light, and a black border what was turned."""

    def changed(augment: Augment) -> float:
        even = np.full((40, 32, 32, 1), 120, np.uint8)
        if engine == "tensor":
            made = array(augment_batch(augment, tensor(even), torch.arange(40), 0)[0])
        else:
            made = augment_images(build_pipeline(augment, 1), even, np.arange(40), 0)[0].astype(np.float32)
        return float(np.abs(made - even.astype(np.float32)).max())

    assert changed(augment) > 10
    assert changed(replace(augment, leave_out=(family,))) <= 2


def test_augmix_is_a_mixture() -> None:
    ramp = torch.arange(256.0).reshape(1, 1, 16, 16).expand(40, 3, 16, 16).contiguous()
    same = policies.aug_mix(ramp, Augment(magnitude=0), False, np.random.default_rng(0))
    torch.testing.assert_close(same, ramp, atol=0.01, rtol=0)  # weights sum to one; at level 0 a ramp doesn't change
    strong = policies.aug_mix(ramp, Augment(magnitude=1), False, np.random.default_rng(0))
    assert strong.min() >= 0 and strong.max() <= 255.001
    assert ((strong - ramp).abs().mean((1, 2, 3)) > 1).float().mean() > 0.8


STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda images: images.mean((1, 2, 3)),
    "deviation": lambda images: images.std((1, 2, 3)),
    "red": lambda images: images[..., 0].mean((1, 2)) - images.mean((1, 2, 3)),
    "detail": lambda images: np.log1p(np.abs(np.diff(images, axis=2)).mean((1, 2, 3))),
    "black": lambda images: (images < 1).all(-1).mean((1, 2)),
}


# distance that two samples of 800 from one distribution exceed once in 1000 times (Kolmogorov and Smirnov)
ALIKE = 1.95 * (2 / 800) ** 0.5


def by_tensors(augment: Augment, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """800 augmented copies of an image and its mask."""
    images, masks = tensor(image[None]).expand(800, -1, -1, -1), torch.from_numpy(mask).expand(800, -1, -1)
    made, targets = augment_batch(augment, images, masks, 0)
    return array(made.float()).round(), targets.numpy()


def by_albumentations(augment: Augment, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pipeline = build_pipeline(augment, image.shape[-1])
    images, masks = augment_images(pipeline, image[None].repeat(800, 0), mask[None].repeat(800, 0), 0)
    return images.astype(np.float32), masks


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
    theirs, _ = by_albumentations(augment, PALE, mask)

    def distance(augment: Augment) -> float:
        ours, _ = by_tensors(augment, PALE, mask)
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
    theirs, their_masks = by_albumentations(augment, marker.astype(np.uint8), mask)

    def distance(augment: Augment) -> tuple[float, float]:
        ours, our_masks = by_tensors(augment, marker.astype(np.uint8), mask)
        outside = [(masks == IGNORED).mean((1, 2)) for masks in (our_masks, their_masks)]
        pairs = zip(moves(ours).T, moves(theirs).T, strict=True)
        return max(ks_2samp(*pair, method="asymp").statistic for pair in pairs), ks_2samp(*outside).statistic

    assert max(distance(augment)) < ALIKE
    for other in ({"rotate": 25}, {"scale": 0.12}, {"shift": 0.06}, {"shear": 7}, {"flip": "none"}):
        assert distance(replace(augment, **other))[0] > ALIKE, other
    assert distance(replace(augment, rotate=20, shift=0.0))[1] > ALIKE
