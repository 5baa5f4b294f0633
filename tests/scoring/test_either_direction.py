"""Scores that no confusion matrix has, and scores of which the lower is the better: nothing chosen may differ."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, root_mean_squared_error

from tests.tiny import competition as tiny
from tests.tiny import labelled
from tests.tiny_metrics import Area, RootMeanSquare, flipped
from toolkit.competition import Competition
from toolkit.metrics.confusion import MacroF1
from toolkit.metrics.metric import Metric
from toolkit.metrics.tally import Tally, joined
from toolkit.scoring.bootstrap import interval, score_draws, score_interval, widened
from toolkit.scoring.comparison import compare
from toolkit.scoring.out_of_fold import score
from toolkit.scoring.selection import Folds, by_group, pooled_score, worth_by_fold, worth_of_best
from toolkit.scoring.weighted import weigh
from toolkit.task import Labels, Numbers
from toolkit.tuning.pruning import below_median, end_if_pruned, expected_score, fold_noise, should_prune, worse

NUMBERS = replace(tiny, task=Numbers(("angle", "size"), (8, 8, 3)), metric=RootMeanSquare())
LABELS = replace(tiny, task=Labels(("cat",), (8, 8, 3)), metric=Area())
MACRO = replace(tiny, metric=MacroF1())
KINDS = pytest.mark.parametrize("of", [NUMBERS, LABELS, MACRO], ids=lambda one: one.metric.name)


def drawn(of: Competition, rng: np.random.Generator, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and the noise of values."""
    if of is NUMBERS:
        return rng.normal(40, 10, (samples, 2)).astype(np.float32), rng.standard_normal((samples, 2))
    if of is LABELS:
        return (rng.random((samples, 1)) < 0.3).astype(np.int8), rng.standard_normal((samples, 1))
    return rng.integers(0, 3, samples), rng.standard_normal((samples, 3))


def predicted(of: Competition, targets: np.ndarray, noise: np.ndarray, quality: float) -> np.ndarray:
    """Values that are the better, the higher the quality."""
    if of is NUMBERS:
        return targets + noise * 8 / quality
    if of is LABELS:
        return 1 / (1 + np.exp(-quality * (targets - 0.5) - noise))
    return np.exp(quality * np.eye(3)[targets] + noise) / 20


def tallied(of: Competition, metric: Metric, quality: float, seed: int, samples: int = 120) -> Tally:
    targets, noise = drawn(of, np.random.default_rng([7, samples]), samples)
    own = noise + np.random.default_rng(seed).standard_normal(noise.shape) / 2
    return replace(of, metric=metric).tally(targets, predicted(of, targets, own, quality))


def trials(of: Competition, metric: Metric, qualities: Sequence[float], seed: int) -> list[Folds]:
    found = []
    for number, quality in enumerate(qualities):
        made, group = tallied(of, metric, quality, seed + number), np.arange(120) // 2
        found.append([by_group(k, group[group % 3 == k], made[group % 3 == k]) for k in range(3)])
    return found


def both(of: Competition) -> tuple[Metric, Metric]:
    return of.metric, flipped(of.metric)


def test_numbers_are_scored_by_their_own_metric_with_an_interval_above_0() -> None:
    rng = np.random.default_rng(0)
    targets, noise = drawn(NUMBERS, rng, 60)
    targets[5, 1] = np.nan
    values, fold = predicted(NUMBERS, targets, noise, 1), np.arange(60) % 3
    values[5, 1] = 30
    found = score(labelled(targets, fold, of=NUMBERS), values.astype(np.float32))
    known = ~np.isnan(targets)
    assert found["score"] == pytest.approx(root_mean_squared_error(targets[known], values[known]))
    assert 0 < found["low"] < found["score"] < found["high"] < np.inf and found["groups"] == 60
    assert found["by_class"] == {} and found["by_class_interval"] == {}
    one = known & (fold == 1)[:, None]
    assert found["by_fold"][1] == pytest.approx(root_mean_squared_error(targets[one], values[one]))


