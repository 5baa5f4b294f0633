"""Commands that are shown can be copied: the competition and the options are in them."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tiny import competition
from toolkit.commands import command, completed, joined, next_lines, typed
from toolkit.competition import Competition
from toolkit.project import Project
from toolkit.store import Workspace


def project(**more: object) -> Project:
    return Project(competition, **more)  # type: ignore[arg-type]


def test_a_competition_is_called_by_its_name_or_its_folder(
    mars: Competition, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    usual = Path("workspace")
    assert command(mars, Workspace(usual, "mars"), "folds") == "compete folds mars"
    practice = command(mars, Workspace(tmp_path, "mars-practice"), "audit", "--accept", "a b")
    assert practice == f"compete audit mars --practice --workspace {tmp_path} --accept 'a b'"
    monkeypatch.chdir(tmp_path)
    leaves = replace(mars, name="leaves", folder=tmp_path / "examples" / "leaves")
    assert command(leaves, Workspace(usual, "leaves"), "folds") == "compete folds examples/leaves"


def test_a_command_gets_its_competition_and_what_it_was_opened_with(tmp_path: Path) -> None:
    plain, practice = project(), project(practice=True, workspace=tmp_path / "a b", data=None)
    name = plain.name
    assert name == "tests/tiny" or name == str(competition.folder)
    assert typed("compete train", plain) == f"compete train {name}"
    assert typed("compete train … --recipe x lr=1", plain) == f"compete train {name} --recipe x lr=1"
    assert typed("compete submit", practice) == f"compete submit {name} --practice --workspace '{tmp_path / 'a b'}'"
    assert typed("compete audit", project(data="raw", submissions="s")).endswith("--data raw --submissions s")


def test_what_is_whole_or_no_command_stays_as_it_is() -> None:
    plain = project()
    whole = f"compete train {plain.name} seed=1 --practice"
    for text in (whole, "workspace/mars/report.html", "compete new NAME --data FOLDER", "compete"):
        assert typed(text, plain) == text


def test_a_whole_command_finds_the_ledger_that_the_project_has() -> None:
    elsewhere = project(submissions="a b")
    whole = typed(f"compete grade {elsewhere.name} --practice", elsewhere)
    assert whole == f"compete grade {elsewhere.name} --practice --submissions 'a b'" == typed(whole, elsewhere)
    assert typed("a b/report.html", elsewhere) == "a b/report.html"


def test_to_record_a_score_is_said_once() -> None:
    built = [("compete submit … --score 0.71", "records what the leaderboard says")]
    advised = [("compete submit a --score 0.xx", "no score is recorded"), ("compete train a seed=1", "another seed")]
    assert joined(built, advised) == [*built, advised[1]]
    assert joined([], advised) == advised


def test_commands_in_a_sentence_are_completed() -> None:
    said = "it is gone; run `compete audit` again, or `compete train … --recipe a/b`; not `train`"
    name = project().name
    assert completed(said, project()) == (
        f"it is gone; run `compete audit {name}` again, or `compete train {name} --recipe a/b`; not `train`"
    )


def test_reasons_stand_beside_commands_or_below_where_there_is_no_room() -> None:
    steps = [("compete submit", "builds it"), ("report.html", "open it")]
    wide = [*next_lines(steps, None, 80)]
    assert wide == ["Next:  compete submit   builds it", "       report.html      open it"]
    assert [*next_lines(steps, None, 30)] == [
        *("Next:  compete submit", "         builds it", "       report.html", "         open it")
    ]
    assert [*next_lines([], None, 80)] == []


def test_the_rules_of_an_installed_competition_are_named_where_they_lie(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mars = Project("mars")
    said = completed("forbidden (rule pretrained: competitions/mars/README.md, Rules: no)", mars)
    assert said == f"forbidden (rule pretrained: {mars.competition.folder / 'README.md'}, Rules: no)"
