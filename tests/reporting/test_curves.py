"""Curves have the areas that scikit-learn finds under them, with ties and weights of any kind."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from toolkit.reporting.curves import POINTS, precision_recall, reliability, roc


@pytest.mark.parametrize("digits", [1, 2, 8])
@pytest.mark.parametrize("seed", range(5))
def test_areas_are_those_of_scikit_learn(seed: int, digits: int) -> None:
    rng = np.random.default_rng([seed, digits])
    truth, values = rng.integers(0, 2, 80), rng.random(80).round(digits)
    rates, precisions = roc(truth, values), precision_recall(truth, values)
    assert rates is not None and precisions is not None
    assert rates.area == pytest.approx(roc_auc_score(truth, values), abs=1e-12)
    assert precisions.area == pytest.approx(average_precision_score(truth, values), abs=1e-12)
    assert (np.diff(rates.x) >= 0).all() and (rates.x[0], rates.y[0], rates.x[-1], rates.y[-1]) == (0, 0, 1, 1)
    assert precisions.x[-1] == 1 and precisions.y[-1] == truth.mean()


def test_a_label_with_one_value_alone_has_no_curve() -> None:
    for truth in (np.zeros(3), np.ones(3), np.empty(0)):
        assert roc(truth, np.arange(len(truth))) is None and precision_recall(truth, np.arange(len(truth))) is None


def test_long_curves_are_thinned_and_keep_their_area() -> None:
    rng = np.random.default_rng(0)
    truth, values = rng.integers(0, 2, 5000), rng.random(5000)
    found = roc(truth, values)
    assert found is not None and len(found.x) == POINTS and found.area == pytest.approx(roc_auc_score(truth, values))


def test_what_is_said_is_held_against_what_came() -> None:
    values = np.array([0.05, 0.05, 0.95, 1.0, 0.5])
    found = reliability(np.array([0, 1, 1, 1, 0]), values)
    assert found.counts.tolist() == [2, 1, 2] and found.came.tolist() == [0.5, 0, 1]
    assert found.said == pytest.approx([0.05, 0.5, 0.975])
    assert found.error == pytest.approx((2 * 0.45 + 0.5 + 2 * 0.025) / 5)
    assert reliability(np.empty(0), np.empty(0)).error == 0
