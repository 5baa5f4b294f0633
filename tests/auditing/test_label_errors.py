"""Wrong labels and masks are found; where too little is known, nothing is."""

import numpy as np
import pandas as pd
import pytest

from toolkit.auditing.label_errors import find_label_errors, guessed_probabilities, label_quality, mask_quality
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset


def test_wrong_labels_are_found_among_right_ones() -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    embedding = (np.eye(3)[truth] * 4 + rng.normal(size=(300, 3))).astype(np.float32)
    labels = truth.copy()
    flipped = np.array([4, 50, 120, 200, 290])
    labels[flipped] = (labels[flipped] + 1) % 3
    predicted = guessed_probabilities(embedding, labels, np.arange(300), 3)
    quality, issue = label_quality(labels, predicted)
    assert len(set(flipped) & set(np.flatnonzero(issue))) >= 4 and issue.sum() < 15
    assert quality[flipped].max() < np.median(quality)


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


def test_a_mask_against_the_prediction_is_an_issue_and_unscored_pixels_do_not_count() -> None:
    masks = np.ones((6, 8, 8), np.uint8)
    masks[:, 4:] = 2
    masks[5, :6] = 0
    predicted = np.zeros((6, 3, 8, 8), np.float32)
    predicted[:, 1, :4], predicted[:, 2, 4:] = 0.9, 0.9
    predicted[:, 2, :4], predicted[:, 1, 4:] = 0.1, 0.1
    masks[2] = 3 - masks[2]
    quality, issue = mask_quality(masks, predicted, (1, 2))
    assert issue.tolist() == [False, False, True, False, False, False]
    assert quality.argmin() == 2


def test_labels_of_too_few_groups_are_not_guessed(blood_cells: Competition) -> None:
    rows = np.arange(12)
    images = np.zeros((12, 96, 96, 3), np.uint8)
    dataset = Dataset(images, rows % 2, rows, rows, images[:0])
    links = pd.DataFrame({"left": rows[:-2], "right": rows[2:]})  # two groups
    found = find_label_errors(blood_cells, dataset, rows, lambda: np.zeros((12, 4)), links, None)
    assert found.judge == "nothing yet" and not found.issue.any() and np.isnan(found.quality).all()


@pytest.mark.parametrize(("spread", "shown"), [(0.5, True), (6.0, False)])
def test_a_first_guess_that_is_wrong_too_often_shows_no_doubts(
    blood_cells: Competition, spread: float, shown: bool
) -> None:
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 8
    features = (np.eye(8)[truth] * 4 + rng.normal(size=(400, 8)) * spread).astype(np.float32)
    labels, rows = truth.copy(), np.arange(400)
    labels[[5, 90, 200]] = (labels[[5, 90, 200]] + 3) % 8
    dataset = Dataset(np.zeros((400, 1, 1, 3), np.uint8), labels, rows, rows, np.zeros((0, 1, 1, 3), np.uint8))
    links = pd.DataFrame({"left": [], "right": []})
    found = find_label_errors(blood_cells, dataset, rows, lambda: features, links, None)
    assert found.judge.startswith("a quick first model, which has ") and "of the labels right" in found.judge
    assert bool(found.issue.any()) == shown == (found.unshown == "") and not np.isnan(found.quality).any()
    if shown:
        assert found.issue[[5, 90, 200]].sum() >= 2
    else:
        assert "too few for its doubts to be shown; run the audit again after a training" in found.unshown
