"""Each way of blending: none is fitted on a fold that it doesn't get, limits are kept by all."""

from dataclasses import replace

import numpy as np
import pytest

from tests import tiny
from tests.blending.conftest import FOLD, LABELS, LABELS_AND_MASKS, SAMPLES, drawn, pool_of
from toolkit.blending.blenders import BLENDERS, Blender, blenders_for, check_asked
from toolkit.blending.candidates import Limits
from toolkit.blending.pool import Pool
from toolkit.blending.solution import Solution, fold_confusions, mix, mixed, run_shares
from toolkit.competition import Competition
from toolkit.errors import UserError

NAMED = {one.name: one for one in BLENDERS}
MEANS = ["mean", "single", "best-1", "best-2"]


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


def test_few_groups_or_two_folds_leave_means_and_one_seed_group_only_its_labels() -> None:
    targets, candidates = drawn(LABELS)
    few = pool_of(LABELS, targets, candidates, group=np.arange(SAMPLES) // 10)
    two = pool_of(LABELS, targets, candidates, FOLD % 2)
    assert [one.name for one in blenders_for(few)] == [one.name for one in blenders_for(two)] == MEANS
    assert [one.name for one in blenders_for(few, "greedy-biases")] == [*MEANS, "greedy", "greedy-biases"]
    many = [replace(candidates[m % 5], seed_group=f"{m}") for m in range(9)]
    names = [one.name for one in blenders_for(pool_of(LABELS, targets, many, FOLD % 2))]
    assert names == ["mean", "single", "best-2", "best-4", "best-8"], (
        "no seeds, so the best seed group is the best run"
    )
    alone = pool_of(LABELS, targets, candidates[:1])
    assert [one.name for one in blenders_for(alone)] == ["mean", "mean-biases"]
    seeds = pool_of(LABELS, targets, candidates[3:])
    assert [one.name for one in blenders_for(seeds)] == ["mean", "single", "mean-biases"]


def test_rows_without_a_fold_take_no_part() -> None:
    targets, candidates = drawn(LABELS)
    fold = np.where(np.arange(SAMPLES) < 40, -1, FOLD)
    found = [
        fitted(NAMED["greedy"], pool_of(LABELS, answers, candidates, fold), [0, 1, 2, 3]).weights.tolist()
        for answers in (targets, np.where(fold < 0, 0, targets))
    ]
    assert found[0] == found[1]


def test_the_best_are_the_best_of_the_folds_that_they_are_chosen_on() -> None:
    targets, (first, *_) = drawn(LABELS)
    truth = np.eye(3)[targets]
    wrong = [rng.random(SAMPLES) < 0.1 * m for m, rng in enumerate(map(np.random.default_rng, range(9)))]
    wrong[0] = FOLD == 3  # the best but there
    oof = [np.where(each[:, None], truth[:, [1, 2, 0]], truth).astype(np.float16) for each in wrong]
    pool = pool_of(LABELS, targets, [replace(first, oof=one, seed_group=f"{m}") for m, one in enumerate(oof)])
    chosen = {n: np.flatnonzero(fitted(NAMED[f"best-{n}"], pool, [0, 1, 2]).weights).tolist() for n in (2, 4, 8)}
    assert chosen == {2: [0, 1], 4: [0, 1, 2, 3], 8: [*range(8)]}
    assert np.flatnonzero(fitted(NAMED["best-2"], pool, [3]).weights).tolist() == [1, 2]
    assert fitted(NAMED["best-2"], pool, [0, 1, 2]).shares[:2].tolist() == [0.5, 0.5]


def test_a_single_run_is_not_averaged_with_its_seeds() -> None:
    targets, candidates = drawn(LABELS)
    best = (0.2 + 0.4 * np.eye(3)[targets]).astype(np.float16)
    pool = pool_of(LABELS, targets, [*candidates[:4], replace(candidates[4], oof=best)])
    solution = fitted(NAMED["single"], pool, [0, 1, 2])
    assert run_shares(pool, solution) == [0, 0, 0, 0, 1] and solution.weights.tolist() == [0, 0, 0, 1]
    rows = pool.labelled.rows(3)
    assert np.allclose(mixed(pool, solution, "oof", rows), best[rows], atol=1e-3)
    assert fold_confusions(pool, solution, 3).sum((1, 2)).tolist() == [1] * len(rows)
    assert np.trace(fold_confusions(pool, solution, 3).sum(0)) == len(rows)


def test_a_blender_that_is_asked_for_must_be_one_for_the_task() -> None:
    targets = np.zeros(6, int)
    labels = tiny.labelled(targets, targets)
    check_asked(labels, "ranks")
    code = replace(labels, competition=replace(labels.competition, try_submission=lambda path, images: None))  # type: ignore[arg-type,return-value]
    for where, name in ((labels, "mean-regions"), (labels, "median"), (code, "ranks")):
        with pytest.raises(
            UserError, match=f"there is no blender '{name}' for .*labels; there are mean, single, best-1"
        ):
            check_asked(where, name)
