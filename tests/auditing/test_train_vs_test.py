"""The difference between train and test is found; its absence too."""

import numpy as np
import pandas as pd
import pytest

from toolkit.auditing.train_vs_test import measure_shift


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
    assert shift.probabilities[0] > 0.8 and shift.probabilities.shape == (300,)
    one_group = measure_shift(train, other, np.zeros(400, np.int64))
    assert one_group.auc > 0.85, "groups that can't be kept apart are not"
