"""When a trial is pruned: never by chance alone more often than was asked for, and early where there is no hope."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from tests.conftest import ROOT
from toolkit.competition import Competition, load_competition
from toolkit.metrics.confusion import ConfusionMetric, MacroF1, MeanIoU, confusion_by_sample
from toolkit.metrics.single_label import F1, BalancedAccuracy
from toolkit.metrics.tally import Counts, joined
from toolkit.scoring.selection import (
    Folds,
    FoldTally,
    merits_by_fold,
    part_score,
    pooled_score,
    worth_of_best,
)
from toolkit.tuning.pruning import (
    FINISHED,
    Noise,
    below_median,
    end_if_pruned,
    expected_score,
    fold_change,
    fold_noise,
    should_prune,
    worse,
)

COMPETITIONS = [load_competition(ROOT / "competitions" / name) for name in ("blood_cells", "mars")]
SHARE = {"blood_cells": np.full(8, 1 / 8), "mars": np.array([0.24, 0.34, 0.23, 0.18, 0.01])}  # of the classes


def drawn(
    competition: Competition,
    rng: np.random.Generator,
    quality: float = 0.8,
    jitter: float = 0.0,
    truth: list[np.ndarray] | None = None,
) -> Folds:
    """A trial that is right with probability `quality` (give or take `jitter` a fold, as trainings differ)."""
    truth = truth or truths(competition, rng, 3, 60)
    classes = len(competition.task.classes)
    made = []
    for k, labels in enumerate(truth):
        right = rng.random(labels.shape) < quality + jitter * rng.standard_normal()
        predicted = np.where(right, labels, rng.integers(classes, size=labels.shape))
        confusions = np.zeros((len(labels), classes, classes), np.int64)
        np.add.at(confusions, (np.arange(len(labels))[:, None], labels, predicted), 1)
        made.append(FoldTally(k, np.arange(len(labels)) + 1000 * k, competition.tally_of({"counts": confusions})))
    return made


def truths(competition: Competition, rng: np.random.Generator, folds: int, groups: int) -> list[np.ndarray]:
    """Labels of each fold, (groups, samples): one cell a group, twenty pixels a tile that has mostly one class."""
    share = SHARE[competition.name]
    pixels = 1 if competition.name == "blood_cells" else 20
    made = []
    for _ in range(folds):
        main = rng.choice(len(share), (groups, 1), p=share)
        other = rng.choice(len(share), (groups, pixels), p=share)
        made.append(np.where(rng.random(other.shape) < 0.7, main, other))
    return made


@pytest.mark.parametrize("competition", COMPETITIONS, ids=lambda one: one.name)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 1.0), st.integers(1, 2))
@settings(max_examples=15, deadline=None)
def test_a_trial_like_the_best_is_never_pruned(competition: Competition, seed: int, quality: float, done: int) -> None:
    best = drawn(competition, np.random.default_rng(seed), quality)
    assert worse(best[:done], best) == 1
    assert not should_prune(best[:done], best, threshold=1)


@pytest.mark.parametrize("competition", COMPETITIONS, ids=lambda one: one.name)
@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_the_order_of_folds_and_groups_says_nothing(competition: Competition, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = truths(competition, rng, 3, 40)
    trial, best = (drawn(competition, rng, quality, truth=truth) for quality in (0.6, 0.8))
    order = rng.permutation(40)

    def turned(folds: Folds) -> Folds:
        return [replace(one, tally=one.tally[order]) for one in folds][::-1]

    assert worse(turned(trial), turned(best)) == pytest.approx(worse(trial, best))


def test_copies_in_a_group_make_nothing_surer(competition: Competition) -> None:
    rng = np.random.default_rng(0)
    truth = truths(competition, rng, 3, 60)
    trial, best = (drawn(competition, rng, quality, truth=truth) for quality in (0.75, 0.8))
    copied = (
        [replace(one, tally=joined([one.tally] * 5).by_group(np.tile(one.groups, 5))) for one in folds]
        for folds in (trial, best)
    )
    assert worse(next(copied), next(copied)) == pytest.approx(worse(trial, best))


def test_a_p_value_by_hand(blood_cells: Competition) -> None:
    """Accuracy of single samples: the jackknife's variance is that of the paired differences."""
    right = np.zeros((40, 8, 8), np.int64)
    right[:, 0, 0] = 1
    wrong = right.copy()
    wrong[:10, 0] = np.eye(8, dtype=np.int64)[1]
    best, trial = ([FoldTally(0, np.arange(40), blood_cells.tally_of({"counts": one}))] for one in (right, wrong))
    by_hand = ttest_1samp((np.arange(40) < 10).astype(float), 0, alternative="greater").pvalue
    assert worse(trial, best) == pytest.approx(by_hand)
    few = [replace(one, groups=one.groups[:3], tally=one.tally[:3]) for one in (trial[0], best[0])]
    assert worse(few[:1], few[1:]) == 1 / 8  # three groups, all worse: no surer than three equal signs


