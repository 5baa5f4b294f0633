"""The command takes its options, shows the search's end, and prints it as JSON."""

import json
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.tiny import prepare
from toolkit.command_line import parser, run_command
from toolkit.search import add_options, search

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_command_takes_its_options_and_prints_one_json_object(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.tuning.summary.draw", lambda *_: [])
    prepare(tmp_path)
    made = parser("search", "", overrides=True)
    add_options(made)
    where = [str(ROOT / "tests" / "tiny"), "--practice", "--workspace", str(tmp_path), "--json"]
    asked = ["schedule.epochs=1", "--trials", "2", "--repeats", "1", "--stress", "none", "--budget", "10m"]
    assert run_command(made, search, [*where, *asked]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert result["trials"]["begun"] == 2 and result["seeds"] == 2 and Path(result["recipe"]).is_file()
    for told in (
        "search tiny-practice-",
        ": CV score on ",
        "trial 1 ",
        "Finalists, trained on all folds",
        "winner: first-t",
    ):
        assert told in err
