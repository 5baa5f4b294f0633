"""On a screen everything is shown literally, and no bar goes into a pipe."""

import re
import sys
import time
from pathlib import Path

import pytest

from benchmarks.silence import SEQUENCES, listen
from tests.test_command_line import LITERAL
from toolkit.outcome import Table
from toolkit.screen import Screen, here, wrapped


def test_brackets_and_colons_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    screen = Screen()
    screen.say(LITERAL)
    screen.warn(LITERAL)
    screen.table(Table("", ["", ""], [["[b]a[/]", ":a:"], ["[i]", "[/x]"]], total=True))
    said, warned, *table = capsys.readouterr().out.splitlines()
    assert said == LITERAL and warned == f"warning: {LITERAL}"
    assert all(cell in " ".join(table) for cell in ("[b]a[/]", ":a:", "[i]", "[/x]"))


def test_progress_is_not_drawn_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    with Screen().training(2, 3) as watch:
        watch(0, 1.5, "loss 1.0")
    assert capsys.readouterr() == ("", "")


def test_a_name_that_is_to_be_copied_is_not_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("bagged-1f0c93ab-fp16", "x" * 60):
        cells = ["2024-11-01", *["0.580 to 0.640"] * 4, "100 MB held"]
        Screen(stderr=False).table(Table("", ["ID", "built", *"abcd", "cost"], [[name, *cells]]))
        printed = capsys.readouterr().out
        assert name in printed and max(map(len, printed.splitlines())) <= 80
        assert printed.count("held") == 1


def test_rather_than_a_name_a_head_is_broken_at_its_hyphen(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run, blend = "small_unet_muon+epochs12+seed1-1f0c93ab", "mean-biases-412d7043"
    rows = [[name, "0.7092", "0.5652", "0.4138", "5 x 30"] for name in (run, f"blend {blend}")]
    Screen().table(Table("", ["run", "CV", "test-like", "stress", "epochs"], rows, total=True))
    printed = capsys.readouterr().out
    assert run in printed and blend in printed and "test-" in printed and "test-like" not in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_outside_of_a_notebook_the_screen_is_taken() -> None:
    assert isinstance(here(), Screen)


@pytest.mark.parametrize("cells", [["0.7123\n0.690 to 0.734"] * 2, ["0.7123\n0.690 to 0.734"] * 5])
def test_no_word_of_a_head_is_broken(
    cells: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    heads = ["ID", "built", *("clean", "stress", "matched", "holdout", "chosen")[: len(cells)], "public\nprivate"]
    Screen().table(Table("", heads, [["20261128-0a1b2c3d", "2026-11-28", *cells, "0.71\n-"]] * 2))
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert all(word in printed for head in heads for word in head.split())
    assert printed.count("2026-11-28") == printed.count("20261128-0a1b2c3d") == 2


def test_lines_are_broken_between_words_and_commands_and_paths_stay_whole() -> None:
    command, path = "`compete train mars --practice`", "/a/folder/with/a/long/name/report.html"
    text = f"nothing is there yet: {command} makes it, and {path} shows it; 18 to group"
    for width in (40, 60, 80):
        lines = wrapped(text, width).split("\n")
        assert max(map(len, lines)) <= width and " ".join(lines) == text
        assert command in "".join(f"{line}|" for line in lines) and any(path in line for line in lines)
    assert wrapped("a `command that is longer than a line`", 16) == "a `command that\nis longer than a\nline`"
    ours = "run `compete ensemble mars --runs a b` again"
    assert wrapped(ours, 20) == "run\n`compete ensemble mars --runs a b`\nagain", "it is to be copied"
    assert wrapped("Next:  compete train mars --practice", 20) == "Next:  compete train mars --practice"
    assert wrapped("winner: t1\ncompete train mars --practice --recipe best", 20).count("\n") == 1
    assert wrapped("x" * 50 + " y\n  z", 20) == "x" * 50 + "\ny\n  z"  # what fits on no line is left to the terminal


def test_a_pipe_without_a_width_gets_each_sentence_on_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("LINES", raising=False)
    Screen().say("word " * 50)
    monkeypatch.setenv("COLUMNS", "40")
    Screen().warn("word " * 20)
    first, *rest = capsys.readouterr().out.splitlines()
    assert len(first) >= 249 and max(map(len, rest)) <= 40 and len(rest) == 3


def test_a_pipe_is_told_what_lasts_and_how_far_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.screen.LOOK", 0.01)
    monkeypatch.setattr("toolkit.screen.PIPED", 0.1)
    screen = Screen()
    with screen.phase("train mars"), screen.counting("test images", 400) as done:
        done(100)
        time.sleep(0.35)
    lines = capsys.readouterr().out.splitlines()
    assert 1 <= len(lines) <= 4 and set(lines) == {"train mars: 25 %, test images 100 of 400; 0 s"}


TERMINAL = """
import time
from toolkit.screen import Screen
screen = Screen()
with screen.phase("train mars"):
    time.sleep(0.5)
    with screen.phase("unet", costs={"folds": 3, "test images": 1}):
        with screen.training(2, 4) as watch:
            watch(0, 2.5, "loss 0.4")
            screen.say_score("unet: CV accuracy ", "0.9", "", True)
            time.sleep(0.5)
        with screen.phase("test images"):
            time.sleep(0.5)
print("end")
"""


@pytest.mark.parametrize("colour", [True, False])
def test_a_terminal_shows_a_bar_for_the_whole_and_what_is_done_below(colour: bool, tmp_path: Path) -> None:
    heard = listen([sys.executable, "-c", TERMINAL], tmp_path, True, more={} if colour else {"NO_COLOR": "1"})
    text = "".join(heard.texts)
    plain = SEQUENCES.sub("", text)
    assert heard.status == 0 and "unet: fold 1/2 epoch 3/4 loss 0.4" in plain and "unet: test images" in plain
    bars = [line for line in plain.splitlines() if "%" in line]
    assert {len(line.rstrip()) for line in bars if "left" not in line} and max(map(len, bars)) <= 80
    assert " 23 % " in plain and re.search(r" (7[5-9]|[89]\d) % ", plain) and plain.endswith("end\r\n")
    assert ("\x1b[1;32m0.9" in text) == colour and ("\x1b[1m0.9" in text) != colour


def test_a_log_that_wants_colours_gets_no_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with Screen().phase("train mars"):
        time.sleep(0.3)
    assert capsys.readouterr() == ("", "")
