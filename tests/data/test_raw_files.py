"""The organisers' files are known by size, time and content: what is another one is named."""

import os
from pathlib import Path

import pytest

from toolkit.data import raw_files
from toolkit.data.raw_files import listed, source_of
from toolkit.errors import UserError
from toolkit.faults import sentence
from toolkit.store import hash_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.csv", "train/b.png", "train/c.png"):
        path = tmp_path / "raw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "raw"


def refused(folder: Path, kept: Path, source: str) -> str:
    before = kept.read_bytes()
    with pytest.raises(UserError) as caught:
        listed(folder, kept, source=source)
    assert kept.read_bytes() == before, "the next time the same is said"
    return str(caught.value)


def test_what_became_of_each_file_is_said(folder: Path) -> None:
    kept = folder.parent / "x" / "files.parquet"
    source = source_of(listed(folder, kept))
    (folder / "a.csv").write_text("other")
    (folder / "train" / "b.png").unlink()
    for number in range(5):
        (folder / f"d{number}.png").write_text("new")
    said = refused(folder, kept, source)
    assert said.startswith(f"{kept.parent} was made from other files than those in {folder} (1 changed: a.csv; ")
    assert "; 5 new: d0.png, d1.png, d2.png, …; 1 missing: train/b.png); bring the old ones back" in said
    elsewhere = folder.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "a.csv").write_text("of another competition")
    assert f"other files than those in {elsewhere}; bring" in refused(elsewhere, kept, source)


def test_the_same_content_is_the_same_file_whenever_it_was_written(folder: Path) -> None:
    kept = folder.parent / "files.parquet"
    source = source_of(listed(folder, kept))
    os.utime(folder / "a.csv", ns=(1, 1))
    (folder / "train" / ".DS_Store").write_text("what a file manager leaves")
    assert source_of(listed(folder, kept, source=source)) == source


@pytest.mark.parametrize("damage", [b"", b"PAR1 and no more", None])
def test_a_damaged_table_is_made_again(folder: Path, damage: bytes | None) -> None:
    kept = folder.parent / "files.parquet"
    source = source_of(listed(folder, kept))
    whole = kept.read_bytes()
    kept.write_bytes(whole.replace(b"numpy_type", b"numpy_tyqe") if damage is None else damage)
    assert source_of(listed(folder, kept, source=source)) == source
    kept.write_bytes(b"")
    (folder / "a.csv").write_text("other")
    assert "other files than those in" in refused(folder, kept, source)


def test_a_file_is_read_again_only_where_size_or_time_differ(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = folder.parent / "files.parquet"
    read: list[str] = []

    def counted(path: Path) -> str:
        read.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(raw_files, "hash_file", counted)
    first = listed(folder, kept)
    assert sorted(read) == ["a.csv", "b.png", "c.png"]
    assert listed(folder, kept).to_dict() == first.to_dict() and len(read) == 3
    (folder / "a.csv").write_text("longer than it was")
    os.utime(folder / "train" / "c.png", ns=(1, 1))
    again = listed(folder, kept)
    assert sorted(read[3:]) == ["a.csv", "c.png"]
    assert (again["hash"] == first["hash"]).tolist() == [False, True, True]


def test_hashes_outlive_a_kill(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = folder.parent / "files.parquet"
    read: list[str] = []

    def counted(path: Path) -> str:
        if path.name == "c.png" and not read.count("killed"):
            read.append("killed")
            raise KeyboardInterrupt
        read.append(path.name)
        return hash_file(path)

    monkeypatch.setattr(raw_files, "hash_file", counted)
    monkeypatch.setattr(raw_files, "TOGETHER", 1)
    with pytest.raises(KeyboardInterrupt):
        listed(folder, kept)
    assert len(listed(folder, kept)) == 3 and read == ["a.csv", "b.png", "killed", "c.png"]


def test_a_name_that_is_no_text_and_links_in_a_circle_are_told(folder: Path) -> None:
    odd = os.fsencode(folder) + b"/\xff.png"
    Path(os.fsdecode(odd)).write_text("odd")
    with pytest.raises(UserError, match=r"holds a file whose name is not UTF-8, '\\udcff\.png': rename it"):
        listed(folder, folder.parent / "files.parquet")
    os.unlink(odd)
    (folder / "train" / "again").symlink_to(folder)
    with pytest.raises(UserError, match=r"again can't be looked at: .*; mend or remove it"):
        listed(folder, folder.parent / "files.parquet")


def test_a_file_that_may_not_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(raw_files, "hash_file", refuse)
    with pytest.raises(PermissionError) as told:
        listed(folder, folder.parent / "files.parquet")
    assert f"{folder / 'a.csv'}" in sentence(told.value)
