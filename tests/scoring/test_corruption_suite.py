"""The suite of corruptions: decided by seed and sample alone, worse with severity, masks move with their images."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from tests.conftest import RGB, ROOT, rgb_of
from toolkit.competition import Competition
from toolkit.scoring.corruption_suite import SEVERITIES, SUITE, corrupt, corrupt_each, suite
from toolkit.task import IGNORED

pytestmark = pytest.mark.usefixtures("one_thread")
GREY = np.zeros(256, np.uint8)  # the grey value of each class in `scenes`; what comes from outside is left out
GREY[:4] = 60, 120, 180, 240
LEVELS = range(1, SEVERITIES + 1)
MOVING = [corruption.name for corruption in SUITE if corruption.family == "geometry"]
OF_COLOUR = ("saturation", "hue", "stain", "jpeg")
every = pytest.mark.parametrize("name", [corruption.name for corruption in SUITE])


def noise(count: int, channels: int, height: int = 20, width: int = 28) -> Tensor:
    values = np.random.default_rng(0).integers(0, 256, (count, channels, height, width))
    return torch.from_numpy(values.astype(np.uint8))


def channels_of(name: str) -> list[int]:
    return [3] if name not in [corruption.name for corruption in suite(())] else [1, 3, 6]


def scenes(count: int = 6) -> tuple[Tensor, Tensor]:
    """Grey images and masks of large even blocks, classes 0, 1, 3."""
    blocks = np.random.default_rng(0).choice(np.array([0, 1, 3], np.uint8), (count, 2, 4))
    masks = blocks.repeat(32, 1).repeat(32, 2)
    return torch.from_numpy(GREY[masks])[:, None], torch.from_numpy(masks)


def practice(competition: Competition, drawn: dict[str, Path]) -> Tensor:
    images = competition.load(drawn[competition.name] / "raw").images[:24]
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)


@every
def test_a_copy_depends_on_seed_and_sample_and_not_on_the_batch(name: str) -> None:
    for channels in channels_of(name):
        images, rgb = noise(9, channels), rgb_of(channels)
        before = images.clone()
        whole, _ = corrupt(images, None, name, 5, 0, rgb)
        assert whole.dtype == torch.uint8 and whole.shape == images.shape and torch.equal(images, before)
        for rows in ([4], [7, 2, 4], list(range(8))):
            assert torch.equal(corrupt(images[rows], None, name, 5, 0, rgb, rows)[0], whole[rows])
        assert not torch.equal(whole, images)
        if name not in ("defocus_blur", "zoom_blur", "jpeg", "pixelate", "scaling"):  # nothing is drawn for them
            assert not torch.equal(corrupt(images, None, name, 5, 1, rgb)[0], whole)
            alike = images[:1].expand(9, -1, -1, -1)
            assert len(np.unique(corrupt(alike, None, name, 5, 0, rgb)[0].numpy(), axis=0)) > 1


def test_every_corruption_does_more_damage_with_severity(competition: Competition, drawn: dict[str, Path]) -> None:
    images, rgb = practice(competition, drawn), competition.rgb
    for corruption in suite(rgb):
        damage = [
            float((corrupt(images, None, corruption.name, s, 0, rgb)[0].float() - images.float()).abs().mean())
            for s in LEVELS
        ]
        assert damage == sorted(damage) and damage[4] > 1.5 * damage[0] > 0, (corruption.name, damage)


@every
def test_colour_alone_is_touched_where_a_corruption_is_of_colour(name: str) -> None:
    images = noise(5, 4)
    made, _ = corrupt(images, None, name, 4, 0, RGB)
    colours, _ = corrupt(images[:, :3], None, name, 4, 0, RGB)
    if name.startswith("mixture"):
        return
    assert torch.equal(made[:, 3], images[:, 3]) == (name in OF_COLOUR)
    if "noise" not in name and name != "occlusion":  # of which something is drawn for each channel
        assert torch.equal(made[:, :3], colours)


@pytest.mark.parametrize("name", [*OF_COLOUR, "contrast"])
def test_the_order_of_the_colours_is_what_is_said(name: str) -> None:
    images = noise(4, 5)
    there, _ = corrupt(images, None, name, 5, 0, (4, 2, 1))
    here, _ = corrupt(images[:, [4, 2, 1]], None, name, 5, 0, RGB)
    assert torch.equal(there[:, [4, 2, 1]], here)


@every
def test_floats_stay_floats_and_go_through_the_same(name: str) -> None:
    for channels in channels_of(name):
        images, rgb = noise(6, channels), rgb_of(channels)
        masks = torch.zeros(6, 20, 28, dtype=torch.uint8)
        whole, moved = corrupt(images, masks, name, 3, 0, rgb)
        made, also_moved = corrupt(images.half(), masks, name, 3, 0, rgb)
        assert made.dtype == torch.float16 and made.min() >= 0 and made.max() <= 255
        assert moved is not None and also_moved is not None and torch.equal(moved, also_moved)
        apart = (made.float() - whole.float()).abs()
        # what was rounded once may be amplified by the next part of a mixture
        assert apart.max() < 0.63 or (name.startswith("mixture") and apart.mean() < 1)
        fine, _ = corrupt(images.half() / 2 + 0.3, None, name, 3, 0, rgb)
        assert (fine % 1 != 0).float().mean() > 0.3, "rounded to whole numbers on the way"
        rows = [4, 1]
        alone, _ = corrupt(images[rows].half(), None, name, 3, 0, rgb, rows)
        assert (alone.float() - made[rows].float()).abs().max() < 0.13, "a last bit at most depends on the batch"


@pytest.mark.parametrize("name", MOVING)
def test_masks_move_with_their_images(name: str) -> None:
    images, masks = scenes()
    for severity in LEVELS:
        made, moved = corrupt(images, masks, name, severity, 0, ())
        assert moved is not None and moved.dtype == torch.uint8
        assert set(np.unique(moved)) <= {*np.unique(masks), IGNORED}
        inside = (moved != IGNORED).numpy()
        # between two blocks the image is interpolated, and its mask is not
        right = made[:, 0].numpy() == GREY[moved.numpy()]
        assert right[inside].mean() > 0.93
        assert (moved != masks).numpy()[inside].any()
        assert severity < 5 or not inside.all()


@pytest.mark.parametrize("name", ["mixture_of_two", "mixture_of_three"])
def test_mixtures_move_masks_where_a_part_of_them_moves_pixels(name: str) -> None:
    images, masks = scenes()
    images, masks = images.repeat(10, 1, 1, 1), masks.repeat(10, 1, 1)
    _, moved = corrupt(images, masks, name, 5, 0, ())
    assert moved is not None
    still = (moved == masks).flatten(1).all(1)
    assert 0 < still.sum() < len(still)
    assert set(np.unique(moved)) <= {*np.unique(masks), IGNORED}


@every
def test_what_does_not_move_pixels_leaves_the_mask(name: str) -> None:
    if name in MOVING or name.startswith("mixture"):
        return
    masks = torch.full((3, 20, 28), 2, dtype=torch.uint8)
    assert corrupt(noise(3, 3), masks, name, 5, 0, RGB)[1] is masks


def test_what_comes_from_outside_is_ignored_and_what_was_ignored_stays_so() -> None:
    images, masks = noise(4, 1, 32, 32), torch.zeros(4, 32, 32, dtype=torch.uint8)
    _, moved = corrupt(images, masks, "translation", 5, 0, ())
    assert moved is not None
    # 9 pixels of 32, in any direction: between 28 % (along an axis) and 36 % (along a diagonal) are from outside
    outside = (moved == IGNORED).flatten(1).float().mean(1)
    assert (outside > 0.25).all() and (outside < 0.4).all()
    _, moved = corrupt(images, torch.full_like(masks, IGNORED), "elastic", 3, 0, ())
    assert moved is not None and (moved == IGNORED).all()


def test_a_translated_picture_is_the_picture_shifted() -> None:
    images = torch.zeros(1, 1, 50, 50, dtype=torch.uint8)
    images[..., 25, 25] = 200
    made = corrupt(images, None, "translation", 3, 0, ())[0][0, 0].float()
    y, x = (torch.arange(50.0) * made.sum(axis) / made.sum() for axis in (1, 0))
    assert float(torch.hypot(y.sum() - 25, x.sum() - 25)) == pytest.approx(0.15 * 50, abs=0.3)


def test_colour_is_left_out_of_the_suite_for_grey() -> None:
    grey = {corruption.name for corruption in suite(())}
    assert {corruption.name for corruption in suite(RGB)} - grey == {"saturation", "hue", "stain"}
    with pytest.raises(
        ValueError, match="'hue' is no corruption of images without colour; there are gaussian_noise, shot"
    ):
        corrupt(noise(1, 1), None, "hue", 1, 0, ())
    with pytest.raises(ValueError, match=r"severity 6 is not in 1\.\.5"):
        corrupt(noise(1, 1), None, "jpeg", 6, 0, ())


def test_the_documentation_has_every_level() -> None:
    text = (ROOT / "docs" / "stress.md").read_text(encoding="utf-8")
    for corruption in SUITE:
        between = ", " if corruption.family == "mixture" else " or "
        levels = [between.join(map(str, lv)) if isinstance(lv, tuple) else str(lv) for lv in corruption.levels]
        assert " | ".join(["", corruption.name, corruption.unit, *levels, ""]).strip() in text


def test_each_sample_under_a_cell_of_its_own() -> None:
    images, cells = noise(6, 1), np.array([3, 0, 113, 3, 64, 92])
    masks = torch.zeros(6, 20, 28, dtype=torch.uint8)
    made, moved = corrupt_each(images, masks, cells, 7, (), np.arange(10, 16))
    assert moved is not None
    for at, cell in enumerate(cells):
        name = suite(())[cell // 5].name
        alone = corrupt(images[[at]], masks[[at]], name, int(cell) % 5 + 1, 7, (), [10 + at])
        assert alone[1] is not None
        assert torch.equal(made[at], alone[0][0]) and torch.equal(moved[at], alone[1][0])


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_what_a_jpeg_library_makes(channels: int, blood_cells: Competition, drawn: dict[str, Path]) -> None:
    images = practice(blood_cells, drawn)[:4, :channels]
    for severity, quality in ((1, 40), (3, 15), (5, 6)):
        made = corrupt(images, None, "jpeg", severity, 0, rgb_of(channels))[0].permute(0, 2, 3, 1).numpy()
        for image, ours in zip(images.permute(0, 2, 3, 1).numpy(), made, strict=True):
            buffer = io.BytesIO()
            Image.fromarray(image.squeeze()).save(buffer, "JPEG", quality=quality, subsampling=0)
            theirs = np.asarray(Image.open(buffer), float).reshape(image.shape)
            # libjpeg rounds colours to whole numbers on the way: a level of difference
            assert np.abs(theirs - ours).mean() < (0.15 if channels == 1 else 0.25) * np.abs(theirs - image).mean()


def test_noise_is_as_strong_as_stated() -> None:
    even = torch.full((8, 1, 64, 64), 128, dtype=torch.uint8)
    for name, expected in (
        ("gaussian_noise", 255 * 0.1),
        ("speckle_noise", 128 * 0.28),
        ("shot_noise", 255 * np.sqrt(128 / 255 / 40)),
    ):
        made = corrupt(even, None, name, 3, 0, ())[0].float()
        assert float(made.mean()) == pytest.approx(128, abs=1)
        assert float(made.std()) == pytest.approx(expected, rel=0.03)
    changed = corrupt(even, None, "impulse_noise", 3, 0, ())[0]
    assert float((changed != 128).float().mean()) == pytest.approx(0.06, abs=0.005)


def test_blur_and_loss_of_resolution_leave_an_even_picture() -> None:
    even = torch.full((2, 3, 40, 56), 77, dtype=torch.uint8)
    for name in ("defocus_blur", "motion_blur", "zoom_blur", "pixelate", "scaling", "elastic"):
        assert (corrupt(even, None, name, 5, 3, RGB)[0][:, :, 12:-12, 12:-12] == 77).all(), name


def test_blur_spreads_a_point_without_moving_it() -> None:
    point = torch.zeros(4, 1, 65, 65, dtype=torch.uint8)
    point[..., 32, 32] = 255
    for name, width in (("defocus_blur", 0.058 * 65), ("motion_blur", 0.25 * 65 / 2)):
        made = corrupt(point, None, name, 5, 0, ())[0][:, 0]
        for image in made:
            y, x = (where.float() for where in torch.nonzero(image, as_tuple=True))
            assert float(y.mean()) == pytest.approx(32, abs=0.2) and float(x.mean()) == pytest.approx(32, abs=0.2)
            assert float(torch.hypot(y - 32, x - 32).max()) == pytest.approx(width, abs=1.5)


def test_hue_and_saturation_leave_grey_as_it_is() -> None:
    grey = noise(3, 1).expand(-1, 3, -1, -1)
    for name in ("hue", "saturation"):
        assert (corrupt(grey, None, name, 5, 0, RGB)[0].int() - grey.int()).abs().max() <= 1


@pytest.mark.parametrize("name", [*MOVING, "mixture_of_two", "mixture_of_three"])
def test_at_another_size_the_same_happens_and_masks_keep_theirs(name: str) -> None:
    images, masks = scenes(40)
    large = images.repeat_interleave(3, 2).repeat_interleave(3, 3)
    for severity in (1, 5):
        _, wanted = corrupt(images, masks, name, severity, 0, ())
        made, moved = corrupt(large, masks, name, severity, 0, (), size=(64, 128))
        assert moved is not None and wanted is not None and torch.equal(moved, wanted), "whatever the run's size"
        if name in MOVING:
            inside, seen = (moved != IGNORED).numpy(), made[:, 0, 1::3, 1::3].numpy()
            assert (seen == GREY[moved.numpy()])[inside].mean() > 0.93, "the image moves as its mask does"


@pytest.mark.parametrize("name", ["gaussian_noise", "shot_noise", "speckle_noise", "impulse_noise"])
def test_noise_has_the_grain_of_the_masks_size(name: str) -> None:
    images = noise(3, 3)
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3)
    small, _ = corrupt(images, None, name, 3, 0, RGB)
    made, _ = corrupt(large, None, name, 3, 0, RGB, size=(20, 28))
    assert torch.equal(made, small.repeat_interleave(2, 2).repeat_interleave(2, 3))
    at_own, _ = corrupt(large, None, name, 3, 0, RGB)
    assert not torch.equal(at_own, made)


def test_images_of_a_set_are_corrupted_each_by_itself_and_absent_ones_stay_absent() -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(1, 255, (3, 3, 16, 16)).astype(np.uint8))  # three grey images a set
    images[1, 1:] = 0
    cells = np.arange(3) * 7
    made, _ = corrupt_each(images, None, cells, 5, (), np.array([4, 5, 6]), channels=1)
    alone, _ = corrupt_each(images[:, :1], None, cells, 5, (), np.array([4, 5, 6]))
    assert torch.equal(made[:, :1], alone), "the first as if it were alone"
    assert not made[1, 1:].any() and made[[0, 2]].flatten(2).any(2).all()
    same = images[:1, :1].repeat(1, 2, 1, 1)
    twice, _ = corrupt_each(same, None, cells[:1], 5, (), channels=1)
    assert not torch.equal(twice[:, 0], twice[:, 1]), "each by draws of its own"
