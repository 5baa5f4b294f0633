"""The audit: what it proposes, what it leaves on disk, and that it never overwrites."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import pandas as pd
import pytest

from tests.conftest import real_data
from toolkit.audit import add_options, audit, load
from toolkit.competition import Competition
from toolkit.console import parser, run_verb
from toolkit.data.dataset import Dataset, data_hash
from toolkit.errors import UserError
from toolkit.store import Workspace


def run_audit(competition: Competition, folder: Path, workspace: Path, more: Sequence[str] = ()) -> int:
    made = parser("audit", "")
    add_options(made)
    arguments = [str(competition.folder), "--data", str(folder), "--workspace", str(workspace), *more]
    return run_verb(made, audit, arguments)


def test_what_it_leaves(competition: Competition, drawn: dict[str, Path], tmp_path: Path) -> None:
    assert run_audit(competition, drawn[competition.name] / "raw", tmp_path) == 0
    place = tmp_path / competition.name
    table = pd.read_parquet(place / "audit.parquet")
    assert list(table.columns) == ["index", "group", "intruder", "label_suspect", "reason"]
    assert table["intruder"].sum() >= 8
    listed = pd.read_csv(place / "cleaning.csv")
    assert set(table.loc[table["intruder"], "index"]) <= set(listed.loc[listed["action"] == "drop", "index"])
    page = (place / "audit.html").read_text()
    assert page.count("data:image/jpeg;base64,") > 1 and "Intruders" in page and "http" not in page


def test_a_second_look_finds_the_same(mars: Competition, drawn: dict[str, Path], tmp_path: Path) -> None:
    tables = []
    for _ in range(2):
        assert run_audit(mars, drawn["mars"] / "raw", tmp_path) == 0
        tables.append((tmp_path / "mars" / "cleaning.csv").read_text())
    assert tables[0] == tables[1]


def test_an_edited_cleaning_list_is_kept_and_the_new_one_put_beside_it(
    mars: Competition, drawn: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_audit(mars, drawn["mars"] / "raw", tmp_path) == 0
    cleaning = tmp_path / "mars" / "cleaning.csv"
    proposed = cleaning.read_text()
    cleaning.write_text("index,action,value,reason,confidence\n3,drop,,mine,1\n")
    capsys.readouterr()
    assert run_audit(mars, drawn["mars"] / "raw", tmp_path) == 0
    assert "mine" in cleaning.read_text()
    assert (tmp_path / "mars" / "cleaning.new.csv").read_text() == proposed
    assert "the one in place was edited and is kept" in capsys.readouterr().out


def test_a_decision_is_explained_by_its_pictures(
    blood_cells: Competition, drawn: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = drawn["blood_cells"] / "raw"
    assert run_audit(blood_cells, raw, tmp_path) == 0
    listed = pd.read_csv(tmp_path / "blood_cells" / "cleaning.csv")
    index = int(listed.loc[listed["action"] == "group", "index"].iloc[0])
    capsys.readouterr()
    assert run_audit(blood_cells, raw, tmp_path, ["--explain", str(index)]) == 0
    assert f"{index}: group" in capsys.readouterr().out
    picture = cv2.imread(str(tmp_path / "blood_cells" / "evidence" / f"explain_{index}.png"))
    assert picture is not None and picture.shape[1] > 300
    assert run_audit(blood_cells, raw, tmp_path, ["--explain", "99999"]) == 1
    assert "--explain 99999: the training file has no row 99999" in capsys.readouterr().out


def test_other_files_in_the_same_workspace_are_refused(
    mars: Competition, drawn: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_audit(mars, drawn["mars"] / "raw", tmp_path) == 0
    other = tmp_path / "other"
    mars.practice(other, 1, 48)
    assert run_audit(mars, other / "raw", tmp_path) == 1
    assert "was made from other files" in capsys.readouterr().out


def test_a_competition_that_reads_otherwise_is_refused_and_one_that_only_says_it_otherwise_is_not(
    mars: Competition, drawn: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, workspace = drawn["mars"] / "raw", Workspace(tmp_path, "mars")

    def load_otherwise(folder: Path) -> Dataset:
        found = mars.load(folder)
        return replace(found, targets=found.targets[::-1])

    load(mars, workspace, raw)
    before = data_hash(workspace.data)
    load(replace(mars, load=lambda folder: mars.load(folder)), workspace, raw)
    assert data_hash(workspace.data) == before
    with pytest.raises(UserError, match="mars reads the files otherwise than when"):
        load(
            replace(mars, task=replace(mars.task, classes=mars.task.classes[::-1]), load=load_otherwise),
            workspace,
            raw,
        )
    assert data_hash(workspace.data) == before


def test_a_folder_without_the_files_says_what_to_do(mars: Competition, tmp_path: Path) -> None:
    from toolkit.audit import load
    from toolkit.store import Workspace

    with pytest.raises(UserError, match="put the organisers' files there"):
        load(mars, Workspace(tmp_path, "mars"), tmp_path / "nowhere")


def test_real_intruders_and_copies_are_found(competition: Competition, tmp_path: Path) -> None:
    assert run_audit(competition, real_data(competition.name), tmp_path) == 0
    listed = pd.read_csv(tmp_path / competition.name / "cleaning.csv")
    kinds = listed["reason"].str.partition(":")[0].value_counts().to_dict()
    if competition.name == "blood_cells":
        # two pictures of one cell, sharp and blurred, and two overlapping crops of one scene: seen by eye
        assert (kinds["repeated picture"], kinds["exact copy"], kinds["contradictory copies"]) == (480, 14, 2)
        assert set(listed.loc[listed["reason"].str.startswith("copy:"), "index"]) == {185, 2188, 2504, 2811}
    else:
        assert kinds["repeated mask"] == 80
        assert kinds["neighbouring tile"] > 900
