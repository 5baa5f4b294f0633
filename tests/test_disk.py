"""Sizes as people write them, and the room that is asked for."""

import os
from pathlib import Path
from typing import Any

import pytest

from toolkit.disk import bytes_in, bytes_of, in_bytes, need
from toolkit.errors import UserError
from toolkit.store import Workspace


def test_sizes_are_read_as_they_are_written() -> None:
    assert [bytes_of(text) for text in ("500MB", "1.5 TB", "20gb", 7)] == [500e6, 1.5e12, 20e9, 7]
    assert [in_bytes(size) for size in (0, 18.1e9, 5e6, 2.5e12)] == ["0.0 MB", "18.1 GB", "5.0 MB", "2.5 TB"]
    for text in ("20", "GB", "0GB", "-1GB", "20GiB"):
        with pytest.raises(UserError, match=r"is not a size; write 500MB, 20GB or 1\.5TB"):
            bytes_of(text)


def test_what_the_workspace_holds_counts(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "x", max_disk=3000)
    assert need(workspace, 2000, "this").startswith(f"this takes 0.0 MB in {workspace.folder}, ")
    (workspace.folder / "deep").mkdir(parents=True)
    (workspace.folder / "deep" / "file").write_bytes(bytes(2000))
    assert bytes_in(workspace.folder) == 2000
    with pytest.raises(
        UserError, match=r"this takes .*, which holds .* already, and --max-disk is .*; give more or less"
    ):
        need(workspace, 2000, "this", " or less")
    assert need(workspace, 0, "this")


def test_what_others_remove_meanwhile_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "gone", "z"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(2000))
    (tmp_path / "file").write_bytes(bytes(2000))
    (tmp_path / "link").symlink_to(tmp_path / "a" / "file")
    scan, look = os.scandir, os.lstat

    def scandir(folder: Any) -> Any:
        if Path(folder).name == "gone":
            raise FileNotFoundError(2, "No such file or directory", str(folder))
        return scan(folder)

    def lstat(path: Any) -> Any:
        if Path(path) == tmp_path / "z" / "file":
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return look(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "lstat", lstat)
    assert bytes_in(tmp_path) == 4000
    assert bytes_in(tmp_path / "nothing") == 0
