"""What a person decides of the list: accepted, refused, kept as it was, and what has to be made again."""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from toolkit import Project, Run, UserError
from toolkit.audit import add_options, audit
from toolkit.auditing.review import still_waiting
from toolkit.outcome import Warned

LIST = (
    "index,action,value,reason,confidence\n"
    "3,drop?,,unlike the rest: 9.1 robust standard deviations,0.5\n"
    '4,relabel?,green,"doubtful label: red, looks like green",0.99\n'
    "5,drop?,,unlike the rest: 8.5 robust standard deviations,0.5\n"
    "6,group,6,copy: of 7,0.9\n"
    '7,group,6,"copy: of 6, a ""sure"" one",0.9\n'
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = tiny.prepare(tmp_path)
    made.workspace.cleaning.write_text(LIST)
    return made


def test_a_row_and_a_kind_are_accepted_and_others_stay_as_they_were(project: Project) -> None:
    done = project.accept(4)
    assert project.workspace.cleaning.read_text() == LIST.replace("4,relabel?", "4,relabel")
    assert project.workspace.cleaning.with_name("cleaning.csv.1").read_text() == LIST
    assert done.told()[0] == "accepted 1 line: 4 (relabel)"
    project.accept("Unlike the Rest")
    assert "?" not in project.workspace.cleaning.read_text()


def test_what_is_refused_is_taken_away_suggestions_before_what_is_obeyed(project: Project) -> None:
    done = project.refuse("unlike the rest", "doubtful label")
    assert [line[0] for line in project.workspace.cleaning.read_text().splitlines()[1:]] == ["6", "7"]
    assert not done.next and not any(isinstance(part, Warned) for part in done.told())
    done = project.refuse("copy")
    assert project.workspace.cleaning.read_text() == "index,action,value,reason,confidence\n"
    assert [command for command, _ in done.next] == ["compete folds"]


def test_what_waits_is_what_the_list_on_disk_still_asks(project: Project) -> None:
    proposal = pd.read_csv(project.workspace.cleaning)
    project.review(["4"], ["5"])
    assert still_waiting(project.workspace, proposal).tolist() == [3]
    project.workspace.cleaning.write_text("not a list")
    assert still_waiting(project.workspace, proposal).tolist() == [3, 4, 5]


def test_a_wrong_word_is_one_sentence_with_near_ones_and_nothing_is_changed(project: Project) -> None:
    for words, said in (
        (("3", "unlike the res"), "'unlike the res' is neither .*; did you mean 'unlike the rest'?"),
        (("banana",), "kinds are copy, doubtful label, unlike the rest"),
        (("12",), "says nothing about '12'; it has 'unlike the rest' \\(2\\)"),
        (("6",), "'6' needs no accepting: the list already has it as group"),
    ):
        with pytest.raises(UserError, match=said):
            project.accept(*words)
    with pytest.raises(UserError, match="3 is both accepted and refused"):
        project.review(["3"], ["unlike the rest"])
    assert project.workspace.cleaning.read_text() == LIST
    project.workspace.cleaning.write_text(LIST.partition("\n")[0] + "\n")
    with pytest.raises(UserError, match="cleaning list; it has no line"):
        project.accept("banana")
    project.workspace.cleaning.unlink()
    with pytest.raises(UserError, match="run `compete audit` first"):
        project.accept(3)


def test_folds_and_runs_that_no_longer_fit_are_named_with_the_way_back(tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path)
    labelled = project.labelled()
    run = Run(project.workspace.train / "first", labelled)
    run.folder.mkdir(parents=True)
    tiny.leave_run(run, tiny.FIRST, np.full((len(labelled.images), 3), 1 / 3))
    project.workspace.cleaning.write_text(LIST.partition("\n")[0] + "\n3,drop?,,unlike the rest: 9.1,0.5\n")
    done = project.accept(3)
    (warned,) = (part.text for part in done.told() if isinstance(part, Warned))
    assert run.name in warned and "have to be made again" in warned and "move cleaning.csv.1 back" in warned
    assert done.as_json()["orphaned_runs"] == [run.name] and done.next[0][0] == "compete folds --again"
    again = project.refuse(3)
    assert not any(isinstance(part, Warned) for part in again.told())  # the folds were stale before
    assert again.next[0][0] == "compete folds --again", "the run is on them all the same, and `folds` asks"


def test_names_with_blanks_and_both_options_on_the_command_line() -> None:
    made = argparse.ArgumentParser()
    add_options(made)
    options = made.parse_args(["--accept", "a b.png", "7", "--refuse", "unlike the rest", "--accept", "9"])

    class Asked:
        def review(self, accept: list[str], refuse: list[str]) -> tuple[list[str], list[str]]:
            return accept, refuse

    assert audit(Asked(), options) == (["a b.png", "7", "9"], ["unlike the rest"])  # type: ignore[arg-type,comparison-overlap]
