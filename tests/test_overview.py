"""What a competition looks like at a glance, from nothing to submissions."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny
from tests.blending.conftest import made_runs
from tests.conftest import ROOT
from toolkit.outcome import Table
from toolkit.project import Project
from toolkit.store import read_json, write_json
from toolkit.submission.ledger import Ledger

ADVISED = "toolkit.reporting.advice.advise_next"


def test_where_nothing_is_there_yet_it_says_how_to_begin(tmp_path: Path) -> None:
    practice = tiny.project(tmp_path).status()
    assert practice.told() == ["tiny (practice): nothing yet"] and not list(tmp_path.iterdir())
    assert practice.next[0][0] == "compete run --budget 3m"
    of = replace(tiny.competition, folder=tmp_path / "tiny", files="`data.npz`")
    real = Project(of, workspace=tmp_path).status()
    assert [command for command, _ in real.next] == [
        *("compete run --practice --budget 3m", "compete run --data FOLDER --budget 30m")
    ]
    assert real.next[1][1] == "once FOLDER has `data.npz`"
    assert real.as_json()["audited"] is False and real.as_json()["runs"] == []


@pytest.fixture
def opened(tmp_path: Path) -> Project:
    made = made_runs(tmp_path, {name: 2.0 - place / 9 for place, name in enumerate("abcdefg")})
    for path in made.workspace.train.glob("*/metrics.json"):
        write_json(path, read_json(path) | {"stress": None})
    return made


def test_runs_submissions_disk_and_steps_stand_on_one_screen(opened: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = opened.ledger
    for number in range(5):
        line = {"time": f"2026-11-0{number + 1}T12:00", "competition": ledger.competition, "sha256": str(number)}
        ledger.append(line | {"submission": f"tiny-practice/mean-{number}.csv", "clean": "0.5", "public": "0.25"})
    monkeypatch.setattr(ADVISED, lambda *_: [])
    found = opened.status()
    title, scores, submissions, disk = found.told()
    assert str(title).startswith("tiny (practice): 7 runs · no blend · 5 submissions · ")
    assert isinstance(scores, Table) and scores.title.startswith(
        "accuracy, best 4 of 7 runs; 95 % interval of the first: 0."
    )
    assert [row[0] for row in scores.rows] == [run.name for run in opened.runs()][:4] and scores.columns[1] == "CV"
    assert isinstance(submissions, Table) and [row[0] for row in submissions.rows] == ["mean-4", "mean-3"]
    assert submissions.rows[0][2:] == ["0.5000", "0.2500"] and submissions.columns[-1] == "public"
    assert str(disk).startswith("disk: ") and str(disk).endswith(str(opened.workspace.folder))
    assert len(found.as_json()["runs"]) == 7 and found.as_json()["disk"]["runs"] > 0


def test_unfinished_runs_and_those_of_other_folds_are_counted(opened: Project) -> None:
    (opened.workspace.train / "a" / "manifest.json").unlink()
    manifest = opened.workspace.train / "b" / "manifest.json"
    write_json(manifest, read_json(manifest) | {"inputs": read_json(manifest)["inputs"] | {"folds": "others"}})
    found = opened.status()
    assert (len(found.runs), found.others, found.unfinished) == (5, 1, 1)
    assert "1 run on other data or folds; 1 run unfinished" in found.told()
    opened.workspace.removed.write_text("run,why\nb,trained again since\nz,gone\n")
    counted = f"1 run unfinished; 1 run removed (scores and recipes: {opened.workspace.removed})"
    assert opened.status().told()[2] == f"1 run on other data or folds; {counted}"


def test_what_can_t_be_read_is_a_note_with_the_command_that_mends_it(opened: Project) -> None:
    opened.workspace.cleaning.write_text("index,action,value,reason,confidence\n0,drop,,mine,1\n")
    found = opened.status()
    assert f"run `compete folds {opened.name} --practice --workspace" in found.note and not found.runs
    assert found.disk["runs"] > 0


def test_it_is_read_without_torch(tmp_path: Path) -> None:
    script = (
        "import sys, toolkit\n"
        f"print(toolkit.open('mars', workspace={str(tmp_path)!r}, practice=True).status().name)\n"
        "import toolkit.data.labelled, toolkit.runs, toolkit.reporting.advice, toolkit.predictions\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and done.stdout == "mars (practice)\n", done.stderr


def test_a_ledger_without_lines_says_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, "mars")
    assert str(ledger.told()[0]).startswith("no submissions of mars yet")
    assert ledger.next == [("compete submit", "builds the first one")]
