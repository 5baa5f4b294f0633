"""Folds: groups whole, classes even, the cleaning list obeyed."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from toolkit.competition import Classification, Segmentation
from toolkit.errors import UserError
from toolkit.split import assign, describe, folds_hash, make_folds, merge_groups, read_cleaning
from toolkit.store import Workspace

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


def test_the_same_seed_gives_the_same_folds() -> None:
    labels, groups = np.arange(60) % 3, np.arange(60)
    first, again = (assign(describe(labels, LABELS), groups, 5, 1) for _ in range(2))
    assert (first == again).all()
    assert (first != assign(describe(labels, LABELS), groups, 5, 2)).any()


@pytest.mark.parametrize("seed", range(5))
def test_classes_are_at_least_as_even_as_with_scikit_learn(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.choice(3, 300, p=[0.6, 0.3, 0.1])
    groups = random.integers(0, 120, 300)

    def unevenness(fold: np.ndarray) -> float:
        counts = np.stack([np.bincount(labels[fold == k], minlength=3) for k in range(5)])
        return float((counts / counts.sum(0)).std(0).mean())

    theirs = np.zeros(300, int)
    for k, (_, rows) in enumerate(
        StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(labels, labels, groups)
    ):
        theirs[rows] = k
    assert unevenness(assign(describe(labels, LABELS), groups, 5, seed)) <= unevenness(theirs) * 1.05


def test_a_rare_class_of_masks_is_in_every_fold() -> None:
    masks = np.zeros((100, 8, 8), np.uint8)
    masks[::2, :4] = 1
    masks[[3, 17, 40, 41, 77], :2, :2] = 2
    fold = assign(describe(masks, MASKS), np.arange(100), 5, 0)
    assert sorted(fold[[3, 17, 40, 41, 77]]) == [0, 1, 2, 3, 4]


def test_chains_of_group_lines_become_one_group() -> None:
    cleaning = pd.DataFrame({"index": [1, 2, 2, 3], "action": "group", "value": ["x", "x", "y", "y"]})
    merged = merge_groups(np.arange(5), np.arange(5), cleaning)
    assert merged[1] == merged[2] == merged[3]
    assert len(set(merged)) == 3


def test_dropped_samples_are_in_no_fold_and_all_others_in_one() -> None:
    cleaning = pd.DataFrame({"index": [4, 5], "action": "drop", "value": ""})
    table = make_folds(np.arange(30) % 3, np.arange(30), np.arange(30), LABELS, cleaning, {"folds": 3, "seed": 0})
    assert table.loc[[4, 5], "fold"].tolist() == [-1, -1]
    assert (table["fold"].drop([4, 5]) >= 0).all()


def test_fewer_groups_than_folds_is_refused() -> None:
    with pytest.raises(UserError, match="2 groups can't fill 3 folds"):
        make_folds(np.arange(6) % 3, np.arange(6), np.arange(6) // 3, LABELS, NOTHING, {"folds": 3, "seed": 0})


def test_the_hash_names_the_split() -> None:
    make = [
        make_folds(np.arange(30) % 3, np.arange(30), np.arange(30), LABELS, NOTHING, {"folds": 3, "seed": s})
        for s in (0, 0, 1)
    ]
    assert folds_hash(make[0]) == folds_hash(make[1]) != folds_hash(make[2])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("99,drop,,x,1", "line 3: the training file has no row '99'"),
        ("1,erase,,x,1", "line 3: action 'erase' is not one of drop, group"),
        ("1,group,,x,1", "line 3: action group needs a value"),
    ],
)
def test_a_wrong_line_of_the_cleaning_list_is_named(tmp_path: Path, line: str, reason: str) -> None:
    workspace = Workspace(tmp_path, "x")
    workspace.folder.mkdir()
    workspace.cleaning.write_text(f"index,action,value,reason,confidence\n0,drop,,x,1\n{line}\n")
    with pytest.raises(UserError, match=reason):
        read_cleaning(workspace, np.arange(5))


def test_a_cleaning_list_without_its_columns_is_refused(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "x")
    workspace.folder.mkdir()
    workspace.cleaning.write_text("row,what\n1,drop\n")
    with pytest.raises(UserError, match="must have the columns index, action, value"):
        read_cleaning(workspace, np.arange(5))
