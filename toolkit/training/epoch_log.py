"""`log.csv` of a run: a line an epoch of each fold, written while it is trained and told to whoever listens."""

import time
from collections.abc import Iterator
from contextlib import suppress

from toolkit.errors import UserError
from toolkit.events import Epoch, epoch_of
from toolkit.progress import Progress
from toolkit.runs import Run
from toolkit.store import write_text

COLUMNS = ("fold", "epoch", "loss", "validation_loss", "score", "lr", "seconds")
EVERY = 2.0  # seconds between two writings: epochs may be shorter than a look at the disk


class EpochLog:
    """Called with each epoch of a run's folds, in the process that the others tell.

    Several processes may train folds of one run: each writes what is there of the others', too.
    """

    def __init__(self, run: Run, progress: Progress) -> None:
        self.run, self.progress = run, progress
        self.lines: dict[int, list[str]] = {}
        self.written = time.monotonic()

    def __call__(self, epoch: Epoch) -> None:
        if epoch.epoch == 1:
            self.lines[epoch.fold] = []
        self.lines.setdefault(epoch.fold, []).append(_line(epoch))
        self.progress.tell(epoch)
        if time.monotonic() - self.written > EVERY:
            self.write()

    def stored(self, *folds: int) -> None:
        """Folds are finished, now or before: of these whoever listens is told, and the table is written."""
        for fold in folds:
            told = fold in self.lines
            self.lines[fold] = []
            for epoch in _epochs(self.run, fold):
                self.lines[fold].append(_line(epoch))
                if not told:
                    self.progress.tell(epoch)
        self.write()

    def write(self) -> None:
        known = {**_known(self.run), **self.lines}
        lines = [line for _, lines in sorted(known.items()) for line in lines]
        write_text(self.run.log_path, "\n".join([",".join(COLUMNS), *lines]) + "\n")
        self.written = time.monotonic()


def told_again(run: Run, progress: Progress) -> None:
    """Of a run that is trained: whoever listens now may not have heard of it, and older runs have no table."""
    if progress.listeners or not run.log_path.exists():
        EpochLog(run, progress).stored(*(fold.number for fold in run.folds))


def _epochs(run: Run, fold: int) -> Iterator[Epoch]:
    with suppress(UserError):  # of a damaged file, which whoever needs it tells of
        for number, line in enumerate(run.fold(fold).history, start=1):
            yield epoch_of(run.name, fold, number, line, replayed=True)


def _known(run: Run) -> dict[int, list[str]]:
    """The lines of the table that is there, by fold; none where it is damaged."""
    found: dict[int, list[str]] = {}
    with suppress(OSError, ValueError):
        for line in run.log_path.read_text(encoding="utf-8").splitlines()[1:]:
            found.setdefault(int(line.partition(",")[0]), []).append(line)
    return found


def _line(epoch: Epoch) -> str:
    """Values as they are read back to the bit."""
    values = [getattr(epoch, name) for name in COLUMNS[:-1]]
    return ",".join([*("" if value is None else repr(value) for value in values), f"{epoch.seconds:.3f}"])