def test_auc_is_that_of_the_pooled_predictions_and_a_fold_of_one_class_has_none() -> None:
    targets, noise = drawn(LABELS, np.random.default_rng(0), 90)
    fold = np.where(targets[:, 0] == 0, np.arange(90) % 3, np.arange(90) % 2)
    values = predicted(LABELS, targets, noise, 1.5).astype(np.float32)
    found = score(labelled(targets, fold, of=LABELS), values)
    assert found["score"] == pytest.approx(roc_auc_score(targets[:, 0], values[:, 0]))
    assert found["by_fold"][2] is None
    assert found["by_fold"][0] == pytest.approx(roc_auc_score(targets[fold == 0, 0], values[fold == 0, 0]))
    assert 0.5 < found["low"] < found["score"] < found["high"] < 1


@pytest.mark.parametrize("of", [NUMBERS, LABELS], ids=lambda one: one.metric.name)
def test_an_interval_holds_the_truth_as_often_as_is_said(of: Competition) -> None:
    def made(seed: int, samples: int) -> Tally:
        targets, noise = drawn(of, np.random.default_rng(seed), samples)
        return of.tally(targets, predicted(of, targets, noise, 1))

    truth, held = joined([made(10**6 + n, 1000) for n in range(4)]).score(), 0
    for seed in range(60):
        low, high = score_interval(made(seed, 40), np.arange(40))
        held += low <= truth <= high
    assert held >= 53  # 57 are expected; fewer than 53 in one of a hundred


@KINDS
def test_a_turned_sign_turns_intervals_and_changes_no_word_and_no_choice(of: Competition) -> None:
    group = np.arange(120) // 2
    plain, turned = ([tallied(of, metric, 1 + q / 2, 3 + q) for q in range(4)] for metric in both(of))
    for one, other in zip(plain, turned, strict=True):
        low, high = score_interval(one, group)
        assert score_interval(other, group) == pytest.approx((-high, -low))
    there, back = (compare(each[1:], each[0], group, draws=300) for each in (plain, turned))
    assert [one.words for one in there] == [one.words for one in back]
    assert [one.difference for one in there] == pytest.approx([-one.difference for one in back])
    assert [one.sure for one in there] == pytest.approx([one.sure for one in back])
    assert there[-1].words == "better" and compare(plain[:1], plain[-1], group, draws=300)[0].words == "worse"


@KINDS
@settings(max_examples=10, deadline=None)
@given(st.lists(st.floats(0.6, 2.5), min_size=6, max_size=6), st.integers(0, 1000))
def test_a_turned_sign_changes_no_winner_and_gives_up_no_other_trial(
    of: Competition, qualities: list[float], seed: int
) -> None:
    plain, turned = (trials(of, metric, qualities, seed) for metric in both(of))
    one, other = worth_of_best(plain), worth_of_best(turned)
    assert (one.winner, one.parts) == (other.winner, other.parts)
    assert other.score == pytest.approx(-one.score) and other.naive == pytest.approx(-one.naive)
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    assert (other.optimism, other.optimism_low) == pytest.approx((one.optimism, one.optimism_low))
    best, opposite = plain[one.winner], turned[one.winner]
    noise, same = fold_noise(plain), fold_noise(turned)
    assert noise is not None and same is not None and same.luck == pytest.approx(noise.luck)
    for here, there in zip(plain, turned, strict=True):
        assert worse(there[:2], opposite, same) == pytest.approx(worse(here[:2], best, noise))
        assert should_prune(there[:2], opposite) == should_prune(here[:2], best)
        assert below_median(there[:1], turned) == below_median(here[:1], plain)
        assert expected_score(there[:1], turned) == pytest.approx(-expected_score(here[:1], plain))
    ends = [score_interval(joined([k.tally for k in f]), np.concatenate([k.groups for k in f])) for f in plain]
    by_fold = np.array([[pooled_score([fold]) for fold in folds] for folds in plain])
    scores, sign = [pooled_score(folds) for folds in plain], of.metric.sign
    found = worth_by_fold(scores, ends, by_fold, sign=sign)
    negated = worth_by_fold([-s for s in scores], [(-h, -lo) for lo, h in ends], -by_fold, sign=-sign)
    assert (found.winner, found.parts) == (negated.winner, negated.parts) and found.winner == one.winner
    assert (negated.score, negated.low) == pytest.approx((-found.score, -found.high))
    assert sign * (found.naive - found.score) == found.optimism >= 0


def test_the_winner_is_the_run_of_the_lowest_error() -> None:
    made = worth_of_best(trials(NUMBERS, NUMBERS.metric, [0.8, 2.5, 1.2], 0))
    assert made.winner == 1 and made.score >= made.naive and made.sign == -1
    assert worse(trials(NUMBERS, NUMBERS.metric, [0.5], 3)[0][:2], trials(NUMBERS, NUMBERS.metric, [2.5], 0)[0]) < 0.01


