"""Validation images are made to look like the test images, by images alone, and scored as such."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.tiny import competition, labelled
from toolkit import Competition, Labelled
from toolkit.scoring.corruption_suite import SEVERITIES, corrupt_arrays, suite
from toolkit.scoring.matched_to_test import (
    CLEAN,
    CLIP,
    Match,
    corrupted,
    find_match,
    matched_score,
    open_match,
    read_match,
)

SAMPLES = 360
GREY = replace(competition, colour=())


def textures(seed: int, count: int) -> np.ndarray:
    """Grey images uint8 (count, 32, 32, 1) of blobs, dots and lines."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.normal(120, 35, (count, 1, 8, 8)))
    fine = torch.from_numpy(rng.normal(0, 6, (count, 1, 32, 32)))
    made = torch.nn.functional.interpolate(coarse, (32, 32), mode="bicubic") + fine
    return made.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).numpy()


def with_test_images(test: np.ndarray, images: np.ndarray | None = None, root: Path = Path("nowhere")) -> Labelled:
    rows = np.arange(SAMPLES)
    images = textures(0, SAMPLES) if images is None else images
    return labelled(rows % 2, rows % 3, of=GREY, images=images, test_images=test, root=root)


def under(images: np.ndarray, *families: str) -> np.ndarray:
    """Each image under a random corruption of these families, at severity 2 to 5."""
    rng = np.random.default_rng(0)
    members = [at for at, member in enumerate(suite(())) if member.family in families]
    cells = rng.choice(members, len(images)) * SEVERITIES + rng.integers(1, 5, len(images))
    return corrupt_arrays(images, None, cells, 9, (), np.arange(len(images)))[0]


def shares(match: Match) -> dict[str, float]:
    """By family."""
    families = {member.name: member.family for member in suite(())}
    found: dict[str, float] = {}
    for name, share in match.mixture(()).items():
        family = families.get(name, name)
        found[family] = found.get(family, 0) + share
    return found


def found(test: np.ndarray) -> Match:
    return find_match(with_test_images(test))


def test_where_the_test_images_look_like_the_others_the_clean_score_stands() -> None:
    match = found(textures(1, 300))
    assert match.alike and (match.cells == CLEAN).all() and (match.weights == 1).all()
    assert match.effective == pytest.approx(SAMPLES)
    assert "(up to 0.5: not at all): they look alike" in match.words(())


def test_what_happened_to_the_test_images_is_found_whatever_the_labels() -> None:
    given = with_test_images(under(textures(1, 300), "noise"))
    match, other = find_match(given), find_match(replace(given, truth=1 - given.truth))
    assert other.cells.tolist() == match.cells.tolist() and other.weights.tolist() == match.weights.tolist()
    assert match.auc_before > 0.95 and match.auc_after < 0.6
    assert shares(match)["noise"] > 0.8
    assert "noise" in match.words(())


def test_half_corrupted_is_not_taken_for_wholly_corrupted() -> None:
    test = textures(1, 300)
    match = found(np.concatenate([test[:150], under(test[150:], "light")]))
    assert match.auc_before > 0.65 and match.auc_after < 0.6
    assert 0.35 < shares(match)["clean"] < 0.65 and shares(match)["light"] > 0.3


def test_other_scenes_are_weighed_and_not_taken_for_corruptions() -> None:
    """What no corruption makes: the test images are upside down, with a bright half."""
    given = textures(0, SAMPLES)
    given[::4, :16] = given[::4, :16] // 4 + 190
    test = textures(1, 300)
    test[::2, :16] = test[::2, :16] // 4 + 190
    match = find_match(with_test_images(test, given))
    bright = np.arange(SAMPLES) % 4 == 0
    assert match.weights[bright].mean() > 1.3 * match.weights[~bright].mean()
    assert match.weights.max() <= CLIP * 1.5 and match.weights.mean() == pytest.approx(1)
    assert match.effective < SAMPLES


def test_masks_move_as_their_images_do() -> None:
    rotation = 5 * [member.name for member in suite(())].index("rotation") + 4
    images = np.full((1, 32, 32, 1), 40, np.uint8)
    images[:, 16:] = 220
    masks = (images[..., 0] > 100).astype(np.uint8)
    made, moved = corrupted(images, masks, np.array([0]), np.array([rotation]), ())
    assert moved is not None and (moved != masks).any()
    inside = moved < 2
    assert ((made[..., 0] > 130) == (moved == 1))[inside].mean() > 0.97


def test_the_score_is_the_weighted_metric(blood_cells: Competition) -> None:
    truth = np.array([0, 0, 1, 1])
    predicted = np.zeros((4, 8), np.float16)
    predicted[[0, 1, 2, 3], [0, 1, 1, 1]] = 1  # the second is wrong
    weights = np.array([0.5, 2.0, 1.0, 0.5])
    match = Match(np.arange(4), np.full(4, CLEAN), truth, weights, 0.7, 0.7)
    score = matched_score(labelled(truth, np.array([0, 0, 1, 1]), of=blood_cells), match, predicted)
    assert score["score"] == pytest.approx(0.5)
    assert score["by_fold"] == pytest.approx([0.2, 1.0])
    assert score["low"] <= score["score"] <= score["high"]
    assert score["effective"] == pytest.approx(16 / 5.5)


def test_it_is_found_once_for_the_same_data_and_folds(tmp_path: Path) -> None:
    given = with_test_images(under(textures(1, 120), "noise"), root=tmp_path)
    assert read_match(given.workspace.match) is None
    first = open_match(given)
    clean = replace(given, test_images=textures(1, 240))
    again = open_match(clean)
    assert again.hash == first.hash and again.auc_before == first.auc_before
    other = open_match(replace(clean, data_hash="other"))
    assert other.hash != first.hash and other.alike
