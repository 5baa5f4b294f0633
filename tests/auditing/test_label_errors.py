"""Odd pictures, doubtful labels and masks, and the difference between train and test are found; their absence too."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.auditing.test_copies import texture
from toolkit.auditing.appearance import appearance, network_features, properties
from toolkit.auditing.label_errors import (
    doubts,
    guessed_probabilities,
    peculiarity,
    suspicious_labels,
    suspicious_masks,
)
from toolkit.auditing.neighbours import nearest
from toolkit.auditing.proposal import PECULIAR
from toolkit.auditing.train_vs_test import measure_shift
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset


def test_the_nearest_are_those_of_all_pairs_and_never_oneself() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    products, rows = nearest(vectors, vectors, 3)
    cosine = vectors @ vectors.T
    np.fill_diagonal(cosine, -2)
    assert (rows == np.argsort(-cosine, axis=1)[:, :3]).all()
    assert products == pytest.approx(-np.sort(-cosine, axis=1)[:, :3], abs=1e-5)


def test_a_drawing_among_cells_stands_out(blood_cells: Competition, drawn: dict[str, Path]) -> None:
    images = blood_cells.load(drawn["blood_cells"] / "raw").images
    pictures = np.unique(images, axis=0)
    odd = int(np.flatnonzero((pictures == images[-1]).all((1, 2, 3)))[0])
    score, near = peculiarity(appearance(pictures))
    assert score[odd] > PECULIAR and np.sort(score)[-3] < PECULIAR, "it and the other drawing"
    assert near.shape == (len(pictures), 5) and (near != np.arange(len(pictures))[:, None]).all()


def test_features_of_a_network_take_grey_and_colour() -> None:
    for channels in (1, 3):
        assert network_features(np.zeros((2, 40, 60, channels), np.uint8)).shape == (2, 1280)


def test_wrong_labels_are_found_among_right_ones() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    embedding = (np.eye(3)[truth] * 4 + rng.normal(size=(300, 3))).astype(np.float32)
    labels = truth.copy()
    flipped = np.array([4, 50, 120, 200, 290])
    labels[flipped] = (labels[flipped] + 1) % 3
    guess = guessed_probabilities(embedding, labels, np.arange(300), 3)
    suspicion, wrong = suspicious_labels(labels, guess)
    assert len(set(flipped) & set(np.flatnonzero(wrong))) >= 4 and wrong.sum() < 15
    assert suspicion[flipped].min() > np.median(suspicion)


def test_copies_do_not_vote_for_each_other() -> None:
    """Two copies with one wrong label: only a split that separates them could think it right."""
    rng = np.random.default_rng(1)
    embedding = rng.normal(size=(90, 30)).astype(np.float32)
    labels = np.arange(90) % 3
    embedding[45:] = embedding[:45]
    labels[45:] = labels[:45]
    leaky = guessed_probabilities(embedding, labels, np.arange(90), 3)
    honest = guessed_probabilities(embedding, labels, np.tile(np.arange(45), 2), 3)
    assert (leaky.argmax(1) == labels).mean() > 0.6 > (honest.argmax(1) == labels).mean()


def test_a_mask_against_the_prediction_is_doubted_and_unscored_pixels_do_not_count() -> None:
    masks = np.ones((6, 8, 8), np.uint8)
    masks[:, 4:] = 2
    masks[5, :6] = 0
    guess = np.zeros((6, 3, 8, 8), np.float32)
    guess[:, 1, :4], guess[:, 2, 4:] = 0.9, 0.9
    guess[:, 2, :4], guess[:, 1, 4:] = 0.1, 0.1
    masks[2] = 3 - masks[2]
    suspicion, wrong = suspicious_masks(masks, guess, (1, 2))
    assert wrong.tolist() == [False, False, True, False, False, False]
    assert suspicion.argmax() == 2


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


def test_alike_sets_can_not_be_told_apart_and_different_ones_can() -> None:
    rng = np.random.default_rng(0)
    names = ["light", "noise"]
    train = pd.DataFrame(rng.normal(size=(400, 2)), columns=names)
    same = measure_shift(train, pd.DataFrame(rng.normal(size=(300, 2)), columns=names), np.arange(400))
    assert same.auc == pytest.approx(0.5, abs=0.08)
    other = pd.DataFrame(rng.normal((0, 2), size=(300, 2)), columns=names)
    other.iloc[0, 1] = 9
    shift = measure_shift(train, other, np.arange(400))
    assert shift.auc > 0.85 and shift.by_property["property"].iloc[0] == "noise"
    assert shift.odd[0] > 0.8 and shift.odd.shape == (300,)
    one_group = measure_shift(train, other, np.zeros(400, np.int64))
    assert one_group.auc > 0.85, "groups that can't be kept apart are not"


def test_labels_of_too_few_groups_are_not_guessed(blood_cells: Competition) -> None:
    rows = np.arange(12)
    images = np.zeros((12, 96, 96, 3), np.uint8)
    dataset = Dataset(images, rows % 2, rows, rows, images[:0])
    links = pd.DataFrame({"left": rows[:-2], "right": rows[2:]})  # two groups
    found = doubts(blood_cells, dataset, rows, lambda: np.zeros((12, 4)), links, None)
    assert found.judge == "nothing yet" and not found.wrong.any() and np.isnan(found.suspicion).all()