def test_a_training_that_will_end_with_a_high_error_is_given_up_and_one_with_a_low_error_is_not() -> None:
    curves = [{0: {0.5: 20.0 - n, 1.0: 15.0 - n}} for n in range(9)]
    ended = end_if_pruned(30.0, 0.5, 0, curves, sign=-1)
    assert ended == pytest.approx(25.0)
    assert end_if_pruned(10.0, 0.5, 0, curves, sign=-1) is None
    turned = [{0: {share: -score for share, score in curve[0].items()}} for curve in curves]
    assert end_if_pruned(-30.0, 0.5, 0, turned) == pytest.approx(-25.0)


def test_a_fold_without_both_classes_spoils_no_choice() -> None:
    folds = [trials(LABELS, LABELS.metric, [1.0 + q], q)[0] for q in range(3)]
    one_class = [f for f in folds[0][0].tally.arrays()["truth"][:, 0] == 0]
    lacking = [[replace(f, tally=f.tally) for f in each] for each in folds]
    for each in lacking:
        arrays = each[0].tally.arrays()
        negative = arrays["truth"][:, 0] == 0
        kept = np.unique(arrays["row"][negative])
        kept = np.setdiff1d(kept, np.unique(arrays["row"][~negative]))
        each[0] = replace(each[0], groups=each[0].groups[kept], tally=each[0].tally[kept])
    assert one_class and np.isnan(pooled_score(lacking[0][:1]))
    found = worth_of_best(lacking)
    assert np.isfinite([found.score, found.low, found.high, found.optimism_low]).all()
    noise = fold_noise(lacking)
    assert noise is not None and np.isfinite([noise.variance, noise.luck]).all()
    assert np.isfinite(expected_score(lacking[0][1:2], lacking))


def test_an_interval_of_few_groups_ends_before_what_no_score_can_be() -> None:
    rng = np.random.default_rng(0)
    without = rng.normal(0.06, 0.005, 12)
    draws = rng.normal(0.06, 0.02, 1000).clip(0.04)
    low, high = widened(0.06, draws, without, (0, np.inf))
    assert 0 < low < draws.min() + 0.05 and high > 0.06
    low, high = widened(0.94, 1 - draws, 1 - without, (-np.inf, 1))  # as R2
    assert low < 0.94 < high < 1
    low, high = widened(-0.94, 2 * draws - 1 - 0.06, 2 * without - 1 - 0.06, (-1, 1))  # as kappa
    assert -1 <= low < -0.94 < high < 1
    assert widened(0.06, draws, without, (-np.inf, np.inf))[0] < widened(0.06, draws, without, (0, np.inf))[0]
    assert widened(3.0, np.full(100, 3.0), np.full(1, 3.0), (0, np.inf)) == (0, np.inf)  # one group says nothing


def test_a_metric_that_leaves_its_stated_ends_has_none() -> None:
    draws = np.linspace(-80, -70, 1000)
    low, high = widened(-74.0, draws, np.linspace(-75, -73, 20))  # said to lie from 0 to 1
    assert low <= draws.min() + 1 and draws.max() - 1 <= high < 0


@pytest.mark.parametrize("of", [NUMBERS, LABELS, MACRO], ids=lambda one: one.metric.name)
def test_a_whole_weight_is_that_many_samples(of: Competition) -> None:
    made, times = tallied(of, of.metric, 1.2, 0), np.random.default_rng(4).integers(0, 4, 120)
    weighted, repeated = weigh(made, times.astype(float)), made[np.repeat(np.arange(120), times)]
    assert weighted.score() == pytest.approx(repeated.score())
    part = np.arange(120) % 3 == 1
    assert weighted[part].score() == pytest.approx(made[np.repeat(np.flatnonzero(part), times[part])].score())
    group = np.arange(120) // 6
    low, high = score_interval(weighted, group)
    assert (low, high) == pytest.approx(score_interval(repeated, np.repeat(group, times)))


def test_paired_draws_are_the_same_for_all() -> None:
    made = tallied(LABELS, LABELS.metric, 1.2, 0).by_group(np.arange(120) // 2)
    one, other = score_draws([made, made], draws=50)
    assert np.array_equal(one, other) and interval(one)[0] < made.score() < interval(one)[1]
