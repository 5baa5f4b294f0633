"""What leads out of an archive's folder does so for all who unpack: a download, packed files in it, a submission."""

import io
import os
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from toolkit.archives import is_damage, kind_of, leads_out
from toolkit.errors import UserError
from toolkit.kaggle import unpack as kaggle
from toolkit.recognition import packed
from toolkit.submission import unpacking

BAD = ("../x", "/x", "a/../../x", "\\x", "..\\x", "C:\\x", "C:x", "", ".")
GOOD = ("x", "a/b.png", "./a/b", "12:30.jpg", "a..b/c", "über/ß")


def test_names_that_lead_out() -> None:
    assert all(map(leads_out, BAD)) and not any(map(leads_out, GOOD))


@pytest.mark.parametrize("name", ["../x.png", "/x.png", "a/../../x.png", "C:x.png"])
def test_no_unpacker_writes_outside(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr(name, b"")
        archive.writestr("model.py", b"")
    for attempt in (
        lambda: kaggle.unpack(folder / "all.zip", tmp_path / "one", {".png"}),
        lambda: packed.unpack(folder),
        lambda: unpacking.unpack(folder / "all.zip", tmp_path / "two"),
    ):
        with pytest.raises(UserError, match=r"outside|leads out"):
            attempt()
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["all.zip"]


def test_no_unpacker_takes_a_link(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "all.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    assert kind_of(link) == "a symbolic link" and kind_of(zipfile.ZipInfo("a")) == ""
    for attempt in (
        lambda: kaggle.unpack(folder / "all.zip", tmp_path / "one", {".png"}),
        lambda: packed.unpack(folder),
        lambda: unpacking.unpack(folder / "all.zip", tmp_path / "two"),
    ):
        with pytest.raises(UserError, match=r"outside|symbolic link"):
            attempt()


def test_a_tar_with_its_own_folder_in_it_is_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "all.tar", "w") as archive:
        top = tarfile.TarInfo(".")
        top.type = tarfile.DIRTYPE
        archive.addfile(top)
        made = tarfile.TarInfo("./a.png")
        made.size = 3
        archive.addfile(made, io.BytesIO(b"abc"))
    packed.unpack(tmp_path)
    assert (tmp_path / "all" / "a.png").read_bytes() == b"abc"


def test_what_is_the_disks_fault_is_not_the_archives() -> None:
    assert is_damage(zipfile.BadZipFile()) and is_damage(OSError("Invalid data stream"))
    assert not is_damage(OSError(28, os.strerror(28))) and not is_damage(MemoryError())
