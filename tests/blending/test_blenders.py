"""Blends are what they say: weights, ranks, stacks; and none is fitted on a fold that it doesn't get."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from competitions.blood_cells import competition as cells
from competitions.mars import competition as mars
from toolkit.blending.blenders import (
    BLENDERS,
    Blender,
    Solution,
    blenders_for,
    confusions,
    mix,
    mixed,
)
from toolkit.blending.candidates import Candidate, Pool, family_mean, make_families, make_pool
from toolkit.competition import Competition
from toolkit.metrics import MacroF1, confusion_by_sample
from toolkit.task import Classification

SAMPLES, FOLDS = 240, 4
FOLD = np.arange(SAMPLES) % FOLDS
TINY = replace(cells, task=Classification(("a", "b", "c"), (1, 1, 1)), metric=MacroF1())


def drawn(of: Competition, models: int = 5, seed: int = 0) -> tuple[np.ndarray, list[Candidate]]:
    random = np.random.default_rng(seed)
    classes, pixels = len(of.task.classes), (6, 8) if of is mars else ()
    targets = random.integers(classes, size=(SAMPLES, *pixels))
    found = []
    for m in range(models):
        logits = random.normal(size=(SAMPLES, classes, *pixels)) * (1 + m / 4)
        logits += 1.2 * (targets[:, None] == np.arange(classes).reshape(-1, *[1] * len(pixels)))
        logits[:, 0] += 0.5 if of is not mars else -np.inf
        values = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        stored = np.rint(values * 255).astype(np.uint8) if of is mars else values.astype(np.float16)
        found.append(Candidate(f"run{m}", f"family{min(m, 3)}", stored, stored[:7]))  # 3 and 4 differ in seed alone
    return targets, found


def pool_of(of: Competition, targets: np.ndarray, candidates: list[Candidate]) -> Pool:
    return make_pool(of, make_families(candidates), targets, FOLD, np.arange(SAMPLES))


def fitted(blender: Blender, pool: Pool, folds: list[int]) -> Solution:
    if blender.after:
        first = next(one for one in BLENDERS if one.name == blender.after)
        solution: Solution = blender.fit(pool, folds, fitted(first, pool, folds))
        return solution
    solution = blender.fit(pool, folds)
    return solution


@pytest.mark.parametrize("blender", BLENDERS, ids=lambda blender: blender.name)
@pytest.mark.parametrize("of", [TINY, mars], ids=["labels", "masks"])
def test_the_labels_of_a_fold_that_is_left_out_change_nothing(blender: Blender, of: Competition) -> None:
    targets, candidates = drawn(of)
    if blender not in blenders_for(pool_of(of, targets, candidates)):
        pytest.skip("not for such a task")
    shuffled = targets.copy()
    shuffled[FOLD == 2] = np.random.default_rng(1).permutation(targets[FOLD == 2])
    values = np.moveaxis(np.stack([one.oof[:9, list(of.scored)] for one in candidates[:4]]), 0, -1).astype(np.float32)
    results = []
    for answers in (targets, shuffled):
        pool = pool_of(of, answers, candidates)
        solution = fitted(blender, pool, [0, 1, 3])
        results.append((solution, mix(solution, values / values.sum(1, keepdims=True))))
    assert np.array_equal(results[0][1], results[1][1]) and results[0][0].smallest == results[1][0].smallest
    if of is TINY and blender.name in ("greedy", "weights", "by-class", "logistic", "boosted", "greedy-biases"):
        other = fitted(blender, pool_of(of, shuffled, candidates), [0, 2, 3])
        assert not np.array_equal(mix(other, values / values.sum(1, keepdims=True)), results[0][1])


@pytest.mark.parametrize("of", [TINY, mars], ids=["labels", "masks"])
def test_confusions_are_those_of_the_mixture(of: Competition) -> None:
    targets, candidates = drawn(of)
    pool = pool_of(of, targets, candidates)
    rows = np.flatnonzero(FOLD == 1)
    for solution in (Solution(np.array([3, 0, 1, 2])), Solution(np.ones((4, len(of.scored))) + np.eye(4)[:, :1])):
        by_hand = of.decode(mixed(pool, solution, "oof", rows))
        expected = confusion_by_sample(targets[rows], by_hand, pool.classes)
        apart = np.abs(confusions(pool, solution, 1) - expected)
        assert apart[:, list(of.scored)].sum() <= 4  # ties; rows that no score reads are not followed


def test_seeds_of_one_recipe_are_one_family_and_its_mean() -> None:
    _, candidates = drawn(TINY)
    families = make_families(candidates)
    assert [len(family.members) for family in families] == [1, 1, 1, 2]
    both = (candidates[3].oof.astype(np.float32) + candidates[4].oof.astype(np.float32)) / 2
    assert np.allclose(family_mean(families[3], "oof", np.arange(9)), both[:9])


def test_a_mixture_is_the_weighted_mean_whether_stored_as_bytes_or_halves(tmp_path: Path) -> None:
    for of in (TINY, mars):
        targets, candidates = drawn(of)
        np.save(tmp_path / "a.npy", candidates[0].oof)
        candidates[0] = replace(candidates[0], oof=np.load(tmp_path / "a.npy", mmap_mode="r"))
        pool = pool_of(of, targets, candidates)
        means = [family_mean(family, "oof", np.arange(20)) for family in pool.families]
        expected = (1 * means[0] + 3 * means[2]) / 4
        found = mixed(pool, Solution(np.array([1, 0, 3, 0])), "oof", np.arange(20))
        assert np.allclose(found, expected / expected.sum(1, keepdims=True), atol=1e-3)
        assert np.array_equal(mixed(pool, Solution(np.array([1, 0, 3, 0])), "test", np.arange(7)), found[:7])


def test_a_stack_is_scikit_learns_and_names_classes_that_a_fold_lacks() -> None:
    targets, candidates = drawn(TINY)
    targets[FOLD != 0] %= 2  # class 2 is in fold 0 alone
    pool = pool_of(TINY, targets, candidates)
    stack = next(one for one in BLENDERS if one.name == "logistic").fit(pool, [1, 2, 3])
    assert isinstance(stack.stack, LogisticRegression)
    values = mixed(pool, stack, "oof", np.arange(50))
    assert values.shape == (50, 3) and not values[:, 2].any() and np.allclose(values.sum(1), 1, atol=1e-4)


def test_limits_are_kept_by_every_blender() -> None:
    targets, candidates = drawn(TINY)
    candidates = [
        replace(one, costs=(1.0, cost)) for one, cost in zip(candidates, (3.0, 2.0, 2.0, 2.0, 9.0), strict=True)
    ]
    limits = np.array([2.0, 4.0])
    families = make_families(candidates, limits)
    assert [family.members[-1].name for family in families] == ["run0", "run1", "run2", "run3"]  # run4 costs 9
    pool = make_pool(TINY, families, targets, FOLD, np.arange(SAMPLES), limits)
    for blender in blenders_for(pool):
        solution = fitted(blender, pool, [0, 1, 2])
        used = solution.weights.reshape(4, -1).any(1)
        assert 0 < used.sum() <= 2 and np.array([3, 2, 2, 2])[used].sum() <= 4, blender.name


def test_few_groups_leave_the_mean_and_one_family_only_its_labels() -> None:
    targets, candidates = drawn(TINY)
    few = make_pool(TINY, make_families(candidates), targets, FOLD, np.arange(SAMPLES) // 10)
    assert [one.name for one in blenders_for(few)] == ["mean"]
    assert [one.name for one in blenders_for(pool_of(TINY, targets, candidates[:1]))] == ["mean", "mean-biases"]


def test_rows_without_a_fold_take_no_part() -> None:
    targets, candidates = drawn(TINY)
    fold = np.where(np.arange(SAMPLES) < 40, -1, FOLD)
    results = []
    for answers in (targets, np.where(fold < 0, 0, targets)):
        pool = make_pool(TINY, make_families(candidates), answers, fold, np.arange(SAMPLES))
        results.append(fitted(BLENDERS[6], pool, [0, 1, 2, 3]).weights.tolist())
    assert results[0] == results[1]
