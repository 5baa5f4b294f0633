"""A competition is found by its name or its folder, from wherever a command is called."""

from pathlib import Path

import pytest

from tests.conftest import ROOT
from toolkit import competition_folders
from toolkit.competition_folders import HERE, called, data_folder, folder_of, own_folder
from toolkit.competition_folders import competition_folders as found
from toolkit.errors import UserError


def package(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    return folder


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, and a package that has mars and cells."""
    for name in ("mars", "cells"):
        package(tmp_path / "package" / "shipped" / "competitions" / name)
    shipped = tmp_path / "package" / "shipped" / "competitions"
    monkeypatch.setattr(competition_folders, "SHIPPED", shipped)
    monkeypatch.setattr(competition_folders, "HOMES", (HERE, shipped))
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    return here


def test_a_name_finds_the_package_s_competition_and_first_that_of_the_working_folder(elsewhere: Path) -> None:
    assert list(found()) == ["cells", "mars"]
    (elsewhere / "competitions" / "mars" / "data").mkdir(parents=True)  # the organisers' files alone
    assert folder_of("mars") == found()["mars"] and folder_of("competitions/mars") == found()["mars"]
    own = package(elsewhere / "competitions" / "leaves")
    assert folder_of("leaves") == Path("competitions/leaves") and called(own) == "leaves"
    (elsewhere / "competitions" / "mars" / "__init__.py").touch()
    assert folder_of("mars") == Path("competitions/mars")


def test_a_folder_anywhere_is_called_by_its_path(elsewhere: Path, tmp_path: Path) -> None:
    far, near = package(tmp_path / "far" / "moss"), package(elsewhere / "some" / "moss")
    assert folder_of(far) == far and called(far) == str(far)
    assert folder_of("some/moss") == Path("some/moss") and called(near) == "some/moss"


def test_data_never_lie_in_the_package(elsewhere: Path, tmp_path: Path) -> None:
    own = package(tmp_path / "far" / "moss")
    assert data_folder(own) == own / "data"
    assert data_folder(found()["mars"]) == Path("competitions/mars/data")
    assert own_folder(found()["mars"]) == Path("competitions/mars") and own_folder(own) == own


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("mras", "mras is not a competition; did you mean mars?"),
        ("competitions/Mars", "competitions/Mars is not a competition; did you mean mars?"),
        ("zebra", "zebra is not a competition; there are cells, mars; `compete new NAME --data FOLDER` writes one"),
        ("some", "some is not a competition: it has no __init__.py; there are cells, mars; "),
        ("some/mos", "some/mos is not a competition; did you mean some/moss?"),
    ],
)
def test_what_is_none_is_answered_with_what_may_be_meant(typed: str, said: str, elsewhere: Path) -> None:
    package(elsewhere / "some" / "moss")
    with pytest.raises(UserError) as caught:
        folder_of(typed)
    assert str(caught.value).startswith(said)


def test_a_checkout_s_competitions_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of("mars") == ROOT / "competitions" / "mars"
