"""A clean interpreter sees the allowed packages, what they require, and nothing else."""

import sys
from pathlib import Path

import pytest

from toolkit.errors import UserError
from toolkit.submission.clean_environment import clean_python, link, with_requirements


def test_the_environment_is_built_once_and_mended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    python = clean_python(["numpy"])
    made = python.stat(follow_symlinks=False).st_mtime_ns
    assert clean_python(["numpy"]) == python
    assert python.stat(follow_symlinks=False).st_mtime_ns == made
    site = next(python.parent.parent.glob("lib/*/site-packages"))
    assert {"numpy"} <= {entry.name for entry in site.iterdir()}
    (site / "numpy").unlink()
    (site / "numpy").symlink_to(tmp_path / "moved")
    assert (clean_python(["numpy"]).parent.parent / "bin").exists()
    assert (site / "numpy").exists()


def test_an_environment_holds_what_the_packages_require() -> None:
    names = {found.name.lower() for found in with_requirements(["torch"])}
    assert {"torch", "sympy", "mpmath", "filelock"} <= names  # mpmath is required by sympy
    assert not names & {"pandas", "timm", "pytest"}


def test_a_package_is_found_by_the_name_it_is_imported_by() -> None:
    assert [found.name.lower() for found in with_requirements(["PIL"])] == ["pillow"]


def test_a_package_that_is_not_installed_is_named() -> None:
    with pytest.raises(UserError, match="the package tensorflew is allowed on the server but not installed here"):
        with_requirements(["tensorflew"])


def test_files_of_a_shared_folder_are_linked_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two"):
        info = tmp_path / "site" / f"{name}-1.dist-info"
        (tmp_path / "site" / "shared" / name).mkdir(parents=True)
        (tmp_path / "site" / "shared" / name / "__init__.py").write_text("")
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (info / "RECORD").write_text(f"shared/{name}/__init__.py,,\n{name}-1.dist-info/METADATA,,\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site")])
    link(with_requirements(["one"]), tmp_path / "made")
    assert sorted(str(p.relative_to(tmp_path / "made")) for p in (tmp_path / "made").rglob("*")) == [
        "one-1.dist-info",
        "shared",
        "shared/one",
    ]
    assert (tmp_path / "made" / "shared" / "one").is_symlink()
