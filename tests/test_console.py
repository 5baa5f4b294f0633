"""What is printed where, and the exit status."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import competition
from toolkit import console
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.store import Workspace

LITERAL = "a [bold]path[/] with [/brackets], [1] and :smile:"


def status(end: BaseException | None = None, *options: str) -> int:
    def verb(of: Competition, workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
        assert of is competition and workspace.name.startswith("tiny")
        console.say("working")
        console.table("numbers", ["name", "value"], [["a", "1"]])
        if end:
            raise end
        return {"workspace": workspace.name}

    return console.run_verb(console.parser("verb", ""), verb, [str(competition.folder), *options])


def test_a_verb_that_ends_well_prints_what_it_says_and_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("working\n") and "{" not in printed.out and not printed.err


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(None, "--json", "--practice") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"workspace": "tiny-practice"} and printed.out.count("\n") == 1
    assert printed.err.startswith("working\n") and "numbers" in printed.err
    assert status() == 0
    assert capsys.readouterr().out.startswith("working\n")


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    ("end", "expected", "said"),
    [
        (UserError(LITERAL), 1, f"error: {LITERAL}\n"),
        (KeyboardInterrupt(), 130, "\nstopped; the same command again goes on from here\n"),
    ],
)
def test_an_error_and_ctrl_c_have_their_status_and_one_line(
    end: BaseException, expected: int, said: str, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert status(end, *options) == expected
    printed = capsys.readouterr()
    assert (printed.err if options else printed.out).endswith(said)
    assert not options or not printed.out


def test_a_fault_of_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        status(ZeroDivisionError())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "--seed must not be negative"),
        (["--practice-size", "23"], "--practice-size must be at least 24"),
        (["--workers", "-1"], "--workers must not be negative"),
        (["--workers", "two"], "invalid int value: 'two'"),
    ],
)
def test_wrong_usage_ends_with_status_2(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        status(None, *options)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_brackets_and_colons_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    console.say(LITERAL)
    console.warn(LITERAL)
    console.table("", ["", ""], [["[b]a[/]", ":a:"], ["[i]", "[/x]"]], total=True)
    said, warned, *table = capsys.readouterr().out.splitlines()
    assert said == LITERAL and warned == f"warning: {LITERAL}"
    assert all(cell in " ".join(table) for cell in ("[b]a[/]", ":a:", "[i]", "[/x]"))


def test_scores_and_times_are_short() -> None:
    assert console.interval({"score": 0.5, "low": 0.41239, "high": 0.6}) == "0.5000 (0.4124 to 0.6000)"
    assert [console.duration(s) for s in (0.4, 59.4, 59.6, 3600)] == ["0 s", "59 s", "1 min 00 s", "60 min 00 s"]


def test_progress_is_not_drawn_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with console.training_progress(2, 3) as watch:
        watch(0, 1.5, "loss 1.0")
    assert capsys.readouterr() == ("", "")


def test_a_folder_that_is_no_competition_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert console.run_verb(console.parser("verb", ""), lambda *_: {}, [str(tmp_path / "[mars]")]) == 1
    assert capsys.readouterr().out.startswith(f"error: {tmp_path}/[mars] is not a competition")
