"""The table of folds: the cleaning list obeyed, and never read where it is out of date."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from toolkit.data.balance import HELD_OUT
from toolkit.data.folds import (
    ALWAYS,
    AUTO,
    LEFT_OUT,
    folds_hash,
    make_folds,
    newcomers,
    read_folds,
    relabels,
    share_to_hold_out,
    stored_folds,
    trained_on,
)
from toolkit.errors import UserError
from toolkit.metrics.lists import MAP
from toolkit.store import hash_json
from toolkit.task import Classification

LABELS = Classification(("a", "b", "c"), (8, 8, 1))
NOTHING = pd.DataFrame(columns=["index", "action", "value", "reason", "confidence"])


def made(cleaning: pd.DataFrame = NOTHING, groups: np.ndarray | None = None, **inputs: float | str) -> pd.DataFrame:
    rows = np.arange(60)
    groups = rows if groups is None else groups
    return make_folds(rows % 3, rows, groups, LABELS, cleaning, {"folds": 3, "seed": 0} | inputs)


def lines(*listed: tuple[int, str, str], reason: str = "") -> pd.DataFrame:
    return pd.DataFrame(listed, columns=["index", "action", "value"]).assign(reason=reason)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("unscored", ""),
        ("unscored", "doubtful label: a, looks like b"),
        ("", "repeated picture: 9 times"),
        ("", "repeated mask: under 80 pictures"),
        ("", "contradictory copies: 4 5"),
        ("", "unlike the rest: 9.0 robust standard deviations beyond the usual distance"),
    ],
)
def test_what_the_test_set_cannot_hold_is_in_no_fold_and_all_others_in_one(value: str, reason: str) -> None:
    table = made(lines((4, "drop", value), (5, "drop", value), reason=reason))
    assert table.loc[[4, 5], "fold"].tolist() == [LEFT_OUT, LEFT_OUT]
    assert (table["fold"].drop([4, 5]) >= 0).all()
    assert np.flatnonzero(~trained_on(table)).tolist() == [4, 5]


@pytest.mark.parametrize("reason", ["", "mine", "doubtful label: a, looks like b", "doubtful mask: most of it"])
def test_a_sample_that_is_dropped_for_its_label_is_scored_but_not_trained_on(reason: str) -> None:
    table = made(lines((4, "drop", ""), (5, "drop", ""), reason=reason))
    assert (table["fold"] >= 0).all() and np.flatnonzero(~trained_on(table)).tolist() == [4, 5]
    assert folds_hash(table) != folds_hash(table.assign(trained=True))


def test_a_table_of_before_is_read_as_trained_on_and_keeps_its_hash() -> None:
    table = made(lines((4, "drop", "unscored")))
    before = table.drop(columns="trained")
    assert trained_on(before).all() and folds_hash(before) == folds_hash(table)
    assert folds_hash(table) == hash_json([*(table[name].tolist() for name in ("index", "fold", "group")), []])


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


def test_a_tenth_is_held_out_where_samples_and_groups_are_many() -> None:
    asked = [share_to_hold_out(*many) for many in ((5000, 500), (4999, 4999), (60_000, 499), (60_000, 60_000))]
    assert asked == [0.1, 0, 0, 0.1]


def test_what_is_dropped_makes_no_many_and_the_table_knows_the_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.data.folds.MANY", 60)
    monkeypatch.setattr("toolkit.data.folds.MANY_GROUPS", 30)
    pairs = np.arange(60) // 2
    for cleaning, groups, share in (
        (NOTHING, pairs, 0.1),
        (NOTHING, pairs // 2, 0.0),
        (lines((4, "drop", "")), pairs, 0.0),
        (lines((0, "group", "x"), (2, "group", "x")), pairs, 0.0),
    ):
        table = made(cleaning, groups, holdout=AUTO)
        assert table.attrs["holdout"] == share
        assert (table["fold"] == HELD_OUT).sum() == (6 if share else 0)


def test_what_an_audit_found_of_a_sample_that_is_left_out_joins_no_groups() -> None:
    listed = [(row, "group", "x") for row in (0, 2, 4, 6)]
    copies, pairs = lines(*listed, reason="exact copy: 0 2 4 6"), np.arange(60) // 2
    assert made(copies, pairs)["group"][:8].nunique() == 1
    out = lines((0, "drop", "unscored"), (2, "drop", "unscored"))
    table = made(pd.concat([copies, out], ignore_index=True), pairs)
    assert table["group"][:8].tolist() == [0, 0, 1, 1, 2, 2, 2, 2]
    scored = made(pd.concat([copies, lines((0, "drop", ""))], ignore_index=True), pairs)
    assert scored["group"][:8].nunique() == 1, "it is validated, so that no copy may be trained on then"
    own = lines(*listed, reason="one patient")
    assert made(pd.concat([own, out], ignore_index=True), pairs)["group"][:8].nunique() == 1


def test_fewer_groups_than_folds_is_refused() -> None:
    with pytest.raises(UserError, match="2 groups can't fill 3 folds; ask"):
        made(groups=np.arange(60) // 30)
    with pytest.raises(UserError, match="1 group can't fill 3 folds; what is left to train on is of one origin or"):
        made(groups=np.zeros(60, np.int64))
    with pytest.raises(UserError, match="3 groups can't fill 3 folds and a holdout"):
        made(groups=np.arange(60) // 20, holdout=0.1)
    found = lines(*((row, "group", "x") for row in (0, 5, 10, 15, 20)), reason="copy: of another")
    with pytest.raises(UserError, match=r"2 groups can't fill 3 folds; there are 6 before relatives .*--split plain"):
        made(found, np.arange(60) // 5 % 6)


def test_the_hash_names_the_split() -> None:
    assert folds_hash(made()) == folds_hash(made()) != folds_hash(made(seed=1))
    others = [made(lines((0, "relabel", "2"))), made(groups=np.arange(60) // 2), made(holdout=0.1)]
    assert len({folds_hash(table) for table in [made(), *others]}) == 4


def test_the_hash_stays_where_the_file_says_the_same_otherwise() -> None:
    one = made(lines((1, "group", "x"), (2, "group", "x"), (7, "group", "y"), (8, "group", "y")))
    other = made(lines((8, "group", "a"), (7, "group", "a"), (2, "group", "b"), (1, "group", "b")))
    assert folds_hash(one) == folds_hash(other)


def test_a_table_is_read_where_data_and_cleaning_list_are_those_it_was_made_from(tmp_path: Path) -> None:
    workspace = tiny.project(tmp_path).workspace
    assert stored_folds(workspace) is None
    with pytest.raises(UserError, match=r"there is no .* yet; run `compete folds` first"):
        read_folds(workspace)
    tiny.prepare(tmp_path)
    table = read_folds(workspace)
    workspace.cleaning.write_text("index,action,value\n5,drop,\n")
    with pytest.raises(UserError, match=r"has changed since the folds; run `compete folds` again"):
        read_folds(workspace)
    known = stored_folds(workspace)
    assert known is not None and table.equals(known)
    table.attrs["data"] = "other"
    table.to_parquet(workspace.folds)
    with pytest.raises(UserError, match=r"was made from other data; run `compete folds` again"):
        read_folds(workspace)
    workspace.folds.write_bytes(workspace.folds.read_bytes()[:-50])
    with pytest.raises(UserError, match=r"folds\.parquet is damaged .*; remove it and run `compete folds`"):
        read_folds(workspace)


def test_a_class_of_one_group_is_always_trained_on_and_never_validated() -> None:
    targets = np.repeat([0, 1, 2], [6, 6, 2])
    ids, groups = np.arange(14), np.array([*range(12), 12, 12])
    table = make_folds(
        targets, ids, groups, Classification(("a", "b", "c"), (8, 8, 3)), NOTHING, {"folds": 3, "seed": 0}
    )
    assert (table["fold"].to_numpy()[12:] == ALWAYS).all() and (table["fold"].to_numpy()[:12] >= 0).all()
    data = tiny.labelled(targets, table["fold"].to_numpy())
    assert all(set(data.training_rows(k)) >= {12, 13} for k in range(3)) and not data.inside[12:].any()


def test_two_groups_of_a_class_are_learnt_and_validated() -> None:
    targets = np.repeat([0, 1], [12, 2])
    table = make_folds(
        targets, np.arange(14), np.arange(14), Classification(("a", "b"), (8, 8, 3)), NOTHING, {"folds": 3, "seed": 0}
    )
    assert len(set(table["fold"][12:])) == 2 and table["fold"].min() == 0


def test_unknown_identities_are_validated_and_not_learnt() -> None:
    task = Classification(("a", "b"), (8, 8, 3), unknown="new")
    targets = np.tile([0, 1, -1], 4)
    table = make_folds(targets, np.arange(12), np.arange(12), task, NOTHING, {"folds": 2, "seed": 0})
    assert table.loc[targets == -1].groupby("fold").size().tolist() == [2, 2]
    data = tiny.labelled(targets, table["fold"].to_numpy(), of=replace(tiny.competition, task=task, metric=MAP(1)))
    assert data.inside.all() and sorted(targets[data.training_rows(0)]) == [0, 0, 1, 1]


def test_who_is_seen_once_is_a_newcomer_where_it_is_validated() -> None:
    task = Classification(("a", "b", "c"), (8, 8, 3), unknown="new")
    targets, groups = np.array([0, 0, 0, 0, 1, 2, 2, 1, 0, 1]), np.array([0, 1, 2, 3, 4, 5, 5, 6, 5, 7])
    table = make_folds(targets, np.arange(10), groups, task, NOTHING, {"folds": 2, "seed": 0})
    assert (table["fold"] >= 0).all() and np.flatnonzero(newcomers(table)).tolist() == [5, 6]  # 8 is of a known class
    assert table["fold"][[5, 6, 8]].nunique() == 1
    assert folds_hash(table) != folds_hash(table.drop(columns="newcomer"))
    told = make_folds(np.where(targets == 1, -1, targets), np.arange(10), groups, task, NOTHING, dict(table.attrs))  # type: ignore[arg-type]
    assert not newcomers(told).any() and (told["fold"][[5, 6, 8]] == ALWAYS).all()  # some are known to be new
