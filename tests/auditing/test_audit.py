"""The audit: what it proposes, what it leaves on disk, and that it never overwrites."""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.auditing import leaky
from tests.conftest import real_data
from toolkit.auditing.audit import Audit, audit, explain
from toolkit.auditing.label_errors import label_quality
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset, hash_sample
from toolkit.outcome import Warned
from toolkit.probabilities import probabilities
from toolkit.store import Workspace

# of blood_cells: two pictures of one cell, sharp and blurred, and two overlapping crops of one scene, seen by eye
COPIES = {185, 2188, 2504, 2811}


def look(competition: Competition, drawn: dict[str, Path], folder: Path) -> Audit:
    return audit(competition, Workspace(folder, competition.name), drawn[competition.name] / "raw", 1)


def test_what_it_leaves_and_tells(competition: Competition, drawn: dict[str, Path], tmp_path: Path) -> None:
    found = look(competition, drawn, tmp_path)
    table = pd.read_parquet(found.workspace.audit)
    assert table.equals(found.table)
    assert list(table.columns) == ["index", "group", "intruder", "label_suspect", "reason"]
    assert table["intruder"].sum() >= 8
    listed = pd.read_csv(found.workspace.cleaning)
    assert set(table.loc[table["intruder"], "index"]) <= set(listed.loc[listed["action"] == "drop", "index"])
    page = found.workspace.page.read_text()
    assert page.count("data:image/webp;base64,") > 1 and "Repeated pictures and masks" in page and "://" not in page
    told = found.as_json()
    assert told["samples"] == len(table) and told["actions"] == listed["action"].value_counts().to_dict()
    assert told["groups"] == table["group"].nunique() and (told["shift_auc"] is None) == (not told["test_images"])
    (accept,) = [command for command, _ in found.next if "--accept" in command] or [""]
    assert bool(accept) == any(action.endswith("?") for action in told["actions"])
    shown = found._repr_html_()
    assert f"{competition.name}: " in shown and "repeated " in shown and str(found.workspace.page) in shown


