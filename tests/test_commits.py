"""The commit of the code is asked of git, where there is one."""

import subprocess
from pathlib import Path

import pytest

from toolkit import commits
from toolkit.commits import commit_of, commit_words
from toolkit.store import read_json, write_manifest


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With one commit of one file."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "a.py").write_text("1")
    who = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (["init", "-q"], ["add", "a.py"], [*who, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder


@pytest.fixture(autouse=True)
def asked_anew() -> None:
    commit_of.cache_clear()


def test_it_is_that_of_the_repository_around_a_folder(repository: Path, tmp_path: Path) -> None:
    inner = repository / "competitions"
    inner.mkdir()
    head = subprocess.run(
        ["git", "-C", str(repository), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    assert commit_words(inner) == head.stdout.strip() and commit_words(tmp_path) is None
    assert commit_words(tmp_path, inner) == head.stdout.strip()


def test_changes_are_told(repository: Path) -> None:
    (repository / "new.py").write_text("1")
    assert commit_of(repository) == (commit_of(repository)[0], False)  # type: ignore[index]
    assert commit_of(repository, untracked=True)[1]  # type: ignore[index]
    (repository / "a.py").write_text("2")
    commit_of.cache_clear()
    assert str(commit_words(repository)).endswith("+changes")


def test_without_git_there_is_none(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert commit_words(repository) is None


def test_a_manifest_has_it_where_there_is_one(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    write_manifest(made, {}, repository)
    assert read_json(made / "manifest.json")["commit"] == commit_words(repository)
    monkeypatch.setattr(commits, "commit_of", lambda folder: None)
    write_manifest(made, {})
    assert "commit" not in read_json(made / "manifest.json")
