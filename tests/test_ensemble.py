"""The command: every option reaches the engine, and what it shows and prints is the blend."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny
from tests.blending.conftest import made_runs
from toolkit.blending.blend_folder import chosen_blend
from toolkit.command_line import parser, run_command
from toolkit.competition_folders import HERE
from toolkit.ensemble import add_options, ensemble, has_runs

pytestmark = pytest.mark.usefixtures("one_thread")
PLAIN = ("--views", "none")


def command(root: Path, *arguments: str) -> int:
    made = parser("ensemble", "", several="that have runs")
    add_options(made)
    return run_command(made, ensemble, ["--practice", "--workspace", str(root), *arguments, *PLAIN], has_runs)


def test_the_blend_is_shown_beside_its_runs_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = made_runs(tmp_path, {"a": 2, "b": 2, "c": 2, "d": 2}, biased=True)
    folder = str(tiny.competition.folder)
    assert command(tmp_path, folder) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "0.5000",
        "cross-fitted",
        "selection bias",
        "the best single run, chosen in the same way",
        "above 0 with",
    ):
        assert text in shown
    assert command(tmp_path, folder, "--json") == 0
    made, printed = chosen_blend(project.labelled()), json.loads(capsys.readouterr().out)
    assert made is not None and printed == made.as_json() and "matched" in printed
    assert printed["blend"] == str(made.folder) and printed["runs"] == [*"abcd"]
    assert printed["clean"] == made.metrics["clean"] and printed["gain"] == made.metrics["gain"]
    assert "<caption>tiny: blend, accuracy</caption>" in made._repr_html_()
    assert command(tmp_path, folder, "--json", "--runs", "b", "d", "--max-models", "1", "--max-bytes", "7000") == 0
    assert json.loads(capsys.readouterr().out)["runs"] == ["b"]


def test_without_a_competition_all_that_have_runs_are_blended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made_runs(tmp_path, {"a": 1, "b": 1})
    for name in ("tiny", "other"):
        (tmp_path / "competitions" / name).mkdir(parents=True)
        (tmp_path / "competitions" / name / "__init__.py").touch()
    known = {"tiny": tiny.competition, "other": replace(tiny.competition, name="other")}
    monkeypatch.setattr("toolkit.competition.load_competition", lambda folder: known[Path(folder).name])
    monkeypatch.setattr("toolkit.competition_folders.HOMES", (HERE,))
    monkeypatch.chdir(tmp_path)
    assert command(tmp_path, "--json") == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert list(result["competitions"]) == ["tiny-practice"] and result["without_runs"] == ["other-practice"]
    assert set(result["competitions"]["tiny-practice"]["runs"]) == {"a", "b"}
    assert "no runs yet: other-practice" in printed.err
    assert command(tmp_path / "empty", "--json") == 1
