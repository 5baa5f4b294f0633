"""The triples of the stress score: any beginning is balanced, and few of them make a score that holds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tests.conftest import RGB
from tests.tiny import competition, labelled
from toolkit import Accuracy, Competition, MacroF1, MeanIoU, Segmentation
from toolkit.metrics.confusion import confusion_matrix
from toolkit.scoring.corruption_suite import SEVERITIES, count_cells, suite
from toolkit.scoring.stress_sampling import Evidence, all_triples, ladder, score_draws, score_triples

CELLS = count_cells(RGB)
TASK = Segmentation(classes=("none", "low", "high"), image_shape=(12, 16, 1))
TERRAIN = replace(competition, name="terrain", task=TASK, metric=MeanIoU(ignore=("none",)))


def test_any_beginning_of_the_triples_is_balanced() -> None:
    rng = np.random.default_rng(0)
    targets, fold = rng.choice(3, 1000, p=[0.7, 0.2, 0.1]), rng.integers(-1, 5, 1000)
    triples = all_triples(labelled(targets, fold))
    rows = np.flatnonzero(fold >= 0)
    assert len(np.unique(triples, axis=0)) == len(triples) == len(rows) * CELLS
    assert set(triples[:, 0]) == set(rows)
    assert set(triples[:, 1]) == set(range(len(suite(RGB)))) and set(triples[:, 2]) == set(range(1, SEVERITIES + 1))
    for count in ladder(len(triples), 2 * CELLS):
        part = triples[:count]
        samples = np.bincount(part[:, 0], minlength=1000)[rows]
        assert samples.max() - samples.min() <= 1
        cells = np.bincount(part[:, 1] * 5 + part[:, 2] - 1, minlength=CELLS)
        assert abs(cells - count / CELLS).max() < 1 + 4 * np.sqrt(count / CELLS) / 2
        shares = np.bincount(targets[part[:, 0]]) / count
        assert shares == pytest.approx(np.bincount(targets[rows]) / len(rows), abs=0.05)
    # where every sample is used as often, every cell has its share of each class, as far as it divides
    part = triples[: 40 * len(rows)]
    for label in range(3):
        of_label = part[targets[part[:, 0]] == label]
        cells = np.bincount(of_label[:, 1] * 5 + of_label[:, 2] - 1, minlength=CELLS)
        assert cells.std() < 0.6 * np.sqrt(cells.mean())  # of chance: as the square root


def test_rare_classes_of_masks_are_spread_over_the_cells() -> None:
    masks = np.zeros((260, 4, 4), np.uint8)
    masks[::2, 0] = 1
    masks[:115, 1, 1] = 2  # as many as there are cells for grey
    triples = all_triples(labelled(masks, np.zeros(260, int), of=TERRAIN))
    rare = triples[:260][triples[:260, 0] < 115]
    assert len(np.unique(rare[:, 1:], axis=0)) == 115


def test_the_steps_of_the_ladder() -> None:
    assert ladder(1000, 130) == [1000, 500, 250]
    assert ladder(7, 1) == [7, 4, 2, 1]
    assert ladder(100, 130) == [100]


def test_a_class_that_few_corruptions_have_seen_counts_in_all_of_them() -> None:
    """Left out where no sample shows it, the hard rare class would lift the score of most corruptions."""
    members, classes = len(suite(())), len(TERRAIN.task.classes)
    triples = np.stack([np.arange(4 * members), np.arange(4 * members) % members, np.full(4 * members, 3)], 1)
    confusions = np.zeros((len(triples), classes, classes), int)
    confusions[:, 1, 1] = 9  # low: right in all samples
    confusions[:2, 2, 2], confusions[:2, 2, 0] = 1, 3  # high: in two samples, and a quarter of it is found
    evidence = Evidence(triples.astype(np.int32), np.empty((0, classes), np.float16), None, confusions)
    given = labelled(np.zeros((len(triples), 12, 16), np.uint8), np.arange(len(triples)) % 2, of=TERRAIN)
    found = score_triples(given, evidence, 10**6)
    assert found["score"] == pytest.approx((1 + 0.25) / 2)
    assert np.mean(list(found["by_corruption"].values())) == pytest.approx(found["score"])


@dataclass(frozen=True)
class Kappa(MacroF1):
    """Cohen's kappa, quadratically weighted: no mean over classes."""

    def of_counts(self, confusion: np.ndarray, scored: Sequence[int]) -> np.ndarray:
        far = np.subtract.outer(np.arange(confusion.shape[-1]), np.arange(confusion.shape[-1])) ** 2
        chance = confusion.sum(-1)[..., :, None] * confusion.sum(-2)[..., None, :]
        expected = (far * chance).sum((-2, -1)) / np.maximum(confusion.sum((-2, -1)), 1)
        return np.asarray(1 - (far * confusion).sum((-2, -1)) / np.maximum(expected, 1e-12))


@pytest.mark.parametrize("metric", [Kappa(), MacroF1(), Accuracy()], ids=["kappa", "macro F1", "accuracy"])
def test_the_score_of_a_corruption_is_the_official_metric_of_its_predictions(metric: Accuracy | MacroF1) -> None:
    rng = np.random.default_rng(0)
    targets = rng.choice(2, 40)  # no sample is blue, but some are called so
    of = replace(competition, metric=metric)
    given = labelled(targets, np.arange(40) % 2, of=of)
    triples = all_triples(given)
    probabilities = rng.dirichlet(np.ones(3), len(triples)).astype(np.float16)
    found = score_triples(given, Evidence(triples, probabilities), len(triples))
    for number, member in enumerate(suite(RGB)):
        own = triples[:, 1] == number
        counted = confusion_matrix(targets[triples[own, 0]], probabilities[own].argmax(1), 3)
        assert found["by_corruption"][member.name] == pytest.approx(float(of.score(counted)))
    assert found["score"] == pytest.approx(np.mean(list(found["by_corruption"].values())))


def test_intervals_of_few_triples_a_cell_hold_the_truth(mars: Competition) -> None:
    """A bootstrap that is not widened holds it in 42 of these 50."""
    rng, no_images = np.random.default_rng(0), np.empty((0, 1, 1, 1), np.uint8)
    cells, share, right_share = 5 * len(suite(())), np.array([0.4, 0.3, 0.25, 0.05]), 2 / 3
    expected = share * right_share / (share + np.roll(share, 1) * (1 - right_share))
    held = 0
    for _ in range(50):
        cell = rng.permutation(np.tile(np.arange(cells), 2))
        triples = np.stack([np.arange(len(cell)), cell // 5, cell % 5 + 1], 1)
        truth = rng.multinomial(20, [0, *share], size=len(cell))
        right = rng.binomial(truth, rng.beta(4, 2, (len(cell), 1)))  # a tile is good or bad as a whole
        confusions = right[..., None] * np.eye(5, dtype=np.int64)
        confusions[:, np.arange(1, 5), [2, 3, 4, 1]] += (truth - right)[:, 1:]
        given = labelled(np.zeros((len(cell), 1, 1)), np.zeros(len(cell), int), of=mars, images=no_images)
        evidence = Evidence(triples.astype(np.int32), np.empty((0, 5), np.float16), None, confusions)
        low, high = np.percentile(score_draws(given, evidence), [5, 95])
        held += low <= expected.mean() <= high
    assert held >= 45
