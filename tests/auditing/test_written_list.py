"""A cleaning list whose end is gone is told from one that a person edited."""

from pathlib import Path

import pandas as pd
import pytest

from tests import tiny
from toolkit import Project
from toolkit.auditing.written_list import lost_end, write_list
from toolkit.outcome import Warned

LINES = [(3, "drop?"), (4, "drop"), (6, "group"), (9, "group"), (9, "relabel?")]
HEAD = ["index", "action", "value", "reason", "confidence"]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = tiny.prepare(tmp_path)
    write_list(
        made.workspace,
        pd.DataFrame(
            [(index, action, "1" * (action[0] != "d"), "copy: of 3", 0.5) for index, action in LINES], columns=HEAD
        ),
    )
    return made


def cut(project: Project, lines: int) -> None:
    """The list loses its last lines."""
    whole = project.workspace.cleaning.read_text().splitlines(keepends=True)
    project.workspace.cleaning.write_text("".join(whole[:-lines]))


def test_a_list_that_was_cut_is_told_with_what_is_missing_and_what_to_do(project: Project) -> None:
    assert lost_end(project.workspace) == ""
    cut(project, 3)
    project.workspace.cleaning.write_text(project.workspace.cleaning.read_text().replace("drop?", "drop"))
    said = lost_end(project.workspace)
    assert "3 lines are missing at its end, of 5 that were written there (row 6: group, row 9: group, row 9: " in said
    assert "If you took that out yourself, all is well" in said and "run `compete audit`" in said
    cut(project, 2)
    assert "5 lines are missing" in lost_end(project.workspace), "the head alone is left"


def test_lines_that_a_person_takes_out_or_adds_are_an_edit(project: Project) -> None:
    whole = project.workspace.cleaning.read_text()
    for edited in (
        whole.replace("4,drop,,copy: of 3,0.5\n", ""),
        whole + "12,drop,,mine,1\n",
        "index,action,value\n7,drop,\n",
    ):
        project.workspace.cleaning.write_text(edited)
        assert lost_end(project.workspace) == ""


def test_lines_that_were_refused_are_not_missing(project: Project) -> None:
    project.refuse(9)  # what is suggested goes first
    assert lost_end(project.workspace) == ""
    cut(project, 1)
    assert "1 line is missing at its end, of 4 that were written there (row 9: group)" in lost_end(project.workspace)


def test_folds_tell_it(project: Project) -> None:
    cut(project, 2)
    warned = [part.text for part in project.folds(again=True).told() if isinstance(part, Warned)]
    assert any("ends early" in text for text in warned)
