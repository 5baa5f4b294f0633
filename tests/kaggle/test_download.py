"""A competition's files, whole in their folder or not there at all."""

import inspect
import time
import zipfile
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.kaggle.clients import NAME, Downloads, HttpError, packed, packed_bytes
from tests.tiny import Heard
from toolkit import claims, disk
from toolkit.errors import UserError
from toolkit.kaggle.download import competition_name, download
from toolkit.progress import SILENT, Progress

WORTH = {".png", ".csv"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "leaves" / "data"


def fetch(data: Path, client: Any, progress: Progress = SILENT) -> None:
    download(NAME, data, WORTH, client=lambda: client, progress=progress)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_archive_and_those_within_it_become_a_folder(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    inner = {
        "train.zip": packed_bytes(tmp_path, {"train/a.png": b"a", "train/b.png": b"b"}),
        "more.zip": packed_bytes(tmp_path, {"train/c.png": b"c"}),
        "scenes.zip": packed_bytes(tmp_path, {"1/x.png": b"1", "2/x.png": b"2"}),
        "labels.csv.zip": packed_bytes(tmp_path, {"labels.csv": b"id"}),
        "code.zip": packed_bytes(tmp_path, {"model.py": b""}),
        "test.csv": b"id",
    }
    heard = Heard()
    fetch(data, Downloads(packed(tmp_path / "all.zip", inner)), heard)
    pictures = ["train/a.png", "train/b.png", "train/c.png", "scenes/1/x.png", "scenes/2/x.png"]
    assert files_of(data) == sorted([*pictures, "code.zip", "labels.csv", "test.csv"])
    assert [path.name for path in data.parent.iterdir()] == ["data"]
    assert "takes 0.0 MB" in heard.lines[0] and heard.lines[-1].endswith("code.zip")
    assert capsys.readouterr().out == ""


def test_inner_archives_never_replace_what_is_there(data: Path, tmp_path: Path) -> None:
    inner = {
        "a.csv": b"outer",
        "b.zip": packed_bytes(tmp_path, {"a.csv": b"inner"}),
        "c": b"file",
        "c.zip": packed_bytes(tmp_path, {"c/x.csv": b""}),
    }
    heard = Heard()
    fetch(data, Downloads(packed(tmp_path / "all.zip", inner)), heard)
    assert files_of(data) == ["a.csv", "b/a.csv", "c", "c.zip"]
    assert (data / "a.csv").read_bytes() == b"outer" and heard.lines[-1].endswith("c.zip")


def test_what_is_there_is_not_downloaded_again(data: Path) -> None:
    data.mkdir(parents=True)
    (data / "train.csv").write_text("id")
    heard = Heard()
    fetch(data, None, heard)  # asks for no client
    assert "holds files and is not downloaded again" in str(heard)


def test_an_interrupted_download_is_gone_on_with(data: Path, tmp_path: Path) -> None:
    client = Downloads(packed(tmp_path / "all.zip", {"train.csv": b"id" * 999}), cut=500)
    with pytest.raises(UserError, match=r"can't be reached .is there a network.*IncompleteRead"):
        fetch(data, client)
    assert not data.exists()
    fetch(data, client)
    assert files_of(data) == ["train.csv"] and client.sent == len(client.content)


def test_a_call_that_dies_while_it_unpacks_leaves_nothing_half(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Downloads(packed(tmp_path / "all.zip", {"a.csv": b"a", "b.csv": b"b"}))
    with monkeypatch.context() as patch:

        def die(*given: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr("toolkit.kaggle.unpack.shutil.copyfileobj", die)
        with pytest.raises(KeyboardInterrupt):
            fetch(data, client)
    assert not data.exists()
    (data.parent / f"data-{NAME}.partial" / "files" / "left.csv").write_text("of the first call")
    fetch(data, client)
    assert files_of(data) == ["a.csv", "b.csv"] and client.sent == len(client.content)


@pytest.mark.parametrize("name", ["../out.csv", "/tmp/out.csv", "a/../../out.csv", "..\\out.csv", "C:\\out.csv"])
def test_nothing_is_written_outside(name: str, data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="would write outside of its folder; it is not unpacked"):
        fetch(data, Downloads(packed(tmp_path / "all.zip", {"a.csv": b"", name: b"x"})))
    assert not data.exists() and not (tmp_path / "out.csv").exists()


def test_links_are_not_unpacked(data: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    with pytest.raises(UserError, match="'link', which would write outside"):
        fetch(data, Downloads(tmp_path / "all.zip"))


def test_a_damaged_archive_is_said_to_be(data: Path, tmp_path: Path) -> None:
    path = packed(tmp_path / "all.zip", {"a.csv": b"id,label\n"})
    path.write_bytes(path.read_bytes().replace(b"id,label", b"id,lapel"))
    with pytest.raises(
        UserError, match=r"what Kaggle sent of leaf-class is damaged .*; remove .*data-leaf-class.partial"
    ):
        fetch(data, Downloads(path))
    assert not data.exists()


def test_a_disk_that_is_too_small_is_known_beforehand(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Downloads(packed(tmp_path / "all.zip", {"a.csv": b"id"}))
    monkeypatch.setattr(disk, "RESERVE", 10**18)
    with pytest.raises(
        UserError, match=r"downloading 0.0 MB and unpacking it takes .* are free and .* choose another"
    ):
        fetch(data, client)
    assert client.sent == 0 and list(data.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            HttpError(403, "You must accept this competition's rules"),
            r"leaf-class at https://\S+/leaf-class/rules.*You must",
        ),
        (HttpError(404, "Not Found"), "Kaggle knows no competition 'leaf-class'"),
        (HttpError(401), "refuses the login; run `kaggle auth login` again"),
        (HttpError(429), "asks for a pause"),
        (ConnectionError("Name or service not known"), "can't be reached .is there a network"),
    ],
)
def test_refusals_are_one_sentence(
    error: Exception, reason: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Downloads(packed(tmp_path / "all.zip", {}))

    def fail(*given: Any, **named: Any) -> None:
        raise error

    monkeypatch.setattr(client, "competition_download_files", fail)
    with pytest.raises(UserError, match=reason):
        fetch(data, client)
    assert list(data.parent.iterdir()) == []


def test_two_calls_do_not_download_into_one_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.01)
    heard = Heard()
    other = Thread(target=lambda: fetch(data, None, heard))

    class Slow(Downloads):
        def competition_download_files(self, *given: Any, **named: Any) -> None:
            other.start()
            while not heard.lines:
                time.sleep(0.01)
            super().competition_download_files(*given, **named)

    fetch(data, Slow(packed(tmp_path / "all.zip", {"a.csv": b""})))
    other.join()
    assert files_of(data) == ["a.csv"] and [path.name for path in data.parent.iterdir()] == [data.name]
    assert "waiting for leaf-class, which is being downloaded to" in heard.lines[0]
    assert "holds files and is not downloaded again" in heard.lines[1]


@pytest.mark.parametrize(
    "text", [NAME, f"https://www.kaggle.com/competitions/{NAME}/data?select=x", f"kaggle.com/c/{NAME}"]
)
def test_a_name_may_be_the_page_s_address(text: str) -> None:
    assert competition_name(text) == NAME


@pytest.mark.parametrize("text", ["", "two words", "../up", "https://example.com/c/x"])
def test_other_texts_are_no_name(text: str) -> None:
    with pytest.raises(UserError, match="no competition's name on Kaggle"):
        competition_name(text)


def test_the_stand_in_takes_what_the_official_client_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path))
    official = pytest.importorskip("kaggle.api.kaggle_api_extended").KaggleApi
    for name in ("competition_download_files", "download_needed"):
        ours, theirs = (list(inspect.signature(getattr(each, name)).parameters) for each in (Downloads, official))
        assert ours == theirs
