"""The ledger keeps every line whole: old ones, those of other versions, and those of two processes at once."""

import csv
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import ROOT
from toolkit.errors import UserError
from toolkit.submission import ledger

OLD = """time,competition,submission,sha256,metric,clean,low,high
2024-11-01T10:00:00+0100,mars,mars/mean-0a1b2c3d.csv,aaaabbbbcccc,mean IoU,0.61,0.58,0.64
"""


def line(name: str, competition: str = "mars", **more: object) -> dict[str, object]:
    return {"competition": competition, "submission": f"{competition}/{name}.csv", "sha256": f"{name}ff"} | more


def test_where_there_is_no_ledger_there_are_no_lines(tmp_path: Path) -> None:
    assert ledger.read(tmp_path / "ledger.csv") == []


def test_a_line_comes_back_as_text_with_every_column(tmp_path: Path) -> None:
    path = tmp_path / "new" / "ledger.csv"
    ledger.append(path, line("a", clean=0.61, public=None, blend='one=0.5 two="x", y\nz'))
    (found,) = ledger.read(path)
    assert set(found) == set(ledger.COLUMNS)
    assert found["clean"] == "0.61" and found["public"] == "" and found["blend"] == 'one=0.5 two="x", y\nz'
    assert pd.read_csv(path)["submission"].tolist() == ["mars/a.csv"]
    assert not list(path.parent.glob("*.partial")) and len(list(path.parent.iterdir())) == 1


def test_the_newest_line_is_the_last(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    for name in ("a", "b"):
        ledger.append(path, line(name))
    ledger.append(path, line("c", competition="blood_cells"))
    assert ledger.identity(ledger.find(ledger.read(path), "mars", None, path)) == "b"


def test_an_old_ledger_with_fewer_columns_is_read_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_text(OLD)
    (old,) = ledger.read(path)
    assert old["clean"] == "0.61" and old["stress"] == old["public"] == ""
    ledger.update(path, "mars", "mean-0a1b2c3d", {"public": 0.6})
    ledger.append(path, line("b"))
    first, second = ledger.read(path)
    assert first["time"] == "2024-11-01T10:00:00+0100" and first["public"] == "0.6"
    assert second["submission"] == "mars/b.csv"


def test_columns_of_a_newer_version_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_text("competition,submission,sha256,mood\nmars,mars/a.csv,ff,good\n")
    ledger.append(path, line("b"))
    assert [found.get("mood") for found in ledger.read(path)] == ["good", ""]


def test_a_ledger_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_bytes(b"\xef\xbb\xbf" + OLD.replace("\n", "\r\n").encode())
    assert ledger.read(path)[0]["competition"] == "mars"


@pytest.mark.parametrize("content", [b"a,b\n1,2\n", b"\xff\xfe\x00", b""])
def test_a_file_that_is_no_ledger_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"ledger\.csv (must have the columns|can't be read)"):
        ledger.read(path)


def test_a_cell_beyond_the_header_is_refused_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    ledger.append(path, line("one"))
    path.write_text(path.read_text().rstrip("\n") + ",a note\n")
    with pytest.raises(UserError, match=r"ledger.csv line 2 has more cells than the first"):
        ledger.append(path, line("two"))
    assert "a note" in path.read_text()


def test_what_the_leaderboard_said_is_kept_where_the_same_file_is_built_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    ledger.append(path, line("one", public="0.71"))
    ledger.append(path, line("two", public="0.5"))
    assert ledger.told(ledger.read(path), line("one")) == {"public": "0.71"}
    assert ledger.told(ledger.read(path), line("one") | {"sha256": "other"}) == {}


def test_a_submission_is_found_by_its_id_or_the_start_of_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    for name in ("mean-12", "mean-13"):
        ledger.append(path, line(name, sha256=name[-2:] + "abc"))
    lines = ledger.read(path)
    for name in ("mean-12", "12a", "mean-12"):
        assert ledger.find(lines, "mars", name, path)["submission"] == "mars/mean-12.csv"
    with pytest.raises(UserError, match=r"'mean-1' could be several of .* mars; there are mean-12, mean-13"):
        ledger.find(lines, "mars", "mean-1", path)
    with pytest.raises(UserError, match=r"'x' is none of .* mars; there are mean-12, mean-13"):
        ledger.find(lines, "mars", "x", path)
    with pytest.raises(UserError, match="has no submission of blood_cells"):
        ledger.find(lines, "blood_cells", None, path)


def test_two_processes_lose_no_line(tmp_path: Path) -> None:
    path = tmp_path / "ledger.csv"
    code = (
        "import sys\nfrom pathlib import Path\nfrom toolkit import ledger\n"
        "for i in range(20): ledger.append(Path(sys.argv[1]), "
        "{'competition': 'mars', 'submission': f'mars/{sys.argv[2]}-{i}.csv'})"
    )
    started = [subprocess.Popen([sys.executable, "-c", code, str(path), name], cwd=ROOT) for name in "ab"]
    assert [process.wait() for process in started] == [0, 0]
    with open(path, newline="") as file:
        found = [row["submission"] for row in csv.DictReader(file)]
    assert len(found) == len(set(found)) == 40
