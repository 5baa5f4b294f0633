"""Folds that runs are on are shown, and made anew only where a person agrees."""

import json
from pathlib import Path

import pytest

from tests import tiny
from tests.blending.conftest import made_runs
from toolkit.command_line import parser, run_command
from toolkit.errors import NotAgreedError, UserError
from toolkit.folds import add_options, folds
from toolkit.project import Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Three folds, two runs and a blend of them."""
    made = made_runs(tmp_path, {"a": 3, "b": 2})
    made.ensemble(["a", "b"], views=["none"], blender="mean")
    return made


def test_without_options_the_folds_that_are_there_are_shown(project: Project) -> None:
    before = project.workspace.folds.read_bytes()
    shown = project.folds()
    assert shown.folds == 3 and project.workspace.folds.read_bytes() == before
    assert project.folds(3, holdout="auto").as_json() == shown.as_json()


def test_others_are_made_only_where_a_person_agrees_and_the_way_back_is_named(project: Project) -> None:
    first = project.folds().as_json()
    sentence = (
        r"2 runs and 1 blend are on the folds .*; add --again .* \(`compete folds .* --folds 3 --split groups --ho"
    )
    with pytest.raises(NotAgreedError, match=sentence):
        project.folds(4)
    assert project.folds().as_json() == first and len(project.runs()) == 2
    made = project.folds(4, again=True)
    assert made.folds == 4 and len(project.runs()) == 0
    assert "what is on the old ones (2 runs and 1 blend) stays on disk" in str(made.told()[0])
    assert "--folds 3 --split groups --holdout 0 --again` takes it back" in str(made.told()[0])
    assert project.folds(3, split="groups", holdout=0).as_json() == first, "no run is on the four folds"
    assert len(project.runs()) == 2


def test_a_changed_cleaning_list_asks_too_but_not_where_it_changes_no_fold(project: Project) -> None:
    lines = "index,action,value,reason,confidence\n"
    project.workspace.cleaning.write_text(f"{lines}5,drop?,,odd,1\n")
    project.folds()
    project.workspace.cleaning.write_text(f"{lines}5,drop,unscored,odd,1\n")
    said = r"2 runs and 1 blend .* \(with cleaning.csv as it was, `.*` takes it back\), or put .*cleaning.csv back"
    with pytest.raises(NotAgreedError, match=said):
        project.folds()
    assert project.folds(again=True).as_json()["left_out"] == 1


def test_run_asks_as_folds_does(project: Project) -> None:
    with pytest.raises(NotAgreedError, match="2 runs and 1 blend"):
        project.run(budget="2m", folds=4)


def test_the_command_ends_as_wrong_usage_does(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = parser("folds", "")
    add_options(made)
    place = [str(project.competition.folder), "--practice", "--workspace", str(tmp_path), "--json"]
    assert run_command(made, folds, [*place, "--seed", "3"]) == 2
    assert "add --again" in capsys.readouterr().err
    assert run_command(made, folds, place) == 0 and json.loads(capsys.readouterr().out)["folds"] == 3
    assert run_command(made, folds, [*place, "--folds", "4", "--again"]) == 0
    assert json.loads(capsys.readouterr().out)["folds"] == 4


def test_where_nothing_is_on_them_nobody_is_asked(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    assert project.folds(4).folds == project.folds().folds == 4
    with pytest.raises(UserError, match="at least 1 split, got 0 repeats"):
        project.folds(repeats=0)
