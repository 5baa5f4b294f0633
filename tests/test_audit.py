"""The audit: what it proposes, and that it never overwrites."""

from pathlib import Path

import numpy as np
import pytest

from tests.conftest import real_data
from toolkit.audit import REPEATS, audit_table, propose
from toolkit.competition import Classification, Competition, Segmentation
from toolkit.console import parser, run_verb
from toolkit.dataset import Dataset
from toolkit.errors import UserError

LABELS = Classification(("a", "b"), (8, 8, 1))
MASKS = Segmentation(("a", "b"), (8, 8, 1))


def dataset(targets: np.ndarray, seed: int = 0) -> Dataset:
    images = np.random.default_rng(seed).integers(0, 256, (len(targets), 8, 8, 1)).astype(np.uint8)
    return Dataset(images, targets, np.arange(len(targets)), np.arange(len(targets)), images[:0])


def test_exact_copies_are_grouped() -> None:
    data = dataset(np.arange(10) % 2)
    data.images[7] = data.images[1]
    table = audit_table(data, propose(data, LABELS))
    groups = table["group"].tolist()
    assert groups[1] == groups[7]
    assert len(set(groups)) == 9
    assert not table["intruder"].any()


def test_copies_under_two_labels_are_dropped() -> None:
    data = dataset(np.arange(10) % 2)
    data.images[6] = data.images[1]
    assert propose(data, LABELS)[["index", "action"]].to_numpy().tolist() == [[1, "drop"], [6, "drop"]]


def test_a_picture_repeated_too_often_is_an_intruder() -> None:
    data = dataset(np.arange(30) % 2)
    data.images[20 : 21 + REPEATS] = data.images[20]
    table = audit_table(data, propose(data, LABELS))
    assert table.index[table["intruder"]].tolist() == list(range(20, 21 + REPEATS))


def test_one_patterned_mask_under_many_pictures_is_an_intruder_but_a_plain_mask_is_not() -> None:
    masks = np.zeros((30, 8, 8), np.uint8)
    masks[: REPEATS + 1, :4] = 1
    listed = propose(dataset(masks), MASKS)
    assert listed["index"].tolist() == list(range(REPEATS + 1))
    assert set(listed["action"]) == {"drop"}


def audit_folder(competition: Competition, folder: Path, workspace: Path) -> int:
    from toolkit.audit import audit

    arguments = [str(competition.folder), "--data", str(folder), "--workspace", str(workspace)]
    return run_verb(parser("audit", ""), audit, arguments)


def test_an_edited_cleaning_list_is_kept(mars: Competition, drawn: dict[str, Path], tmp_path: Path) -> None:
    assert audit_folder(mars, drawn["mars"] / "raw", tmp_path) == 0
    cleaning = tmp_path / "mars" / "cleaning.csv"
    cleaning.write_text("index,action,value,reason,confidence\n3,drop,,mine,1\n")
    assert audit_folder(mars, drawn["mars"] / "raw", tmp_path) == 0
    assert "mine" in cleaning.read_text()


def test_other_files_in_the_same_workspace_are_refused(
    mars: Competition, drawn: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit_folder(mars, drawn["mars"] / "raw", tmp_path) == 0
    other = tmp_path / "other"
    mars.practice(other, 1, 48)
    assert audit_folder(mars, other / "raw", tmp_path) == 1
    assert "was made from other files" in capsys.readouterr().out


def test_practice_intruders_are_found(competition: Competition, drawn: dict[str, Path]) -> None:
    data = competition.load(drawn[competition.name] / "raw")
    dropped = propose(data, competition.task).query("action == 'drop'")
    assert len(dropped) >= 8


def test_a_folder_without_the_files_says_what_to_do(mars: Competition, tmp_path: Path) -> None:
    from toolkit.audit import load
    from toolkit.store import Workspace

    with pytest.raises(UserError, match="put the organisers' files there"):
        load(mars, Workspace(tmp_path, "mars"), tmp_path / "nowhere")


def test_real_intruders_and_copies_are_found(competition: Competition) -> None:
    listed = propose(competition.load(real_data(competition.name)), competition.task)
    counts = listed["reason"].str.replace(r":.*", "", regex=True).value_counts().to_dict()
    expected = {
        "blood_cells": {
            "one picture 424 times": 424,
            "one picture 56 times": 56,
            "exact copies": 14,
            "copies differ": 2,
        },
        "mars": {"one mask under 80 pictures": 80},
    }
    assert counts == expected[competition.name]
