"""Biases are the best of their grid, temperatures are found again, and small regions fade into what is around them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.blending.postprocessing import (
    GRID,
    biased,
    tempered,
    tune_biases,
    tune_temperature,
    with_labels,
    without_small_regions,
)
from toolkit.metrics.confusion import Accuracy, ConfusionMetric, MacroF1, MeanIoU, confusion_matrix
from toolkit.task import IGNORED


def drawn(seed: int, samples: int = 300, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.choice(classes, size=samples, p=np.array([0.8, 0.15, 0.05])[:classes])
    logits = rng.normal(size=(samples, classes)) + 1.5 * (truth[:, None] == np.arange(classes))
    powers = np.exp(logits)
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32), truth


def scored(metric: ConfusionMetric, probabilities: np.ndarray, truth: np.ndarray) -> float:
    return float(metric.of_counts(confusion_matrix(truth, probabilities.argmax(1), 3), range(3)))


@pytest.mark.parametrize("metric", [Accuracy(), MacroF1(), MeanIoU()], ids=lambda metric: metric.name)
def test_biases_gain_in_the_metric_they_are_tuned_for(metric: ConfusionMetric) -> None:
    probabilities, truth = drawn(0)
    biases = tune_biases(probabilities, truth, metric, range(3), 3)
    before, after = scored(metric, probabilities, truth), scored(metric, biased(probabilities, biases), truth)
    assert after >= before and (after > before + 0.01 or metric == Accuracy())
    # no other bias of one class on the grid is better: found by trying each
    for c in range(3):
        for value in GRID[::5]:
            moved = biases.copy()
            moved[c] += value
            assert scored(metric, biased(probabilities, moved), truth) <= after + 0.004


def test_biases_of_equally_good_places_are_the_nearest_to_none() -> None:
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]] * 0.9 + 0.05
    assert not tune_biases(probabilities, np.array([0, 1, 2, 0]), Accuracy(), range(3), 3).any()


def test_padding_and_unscored_classes_are_no_trouble() -> None:
    probabilities, truth = drawn(1)
    metric = MeanIoU(ignore=("a",))
    padded = np.where(np.arange(len(truth)) % 7 == 0, IGNORED, truth)
    biases = tune_biases(probabilities[:, 1:], padded, metric, [1, 2], 3)
    assert biases.shape == (2,) and np.isfinite(biases).all()


@given(st.floats(0.5, 3), st.integers(0, 9))
@settings(max_examples=10)
def test_a_temperature_is_found_again(temperature: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(4000, 4))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    position = (true.cumsum(1) > rng.random((4000, 1))).argmax(1)
    given_out = tempered(true.astype(np.float32), 1 / temperature)
    assert tune_temperature(given_out, position) == pytest.approx(temperature, rel=0.15)
    assert (tempered(given_out, 2).argmax(1) == given_out.argmax(1)).all()


def test_small_regions_take_the_class_around_them() -> None:
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[0, :, 4:] = 1
    mask[0, 2, 2] = 3  # inside class 0
    mask[0, 5:7, 6:8] = 2  # inside class 1, at the border of the picture
    cleaned = without_small_regions(mask, 4)
    assert cleaned[0, 2, 2] == 0 and (cleaned[0, 5:7, 6:8] == 2).all()
    assert (without_small_regions(mask, 5)[0, 5:7, 6:8] == 1).all()
    assert mask[0, 2, 2] == 3  # the given mask stays
    assert (without_small_regions(mask, 1) == mask).all()


@given(st.integers(0, 999), st.integers(2, 12))
@settings(max_examples=20)
def test_no_new_class_appears_and_large_regions_stay(seed: int, smallest: int) -> None:
    from scipy.ndimage import label

    rng = np.random.default_rng(seed)
    mask = np.kron(rng.integers(4, size=(1, 4, 4)), np.ones((1, 4, 4), int)).astype(np.uint8)
    noisy = np.where(rng.random(mask.shape) < 0.1, rng.integers(4, size=mask.shape), mask).astype(np.uint8)
    cleaned = without_small_regions(noisy, smallest)
    assert set(np.unique(cleaned)) <= set(np.unique(noisy))
    for value in range(4):
        regions, count = label(noisy[0] == value)
        for number in range(1, count + 1):
            if (regions == number).sum() >= smallest:
                assert (cleaned[0][regions == number] == value).all()


def test_labels_that_were_changed_are_the_arg_max_even_in_a_byte() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(4), size=(50, 6)).transpose(0, 2, 1).astype(np.float32)
    labels = rng.integers(4, size=(50, 6)).astype(np.uint8)
    forced = with_labels(probabilities, labels)
    assert (np.rint(forced * 255).argmax(1) == labels).all()
    assert np.allclose(forced.sum(1), 1, atol=1e-5)
    same = probabilities.argmax(1) == labels
    assert np.array_equal(np.moveaxis(forced, 1, -1)[same], np.moveaxis(probabilities, 1, -1)[same])
