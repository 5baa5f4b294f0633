"""The ledger keeps every line whole: those that people edited, and those of two processes at once."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.conftest import ROOT
from toolkit.errors import UserError
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
    assert ledger.told()[0].title == f"{ledger.path}: mars, 0 submissions"


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


def test_only_a_file_that_is_whole_has_its_line(ledger: Ledger) -> None:
    file = ledger.folder / "mars" / "a.csv"
    file.parent.mkdir(parents=True)
    file.write_text("x")
    ledger.append(line("a", sha256="2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"))
    assert ledger.line_of(file) == ledger.lines[0]
    file.write_text("y")
    assert ledger.line_of(file) is None


def rows(ledger: Ledger) -> Any:
    return ledger.told()[0].rows


def test_it_shows_itself_as_a_table(ledger: Ledger, edited: Ledger) -> None:
    (row,) = rows(edited)
    assert row == ["mean-0a1b2c3d", "2024-11-01\n10:00\n", "0.6100\n0.580 to 0.640", "-\n-", "-"]
    scores: dict[str, object] = {"matched": 0.5, "matched_low": 0.4, "matched_high": 0.6, "public": 0.71}
    cost: dict[str, object] = {"bytes": 2e6, "seconds": 3.4, "peak_bytes": 1e8}
    ledger.append(line("a", commit="0123456789", tree="changed") | scores | cost)
    ledger.append(line("b", competition="blood_cells"))
    (row,) = rows(ledger)
    assert ledger.told()[0].columns[2:4] == ["clean", "matched"]
    assert row == ["a", "\n01234567+", "-", "0.5000\n0.400 to 0.600", "0.71\n-", "2.0 MB\n3 s\n100 MB held"]


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
    shown = {"time": "2024-11-01T10:00:00", "commit": "", "tree": ""}
    ledger.append(line("a", **shown))
    assert "chosen" not in ledger.told()[0].columns
    ledger.append(line("b", **shown, chosen="lite0-1a: 60 trials of study"))
    (table,) = ledger.told()
    assert [row[list(table.columns).index("chosen")] for row in table.rows] == ["-", "lite0-1a:\n60 trials of study"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"bytes": "abc"}, "the line b has 'abc' in its column bytes, expected a number; mend it"),
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
    assert "the newest" not in ledger.told()[0].title
    ledger.append(line("last"))
    (table,) = ledger.told()
    assert table.title.endswith(f"{SHOWN + 1} submissions, the newest {SHOWN}") and len(table.rows) == SHOWN
    assert table.rows[-1][0] == "last" and len(ledger.as_json()["ledger"]) == SHOWN + 1
