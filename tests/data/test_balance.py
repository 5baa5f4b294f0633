"""Folds are as even as can be, groups whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from toolkit.data.balance import HELD_OUT, assign
from toolkit.data.targets import describe
from toolkit.task import Classification, Segmentation

LABELS = Classification(("a", "b", "c"), (8, 8, 1))
MASKS = Segmentation(("a", "b", "c"), (8, 8, 1))


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_groups_never_straddle_folds(seed: int, folds: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 20, 60)
    fold = assign(describe(rng.integers(0, 3, 60), LABELS), groups, folds, seed)
    assert set(fold) <= set(range(folds))
    assert all(len(set(fold[groups == g])) == 1 for g in np.unique(groups))


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    rng = np.random.default_rng(0)
    for contents in (
        describe(np.arange(60) % 3, LABELS),
        describe(rng.choice(3, (60, 8, 8), p=[0.6, 0.3, 0.1]).astype(np.uint8), MASKS),
    ):
        groups = np.arange(60)
        first, again, other = (assign(contents, groups, 5, seed) for seed in (1, 1, 2))
        assert (first == again).all()
        together = [fold[:, None] == fold for fold in (first, other)]
        assert (together[0] != together[1]).any()


def test_folds_do_not_depend_on_how_a_library_adds_up() -> None:
    rng = np.random.default_rng(0)
    contents = rng.integers(0, 8192, (300, 7)) * (rng.random((300, 7)) < 0.3)
    groups = rng.integers(0, 150, 300)
    fold = assign(contents, groups, 4, 0, 0.15)
    # columns in another order are the same sums in another order
    order = rng.permutation(7)
    assert (fold == assign(contents[:, order], groups, 4, 0, 0.15)).all()


def unevenness(columns: np.ndarray, fold: np.ndarray, folds: int) -> tuple[float, float]:
    """Largest and mean deviation of a fold's count from the mean over folds, relative to it."""
    counts = np.stack([columns[fold == k].sum(0) for k in range(folds)])
    away = abs(counts * folds / columns.sum(0) - 1)
    return float(away.max()), float(away.mean())


def theirs(labels: np.ndarray, groups: np.ndarray, folds: int, seed: int) -> np.ndarray:
    fold = np.zeros(len(labels), int)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    for k, (_, rows) in enumerate(splitter.split(labels, labels, groups)):
        fold[rows] = k
    return fold


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_at_least_as_even_as_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.choice(3, 300, p=[0.6, 0.3, 0.1])
    groups = rng.integers(0, 120, 300)
    contents = describe(labels, LABELS)
    ours = unevenness(contents, assign(contents, groups, 5, seed), 5)
    peer = unevenness(contents, theirs(labels, groups, 5, seed), 5)
    assert ours[0] <= peer[0] and ours[1] <= peer[1]


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_more_even_than_with_scikit_learn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    share = rng.dirichlet([0.3, 1, 0.2], 400)
    contents = np.rint(share * 1000).astype(int)
    groups = rng.integers(0, 100, 400)
    ours = unevenness(contents, assign(contents, groups, 5, seed), 5)
    peer = unevenness(contents, theirs(share.argmax(1), groups, 5, seed), 5)
    assert ours[0] < 0.5 * peer[0] and ours[1] < 0.5 * peer[1]


def test_sample_counts_are_even_too() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), rng.integers(1, 10, 100))
    fold = assign(describe(rng.integers(0, 3, len(groups)), LABELS), groups, 5, 0)
    assert np.ptp(np.bincount(fold)) <= 1


def test_a_rare_class_of_masks_is_in_every_fold() -> None:
    masks = np.zeros((100, 8, 8), np.uint8)
    masks[::2, :4] = 1
    masks[[3, 17, 40, 41, 77], :2, :2] = 2
    fold = assign(describe(masks, MASKS), np.arange(100), 5, 0)
    assert sorted(fold[[3, 17, 40, 41, 77]]) == [0, 1, 2, 3, 4]


def test_a_rare_class_is_in_every_fold_though_one_group_holds_most_of_it() -> None:
    labels = np.array([0] * 60 + [1] * 40 + [2] * 54)
    groups = np.concatenate([np.arange(100), [100] * 50, [101, 102, 103, 104]])
    fold = assign(describe(labels, LABELS), groups, 5, 0)
    assert set(fold[labels == 2]) == {0, 1, 2, 3, 4}


@settings(max_examples=25)
@given(st.integers(0, 100_000))
def test_as_few_classes_are_missing_from_folds_as_can_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    held = rng.random((7, 4)) < 0.4  # groups, classes
    contents = (held * rng.integers(1, 50, (7, 4))).astype(int)

    def missing(fold: np.ndarray) -> int:
        return sum(int(not contents[fold == k, c].any()) for k in range(3) for c in range(4))

    every = np.stack(np.meshgrid(*[np.arange(3)] * 7, indexing="ij"), -1).reshape(-1, 7)
    there = np.stack([((every == k)[:, :, None] & held).any(1) for k in range(3)])
    full = np.stack([(every == k).any(1) for k in range(3)]).all(0)  # no fold without a sample
    fewest = int((~there).sum((0, 2))[full].min())
    fold = assign(contents, np.arange(7), 3, 0)
    assert set(fold) == {0, 1, 2}
    assert missing(fold) == fewest


def test_the_holdout_is_a_whole_group_part_like_the_rest() -> None:
    rng = np.random.default_rng(0)
    labels, groups = rng.choice(3, 1000, p=[0.7, 0.2, 0.1]), rng.integers(0, 400, 1000)
    fold = assign(describe(labels, LABELS), groups, 4, 0, 0.1)
    held = fold == HELD_OUT
    assert set(fold) == {0, 1, 2, 3, HELD_OUT}
    assert not set(groups[held]) & set(groups[~held])
    assert held.sum() == pytest.approx(100, abs=2)
    assert np.bincount(labels[held]) / np.bincount(labels) == pytest.approx(0.1, abs=0.02)
    assert np.bincount(fold[~held]) == pytest.approx(225, abs=2)


def test_a_rare_class_goes_to_the_folds_before_the_holdout() -> None:
    labels = np.array([0] * 60 + [1] * 4)
    fold = assign(describe(labels, LABELS), np.arange(64), 4, 0, 0.1)
    assert sorted(fold[60:]) == [0, 1, 2, 3]
