"""Folds: groups whole, classes even, the cleaning list obeyed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from toolkit.data.balance import HELD_OUT, assign
from toolkit.data.folds import LEFT_OUT, describe, folds_hash, make_folds, relabels
from toolkit.data.groups import merge_groups
from toolkit.errors import UserError
from toolkit.task import Classification, Segmentation

LABELS = Classification(("a", "b", "c"), (8, 8, 1))
MASKS = Segmentation(("a", "b", "c"), (8, 8, 1))
NOTHING = pd.DataFrame(columns=["index", "action", "value", "reason", "confidence"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5))
def test_groups_never_straddle_folds(seed: int, folds: int) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 20, 60)
    fold = assign(describe(random.integers(0, 3, 60), LABELS), groups, folds, seed)
    assert set(fold) <= set(range(folds))
    assert all(len(set(fold[groups == g])) == 1 for g in np.unique(groups))


def test_the_same_seed_gives_the_same_folds_and_another_seed_others() -> None:
    random = np.random.default_rng(0)
    for contents in (
        describe(np.arange(60) % 3, LABELS),
        describe(random.choice(3, (60, 8, 8), p=[0.6, 0.3, 0.1]).astype(np.uint8), MASKS),
    ):
        groups = np.arange(60)
        first, again, other = (assign(contents, groups, 5, seed) for seed in (1, 1, 2))
        assert (first == again).all()
        together = [fold[:, None] == fold for fold in (first, other)]
        assert (together[0] != together[1]).any()


def test_folds_do_not_depend_on_how_a_library_adds_up(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    contents = random.integers(0, 8192, (300, 7)) * (random.random((300, 7)) < 0.3)
    groups = random.integers(0, 150, 300)
    fold = assign(contents, groups, 4, 0, 0.15)
    # columns in another order are the same sums in another order
    order = random.permutation(7)
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
    random = np.random.default_rng(seed)
    labels = random.choice(3, 300, p=[0.6, 0.3, 0.1])
    groups = random.integers(0, 120, 300)
    contents = describe(labels, LABELS)
    ours = unevenness(contents, assign(contents, groups, 5, seed), 5)
    peer = unevenness(contents, theirs(labels, groups, 5, seed), 5)
    assert ours[0] <= peer[0] and ours[1] <= peer[1]


@pytest.mark.parametrize("seed", range(3))
def test_masks_are_more_even_than_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    share = random.dirichlet([0.3, 1, 0.2], 400)
    contents = np.rint(share * 1000).astype(int)
    groups = random.integers(0, 100, 400)
    ours = unevenness(contents, assign(contents, groups, 5, seed), 5)
    peer = unevenness(contents, theirs(share.argmax(1), groups, 5, seed), 5)
    assert ours[0] < 0.5 * peer[0] and ours[1] < 0.5 * peer[1]


def test_sample_counts_are_even_too() -> None:
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(100), random.integers(1, 10, 100))
    fold = assign(describe(random.integers(0, 3, len(groups)), LABELS), groups, 5, 0)
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


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 100_000))
def test_as_few_classes_are_missing_from_folds_as_can_be(seed: int) -> None:
    random = np.random.default_rng(seed)
    held = random.random((7, 4)) < 0.4  # groups, classes
    contents = (held * random.integers(1, 50, (7, 4))).astype(int)

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
    random = np.random.default_rng(0)
    labels, groups = random.choice(3, 1000, p=[0.7, 0.2, 0.1]), random.integers(0, 400, 1000)
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


def test_chains_of_group_lines_become_one_group() -> None:
    cleaning = pd.DataFrame({"index": [1, 2, 2, 3], "action": "group", "value": ["x", "x", "y", "y"]})
    merged = merge_groups(np.arange(5), np.arange(5), cleaning)
    assert merged[1] == merged[2] == merged[3]
    assert len(set(merged)) == 3


def made(cleaning: pd.DataFrame = NOTHING, groups: np.ndarray | None = None, **inputs: float) -> pd.DataFrame:
    rows = np.arange(60)
    groups = rows if groups is None else groups
    return make_folds(rows % 3, rows, groups, LABELS, cleaning, {"folds": 3, "seed": 0} | inputs)


def lines(*listed: tuple[int, str, str]) -> pd.DataFrame:
    return pd.DataFrame(listed, columns=["index", "action", "value"])


def test_dropped_samples_are_in_no_fold_and_all_others_in_one() -> None:
    table = made(lines((4, "drop", ""), (5, "drop", "")))
    assert table.loc[[4, 5], "fold"].tolist() == [LEFT_OUT, LEFT_OUT]
    assert (table["fold"].drop([4, 5]) >= 0).all()


def test_suggestions_change_nothing() -> None:
    suggested = lines((4, "drop?", ""), (1, "group?", "g"), (2, "group?", "g"), (3, "relabel?", "2"))
    assert made(suggested).equals(made())


def test_relabelled_samples_are_spread_by_their_new_label() -> None:
    rare = [0, 3, 6]  # of class 0 in the file
    table = made(lines(*[(row, "relabel", "1") for row in range(9, 60, 3)], (0, "relabel", "0")))
    assert table["label"].dropna().tolist() == [0, *[1] * 17]
    assert table.loc[4, "label"] is pd.NA
    assert relabels(table).tolist() == [[0, 0], *([row, 1] for row in range(9, 60, 3))]
    assert sorted(table.loc[rare, "fold"]) == [0, 1, 2]


def test_repeats_differ_and_share_the_holdout() -> None:
    table = made(repeats=3, holdout=0.2)
    columns = table[["fold", "fold_1", "fold_2"]].to_numpy()
    assert table["fold"].equals(made(holdout=0.2)["fold"])
    assert ((columns == HELD_OUT).any(1) == (columns == HELD_OUT).all(1)).all()
    assert (columns[:, 0] == HELD_OUT).sum() == 12
    assert len({tuple(column) for column in columns.T}) == 3
    for column in columns.T:
        assert np.bincount(column[column >= 0]).tolist() == [16, 16, 16]


def test_fewer_groups_than_folds_is_refused() -> None:
    with pytest.raises(UserError, match="2 groups can't fill 3 folds; ask"):
        made(groups=np.arange(60) // 30)
    with pytest.raises(UserError, match="3 groups can't fill 3 folds and a holdout"):
        made(groups=np.arange(60) // 20, holdout=0.1)


def test_the_hash_names_the_split() -> None:
    assert folds_hash(made()) == folds_hash(made()) != folds_hash(made(seed=1))
    others = [made(lines((0, "relabel", "2"))), made(groups=np.arange(60) // 2), made(holdout=0.1)]
    assert len({folds_hash(table) for table in [made(), *others]}) == 4


def test_the_hash_stays_where_the_file_says_the_same_otherwise() -> None:
    one = made(lines((1, "group", "x"), (2, "group", "x"), (7, "group", "y"), (8, "group", "y")))
    other = made(lines((8, "group", "a"), (7, "group", "a"), (2, "group", "b"), (1, "group", "b")))
    assert folds_hash(one) == folds_hash(other)
