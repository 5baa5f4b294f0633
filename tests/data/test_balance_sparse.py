"""Folds of very many classes: groups whole, every class wherever it can be, as many samples in each."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from toolkit.data.balance import HELD_OUT, assign
from toolkit.data.folds import kept_for_training
from toolkit.data.targets import COLUMNS, describe
from toolkit.task import Classification

CLASSES = COLUMNS + 100
TASK = Classification(tuple(map(str, range(CLASSES))), (8, 8, 3))


def drawn(seed: int, samples: int = 4000) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.concatenate([np.arange(CLASSES), rng.integers(0, CLASSES, samples - CLASSES)])


@given(seed=st.integers(0, 100), folds=st.integers(2, 6))
@settings(max_examples=10, deadline=None)
def test_each_class_is_in_every_fold_that_it_can_be_in(seed: int, folds: int) -> None:
    labels = drawn(seed)
    contents = describe(labels, TASK)
    assert isinstance(contents, csr_array) and contents.sum() == len(labels)
    fold = assign(contents, np.arange(len(labels)), folds, seed)
    counts = np.stack([np.bincount(labels[fold == k], minlength=CLASSES) for k in range(folds)])
    assert ((counts > 0).sum(0) == np.minimum(counts.sum(0), folds)).all()
    assert (counts.max(0) - counts.min(0)).max() <= 2
    sizes = counts.sum(1)
    assert sizes.max() - sizes.min() <= 0.02 * sizes.mean()
    assert (fold == assign(contents, np.arange(len(labels)), folds, seed)).all()


def test_groups_stay_whole_and_a_share_is_held_out() -> None:
    labels, rng = drawn(1), np.random.default_rng(1)
    groups = rng.integers(0, 900, len(labels))
    fold = assign(describe(labels, TASK), groups, 4, 0, 0.1)
    assert all(len(np.unique(fold[groups == one])) == 1 for one in np.unique(groups))
    shares = [np.mean(fold == k) for k in (0, 1, 2, 3, HELD_OUT)]
    assert shares == pytest.approx([0.225] * 4 + [0.1], abs=0.02)


def test_images_that_show_none_of_the_classes_are_even_too() -> None:
    task = Classification(TASK.classes, TASK.image_shape, unknown="new")
    labels = np.where(np.arange(4000) % 4 == 0, -1, drawn(2))
    fold = assign(describe(labels, task), np.arange(4000), 5, 0)
    assert np.bincount(fold[labels < 0]).tolist() == [200] * 5


@given(seed=st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_a_class_of_one_group_is_always_trained_on(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, whole, used = rng.integers(0, 12, 30), rng.integers(0, 15, 30), rng.random(30) < 0.9
    held = labels[:, None] == np.arange(12)
    lonely = [groups[0] for groups in (np.unique(whole[used & column]) for column in held.T) if len(groups) == 1]
    expected = np.isin(whole, lonely)
    if len(np.unique(whole[used & ~expected])) < 3:
        expected[:] = False
    assert (kept_for_training(held, whole, used, 3) == expected).all()
    assert (kept_for_training(csr_array(held.astype(int)), whole, used, 3) == expected).all()
