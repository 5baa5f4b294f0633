"""The split: what it makes, what it tells, and that it is made anew only for other inputs."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.auditing import leaky
from toolkit.auditing.audit import audit
from toolkit.auditing.leaks import Divided
from toolkit.auditing.split_outcome import Split
from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.dataset import pictures_of
from toolkit.data.folds import read_folds
from toolkit.data.groups import equal_pictures, with_equal_pictures
from toolkit.data.loading import load
from toolkit.errors import UserError
from toolkit.images.pictures import hash_pictures
from toolkit.outcome import Warned
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.store import Workspace, write_manifest


@pytest.fixture
def cells(blood_cells: Competition, drawn: dict[str, Path], tmp_path: Path) -> Project:
    """Practice data of blood cells, loaded and not audited."""
    workspace = Workspace(tmp_path, "blood_cells")
    load(blood_cells, workspace, drawn["blood_cells"] / "raw")
    return Project(blood_cells, workspace=tmp_path, progress=SILENT)


def clean(project: Project, lines: str) -> None:
    project.workspace.cleaning.write_text("index,action,value,reason,confidence\n" + lines)


def warnings(split: Split) -> str:
    return "\n".join(part.text for part in split.told() if isinstance(part, Warned))


def test_the_table_and_its_figures(cells: Project) -> None:
    split = cells.folds(3, repeats=2, holdout=0.2)
    shown, table = split.as_json(), pd.read_parquet(cells.workspace.folds)
    assert list(table.columns) == ["index", "fold", "group", "label", "trained", "fold_1"]
    assert shown["samples"] == [(table["fold"] == k).sum() for k in range(3)]
    assert shown["held_out"] == (table["fold"] == HELD_OUT).sum() > 0 == shown["left_out"]
    labels = open_dataset(cells.workspace.data).targets
    counts = np.stack([np.bincount(labels[table["fold"] == k], minlength=8) for k in range(3)])
    assert shown["uneven"] == pytest.approx(abs(counts / counts.mean(0) - 1).max())
    html = split._repr_html_()
    assert "imbalance" in html and "holdout" in html and "no leak report: the audit has left no evidence" in html


def test_a_class_in_too_few_groups_is_named_with_their_number(cells: Project) -> None:
    rows = np.flatnonzero(open_dataset(cells.workspace.data).targets == 0)
    clean(cells, "".join(f"{row},group,basophils,,\n" for row in rows[1:]) + f"{rows[0]},group,alone,,\n")
    text = warnings(cells.folds(3))
    assert "class 'basophil' is missing from fold" in text and "only 2 groups hold it" in text
    clean(cells, "".join(f"{row},drop,unscored,,\n" for row in rows))
    assert "class 'basophil' has no sample left, so that nothing can learn it" in warnings(cells.folds(3))


def test_who_sees_that_the_audit_is_wrong_is_told_how_to_divide_its_groups(cells: Project) -> None:
    rows = np.flatnonzero(open_dataset(cells.workspace.data).targets == 0)
    clean(cells, "".join(f"{row},group,basophils,,\n" for row in rows))
    split = cells.folds(3)
    alone = "class 'basophil' lies in one group alone: every fold is trained on it, none scored on it"
    assert warnings(split).splitlines()[0] == alone, "no audit, no groups of its own"
    told = warnings(replace(split, divided=Divided())).splitlines()[0]
    assert (
        told.startswith(alone)
        and "`compete folds blood_cells" in told
        and told.endswith("--split plain` divides them")
    )


def test_of_very_many_classes_not_each_has_a_sentence(cells: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.flatnonzero(open_dataset(cells.workspace.data).targets == 0)
    clean(cells, "".join(f"{row},group,basophils,,\n" for row in rows[1:]) + f"{rows[0]},group,alone,,\n")
    monkeypatch.setattr("toolkit.auditing.split_outcome.SHOWN", 7)
    text = warnings(cells.folds(3))
    assert "too few groups hold them: 1 of 8 classes" in text and "basophil" not in text


def test_repeats_that_cannot_differ_are_said_to_be_the_same(cells: Project) -> None:
    images = open_dataset(cells.workspace.data).images
    rows, nothing = np.arange(len(images)), np.zeros(len(images), bool)
    groups = with_equal_pictures(rows, hash_pictures(images), images, nothing)  # these stay together whatever it says
    clean(cells, "".join(f"{row},group,{group % 3},,\n" for row, group in enumerate(groups)))
    assert "the 4 splits are only 1 different ones" in warnings(cells.folds(3, repeats=4))


@pytest.mark.parametrize("split", ["groups", "plain"])
def test_equal_pictures_share_a_fold_though_the_list_was_emptied(split: str, cells: Project) -> None:
    clean(cells, "")
    fold = cells.folds(3, split=split).table["fold"].to_numpy()
    same = equal_pictures(pictures_of(open_dataset(cells.workspace.data))[0])
    assert sum(len(rows) for rows in same) > 2
    assert all(len(set(fold[rows])) == 1 for rows in same)


def test_the_table_is_made_once_and_anew_for_another_number_seed_or_cleaning(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    made = project.workspace.folds.stat().st_mtime_ns
    first = project.folds(3).as_json()
    assert first["folds"] == 3 and first["samples"] == [24, 24, 24] and first["left_out"] == 0
    assert project.workspace.folds.stat().st_mtime_ns == made
    hashes = {first["hash"], project.folds(4).as_json()["hash"]}
    hashes.add(tiny.project(tmp_path, seed=1).folds(3).as_json()["hash"])
    clean(project, "5,drop,unscored,,1\n")
    cleaned = project.folds(3).as_json()
    assert cleaned["left_out"] == 1 and len(hashes | {cleaned["hash"]}) == 4
    project.workspace.cleaning.unlink()
    assert project.folds(3).as_json() == first


def test_folds_keep_the_holdout_they_have_until_another_is_asked_for(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path, holdout="auto")
    assert project.folds(3).as_json()["held_out"] == 0  # 72 samples are not many
    first = project.folds(3, holdout=0.25)
    assert first.as_json()["held_out"] == 18
    text = "held out: 18 samples in 6 groups; nothing is trained on them or chosen by them"
    assert any(str(part).startswith(text) for part in first.told())
    for kept in (project.folds(3), project.folds(3, holdout="auto")):
        assert kept.as_json() == first.as_json()
    assert project.folds(4).as_json()["held_out"] == 18
    assert project.folds(3, holdout=0).as_json()["held_out"] == 0
    with pytest.raises(UserError, match=r"a share from 0 to 0\.9, such as 0\.1, got 'many'"):
        project.folds(3, holdout="many")


def test_editing_reasons_and_suggestions_leaves_the_folds_and_a_fault_is_found_all_the_same(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    clean(project, "0,drop,unscored,odd,1\n")
    project.folds()
    before = project.workspace.folds.stat().st_mtime_ns
    clean(project, "0,drop,unscored,very odd,.5\n1,drop?,,,\n2,relabel?,blue,,\n")
    assert f"{project.workspace.cleaning}: 2 suggestions have no effect; remove the ? to accept a line" in str(
        project.folds().told()
    )
    assert project.workspace.folds.stat().st_mtime_ns == before
    assert (read_folds(project.workspace)["fold"] == -1).sum() == 1
    clean(project, "0,drop,,odd,1\n1,remove?,,,\n")
    with pytest.raises(UserError, match=r"cleaning.csv line 3: action 'remove\?' is not one of"):
        project.folds()


def test_what_the_list_changes_of_training_but_not_of_scores_is_told(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    dropped = "0,drop,,doubtful label: red,1\n4,drop,,,\n5,drop,unscored,,\n6,drop,,repeated picture: 9 times,1\n"
    clean(project, dropped + "1,relabel,blue,,\n7,relabel,red,,\n")
    split = project.folds(3)
    shown, told = split.as_json(), "\n".join(map(str, split.told()))
    assert (shown["scored_alone"], shown["left_out"], shown["relabelled"]) == (2, 2, 2)
    assert "2 samples are trained on under another label, and scored on the file's" in told
    assert "dropped samples that are validated and scored all the same: 2;" in told


def test_labels_that_predictions_suggested_are_told_with_where_they_are_obeyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tiny.prepare(tmp_path)
    evidence, labels = project.workspace.evidence, open_dataset(project.workspace.data).targets
    suggested = "".join(f'{row},relabel,red,"doubtful label: blue, looks like red",1\n' for row in (2, 5))
    clean(project, suggested + "8,relabel,red,mine,1\n")
    assert "2 of these labels, and they knew the samples that are scored" in warnings(project.folds(3))
    evidence.mkdir()  # as an audit leaves it that is made only now: row 2 looks red, row 5 does not
    np.save(evidence / "rows.npy", np.arange(72))
    seen = 3 * np.eye(3)[np.where(np.arange(72) == 2, 0, labels)]
    noise = np.random.default_rng(0).normal(size=(72, 144))
    np.save(evidence / "features.npy", np.repeat(seen, 48, axis=1) + noise)
    monkeypatch.setattr("toolkit.auditing.nested_labels.SURE", 0.8)
    split = project.folds(3)
    assert "sure of it; 1 in all, 1 in none" in str(split.told()) and "knew the samples" not in str(split.told())
    shown = split.as_json()
    assert (shown["relabelled"], shown["suggested_by_predictions"]) == (3, 2)
    own = split.fold[2]
    assert shown["obeyed_by_fold"] == [1 if k == own else 2 for k in range(3)]
    labelled = project.labelled()
    assert [2 in labelled.training_relabels(k)[:, 0] for k in range(3)] == [k != own for k in range(3)]


def test_old_runs_are_mentioned_where_the_folds_come_out_otherwise(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    known = {"data": data_hash(project.workspace.data), "folds": project.folds().as_json()["hash"]}
    (project.workspace.train / "a").mkdir(parents=True)
    write_manifest(project.workspace.train / "a", known)
    for folds, repeats, anew in ((3, 1, False), (3, 2, False), (2, 1, True)):
        text = warnings(project.folds(folds, repeats, again=True))
        assert ("the folds are made anew; what is on the old ones (1 run) stays" in text) == anew


def test_pairs_of_one_origin_that_are_divided_are_counted(cells: Project, drawn: dict[str, Path]) -> None:
    audit(cells.competition, cells.workspace, drawn["blood_cells"] / "raw", 1)
    whole = cells.folds(3)
    assert whole.leaks == 0 and len(whole.pairs) == 3 and cells.workspace.leaks.exists()
    lines = pd.read_csv(cells.workspace.cleaning)
    lines[lines["action"] != "group"].to_csv(cells.workspace.cleaning, index=False)
    divided = cells.folds(3)
    assert divided.leaks == 1 and "1 pair of one origin on two sides of a fold" in warnings(divided)


@pytest.fixture
def copies(audited: Path, tmp_path: Path) -> Project:
    shutil.copytree(audited, tmp_path / "own")
    return leaky.project(tmp_path / "own")


def divided(split: Split) -> int:
    """Groups that lie in more than one fold."""
    return int((split.table[split.fold >= 0].groupby("group")["fold"].nunique() > 1).sum())


def test_folds_follow_what_the_audit_says_of_the_test_images_and_a_person_overrules_it(copies: Project) -> None:
    found = copies.folds(3)
    assert found.plain and found.as_json()["split"] == "plain" and divided(found) > 15
    told = "\n".join(part for part in found.told() if isinstance(part, str))
    assert "relatives that the audit found may lie in different folds: plain folds mimic the test; " in told
    assert f"on two sides of a fold, as in plain folds they may be: {found.leaks:,} pairs of one origin" in told
    assert "leaky: 3 plain folds, 30 groups" in found._repr_html_() and not warnings(found)
    made = copies.workspace.folds.stat().st_mtime_ns
    assert copies.folds(3, split="plain").as_json() == found.as_json()
    assert copies.workspace.folds.stat().st_mtime_ns == made, "asked for or not, it is the same split"
    whole = copies.folds(3, split="groups")
    assert not whole.plain and divided(whole) == 0 and whole.leaks == 0
    assert "groups stay whole, as asked by split=groups: plain folds mimic the test; " in str(whole.told())
    assert whole.table["group"].equals(found.table["group"]), "the group is the origin, whatever the split"
    assert whole.as_json()["hash"] != found.as_json()["hash"]
    with pytest.raises(UserError, match="there is no split 'group'; there are auto, groups, plain"):
        copies.folds(3, split="group")


def test_plain_folds_keep_a_persons_own_groups_together(copies: Project) -> None:
    lines = pd.read_csv(copies.workspace.cleaning, dtype=str)
    found = copies.folds(3).table
    apart = found.groupby("group").filter(lambda rows: rows["fold"].nunique() > 1)
    mine = apart[apart["group"] == apart["group"].iloc[0]]["index"].astype(str)
    lines.loc[lines["index"].isin(mine), "reason"] = "one patient"
    lines.to_csv(copies.workspace.cleaning, index=False)
    table = copies.folds(3).table  # a reason is no part of the list's hash, yet here it counts
    assert table.loc[table["index"].isin(mine.astype(int)), "fold"].nunique() == 1
    assert len(set(table["fold"])) == 3 and not table["fold"].equals(found["fold"])


def test_plain_folds_that_no_evidence_asks_for_are_warned_of(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path, of=tiny.looking)
    rule = "the test images may not be looked at (rule unlabelled_test_images: no source given)"
    assert f"groups stay whole: {rule}" in str(tiny.prepare(tmp_path / "closed").folds(3).told())
    asked = project.folds(3, split="plain")
    unknown = "the audit has not looked for relatives of the test images; run `compete audit`"
    warned = f"may lie in different folds, as asked by split=plain: {unknown}; the CV score may be too good"
    assert warned in warnings(asked)
    assert divided(asked) == 0, "what the files call one group stays whole"


def test_dropped_relatives_are_no_reason_to_divide(copies: Project) -> None:
    relatives = pd.read_parquet(copies.workspace.evidence / "relatives.parquet")
    table = copies.folds(3).table
    groups = table["group"].iloc[relatives["train"].unique()].unique()
    dropped = table.loc[table["group"].isin(groups[3:]), "index"]
    clean(copies, "".join(f"{index},drop,,,\n" for index in dropped))
    split = copies.folds(3)
    assert split.mimicry is not None and split.mimicry.related < 20 and not split.plain


def test_what_a_divided_pair_makes_too_good_is_said(tmp_path: Path) -> None:
    split = replace(tiny.prepare(tmp_path).folds(3), divided=Divided(3, 2, 1))
    assert split.leaks == split.as_json()["leaks"] == 6
    first, second, third = warnings(split).splitlines()
    assert first.startswith("3 pairs of one origin on two sides of a fold: the CV score will be too good; put their")
    assert second.startswith("2 pairs of one origin with one validated and the other trained on by every fold: the CV")
    assert third.startswith("1 pair of one origin with one held out and the other trained on: the held-out score")
    assert "CV" not in warnings(replace(split, divided=Divided(held_out=1)))
