"""What killed commands left in a workspace is removed by the next one, where nobody holds it.

What an unfinished training goes on from stays.
"""

from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from toolkit.claims import claimed
from toolkit.errors import UserError
from toolkit.partial_files import folders_below, remove, sweep
from toolkit.store import Workspace, read_manifest

OF_A_FOLD = ("state.pt", "taught.npy", "snapshots")  # of no use once the fold is trained to its end
OF_A_RUN = ("last_*", "averaged_*")  # in its folds, of no use once all of them are


def sweep_leftovers(workspace: Workspace, submissions: Path) -> None:
    """Remove partial files, scratch folders, claims, and what finished runs were trained with; of a workspace that
    can't be written nothing is said here.
    """
    with suppress(OSError):
        inner = folders_below(workspace.folder, without={workspace.practice, workspace.decoded})
        sweep(chain(inner, (workspace.root, submissions, submissions / workspace.name)))
        for claim in sorted(workspace.claims.glob("*")):
            if claim.suffix != ".lock":
                with claimed(claim):  # which removes it in the end
                    pass
        for run in sorted(_with_leftovers(workspace.train)):
            if next(of_no_use(run), None):
                with claimed(workspace.claims / run.name.rpartition("-")[2]) as mine:
                    if mine:
                        forget(of_no_use(run))


def _with_leftovers(train: Path) -> set[Path]:
    found = (train.glob(f"*/fold_*/{name}") for name in (*OF_A_FOLD, *OF_A_RUN))
    return {path.parent.parent for path in chain(*found)}


def of_no_use(run: Path) -> Iterator[Path]:
    """What is left in the folder of a run that its training needed and needs no more."""
    for fold in run.glob("fold_*"):
        yield from of_no_use_to(fold)
        if _complete(run):
            yield from chain(*map(fold.glob, OF_A_RUN))


def of_no_use_to(fold: Path) -> Iterator[Path]:
    """The same of one fold."""
    if _complete(fold):
        yield from chain(*map(fold.glob, OF_A_FOLD))


def forget(paths: Iterator[Path]) -> None:
    for path in list(paths):
        remove(path)


def _complete(folder: Path) -> bool:
    with suppress(UserError):
        return bool((read_manifest(folder) or {}).get("complete"))
    return False
