"""The command: what it grades when it isn't told."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny
from toolkit.command_line import parser, run_command
from toolkit.grade import add_options, grade


def call(folder: Path, capsys: pytest.CaptureFixture[str], *options: str, status: int = 0) -> Any:
    """The JSON that is printed, or the error."""
    made = parser("grade", "")
    add_options(made)
    places = [str(tiny.competition.folder), "--workspace", str(folder), "--submissions", str(folder)]
    capsys.readouterr()
    assert run_command(made, grade, [*places, *([] if status else ["--json"]), *options]) == status
    printed = capsys.readouterr()
    return printed.out if status else json.loads(printed.out)


def test_the_newest_submission_is_held_against_the_practice_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "give --truth FILE, grade practice data" in call(tmp_path, capsys, status=1)
    assert "run `compete submit " in call(tmp_path, capsys, "--practice", status=1)
    tiny.practice(tmp_path / "tiny-practice" / "practice", 0, 16)
    assert "ledger.csv has no submission of tiny-practice" in call(tmp_path, capsys, "--practice", status=1)
    for name, labels in (("old", "0 0 0 0"), ("new", "0 1 2 1")):
        (tmp_path / f"{name}.txt").write_text(labels)
    lines = "tiny-practice,old.txt\ntiny-practice,new.txt\nmars,other.csv\n"
    (tmp_path / "ledger.csv").write_text("competition,submission\n" + lines)
    found = call(tmp_path, capsys, "--practice")
    assert (found["submission"], found["leaderboard"]) == (f"{tmp_path}/new.txt", 0.75)
    old = call(tmp_path, capsys, "--practice", "--submission", str(tmp_path / "old.txt"))
    assert old["leaderboard"] == 0.5
    np.savez(tmp_path / "t.npz", targets=[0, 1, 2, 1])
    assert call(tmp_path, capsys, "--practice", "--truth", str(tmp_path / "t.npz"))["leaderboard"] == 1


def test_a_truth_in_the_form_of_a_submission_is_read_by_the_rows_of_the_test_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny.prepare(tmp_path)
    (tests,) = tiny.project(tmp_path).labelled().test_images.shape[:1]
    for name, label in (("said", 1), ("answers", 0)):
        (tmp_path / f"{name}.txt").write_text(" ".join(["0"] * (tests - 1) + [str(label)]))
    files = ["--submission", str(tmp_path / "said.txt"), "--truth", str(tmp_path / "answers.txt")]
    found = call(tmp_path, capsys, "--practice", *files)
    assert found["leaderboard"] == pytest.approx((tests - 1) / tests)
