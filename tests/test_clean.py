"""The command: its options, what it shows and prints."""

import json
from pathlib import Path

import pytest

from tests import tiny
from tests.blending.conftest import made_runs
from toolkit.clean import add_options, clean
from toolkit.command_line import parser, run_command

MADE = parser("clean", "")
add_options(MADE)


def test_options_reach_it_and_the_table_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = made_runs(tmp_path, {"a": 3, "b": 2, "c": 1})
    place = [str(project.competition.folder), "--practice", "--workspace", str(tmp_path), "--json"]
    place += ["--submissions", str(tmp_path / "submissions")]
    assert run_command(MADE, clean, [*place, "--keep", "1", "--dry-run"]) == 0
    printed = capsys.readouterr()
    assert [one["path"] for one in json.loads(printed.out)["removed"]] == ["train/c", "train/b"]
    assert "can go, the least valuable first" in printed.err and "not among the best runs" in printed.err
    assert run_command(MADE, clean, [*place, "--keep", "2", "--all"]) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is False
    assert [run.name for run in tiny.project(tmp_path).runs()] == ["a", "b"]


def test_a_number_that_makes_no_sense_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        MADE.parse_args(["mars", "--keep", "-1"])
    assert end.value.code == 2 and "there can't be fewer than 0 runs" in capsys.readouterr().err
