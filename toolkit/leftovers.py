"""What killed commands left in a workspace is removed by the next one, where nobody holds it.

What an unfinished training goes on from stays.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path

from toolkit.claims import claimed, claimed_run, claims_in, turn
from toolkit.errors import UserError
from toolkit.partial_files import folders_below, remove, sweep
from toolkit.store import MANIFEST, Workspace, read_manifest

OF_A_FOLD = ("state.pt", "taught.npy", "snapshots")  # of no use once the fold is trained to its end
LOCK = f".{MANIFEST}.lock"  # as `checked` takes it
OF_A_RUN = ("last_*", "averaged_*", LOCK)  # in its folds, of no use once all of them are
OOF = "oof.npy"  # in a run's folds: of masks of no use once the run has one of all
MASKS = re.compile(rb"'shape': \((\d+, ){3}\d+\)")  # (N, channels, H, W) in the head of a .npy file


def sweep_leftovers(workspace: Workspace, submissions: Path) -> None:
    """Remove partial files, scratch folders, claims, and what finished runs were trained with; of a workspace that
    can't be written nothing is said here.
    """
    with suppress(OSError):
        inner = list(folders_below(workspace.folder, without={workspace.practice, workspace.decoded}))
        _unlock(inner)
        sweep(chain(inner, (workspace.root, submissions, submissions / workspace.name)))
        for claim in claims_in(workspace.claims):
            with claimed(claim):  # which removes it in the end
                pass
        for run in sorted(_with_leftovers(workspace.train)):
            if next(of_no_use(run), None):
                with claimed_run(workspace.claims, run) as mine:
                    if mine:
                        forget(of_no_use(run))


def _unlock(folders: Iterable[Path]) -> None:
    """Remove the locks of manifests that nobody holds: `checked` makes them anew."""
    for lock in (folder / LOCK for folder in folders):
        if lock.exists():
            with suppress(OSError), turn(lock).acquire(timeout=0):  # a Timeout is one
                lock.unlink()


def _with_leftovers(train: Path) -> set[Path]:
    found = (train.glob(f"*/fold_*/{name}") for name in (*OF_A_FOLD, *OF_A_RUN))
    twice = filter(_of_masks, train.glob(f"*/fold_*/{OOF}"))
    return {path.parent.parent for path in chain(*found, twice)}


def of_no_use(run: Path) -> Iterator[Path]:
    """What is left in the folder of a run that its training needed and needs no more."""
    for fold in run.glob("fold_*"):
        yield from of_no_use_to(fold)
        if _complete(run):
            yield from chain(*map(fold.glob, OF_A_RUN))
    if _finished(run) and (run / OOF).exists():  # after the manifest: a kill between the two leaves both
        yield from filter(_of_masks, run.glob(f"fold_*/{OOF}"))


def of_no_use_to(fold: Path) -> Iterator[Path]:
    """The same of one fold."""
    if _complete(fold):
        yield from chain(*map(fold.glob, OF_A_FOLD))


def forget(paths: Iterator[Path]) -> None:
    for path in list(paths):
        remove(path)


def _of_masks(oof: Path) -> bool:
    with suppress(OSError), open(oof, "rb") as file:
        return MASKS.search(file.read(256)) is not None
    return False


def _finished(folder: Path) -> bool:
    with suppress(UserError):
        return read_manifest(folder) is not None
    return False


def _complete(folder: Path) -> bool:
    with suppress(UserError):
        return bool((read_manifest(folder) or {}).get("complete"))
    return False
