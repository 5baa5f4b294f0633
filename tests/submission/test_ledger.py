"""The ledger keeps every line whole: those that people edited, and those of two processes at once."""

import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

from tests.conftest import ROOT
from toolkit.errors import UserError
from toolkit.outcome import Table
from toolkit.screen import Screen
from toolkit.store import write_text
from toolkit.submission.ledger import COLUMNS, SHOWN, Ledger, identity, read

EDITED = """time,competition,submission,sha256,metric,clean,low,high,mood
2024-11-01T10:00:00+0100,mars,mars/mean-0a1b2c3d.csv,aaaabbbbcccc,mean IoU,0.61,0.58,0.64,good
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "new", "mars")


@pytest.fixture
def edited(tmp_path: Path) -> Ledger:
    """Without most columns, and with one of the user's own."""
    (tmp_path / "ledger.csv").write_text(EDITED)
    return Ledger(tmp_path, "mars")


def line(name: str, competition: str = "mars", **more: object) -> dict[str, object]:
    return {"competition": competition, "submission": f"{competition}/{name}.csv", "sha256": f"{name}ff"} | more


def test_where_there_is_no_ledger_there_are_no_lines(ledger: Ledger) -> None:
    assert ledger.lines == []
    assert ledger.told() == ["no submissions of mars yet"]


def test_a_line_comes_back_as_text_with_every_column(ledger: Ledger) -> None:
    ledger.append(line("a", clean=0.61, public=None, blend='one=0.5 two="x", y\nz'))
    (found,) = ledger.lines
    assert set(found) == set(COLUMNS)
    assert found["clean"] == "0.61" and found["public"] == "" and found["blend"] == 'one=0.5 two="x", y\nz'
    assert pd.read_csv(ledger.path)["submission"].tolist() == ["mars/a.csv"]
    assert not list(ledger.folder.glob("*.partial"))


def test_an_edited_ledger_is_read_and_kept(edited: Ledger) -> None:
    (old,) = edited.lines
    assert old["clean"] == "0.61" and old["stress"] == old["public"] == ""
    edited.update("mean-0a1b2c3d", {"public": 0.6})
    edited.append(line("b"))
    first, second = edited.lines
    assert first["time"] == "2024-11-01T10:00:00+0100" and first["public"] == "0.6"
    assert second["submission"] == "mars/b.csv" and (first["mood"], second["mood"]) == ("good", "")


def test_a_ledger_saved_by_a_spreadsheet_is_read(edited: Ledger) -> None:
    edited.path.write_bytes(b"\xef\xbb\xbf" + EDITED.replace("\n", "\r\n").encode())
    assert edited.lines[0]["competition"] == "mars"


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_ledger_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"ledger\.csv (must have the columns|can't be read)"):
        read(path)


def test_a_cell_beyond_the_header_is_refused_and_not_lost(ledger: Ledger) -> None:
    ledger.append(line("one"))
    ledger.path.write_text(ledger.path.read_text().rstrip("\n") + ",a note\n")
    with pytest.raises(UserError, match=r"ledger.csv line 2 has more cells than the first"):
        ledger.append(line("two"))
    assert "a note" in ledger.path.read_text()


def test_what_the_leaderboard_said_is_kept_where_the_same_file_is_built_again(ledger: Ledger) -> None:
    ledger.append(line("one", public="0.71"))
    ledger.append(line("two", public="0.5"))
    assert ledger.append(line("one"))["public"] == "0.71"
    assert "public" not in ledger.append(line("one") | {"sha256": "other"})
    assert [one["public"] for one in ledger.lines] == ["0.5", "0.71", ""], "one file has one line, the newest"


def test_a_submission_is_found_by_its_id_or_the_start_of_its_hash(ledger: Ledger) -> None:
    for name in ("mean-12", "mean-13"):
        ledger.append(line(name, sha256=name[-2:] + "abc"))
    ledger.append(line("c", competition="blood_cells"))
    for name in ("mean-12", "12a"):
        assert ledger.find(name)["submission"] == "mars/mean-12.csv"
    assert identity(ledger.find()) == "mean-13"
    with pytest.raises(UserError, match=r"'mean-1' could be several of .* mars; there are mean-12, mean-13"):
        ledger.find("mean-1")
    with pytest.raises(UserError, match=r"'x' is none of .* mars; there are mean-12, mean-13"):
        ledger.find("x")
    with pytest.raises(UserError, match="has no submission of tiny"):
        Ledger(ledger.folder, "tiny").find()


