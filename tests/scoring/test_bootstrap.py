"""The interval of a score is that of its groups: known where it is known, and no narrower for copies."""

import numpy as np
import pytest

from benchmarks.honesty.intervals import held_by, panoramas
from competitions.blood_cells import competition as blood_cells
from competitions.mars import competition as mars
from toolkit.competition import Competition
from toolkit.metrics.confusion import Accuracy, ConfusionMetric, MacroF1, MeanIoU, confusion_by_sample
from toolkit.scoring.bootstrap import (
    class_intervals,
    interval,
    jackknife_variance,
    resample,
    score_interval,
)

CLASSES = 5
METRICS = pytest.mark.parametrize("metric", [Accuracy(), MacroF1(), MeanIoU()], ids=lambda metric: metric.name)


def bootstrap(each: np.ndarray, groups: np.ndarray, metric: ConfusionMetric, **more: int) -> tuple[float, float]:
    return interval(metric.of_counts(resample(each, groups, **more), range(CLASSES)))


def some_confusions(samples: int) -> np.ndarray:
    rng = np.random.default_rng(5)
    truth = rng.integers(CLASSES, size=samples)
    predicted = np.where(rng.random(samples) < 0.7, truth, rng.integers(CLASSES, size=samples))
    return confusion_by_sample(truth, predicted, CLASSES)


@METRICS
def test_the_interval_holds_the_score_and_narrows_with_more_samples(metric: ConfusionMetric) -> None:
    widths = []
    for samples in (50, 800):
        each = some_confusions(samples)
        low, high = bootstrap(each, np.arange(samples), metric)
        assert 0 < low < float(metric.of_counts(each.sum(0), range(CLASSES))) < high < 1
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_interval_is_that_of_the_binomial_for_accuracy() -> None:
    each = some_confusions(400)
    share = float(Accuracy().of_counts(each.sum(0), range(CLASSES)))
    half = 1.96 * (share * (1 - share) / 400) ** 0.5
    low, high = bootstrap(each, np.arange(400), Accuracy(), draws=4000)
    assert (low, high) == pytest.approx((share - half, share + half), abs=0.006)


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


COMPETITIONS = pytest.mark.parametrize("competition", [mars, blood_cells], ids=lambda one: one.metric.name)


@pytest.mark.parametrize(("number", "least"), [(10, 0.85), (20, 0.9)])
def test_few_groups_hold_the_truth_as_often_as_is_said(number: int, least: float) -> None:
    rng = np.random.default_rng(0)
    truth = float(mars.score(panoramas(rng, 10_000).sum(0)))
    before, now = np.mean([held_by(rng, number, truth) for _ in range(100)], axis=0)
    assert now >= least > before, "the percentile interval alone is too narrow"


@COMPETITIONS
def test_from_a_hundred_groups_on_the_interval_is_the_percentiles(competition: Competition) -> None:
    rng, classes = np.random.default_rng(1), len(competition.task.classes)
    truth = rng.integers(classes, size=400)
    predicted = np.where(rng.random(400) < 0.8, truth, rng.integers(classes, size=400))
    each, groups = confusion_by_sample(truth, predicted, classes), np.arange(400) // 4
    found = score_interval(competition.tally_of({"counts": each}), groups)
    assert found == pytest.approx(interval(competition.score(resample(each, groups))))
    some = groups < 99
    low, high = interval(competition.score(resample(each[some], groups[some])))
    wider_low, wider_high = score_interval(competition.tally_of({"counts": each[some]}), groups[some])
    assert wider_low <= low < high <= wider_high
    assert wider_high - wider_low > high - low


def test_a_perfect_score_of_few_is_not_taken_for_certain() -> None:
    each = confusion_by_sample(np.zeros(30, np.int64), np.zeros(30, np.int64), 8)
    low, high = score_interval(blood_cells.tally_of({"counts": each}), np.arange(30))
    assert low == pytest.approx(0.025 ** (1 / 30)) and high == 1  # 30 of 30: Clopper and Pearson
    wrong = confusion_by_sample(np.zeros(30, np.int64), np.ones(30, np.int64), 8)
    assert score_interval(blood_cells.tally_of({"counts": wrong}), np.arange(30)) == pytest.approx((0, 1 - low))


def test_one_group_says_nothing_of_others() -> None:
    assert score_interval(mars.tally_of({"counts": some_confusions(60)}), np.full(60, 7)) == (0.0, 1.0)


def test_a_draw_without_a_class_counts_it_as_in_all_samples() -> None:
    each = np.zeros((12, 5, 5), np.int64)
    each[:, 1, 1], each[:, 1, 2], each[0, 2, 2], each[0, 2, 1] = 80, 20, 50, 50
    whole = each.sum(0)
    alone = each[1:].sum(0)  # class 2 is predicted, and occurs nowhere
    assert float(mars.score(alone)) == pytest.approx(0.8 / 2)  # it counts with an IoU of 0
    filled = alone.astype(float)
    filled[2] = whole[2] * 1100 / 1300
    without_the_first = mars.tally_of({"counts": each}).without_each()[0]
    assert without_the_first == pytest.approx(float(mars.score(filled)))
    assert float(mars.score(filled)) > 0.45
    (as_they_are,) = mars.tally_of({"counts": each}).scores(np.ones((1, 12)))
    assert as_they_are == pytest.approx(float(mars.score(whole)))


def test_a_class_in_few_groups_has_an_interval_of_its_own() -> None:
    each = np.zeros((200, 5, 5), np.int64)
    rng = np.random.default_rng(2)
    each[:, 1, 1] = rng.integers(60, 100, 200)
    each[:, 1, 2] = 100 - each[:, 1, 1]
    each[:3, 3, 3], each[:3, 3, 1], each[0, 4, 4] = [90, 40, 60], [10, 60, 40], 5
    ends = class_intervals(mars.tally_of({"counts": each}), np.arange(200))
    (low, high), many, one = ends[3] or (0.0, 0.0), ends[1] or (0.0, 0.0), ends[4]
    assert isinstance(mars.metric, MeanIoU)
    drawn = mars.metric.by_class(resample(each, np.arange(200)), mars.scored)[:, 3]
    assert low < np.nanpercentile(drawn, 2.5) and high > np.nanpercentile(drawn, 97.5)  # three groups
    assert many[1] - many[0] < 0.05 < high - low
    assert one == (0.0, 1.0)  # one group
    assert ends[2] is None  # predicted, but of no sample


def test_weights_that_are_all_alike_change_nothing() -> None:
    each, groups = some_confusions(60), np.arange(60) // 2
    less, whole = (mars.tally_of({"counts": one}) for one in (each * 0.25, each))
    assert score_interval(less, groups) == pytest.approx(score_interval(whole, groups))
