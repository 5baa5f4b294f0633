"""What is printed where, and the exit status."""

import errno
import json
import sys
from argparse import ArgumentTypeError, Namespace
from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest

import toolkit.__main__
from tests.test_end_to_end import COMMANDS
from tests.tiny import competition
from toolkit.command_line import at_least, finite, parse_duration, parser, run_command
from toolkit.competition_folders import called
from toolkit.errors import UserError
from toolkit.outcome import Outcome, Table
from toolkit.project import Project

LITERAL = "a [bold]path[/] with [/brackets], [1] and :smile:"


class Numbers(Outcome):
    def told(self) -> list[str | Table]:
        return ["working", Table("numbers", ["name", "value"], [["a", "1"]])]

    @property
    def next(self) -> list[tuple[str, str]]:
        return [("compete submit", "builds it")]

    def as_json(self) -> dict[str, Any]:
        return {"a": 1}


def status(end: BaseException | None = None, *options: str) -> int:
    def command(project: Project, options: Namespace) -> Numbers:
        assert project.competition is competition and project.workspace.name.startswith("tiny")
        if end:
            raise end
        return Numbers()

    return run_command(parser("command", ""), command, [str(competition.folder), *options])


def test_a_command_that_ends_well_shows_its_outcome_and_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert status() == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("working\n") and "{" not in printed.out and not printed.err


def test_a_command_ends_with_the_next_one_to_copy_and_a_notebook_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    name = called(competition.folder)
    assert status(None, "--practice") == 0
    assert capsys.readouterr().out.endswith(f"Next:  compete submit {name} --practice   builds it\n")
    assert status(UserError("it is gone; run `compete audit` again"), "--practice") == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert printed == f"error: it is gone; run `compete audit {name} --practice` again"
    assert status(None, "--json") == 0
    assert "Next" not in capsys.readouterr().err and "Next" not in Numbers()._repr_html_()


def test_json_is_alone_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(None, "--json", "--practice") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {"a": 1} and printed.out.count("\n") == 1
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


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (OSError(errno.ENOSPC, "full", "a.npy"), "error: a.npy can't be used: No space left on device; make room"),
        (OSError("72 requested and 8 written"), "error: a file can't be written: No space left on device; make room"),
        (NotADirectoryError(errno.ENOTDIR, "no", "w/x"), "error: w/x can't be used: Not a directory; choose another"),
        (
            OSError(errno.EMFILE, "many", "w/x.npy"),
            "error: w/x.npy can't be used: Too many open files; nothing is dam",
        ),
        (
            OSError(errno.ENOSPC, "full", "w/.x.npy.12.partial"),
            "error: w/x.npy can't be used: No space left on device",
        ),
        (
            RuntimeError("[enforce fail at x.cc:1] . unexpected pos 64 vs 0"),
            "error: a file can't be written: No space",
        ),
        (RuntimeError("basic_ios::clear: iostream error"), "error: a file can't be written: No space"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "error: a file can't be written: No space"),
        (MemoryError(), "error: memory ran out (MemoryError); close other programs"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "error: memory ran out (RuntimeError: Default"),
        (
            BrokenProcessPool("ended abruptly"),
            "error: a process that helped was killed, most often for lack of memory",
        ),
    ],
)
def test_what_the_machine_refuses_is_one_line(end: Exception, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(end) == 1
    printed = capsys.readouterr().out
    assert printed.startswith(said) and printed.count("\n") == 1


def test_a_fault_of_the_program_is_one_sentence_and_its_traceback_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert status(ZeroDivisionError("by\nzero")) == 1
    printed = capsys.readouterr()
    assert printed.out.startswith("error: ") and printed.out.count("\n") == 1 and not printed.err
    assert ": ZeroDivisionError: by zero" in printed.out and "test_command_line.py, line" in printed.out
    assert status(ZeroDivisionError(), "--debug") == 1
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("TOOLKIT_DEBUG", "1")
    assert status(UserError("said")) == 1
    assert "UserError: said" in capsys.readouterr().err


def test_a_bug_report_is_written_where_the_command_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["search", "--storage", "postgresql://me:secret@host/db"])
    (tmp_path / "w" / "tiny").mkdir(parents=True)
    (tmp_path / "w" / "tiny" / "cleaning.csv").write_text("content")
    end = ValueError("postgresql://me:secret@host/db is away")
    assert status(end, "--report-bug", "--workspace", "w") == 1
    assert "read it before you send it" in capsys.readouterr().out
    report = (tmp_path / "bug-report.txt").read_text()
    for part in ("ValueError", "Traceback", "torch ", "tiny/cleaning.csv", "postgresql://me:***@host/db"):
        assert part in report
    assert "secret" not in report and "content" not in report
    assert status(None, "--report-bug", "--workspace", "w") == 0


