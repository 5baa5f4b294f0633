"""The command: which option does what, and what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from toolkit.command_line import parser, run_command
from toolkit.submit import add_options, submit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a workspace in which there is a blend."""
    tiny.blend(tmp_path, "one")
    return tmp_path


def call(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, status: int = 0) -> Any:
    """The JSON that is printed, or the error."""
    made = parser("submit", "")
    add_options(made)
    places = [str(tiny.competition.folder), "--workspace", str(folder), "--submissions", str(folder / "submissions")]
    shown = [] if status else ["--json"]
    capsys.readouterr()
    assert run_command(made, submit, [*places, "--practice", *shown, *options]) == status
    printed = capsys.readouterr()
    return printed.out if status else json.loads(printed.out)


def test_a_submission_is_built_shown_scored_and_built_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = call(folder, capsys)
    name = Path(made["submission"]).stem
    assert Path(made["submission"]).exists() and made["ledger"]["submission"] == f"tiny-practice/{name}.txt"
    assert call(folder, capsys, "--reproduce", name)["identical"]
    assert call(folder, capsys, "--score", "0.71") == {"id": name, "public": 0.71}
    assert call(folder, capsys, "--score", "0.64", "--private", "--id", name) == {"id": name, "private": 0.64}
    corrected = {"id": name, "private": 0.63, "before": {"private": "0.64"}}
    assert call(folder, capsys, "--private", "0.63") == corrected
    assert call(folder, capsys, "--forget", name)["id"] == call(folder, capsys, "--remember", name)["id"] == name
    assert "--private needs a score" in call(folder, capsys, "--private", status=1)
    (line,) = call(folder, capsys, "--show")["ledger"]
    assert (line["public"], line["private"]) == ("0.71", "0.63")
    assert "practice submissions can't be uploaded" in call(folder, capsys, "--upload", status=1)


def test_known_answers_are_refused_where_test_images_may_not_be_looked_at(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = call(folder, capsys, "--known-answers", status=1)
    assert "error: the test images may not be looked at, so no answer of theirs is known" in said


def test_nothing_is_made_to_reproduce_what_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "has no submission of tiny-practice" in call(tmp_path, capsys, "--reproduce", "mean-12345678", status=1)
    assert "run `compete submit " in call(tmp_path, capsys, "--score", "1", status=1)
    assert not list(tmp_path.rglob("*.npy"))


@pytest.mark.parametrize("wrong", [("--score", "nan"), ("--score", "1e999"), ("--score=1", "--private=inf")])
def test_a_score_is_a_number(wrong: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    made = parser("submit", "")
    add_options(made)
    with pytest.raises(SystemExit):
        made.parse_args(["mars", *wrong])
    assert "is no score; give a number" in capsys.readouterr().err