@pytest.mark.parametrize(
    ("file", "known_as"),
    [
        ("mean-0a1b2c3d.csv", "mean-0a1b2c3d"),
        ("mean-0a1b2c3d-known.csv.gz", "mean-0a1b2c3d-known"),
        ("mean-0a1b2c3d.csv.zip", "mean-0a1b2c3d"),
        ("top0.5-0a1b2c3d-fp16.zip", "top0.5-0a1b2c3d-fp16"),
        ("top0.5-0a1b2c3d-notebook", "top0.5-0a1b2c3d-notebook"),
    ],
)
def test_an_id_has_no_suffix_of_a_file_however_it_is_packed(file: str, known_as: str, ledger: Ledger) -> None:
    ledger.append({"competition": "mars", "submission": f"mars/{file}", "sha256": "1"})
    for name in (known_as, file):
        assert identity(ledger.find(name)) == known_as


def test_only_a_file_that_is_whole_has_its_line(ledger: Ledger) -> None:
    file = ledger.folder / "mars" / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    ledger.append(line("a", sha256="2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"))
    assert ledger.line_of(file) == ledger.lines[0]
    file.write_text("y")
    assert ledger.line_of(file) is None


def shown(ledger: Ledger) -> Table:
    table = ledger.told()[0]
    assert isinstance(table, Table)
    return table


def rows(ledger: Ledger) -> Any:
    return shown(ledger).rows


def test_it_shows_itself_as_a_table_the_newest_first_with_the_best_marked(ledger: Ledger, edited: Ledger) -> None:
    assert rows(edited) == [["mean-0a1b2c3d", "1 Nov", "0.6100", "-\n-"]]
    scores: dict[str, object] = {"matched": 0.5, "matched_low": 0.4, "matched_high": 0.6, "stress": 0.3, "clean": 0.7}
    cost: dict[str, object] = {"bytes": 2e6, "seconds": 3.4, "peak_bytes": 1e8}
    ledger.append(line("a", clean=0.6, public=0.7, time="2024-11-02T10:00:00+0100"))
    ledger.append(line("b", commit="0123456789", tree="changed", public=0.71) | scores | cost)
    ledger.append(line("c", competition="blood_cells"))
    table, note = shown(ledger), ledger.told()[1]
    assert table.columns == ["ID", "built", "CV", "stress", "test-\nlike", "public\nprivate"]
    assert table.rows[0] == ["b", "", "0.7000*", "0.3000*", "0.5000*", "0.71*\n-"]
    assert table.rows[1] == ["a", "2 Nov", "0.6000", "-", "-", "0.7\n-"]
    assert note == "* the best of its column; -v shows all: intervals, costs, commits"
    more = replace(ledger, verbose=True)
    assert shown(more).columns[2:5] == ["CV", "stress", "test-like"]
    assert rows(more)[0][4:] == ["0.5000*\n0.400 to 0.600", "0.71*\n-", "2.0 MB\n3 s\n100 MB held"]
    assert rows(more)[0][1] == "\n01234567+"


def test_where_the_lower_score_is_better_that_one_is_marked(ledger: Ledger) -> None:
    ledger.append(line("a", clean=0.6, practice=0.9))
    ledger.append(line("b", clean=0.7, practice=0.8))
    lower = replace(ledger, sign=-1)
    assert rows(lower) == [["b", "", "0.7000", "0.8000*"], ["a", "", "0.6000*", "0.9000"]]
    assert shown(lower).columns[-1] == "practice"


