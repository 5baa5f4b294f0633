"""Nothing is counted twice: neither weights, nor the choice of the blender, nor the best run it is held against."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.ensemble import bias
from tests.blending.test_blenders import FOLD, SAMPLES, TINY, drawn, pool_of
from toolkit.blending.blenders import BLENDERS, blenders_for, confusions
from toolkit.blending.crossfit import best_single, cross_fit, draw_groups, resampled, simplest_within
from toolkit.metrics import INTERVAL, Accuracy, resample

QUICK = [one for one in BLENDERS if one.name in ("mean", "single", "greedy", "mean-biases")]


def test_a_folds_blend_is_fitted_and_chosen_without_its_labels() -> None:
    targets, candidates = drawn(TINY)
    outcomes = []
    for k in (None, 2):
        answers = targets.copy()
        if k is not None:
            answers[k == FOLD] = np.random.default_rng(1).permutation(targets[k == FOLD])
        pool = pool_of(TINY, answers, candidates)
        single = best_single(TINY, candidates, answers, FOLD)
        outcomes.append(cross_fit(pool, QUICK, [True] * len(QUICK), single))
    one, other = outcomes[0].parts[2], outcomes[1].parts[2]
    assert one[0] == other[0] and one[1].weights.tolist() == other[1].weights.tolist()
    assert str(one[1].biases) == str(other[1].biases)
    assert outcomes[0].score != outcomes[1].score


def test_the_score_is_that_of_the_parts_and_the_naive_one_that_of_the_final_fit() -> None:
    targets, candidates = drawn(TINY)
    pool = pool_of(TINY, targets, candidates)
    outcome = cross_fit(pool, QUICK, [True] * 4, best_single(TINY, candidates, targets, FOLD))
    parts = [confusions(pool, solution, k).sum(0) for k, (_, solution) in enumerate(outcome.parts)]
    assert outcome.score == pytest.approx(float(TINY.score(np.sum(parts, axis=0))))
    final = [confusions(pool, outcome.final[1], k).sum(0) for k in range(4)]
    assert outcome.naive == pytest.approx(float(TINY.score(np.sum(final, axis=0))))
    assert 0 <= outcome.real <= 1 and outcome.score > outcome.single


def test_what_is_not_eligible_is_scored_and_never_chosen() -> None:
    targets, candidates = drawn(TINY)
    pool = pool_of(TINY, targets, candidates)
    blenders = blenders_for(pool)
    eligible = [one.name == "single" for one in blenders]
    outcome = cross_fit(pool, blenders, eligible, best_single(TINY, candidates, targets, FOLD))
    assert {one.name for one, _ in [*outcome.parts, outcome.final]} == {"single"}
    assert all(line.score > 0.3 for line in outcome.table)
    assert [line.within for line in outcome.table] == eligible


def test_the_best_run_is_chosen_without_the_fold_it_is_scored_on() -> None:
    targets, candidates = drawn(TINY, models=3)
    perfect = candidates[2].oof.copy()
    perfect[FOLD == 1] = np.eye(3)[targets[FOLD == 1]]  # only in fold 1
    perfect[FOLD != 1] = np.eye(3)[(targets[FOLD != 1] + 1) % 3]
    candidates[2] = replace(candidates[2], oof=perfect)
    single = best_single(TINY, candidates, targets, FOLD)
    right = np.trace(single((0, 2, 3), 1).sum(0)) / (FOLD == 1).sum()
    assert right < 0.9


def test_the_simplest_within_a_standard_error_of_the_difference() -> None:
    draws = np.array([[0.70, 0.72, 0.74], [0.71, 0.73, 0.75], [0.5, 0.8, 0.9]])
    scores = np.array([0.72, 0.73, 0.735])
    # the third is best by a hair and swings; the others are within its noise
    assert simplest_within(scores, draws, np.ones(3, bool)).tolist() == [True, True, True]
    assert simplest_within(scores, draws, np.array([True, True, False])).tolist() == [False, True, False]


def test_groups_are_drawn_whole_and_as_the_interval_draws_them() -> None:
    groups = np.arange(SAMPLES) // 3
    times = draw_groups(groups, 50)
    assert (times.reshape(50, -1, 3) == times.reshape(50, -1, 3)[:, :, :1]).all() and (times.sum(1) == SAMPLES).all()
    random = np.random.default_rng(0)
    matrices = np.zeros((SAMPLES, 2, 2), np.int64)
    matrices[np.arange(SAMPLES), 0, random.integers(2, size=SAMPLES)] = 1
    low, high = np.percentile(resampled(matrices, draw_groups(groups, 1000), Accuracy(), [0, 1]), [2.5, 97.5])
    assert (low, high) == pytest.approx(
        np.percentile(Accuracy().score(resample(matrices, groups), [0, 1]), INTERVAL), abs=0.01
    )


def test_the_score_has_no_bias_where_the_truth_is_known() -> None:
    found = bias(4, samples=300, models=8)
    assert abs(found["crossfit_bias"]) < 4 * found["crossfit_bias_error"] + 0.5
    assert found["problems"] == 4