def test_equal_trials_are_pruned_no_more_often_than_was_asked_for(competition: Competition) -> None:
    rng = np.random.default_rng(1)
    pruned = 0
    for _ in range(400):
        truth = truths(competition, rng, 3, 60)
        trial, best = (drawn(competition, rng, truth=truth) for _ in range(2))
        pruned += any(should_prune(trial[:done], best, 0.1) for done in (1, 2))
    assert pruned / 400 <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 400)
    assert pruned  # there is a rate to speak of


def test_seeds_that_differ_prune_too_often_unless_the_folds_are_asked(competition: Competition) -> None:
    rng = np.random.default_rng(2)
    alone = asked = 0
    for _ in range(150):
        truth = truths(competition, rng, 3, 150)
        best, trial, *others = (drawn(competition, rng, jitter=0.04, truth=truth) for _ in range(6))
        noise = fold_noise([best, *others])
        alone += any(should_prune(trial[:done], best, 0.1) for done in (1, 2))
        asked += any(should_prune(trial[:done], best, 0.1, noise) for done in (1, 2))
    assert alone / 150 > 0.13
    assert asked / 150 <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 150)


def test_the_best_of_many_has_been_lucky_and_that_is_not_held_against_its_equals(competition: Competition) -> None:
    rng = np.random.default_rng(6)
    pruned = unaware = 0
    for _ in range(150):
        truth = truths(competition, rng, 3, 100)
        trial, *finished = (drawn(competition, rng, jitter=0.03, truth=truth) for _ in range(9))
        best = max(finished, key=lambda folds: pooled_score(folds))
        noise = fold_noise(finished)
        assert noise is not None and noise.luck > 0
        pruned += any(should_prune(trial[:done], best, 0.1, noise) for done in (1, 2))
        plain = replace(noise, luck=0.0)
        unaware += any(should_prune(trial[:done], best, 0.1, plain) for done in (1, 2))
    assert pruned / 150 <= 0.1 + 2 * np.sqrt(0.1 * 0.9 / 150)
    assert unaware > pruned


def test_a_trial_far_behind_is_pruned_after_one_fold(competition: Competition) -> None:
    rng = np.random.default_rng(3)
    truth = truths(competition, rng, 3, 200)
    finished = [drawn(competition, rng, 0.8, jitter=0.01, truth=truth) for _ in range(6)]
    trial = drawn(competition, rng, 0.5, truth=truth)
    best = max(finished, key=lambda folds: pooled_score(folds))
    for k in range(3):
        assert should_prune([trial[k]], best)
        assert should_prune([trial[k]], best, noise=fold_noise(finished))
    assert not should_prune(trial, best)  # nothing is left to save
    assert not should_prune([], best)
    assert not should_prune([best[0]], [best[0], *trial[1:]])


