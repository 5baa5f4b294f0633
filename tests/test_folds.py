"""The command: its options, and one object of figures as JSON."""

import json
from pathlib import Path

import pytest

from tests import tiny
from toolkit.command_line import parser, run_command
from toolkit.folds import add_options, folds

MADE = parser("folds", "")
add_options(MADE)


def test_options_reach_the_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tiny.prepare(tmp_path)
    place = [str(project.competition.folder), "--practice", "--workspace", str(tmp_path), "--json"]
    options = ["--folds", "4", "--repeats", "2", "--holdout", "0.25", "--split", "plain", "--seed", "1"]
    assert run_command(MADE, folds, [*place, *options]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == tiny.project(tmp_path, seed=1).folds(4, 2, 0.25, "plain").as_json()
    assert "tiny: 4 plain folds" in printed.err


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        *((f"--folds={n}", f"'{n}' is not a number of folds; there must be at least 2") for n in ("1", "-3", "2.5")),
        ("--repeats=0", "there must be at least 1 split"),
        ("--split=group", "invalid choice: 'group' (choose from"),
        ("--holdout=0.9", "the holdout must be a share from 0 to 0.9, such as 0.1"),
    ],
)
def test_numbers_that_make_no_folds_are_wrong_usage(
    option: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        MADE.parse_args(["competitions/mars", option])
    assert end.value.code == 2 and sentence in capsys.readouterr().err
