"""On a screen everything is shown literally, and no bar goes into a pipe."""

import pytest

from tests.test_command_line import LITERAL
from toolkit.outcome import Table
from toolkit.screen import Screen, here


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
        assert (name in printed) == (len(name) < 30)
        assert max(map(len, printed.splitlines())) <= 80 and printed.count("x") == name.count("x")
        assert printed.count("held") == 1


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