def test_a_trial_below_the_median_of_the_finished_ones_is_given_up_on_the_folds_it_has(
    competition: Competition,
) -> None:
    rng = np.random.default_rng(4)
    truth = truths(competition, rng, 3, 200)
    finished = [drawn(competition, rng, quality, truth=truth) for quality in (0.5, 0.6, 0.7, 0.8, 0.9)]
    worse, better = (drawn(competition, rng, quality, truth=truth) for quality in (0.55, 0.85))
    for k in range(3):
        assert below_median([worse[k]], finished)
        assert not below_median([better[k]], finished)
        assert not below_median([finished[2][k]], finished), "the median itself"
    assert not below_median(worse, finished)  # nothing is left to save
    assert not below_median([], finished)
    assert not below_median([worse[0]], finished[: FINISHED - 1])


def finder(finds: bool, seed: int) -> Folds:
    """Three classes, of which the first fold lacks the third: one who finds it says it six times too often a fold."""
    rng, made = np.random.default_rng(seed), []
    for k, third in enumerate((0, 20, 20)):
        truth = np.repeat([0, 1, 2], [100, 100, third])
        said = np.where(rng.random(len(truth)) < 0.12, 1 - truth, truth)
        said[truth == 2] = 2 if finds else 0
        said[rng.permutation(200)[: 6 * finds]] = 2
        each = confusion_by_sample(truth, said, 3)
        made.append(FoldTally(k, np.arange(len(truth)) + 1000 * k, Counts(F1("macro"), each, (0, 1, 2))))
    return made


def test_who_can_find_a_class_is_not_given_up_on_a_fold_without_it() -> None:
    finished, trial = [finder(False, seed) for seed in range(FINISHED)], finder(True, 9)
    best = max(finished, key=pooled_score)
    assert pooled_score(trial) > pooled_score(best) + 0.2
    assert pooled_score(trial[:1]) < pooled_score(best[:1]) - 0.2, "officially"
    assert part_score(trial[:1]) == pytest.approx(part_score(best[:1]), abs=0.08)
    assert not should_prune(trial[:1], best)
    apart = merits_by_fold([trial, best])
    assert abs(apart[0, 0] - apart[1, 0]) < 0.08 and (apart[0, 1:] > apart[1, 1:] + 0.2).all()
    assert expected_score(trial[:1], finished) == pytest.approx(pooled_score(best), abs=0.08)
    assert worth_of_best([trial, best]).parts == (0, 0, 0)
    assert worse(best[:1], trial) > 0.05 and worse(best, trial) < 1e-6


@pytest.mark.parametrize("metric", [F1("macro"), MacroF1(), MeanIoU(), BalancedAccuracy()], ids=repr)
def test_without_the_only_group_of_a_class_it_counts_for_nobody(metric: ConfusionMetric) -> None:
    truth, said = np.array([0, 0, 0, 1, 1, 1, 2]), np.array([0, 0, 2, 1, 1, 0, 2])
    each = confusion_by_sample(truth, said, 3)
    without = Counts(metric, each, (0, 1, 2)).by_held().without_each()
    assert without[6] == pytest.approx(float(metric.of_counts(each[:6].sum(0), (0, 1))))
    assert without[0] == pytest.approx(float(metric.of_counts(each[1:].sum(0), (0, 1, 2))))


def test_other_groups_are_an_error(blood_cells: Competition) -> None:
    best = drawn(blood_cells, np.random.default_rng(0))
    moved = [replace(best[0], groups=best[0].groups + 1)]
    with pytest.raises(ValueError, match="fold 0 of the two trials has other groups"):
        worse(moved, best)


def test_the_noise_of_folds_is_what_they_disagree_on(blood_cells: Competition) -> None:
    rng = np.random.default_rng(4)
    truth = truths(blood_cells, rng, 5, 4000)
    finished = [drawn(blood_cells, rng, 0.6 + 0.02 * number, jitter=0.02, truth=truth) for number in range(12)]
    noise = fold_noise(finished)
    assert noise is not None and noise.freedom == 11 * 4
    assert np.sqrt(noise.variance) == pytest.approx(0.02 * 7 / 8, rel=0.5)  # an eighth of what is wrong is right
    assert fold_noise(finished[:1]) is None
    assert worse(finished[0][:2], finished[-1], Noise(1.0, 20)) > 0.3  # the larger p-value counts


