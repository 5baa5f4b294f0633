"""The command: one line and a status for what can't be used, JSON for what was found."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from toolkit.audit import add_options, audit
from toolkit.command_line import parser, run_command
from toolkit.competition import Competition

WITHOUT_TORCH = """
import sys
from toolkit.audit import add_options, audit
from toolkit.command_line import parser, run_command
made = parser("audit", "")
add_options(made)
status = run_command(made, audit, sys.argv[1:])
assert "torch" not in sys.modules
sys.exit(status)
"""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, check=False)


def test_what_is_found_and_why(
    blood_cells: Competition, drawn: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = parser("audit", "")
    add_options(made)
    place = [str(blood_cells.folder), "--data", str(drawn["blood_cells"] / "raw"), "--workspace", str(tmp_path)]
    assert run_command(made, audit, [*place, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == [
        *("samples", "test_images", "actions", "groups", "shift_auc", "table_shift_auc"),
        *("related_test_images", "mimicked_by", "known_answers", "cleaning", "page"),
    ]
    assert run_command(made, audit, [*place, "--json", "--explain", "3"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["index", "name", "actions", "reasons", "png"]
    assert run_command(made, audit, [*place, "--explain", "99999"]) == 1
    assert "error: --explain 99999: no sample is called '99999'; names are such as '0'" in capsys.readouterr().out


def test_without_data_one_sentence_says_where_they_come_from_before_torch_is_loaded(
    competition: Competition, tmp_path: Path
) -> None:
    nowhere = tmp_path / "nowhere"
    for folder, what in ((nowhere, f"there is no folder {nowhere} yet"), (tmp_path, f"{tmp_path} is empty")):
        done = run("-c", WITHOUT_TORCH, str(competition.folder), "--data", str(folder))
        assert done.returncode == 1 and not done.stderr
        files = f"put {competition.files} there, say where it is with --data FOLDER, or try synthetic data"
        assert done.stdout == f"error: {what}: {files} with --practice\n"


def test_wrong_usage_ends_with_status_2() -> None:
    done = run("-m", "toolkit.audit", "competitions/mars", "--dta", "folder")
    assert done.returncode == 2 and "no option --dta; did you mean --data?" in done.stderr and not done.stdout