def test_an_argument_that_can_be_no_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    for word, shown in (("caf\udce9", r"caf\udce9"), ("a\0b", r"a\x00b")):
        with pytest.raises(SystemExit, match="2"):
            status(None, "--data", word)
        assert f"the argument {shown} can't be a name; rename the file or folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--seed", "-1"], "--seed must not be negative"),
        (["--practice-size", "23"], "--practice-size must be at least 24"),
        (["--workers", "-1"], "--workers must not be negative"),
        (["--workers", "two"], "'two' is no whole number"),
        (["--workers", "9" * 400], "numbers end below two billion"),
    ],
)
def test_wrong_usage_ends_with_status_2(options: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        status(None, *options)
    assert ended.value.code == 2 and said in capsys.readouterr().err


def test_a_folder_that_is_no_competition_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(parser("command", ""), lambda *_: {}, [str(tmp_path / "[mars]")]) == 1
    assert capsys.readouterr().out.startswith(f"error: {tmp_path}/[mars] is not a competition")


def test_durations_are_read() -> None:
    assert [parse_duration(text) for text in ("90s", "20m", "1h30m")] == [90, 1200, 5400]
    for wrong in ("", "20", "m", "0s", "1.5h", f"{'9' * 400}h"):
        with pytest.raises(ArgumentTypeError, match="is not a duration"):
            parse_duration(wrong)


def test_a_command_that_there_is_not_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for word, said in (("frob", "there are run, status, new"), ("trian", "did you mean `compete train`?")):
        monkeypatch.setattr(sys, "argv", ["compete", word, "mars"])
        with pytest.raises(SystemExit, match="2"):
            toolkit.__main__.main()
        printed = capsys.readouterr()
        assert printed.err.startswith(f"error: {word} is not a command; {said}") and not printed.out
        assert printed.err.count("\n") == 1
    monkeypatch.setattr(sys, "argv", ["compete"])
    toolkit.__main__.main()
    listed = capsys.readouterr().out
    assert all(f"  {command} " in listed for command in COMMANDS)


def test_one_word_calls_every_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for command in COMMANDS:
        monkeypatch.delitem(sys.modules, f"toolkit.{command}", raising=False)
        monkeypatch.setattr(sys, "argv", ["compete", command, "--help"])
        with pytest.raises(SystemExit, match="0"):
            toolkit.__main__.main()
        assert capsys.readouterr().out.startswith(f"usage: compete {command} ")


@pytest.mark.parametrize(
    ("take", "text", "said"),
    [
        (at_least(0, "too few"), "1.5", "'1.5' is no whole number"),
        (at_least(0, "too few"), "-1", "too few"),
        (finite, "abc", "abc is no score; give a number"),
        (finite, "nan", "nan is no score; give a number"),
    ],
)
def test_a_word_where_a_number_belongs_is_told_so(take: Callable[[str], float], text: str, said: str) -> None:
    with pytest.raises(ArgumentTypeError, match=said):
        take(text)
