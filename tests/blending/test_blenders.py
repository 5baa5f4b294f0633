"""Each way of blending: none is fitted on a fold that it doesn't get, limits are kept by all."""

from dataclasses import replace

import numpy as np
import pytest

from tests.blending.conftest import FOLD, LABELS, LABELS_AND_MASKS, SAMPLES, drawn, pool_of
from toolkit.blending.blenders import BLENDERS, Blender, blenders_for
from toolkit.blending.candidates import Limits, Pool
from toolkit.blending.solution import Solution, mix
from toolkit.competition import Competition

NAMED = {one.name: one for one in BLENDERS}


def fitted(blender: Blender, pool: Pool, folds: list[int]) -> Solution:
    first = [fitted(NAMED[blender.after], pool, folds)] if blender.after else []
    solution: Solution = blender.fit(pool, folds, *first)
    return solution


@pytest.mark.parametrize("blender", BLENDERS, ids=lambda blender: blender.name)
@LABELS_AND_MASKS
def test_the_labels_of_a_fold_that_is_left_out_change_nothing(blender: Blender, of: Competition) -> None:
    targets, candidates = drawn(of)
    pool = pool_of(of, targets, candidates)
    if blender not in blenders_for(pool):
        pytest.skip("not for such a task")
    shuffled = targets.copy()
    shuffled[FOLD == 2] = np.random.default_rng(1).permutation(targets[FOLD == 2])
    other = pool_of(of, shuffled, candidates)
    values = np.moveaxis(np.stack([one.oof[:9, list(of.scored)] for one in candidates[:4]]), 0, -1).astype(np.float32)
    values = values / values.sum(1, keepdims=True)
    one, same = fitted(blender, pool, [0, 1, 3]), fitted(blender, other, [0, 1, 3])
    assert np.array_equal(mix(one, values), mix(same, values)) and one.smallest == same.smallest
    if of is LABELS and blender.name in ("greedy", "greedy-biases"):
        assert not np.array_equal(mix(fitted(blender, other, [0, 2, 3]), values), mix(one, values))


def test_limits_are_kept_by_every_blender() -> None:
    targets, candidates = drawn(LABELS)
    costs = (3.0, 2.0, 2.0, 2.0, 9.0)
    candidates = [replace(one, costs=(1.0, cost, 0.0)) for one, cost in zip(candidates, costs, strict=True)]
    pool = pool_of(LABELS, targets, candidates, limits=Limits(max_models=2, max_seconds=4.0))
    for blender in blenders_for(pool):
        solution = fitted(blender, pool, [0, 1, 2])
        used = solution.weights > 0
        assert 0 < used.sum() <= 2 and np.array(costs[:4])[used].sum() <= 4, blender.name


def test_few_groups_leave_the_mean_and_one_seed_group_only_its_labels() -> None:
    targets, candidates = drawn(LABELS)
    few = pool_of(LABELS, targets, candidates, group=np.arange(SAMPLES) // 10)
    assert [one.name for one in blenders_for(few)] == ["mean"]
    alone = pool_of(LABELS, targets, candidates[:1])
    assert [one.name for one in blenders_for(alone)] == ["mean", "mean-biases"]


def test_rows_without_a_fold_take_no_part() -> None:
    targets, candidates = drawn(LABELS)
    fold = np.where(np.arange(SAMPLES) < 40, -1, FOLD)
    found = [
        fitted(NAMED["greedy"], pool_of(LABELS, answers, candidates, fold), [0, 1, 2, 3]).weights.tolist()
        for answers in (targets, np.where(fold < 0, 0, targets))
    ]
    assert found[0] == found[1]
