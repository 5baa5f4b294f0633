"""Nearest neighbours, outliers, and properties that say what changed."""

from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.auditing.test_duplicates import texture
from toolkit.auditing.appearance import gradient_histograms, nearest, network_features, outlyingness, properties
from toolkit.auditing.cleaning_proposal import OUTLYING
from toolkit.competition import Competition


def test_the_nearest_are_those_of_all_pairs_and_never_oneself() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    products, rows = nearest(vectors, vectors, 3)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -2)
    assert (rows == np.argsort(-cosine, axis=1)[:, :3]).all()
    assert products == pytest.approx(-np.sort(-cosine, axis=1)[:, :3], abs=1e-5)


def test_a_drawing_among_cells_is_an_outlier(blood_cells: Competition, drawn: dict[str, Path]) -> None:
    images = tiny.arrays(blood_cells, drawn["blood_cells"] / "raw").images
    pictures = np.unique(images, axis=0)
    drawing = int(np.flatnonzero((pictures == images[-1]).all((1, 2, 3)))[0])
    score, near = outlyingness(gradient_histograms(pictures))
    assert score[drawing] > OUTLYING and np.sort(score)[-3] < OUTLYING, "it and the other drawing"
    assert near.shape == (len(pictures), 5) and (near != np.arange(len(pictures))[:, None]).all()


def test_features_of_a_network_take_grey_and_colour() -> None:
    for channels in (1, 3):
        assert network_features(np.zeros((2, 40, 60, channels), np.uint8)).shape == (2, 1280)


def test_properties_say_what_changed() -> None:
    images = np.stack([texture(seed) for seed in range(20)])
    before = properties(images).mean()
    noise = np.random.default_rng(0).normal(0, 12, images.shape)
    noisy = properties(np.clip(images + noise, 0, 255).astype(np.uint8)).mean()
    dark = properties(images // 2).mean()
    assert noisy["noise"] > 2 * before["noise"] and dark["brightness"] == pytest.approx(
        before["brightness"] / 2, rel=0.02
    )
    assert "saturation" not in properties(images[..., :1])