def test_trainings_that_miss_a_class_now_and_then_are_noise_though_the_best_ones_did_not(
    blood_cells: Competition,
) -> None:
    """Chosen among equals by their scores, the better half has had no such fold, and says too little of chance."""
    rng = np.random.default_rng(7)
    variances = []
    for _ in range(40):
        truth = truths(blood_cells, rng, 3, 2000)
        finished = [
            [drawn(blood_cells, rng, 0.7 if rng.random() < 0.2 else 0.8, truth=truth)[k] for k in range(3)]
            for _ in range(8)
        ]
        noise = fold_noise(finished)
        assert noise is not None
        variances.append(noise.variance)
    assert np.mean(variances) == pytest.approx((7 / 8) ** 2 * 0.1**2 * 0.2 * 0.8, rel=0.25)


def curve(*scores: float) -> dict[float, float]:
    return {(number + 1) / len(scores): score for number, score in enumerate(scores)}


def test_a_training_is_pruned_where_no_peer_has_come_back_from() -> None:
    peers = [{2: curve(0.2, 0.3 + 0.01 * number, 0.4 + 0.01 * number, 0.5 + 0.01 * number)} for number in range(8)]
    assert end_if_pruned(0.2, 0.5, 2, peers) == pytest.approx(0.4)  # with the peers' gain
    assert end_if_pruned(0.35, 0.5, 2, peers) is None  # by it, it ends in the better half
    assert end_if_pruned(0.2, 0.25, 2, peers) is None  # too early
    assert end_if_pruned(0.2, 1.0, 2, peers) is None  # too late
    assert end_if_pruned(0.2, 0.5, 2, peers[:5]) is None  # too few
    assert end_if_pruned(0.2, 0.5, 2, [*peers, {2: curve(0.1, 0.1, 0.2, 0.6)}]) is None  # this one has come back
    assert end_if_pruned(0.2, 0.5, 1, peers) is None  # on another fold, which may be harder


def test_learning_curves_on_other_folds_count_by_what_these_differ_by() -> None:
    """FoldTally 1 is harder: by 0.1 half-way, by 0.2 in the end."""
    both = [
        {0: curve(0.3, 0.4 + 0.01 * number, 0.5, 0.6), 1: curve(0.2, 0.3 + 0.01 * number, 0.3, 0.4)}
        for number in range(3)
    ]
    peers = [*both, *({0: curve(0.3, 0.4, 0.5, 0.6)} for _ in range(2))]
    assert end_if_pruned(0.15, 0.5, 1, peers) == pytest.approx(0.245)  # they gain 0.1, 0.095 in the median
    assert end_if_pruned(0.35, 0.5, 1, peers) is None
    assert end_if_pruned(0.15, 0.5, 1, both[:1] + peers[3:] * 4) is None, "one trial says nothing of two folds"


def test_folds_that_a_trial_lacks_are_as_they_are_for_finished_trials(competition: Competition) -> None:
    one, two = (drawn(competition, np.random.default_rng(seed), 0.7) for seed in range(2))
    for done in ([0], [0, 2], [0, 1, 2]):
        change = fold_change(done, [one])
        assert pooled_score([one[k] for k in done]) + change == pytest.approx(pooled_score(one))
        other = fold_change(done, [two])
        assert fold_change(done, [one, two]) == pytest.approx((change + other) / 2)
    assert change == 0 and fold_change([0], []) == 0


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_no_peer_that_ended_in_the_better_half_would_have_been_pruned(seed: int) -> None:
    rng = np.random.default_rng(seed)
    peers = [curve(*np.cumsum(rng.random(10) ** 3)) for _ in range(9)]
    middle = np.median([one[1.0] for one in peers])
    for one in peers:
        if one[1.0] >= middle:
            assert all(end_if_pruned(one[share], share, 0, [{0: peer} for peer in peers]) is None for share in one)
