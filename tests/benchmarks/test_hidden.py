"""The hidden test sets of the benchmark: what they do to images, and that nothing that is trained can see them."""

import numpy as np

from benchmarks.hidden import CLEAN, COLOURED, LOOKS, MOVES, hide
from tests.conftest import ROOT
from toolkit.scoring.corruption_suite import SUITE
from toolkit.task import IGNORED


def scenes(count: int, channels: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    masks = np.repeat(np.repeat(rng.integers(0, 4, (count, 4, 8)), 8, 1), 8, 2).astype(np.uint8)
    noise = rng.integers(-9, 10, (count, 32, 64, channels))
    return (60 * masks[..., None] + 40 + noise).clip(0, 255).astype(np.uint8), masks


def test_a_part_stays_clean_and_the_rest_does_not() -> None:
    images, _ = scenes(300, 3)
    made, _ = hide(images, None, 0)
    same = (made == images).all((1, 2, 3))
    assert abs(same.mean() - CLEAN) < 0.1
    assert np.abs(made[~same].astype(int) - images[~same]).mean((1, 2, 3)).min() > 0.01


def test_masks_keep_their_classes_and_move_with_their_images() -> None:
    images, masks = scenes(200, 1)
    made, moved = hide(images, masks, 1)
    assert moved is not None and set(np.unique(moved)) <= {0, 1, 2, 3, IGNORED}
    turned = (moved != masks).any((1, 2))
    assert 0.1 < turned.mean() < 0.8
    guessed = np.rint((made[..., 0].astype(float) - 40) / 60).clip(0, 3)
    agree = np.array([(guess == mask)[mask != IGNORED].mean() for guess, mask in zip(guessed, moved, strict=True)])
    assert np.median(agree[turned]) > 0.7


def test_a_sample_is_the_same_in_any_batch() -> None:
    images, masks = scenes(20, 3)
    whole, part = hide(images, masks, 2), hide(images[:5], masks[:5], 2)
    for one, other in zip(whole, part, strict=True):
        assert one is not None and other is not None
        np.testing.assert_array_equal(one[:5], other)
    assert (hide(images, masks, 3)[0] != whole[0]).any()


def test_no_corruption_of_the_suite_is_among_them_and_the_toolkit_does_not_know_them() -> None:
    assert not {*LOOKS, *MOVES} & {corruption.name for corruption in SUITE}
    assert set(COLOURED) <= set(LOOKS)
    assert not [path for path in (ROOT / "toolkit").glob("*.py") if "benchmarks" in path.read_text()]
