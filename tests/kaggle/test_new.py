"""From a competition's name on Kaggle to a folder that every command takes."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.kaggle.clients import NAME, Downloads
from tests.recognition import layouts
from toolkit import UserError, load_competition, new_competition
from toolkit.new import new

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "competitions" / "leaves"


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Downloads:
    layouts.class_folders(tmp_path / "drawn")
    made = Downloads(Path(shutil.make_archive(str(tmp_path / "all"), "zip", tmp_path / "drawn")))
    monkeypatch.setattr("toolkit.recognition.new.kaggle_client", lambda: made)
    return made


def test_a_name_becomes_a_competition(home: Path, client: Downloads, capsys: pytest.CaptureFixture[str]) -> None:
    assert new([str(home), "--kaggle", NAME]) == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert f"compete run {home} --budget 1h" in said
    assert load_competition(home).kaggle == NAME
    sent = client.sent
    assert new([str(home), "--kaggle", NAME, "--force"]) == 0  # downloads nothing
    assert client.sent == sent and "not downloaded again" in capsys.readouterr().out


def test_in_python(home: Path, client: Downloads, tmp_path: Path) -> None:
    made = new_competition(home, tmp_path / "elsewhere", kaggle=NAME)
    assert not made.fault and len(list((tmp_path / "elsewhere").iterdir())) > 1
    assert f"--data {tmp_path / 'elsewhere'}" in made.next[0][0]


def test_nothing_is_downloaded_for_a_folder_that_can_not_be_written(home: Path, client: Downloads) -> None:
    for folder, reason in ((home.with_name("dogs-vs-cats"), "dogs_vs_cats can"), (home, "is there already")):
        home.mkdir(parents=True, exist_ok=True)
        (home / "__init__.py").touch()
        with pytest.raises(UserError, match=reason):
            new_competition(folder, kaggle=NAME)
    assert client.sent == 0


def test_without_a_client_it_is_one_sentence(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setitem(__import__("sys").modules, "kaggle", None)
    assert new([str(home), "--kaggle", NAME]) == 1
    assert "install it with `pip install '.[kaggle]'`" in capsys.readouterr().out.replace("\n", " ")
    with pytest.raises(SystemExit, match="2"):
        new([str(home)])
    assert "give --data DIR, or --kaggle NAME" in capsys.readouterr().err
