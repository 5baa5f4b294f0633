"""What a wheel has: the toolkit, with the competitions inside it, which are found from any folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a wheel, as `pip install` puts them into site-packages."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site-packages")
    for name in ("toolkit", "competitions"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    for name in ("setup.py", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(made)]
    subprocess.run(build, cwd=source, check=True, capture_output=True)
    return made


def compete(installed: Path, here: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed), "COLUMNS": "100"}
    command = [sys.executable, "-m", "toolkit", *words]
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert not done.stderr, done.stderr
    return done.stdout


def test_nothing_but_the_toolkit_lies_at_the_top(installed: Path) -> None:
    assert [path.name for path in installed.iterdir()] == ["toolkit"]
    for name in ("mars", "blood_cells"):
        assert (installed / "toolkit" / "shipped" / "competitions" / name / "README.md").is_file()
    pages = {path.name for path in (ROOT / "toolkit" / "pages").iterdir() if path.suffix not in (".py", "")}
    assert pages <= {path.name for path in (installed / "toolkit" / "pages").iterdir()}


def test_its_competitions_work_from_any_folder_and_nothing_is_written_into_it(installed: Path, tmp_path: Path) -> None:
    assert "12 recipes" in compete(installed, tmp_path, "recipes", "mars")
    assert "there is no folder competitions/mars/data yet" in compete(installed, tmp_path, "train", "mars")
    code = "import toolkit; p = toolkit.open('mars', practice=True, practice_size=24); print(p.raw)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("workspace/mars-practice/practice/raw\n"), done.stderr
    assert (tmp_path / "workspace" / "mars-practice" / "practice" / "raw").is_dir()
    assert not list(installed.rglob("data/*.npz")) and not list(installed.rglob("workspace"))
