"""Nothing is counted twice: neither weights, nor the choice of the blender, nor the best run it is held against."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.ensemble import bias
from tests.blending.conftest import FOLD, LABELS, drawn, pool_of
from toolkit.blending.blenders import BLENDERS, blenders_for
from toolkit.blending.candidates import Pool
from toolkit.blending.crossfit import CrossFit, cross_fit, simplest_within
from toolkit.blending.solution import fold_confusions
from toolkit.scoring.out_of_fold import score


def fitted(pool: Pool) -> CrossFit:
    return cross_fit(pool, blenders_for(pool))


def test_a_folds_blend_is_fitted_and_chosen_without_its_labels() -> None:
    targets, candidates = drawn(LABELS)
    other = targets.copy()
    other[FOLD == 2] = np.random.default_rng(1).permutation(targets[FOLD == 2])
    found = [fitted(pool_of(LABELS, answers, candidates)) for answers in (targets, other)]
    (blender, solution), (same, like) = (one.parts[2] for one in found)
    assert blender == same and str(solution) == str(like)
    assert found[0].score != found[1].score


def test_the_score_is_that_of_the_parts_and_the_naive_one_that_of_the_final_fit() -> None:
    targets, candidates = drawn(LABELS)
    pool = pool_of(LABELS, targets, candidates)
    found = fitted(pool)
    parts = [fold_confusions(pool, solution, k).sum(0) for k, (_, solution) in enumerate(found.parts)]
    assert found.score == pytest.approx(float(LABELS.score(np.sum(parts, axis=0))))
    final = [fold_confusions(pool, found.final[1], k).sum(0) for k in range(4)]
    assert found.naive == pytest.approx(float(LABELS.score(np.sum(final, axis=0))))
    assert 0 <= found.real <= 1 and found.score > found.single


def test_with_two_folds_the_simplest_is_taken_untried() -> None:
    targets, candidates = drawn(LABELS)
    found = fitted(pool_of(LABELS, targets, candidates, FOLD % 2))
    assert {one.name for one, _ in [*found.parts, found.final]} == {"mean"}


def test_the_best_run_is_chosen_without_the_fold_it_is_scored_on() -> None:
    targets, (plain, *_) = drawn(LABELS)
    here, oof = (FOLD == 1)[:, None], plain.oof.copy()
    oof[:27] = np.eye(3)[(targets[:27] + 1) % 3]  # a little worse
    lucky = replace(plain, seed_group="lucky", oof=np.where(here, np.eye(3)[targets], oof))
    pool = pool_of(LABELS, targets, [plain, lucky])
    expected = score(pool.labelled, np.where(here, plain.oof, lucky.oof))["score"]
    assert cross_fit(pool, BLENDERS[:1]).single == pytest.approx(expected)


def test_the_simplest_within_a_standard_error_of_the_difference() -> None:
    draws = np.array([[0.70, 0.72, 0.74], [0.71, 0.73, 0.75], [0.5, 0.8, 0.9]]).T
    scores = np.array([0.72, 0.73, 0.735])
    # the third is best by a hair and swings; the others are within its noise
    assert simplest_within(scores, draws).tolist() == [True, True, True]
    assert simplest_within(scores[:2], draws[:, :2]).tolist() == [False, True]


def test_the_score_has_no_bias_where_the_truth_is_known() -> None:
    found = bias(4, samples=300, models=8)
    assert abs(found["crossfit_bias"]) < 4 * found["crossfit_bias_error"] + 0.5
    assert found["problems"] == 4
