"""The interval of a score is that of its groups: known where it is known, and no narrower for copies."""

import numpy as np
import pytest

from toolkit.metrics import Accuracy, MacroF1, MeanIoU, Metric, confusion_by_sample
from toolkit.scoring.bootstrap import interval, jackknife_variance, resample

CLASSES = 5
METRICS = pytest.mark.parametrize("metric", [Accuracy(), MacroF1(), MeanIoU()], ids=lambda metric: metric.name)


def bootstrap(each: np.ndarray, groups: np.ndarray, metric: Metric, **more: int) -> tuple[float, float]:
    return interval(metric.score(resample(each, groups, **more), range(CLASSES)))


def some_confusions(samples: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    truth = rng.integers(CLASSES, size=samples)
    predicted = np.where(rng.random(samples) < 0.7, truth, rng.integers(CLASSES, size=samples))
    return confusion_by_sample(truth, predicted, CLASSES)


@METRICS
def test_the_interval_holds_the_score_and_narrows_with_more_samples(metric: Metric) -> None:
    widths = []
    for samples in (50, 800):
        each = some_confusions(samples)
        low, high = bootstrap(each, np.arange(samples), metric)
        assert 0 < low < float(metric.score(each.sum(0), range(CLASSES))) < high < 1
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_interval_is_that_of_the_binomial_for_accuracy() -> None:
    each = some_confusions(400)
    share = float(Accuracy().score(each.sum(0), range(CLASSES)))
    half = 1.96 * (share * (1 - share) / 400) ** 0.5
    low, high = bootstrap(each, np.arange(400), Accuracy(), draws=4000)
    assert (low, high) == pytest.approx((share - half, share + half), abs=0.006)


@METRICS
def test_one_group_has_an_interval_of_no_width(metric: Metric) -> None:
    each = some_confusions(60)
    low, high = bootstrap(each, np.full(60, 7), metric)
    assert low == high == pytest.approx(float(metric.score(each.sum(0), range(CLASSES))))


@pytest.mark.parametrize("copies", [2, 3, 5])
def test_copies_in_the_same_group_do_not_narrow_the_interval(copies: int) -> None:
    each, groups = some_confusions(60), np.arange(60)
    order = np.random.default_rng(copies).permutation(60 * copies)
    many, their_groups = np.tile(each, (copies, 1, 1))[order], np.tile(groups, copies)[order]
    assert bootstrap(many, their_groups, MeanIoU()) == pytest.approx(bootstrap(each, groups, MeanIoU()))
    low, high = bootstrap(each, groups, MeanIoU())
    narrow_low, narrow_high = bootstrap(many, np.arange(60 * copies), MeanIoU())
    assert narrow_high - narrow_low < 0.9 * (high - low)


def test_the_seed_decides_the_interval() -> None:
    each, groups = some_confusions(60), np.arange(60) // 2
    assert bootstrap(each, groups, MacroF1(), seed=1) == bootstrap(each, groups, MacroF1(), seed=1)
    assert bootstrap(each, groups, MacroF1(), seed=1) != bootstrap(each, groups, MacroF1(), seed=2)


def test_the_jackknife_of_a_mean_is_its_variance() -> None:
    values = np.random.default_rng(3).normal(size=40)
    without = (values.sum() - values) / 39
    assert jackknife_variance(without) == pytest.approx(values.var(ddof=1) / 40)
