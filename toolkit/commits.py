"""Which commit of the code made something, where the code lies in a git repository."""

import subprocess
from functools import cache
from pathlib import Path

PATIENCE = 2.0  # seconds after which git isn't waited for any longer


@cache
def commit_of(folder: Path, untracked: bool = False) -> tuple[str, bool] | None:
    """The commit that the repository around a folder is at, 40 hex digits, and whether files differ from it; None
    where there is no repository, no commit, or no git. Asked once a process: code is imported once, too.

    untracked: do files count that git doesn't know? It takes longer where there are many.
    """
    try:
        return _ask(folder, "rev-parse", "HEAD"), bool(_ask(folder, *_changes(untracked)))
    except (OSError, subprocess.SubprocessError):
        return None


def _changes(untracked: bool) -> tuple[str, ...]:
    return ("--no-optional-locks", "status", "--porcelain", f"--untracked-files={'normal' if untracked else 'no'}")


def _ask(folder: Path, *question: str) -> str:
    command = ["git", "-C", str(folder), *question]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout.strip()


def commit_words(*folders: Path) -> str | None:
    """The commit of the first of these folders that is in a repository; with `+changes` where files differ from it."""
    found = next((one for folder in folders if (one := commit_of(folder.absolute()))), None)
    return None if found is None else found[0] + "+changes" * found[1]
