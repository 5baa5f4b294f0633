"""Kills and two at once: each command at systematic points of a tiny competition, then the same command again.

    python -m benchmarks.fault_kills [--points 8] [--only train submit]

Prints for each command how many of its changes of files were tried as crash points, and what was wrong afterwards:
an error of the command, other bits than undisturbed, a file too many or too few.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

# imported here once, and not in each of the processes that are forked from one that has imported this
import toolkit.auditing.audit
import toolkit.blending.blend
import toolkit.reporting.page
import toolkit.submission.build
import toolkit.training.cross_validation
import toolkit.tuning.search_loop  # noqa: F401
from tests import crashes, tiny
from toolkit.progress import SILENT
from toolkit.project import Project
from toolkit.training import fold


def _project(root: Path) -> Project:
    fold.SAVE_SECONDS = 0.0  # a state after every epoch
    of = replace(tiny.competition, kaggle="tiny")
    made: dict[str, Any] = {"workspace": root / "workspace", "submissions": root / "submissions", "workers": 1}
    return Project(of, practice=True, progress=SILENT, device="cpu", **made)


def audit(root: Path) -> None:
    _project(root).audit()


def folds(root: Path) -> None:
    _project(root).folds(3, holdout=0.1)


def train(root: Path) -> None:
    _project(root).train(schedule__average="swa", stress="none")


def search(root: Path) -> None:
    _project(root).search(trials=2, schedule__epochs=2, stress="none")


def ensemble(root: Path) -> None:
    _project(root).ensemble(views=["none"])


def submit(root: Path) -> None:
    _project(root).submit()


def notebook(root: Path) -> None:
    _project(root).submit_notebook()


def report(root: Path) -> None:
    _project(root).report()


COMMANDS: dict[str, Callable[[Path], None]] = {
    each.__name__: each for each in (audit, folds, train, search, ensemble, submit, notebook, report)
}
NEEDED = ("audit", "folds", "train", "ensemble", "submit")  # by later ones
Counts = dict[str, dict[str, Any]]


def kills(folder: Path, points: int = 8, only: Sequence[str] = tuple(COMMANDS)) -> Counts:
    """Of each command: crash points tried, of how many, and faults as sentences; folder: an empty one."""
    return _each(crashes.killed, folder, points, only)


def two_at_once(folder: Path, points: int = 8, only: Sequence[str] = tuple(COMMANDS)) -> Counts:
    """The same of two that do one thing at once: one is stopped at the point while the other begins."""
    return _each(crashes.interleaved, folder, points, only)


def _each(attack: Callable[..., crashes.Found], folder: Path, points: int, only: Sequence[str]) -> Counts:
    """Command after command, each from where the one before ended undisturbed."""
    root, before, told = folder / "work", folder / "before", folder / "told.json"
    assert _project(root).raw.exists()  # drawn
    found: Counts = {}
    for name, command in COMMANDS.items():
        crashes.put(root, before)
        if name in only:
            begun = time.monotonic()
            of = attack(command, root, before, told, points)
            seconds = round(time.monotonic() - begun, 1)
            found[name] = {"tried": of.tried, "of": of.of, "faults": list(of.faults), "seconds": seconds}
            crashes.put(before, root)
            print(f"{attack.__name__} {name}: {found[name]}", file=sys.stderr, flush=True)
        if not set(only) - set(found):
            break
        if name in NEEDED:
            ended = crashes.run(command, root, told)
            assert ended.status == 0, ended.error
    return found


if __name__ == "__main__":
    made = argparse.ArgumentParser(description="Kills and two at once, command by command.")
    made.add_argument("--points", type=int, default=8, help="crash points of each command")
    made.add_argument("--only", nargs="+", choices=COMMANDS, default=tuple(COMMANDS))
    options = made.parse_args()
    for attack in (kills, two_at_once):
        with tempfile.TemporaryDirectory() as scratch:
            counts = attack(Path(scratch), options.points, options.only)
        print(json.dumps({attack.__name__: counts}, indent=2))