@pytest.mark.parametrize("width", [80, 120])
def test_an_id_stays_whole_on_its_line(width: int, ledger: Ledger) -> None:
    name = "mean-regions-biases-40dfaca1"
    for number in range(2):
        scores = dict.fromkeys(("clean", "stress", "matched", "holdout"), 0.5)
        ledger.append(line(f"{name}{number}", time="2024-11-22T10:00:00+0100", public=0.71234) | scores)
    file, screen = StringIO(), Screen()
    screen._console = Console(file=file, width=width)
    screen.show(ledger)
    told = file.getvalue()
    assert f"{name}0 " in told and f"{name}1 " in told and max(map(len, told.splitlines())) <= width


def test_a_line_is_taken_off_and_put_back(ledger: Ledger) -> None:
    for name in "abc":
        ledger.append(line(name, public=0.7, mood="good"))
    ledger.append(line("a", competition="blood_cells"))
    assert identity(ledger.forget("a")) == "a"
    assert [identity(one) for one in ledger.lines] == ["b", "c"] and len(read(ledger.path)) == 3
    assert [identity(one) for one in ledger.forgotten] == ["a"] and ledger.forgotten[0]["mood"] == "good"
    with pytest.raises(UserError, match="'a' is none of the submissions of mars; there are b, c"):
        ledger.forget("a")
    with pytest.raises(UserError, match="'b' is none of the submissions of mars; there are a"):
        ledger.remember("b")
    ledger.remember("a")
    assert [identity(one) for one in ledger.lines] == ["b", "c", "a"] and ledger.forgotten == []


def test_a_kill_while_a_line_moves_loses_none(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.append(line("a"))
    ledger.append(line("b"))
    calls: list[Path] = []

    def killed(path: Path, text: str) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write_text(path, text)

    with monkeypatch.context() as patched:
        patched.setattr("toolkit.submission.ledger.write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            ledger.forget("a")
    assert len(ledger.lines) == 2 and len(ledger.forgotten) == 1
    ledger.forget("a")
    assert len(ledger.lines) == 1 and len(ledger.forgotten) == 1


def test_two_processes_lose_no_line(ledger: Ledger) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom toolkit.submission.ledger import Ledger\n"
        "for i in range(20): Ledger(Path(sys.argv[1]), 'mars').append("
        "{'competition': 'mars', 'submission': f'mars/{sys.argv[2]}-{i}.csv', 'sha256': ''})"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(ledger.folder), name], cwd=ROOT) for name in "ab"]
    assert [process.wait() for process in started] == [0, 0]
    found = [line["submission"] for line in ledger.lines]
    assert len(found) == len(set(found)) == 40


def test_what_was_chosen_among_a_searchs_trials_is_shown_where_there_is_any(ledger: Ledger) -> None:
    known = {"time": "2024-11-01T10:00:00", "commit": "", "tree": ""}
    ledger.append(line("a", **known))
    ledger = replace(ledger, verbose=True)
    assert "chosen" not in shown(ledger).columns
    ledger.append(line("b", **known, chosen="lite0-1a: 60 trials of study"))
    table = shown(ledger)
    assert [row[list(table.columns).index("chosen")] for row in table.rows] == ["lite0-1a:\n60 trials of study", "-"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bytes": "abc"}, "the line b has 'abc' in its column bytes, expected a number; fix it"),
        ({"public": "nan"}, "the line b has 'nan' in its column public"),
        ({"submission": ""}, "has '' in its column submission, expected the path of its file"),
    ],
)
def test_a_cell_that_was_edited_into_nonsense_is_named(more: dict[str, str], said: str, ledger: Ledger) -> None:
    ledger.append(line("a"))
    ledger.append(line("b") | more)
    with pytest.raises(UserError, match=re.escape(said)):
        ledger.told()
    assert Ledger(ledger.folder, "other").lines == []


def test_of_very_many_lines_the_newest_are_shown(ledger: Ledger) -> None:
    for name in range(SHOWN):
        ledger.append(line(str(name)))
    assert "the newest" not in shown(ledger).title
    ledger.append(line("last"))
    table = shown(ledger)
    assert table.title.endswith(f"{SHOWN + 1} submissions, the newest {SHOWN}") and len(table.rows) == SHOWN
    assert table.rows[0][0] == "last" and len(ledger.as_json()["ledger"]) == SHOWN + 1
