"""Samples are found by their names, by the ends of these, and by their rows; pages link to their files."""

from pathlib import Path

import numpy as np
import pytest

from toolkit.data.naming import Naming, with_addresses
from toolkit.errors import UserError
from toolkit.store import Workspace, write_manifest

IDS = np.array([100, 101, 102, 103])
NAMES = np.array(["cat/1.jpg", "dog/1.jpg", "dog/007.jpg", "dog/ein Bär.png"])


@pytest.mark.parametrize(
    ("text", "row"), [("cat/1.jpg", 0), ("dog/1.jpg", 1), ("007.jpg", 2), ("007", 2), ("ein Bär", 3), ("102", 2)]
)
def test_a_sample_is_found(text: str, row: int) -> None:
    assert Naming(IDS, NAMES).row_or_id(text) == row


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1.jpg", r"2 samples are called '1.jpg': cat/1.jpg \(index 100\), dog/1.jpg \(index 101\); give the index"),
        ("7", "no sample is called '7'; names are such as 'cat/1.jpg'"),
    ],
)
def test_what_is_nobodys_name_or_that_of_several_is_refused(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Naming(IDS, NAMES).row_or_id(text)


def test_blanks_around_a_name_and_how_accents_are_coded_do_not_matter() -> None:
    naming = Naming(IDS, np.array([" 1.jpg", "a/2.jpg ", "dog/ein Ba\u0308r.png", "3 .jpg"]))
    for text, row in ((" 1.jpg", 0), ("1.jpg", 0), ("a/2.jpg", 1), (" 2.jpg", 1), ("dog/ein Bär.png", 2), ("3", 3)):
        assert naming.row(text) == row
    with pytest.raises(UserError, match=r"2 samples are called '1\.jpg'"):
        Naming(IDS, np.array([" 1.jpg", "1.jpg ", "x", "y"])).row("1.jpg")


def test_a_name_comes_before_an_index() -> None:
    assert Naming(np.arange(3), np.array(["2", "0", "1"])).row_or_id("2") == 0


def test_names_lead_to_their_files_from_a_page(tmp_path: Path) -> None:
    raw, workspace = tmp_path / "raw", Workspace(tmp_path / "work", "x")
    (raw / "a b").mkdir(parents=True)
    (raw / "a b" / "1#.jpg").write_bytes(b"x")
    workspace.data.mkdir(parents=True)
    names = ["a b/1#.jpg", "a b/1#.jpg:3", "gone.jpg"]
    assert with_addresses(names, workspace) == tuple((name, "") for name in names)  # as older workspaces are
    write_manifest(workspace.data, {"raw": str(raw)})
    address = "../../raw/a%20b/1%23.jpg"
    assert with_addresses(names, workspace) == ((names[0], address), (names[1], address), (names[2], ""))
