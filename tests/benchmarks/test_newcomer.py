"""What `new` makes of the examples' downloads is measured on each of them, and lines are edited as listed."""

from pathlib import Path

import pytest

from benchmarks import newcomer
from toolkit import UserError


def test_each_example_is_measured() -> None:
    there = {path.parent.name for path in newcomer.EXAMPLES.glob("*/__init__.py")}
    assert there == set(newcomer.NEWCOMERS)


def test_a_line_is_edited_by_what_it_begins_with_and_must_be_there(tmp_path: Path) -> None:
    file = tmp_path / "__init__.py"
    file.write_text("METRIC = RocAuc()  # CHOOSE\nTASK = 1\n")
    newcomer.edit(file, {"METRIC =": "METRIC = LogLoss()"})
    assert file.read_text() == "METRIC = LogLoss()\nTASK = 1\n"
    with pytest.raises(UserError, match="0 lines begin with 'RATE ='"):
        newcomer.edit(file, {"RATE =": ""})


def test_what_loads_works_and_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = newcomer.measure("dogs_vs_cats", tmp_path / "a", size=24)
    assert (found.task, found.edits, found.guessed, found.fault) == ("Classification", 0, True, "")
    wrong = newcomer.Newcomer("log_loss", {"METRIC =": "METRIC = log(2)"})
    monkeypatch.setitem(newcomer.NEWCOMERS, "dogs_vs_cats", wrong)
    broken = newcomer.measure("dogs_vs_cats", tmp_path / "b", size=24)
    assert broken.edits == 1 and "log" in broken.fault
    assert (
        newcomer.table([found, broken]).title == "of 2 examples 1 work without an edit, 1 with one edited line at most"
    )