def test_groups_of_the_competition_are_counted_on_the_page(
    mars: Competition, drawn: dict[str, Path], tmp_path: Path
) -> None:
    def load(folder: Path) -> Dataset:
        dataset = tiny.arrays(mars, folder)
        return replace(dataset, groups=np.arange(len(dataset.images)) // 4)

    found = look(replace(mars, load=load), drawn, tmp_path)
    assert found.shift is not None
    for auc, said in ((0.4, 0), (0.9, 1)):  # what tells sets apart that are alike is no news
        lines = replace(found, shift=replace(found.shift, auc=auc)).told()
        assert sum("most telling" in line for line in lines if isinstance(line, str)) == said
    dropped = found.proposal.loc[found.proposal["action"] == "drop", "index"]
    groups = found.table.loc[~found.table["index"].isin(dropped), "group"].nunique()
    assert (
        groups <= -(-len(found.table) // 4)
        and f"<b>{groups}</b>groups of one origin" in found.workspace.page.read_text()
    )


def test_a_second_look_finds_the_same_and_keeps_an_edited_list(
    mars: Competition, drawn: dict[str, Path], tmp_path: Path
) -> None:
    found = look(mars, drawn, tmp_path)
    cleaning = found.workspace.cleaning
    proposed = cleaning.read_text()
    look(mars, drawn, tmp_path)
    assert cleaning.read_text() == proposed
    cleaning.write_text(proposed[: proposed.rindex("\n", 0, -1) + 1])
    assert any("ends early" in part.text for part in look(mars, drawn, tmp_path).told() if isinstance(part, Warned))
    cleaning.write_text("index,action,value,reason,confidence\n3,drop,,mine,1\n")
    assert "the one in place was edited and is kept" in look(mars, drawn, tmp_path).note
    assert "mine" in cleaning.read_text()
    assert cleaning.with_name("cleaning.new.csv").read_text() == proposed


def test_a_decision_is_explained_by_its_pictures(
    blood_cells: Competition, drawn: dict[str, Path], tmp_path: Path
) -> None:
    proposal = look(blood_cells, drawn, tmp_path).proposal
    grouped = int(proposal.loc[proposal["action"] == "group", "index"].iloc[0])
    clean = int(np.setdiff1d(np.arange(100), proposal["index"])[0])
    place = Workspace(tmp_path, "blood_cells"), drawn["blood_cells"] / "raw"
    for index, begins in ((grouped, f"{grouped}: group"), (clean, f"{clean}: nothing was found about it")):
        why = explain(blood_cells, *place, str(index), 1)
        picture = cv2.imread(str(why.png))
        assert picture is not None and picture.shape[1] > 300
        assert why.told()[0].startswith(begins) and why.told()[-1] == why.as_json()["png"] == str(why.png)


def test_labels_are_held_against_the_best_run_though_the_cleaning_list_was_edited_since(tmp_path: Path) -> None:
    runs = [tiny.train(tmp_path, f"schedule.epochs={epochs}", stress="none") for epochs in (1, 8)]
    best = max(runs, key=lambda run: run.score)
    project = tiny.project(tmp_path, workers=1)
    project.workspace.cleaning.write_text("index,action,value\n5,drop,\n")
    quality, _ = label_quality(np.array(best.labelled.targets), probabilities(best.oof))
    assert project.audit().table["label_suspect"].to_numpy() == pytest.approx(1 - quality)


def test_test_images_with_relatives_in_training_are_told_shown_and_offered_their_answers(
    audited: Path, tmp_path: Path
) -> None:
    shutil.copytree(audited, tmp_path / "own")
    found = leaky.project(tmp_path / "own").audit()
    told = "\n".join(part for part in found.told() if isinstance(part, str))
    assert "of 30 test images (" in told and "exact copies: 2, copies: " in told
    assert "plain folds mimic the test; " in told
    assert "the answers of 2 test images are known: `submit --known-answers` hands them in" in told
    stored = pd.read_parquet(found.workspace.evidence / "relatives.parquet")
    figures = found.as_json()
    assert figures["related_test_images"] == stored["test"].nunique() >= 27
    assert (figures["mimicked_by"], figures["known_answers"]) == ("plain", 2)
    page = found.workspace.page.read_text()
    assert "Test images with a relative in training" in page and "test image 0 is " in page


def test_test_images_that_may_not_be_looked_at_are_not(tmp_path: Path) -> None:
    found = tiny.project(tmp_path, workers=1).audit()
    assert len(found.dataset.test_images) and found.shift is None and found.mimicry is None
    assert found.as_json()["shift_auc"] is None and found.as_json()["mimicked_by"] is None
    assert not (found.workspace.evidence / "relatives.parquet").exists()


def part_of(competition: Competition) -> Competition:
    """With all that repeats and a part of the rest, so that a look at it takes a third of the time."""

    def load(folder: Path) -> Dataset:
        data = competition.load(folder)
        assert isinstance(data, Dataset)
        if competition.name == "mars":
            return replace(data, test_images=data.test_images[:600])
        rows = np.arange(len(data.images))
        pictures = pd.Series([hash_sample(image) for image in data.images])
        kept = rows[pictures.duplicated(keep=False) | np.isin(rows, list(COPIES)) | (rows % 6 == 0)]
        return replace(data, images=data.images[kept], targets=data.targets[kept], ids=kept, groups=kept)

    return replace(competition, load=load)


def test_real_intruders_and_copies_are_found(competition: Competition, tmp_path: Path) -> None:
    raw = real_data(competition.name)
    found = audit(part_of(competition), Workspace(tmp_path, competition.name), raw)
    kinds = found.proposal["reason"].str.partition(":")[0].value_counts().to_dict()
    if competition.name == "blood_cells":
        assert (kinds["repeated picture"], kinds["exact copy"], kinds["contradictory copies"]) == (480, 14, 2)
        copies = found.proposal["reason"].str.startswith("copy:")
        assert set(found.proposal.loc[copies, "index"]) == COPIES
    else:
        assert kinds["repeated mask"] == 80
        assert kinds["neighbouring tile"] > 900
        # of all 3,293 two show ground that another panorama in training shows too
        assert found.mimicry is not None and found.mimicry.related <= 3 and found.mimicry.verdict == "groups"
