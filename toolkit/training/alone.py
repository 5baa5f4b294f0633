"""A run is trained by one process at a time; others wait, and say for whom."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from toolkit.claims import PATIENCE, alone
from toolkit.errors import UserError
from toolkit.outcome import duration
from toolkit.progress import Progress
from toolkit.runs import Run


def claim_of(run: Run, fold: int | None = None) -> Path:
    """Of who trains a run, or one of its folds."""
    claims, name = run.labelled.workspace.claims, run.name.rpartition("-")[2]
    return claims / (name if fold is None else f"{name}-{fold}")


@contextmanager
def whole_run(run: Run, waiting: Callable[[str], None]) -> Iterator[None]:
    """Have a run with all its folds; waiting: as of `toolkit.claims.alone`."""
    with ExitStack() as claims:
        for path in (claim_of(run), *(claim_of(run, fold) for fold in range(run.labelled.folds))):
            claims.enter_context(alone(path, waiting))
        yield


def waiting_for(run: Run, progress: Progress, deadline: float | None = None) -> Callable[[str], None]:
    """What waits for a run: it says so once, and raises UserError at the deadline (of time.monotonic())."""
    begun, told = time.monotonic(), False

    def waiting(who: str) -> None:
        nonlocal told
        now = time.monotonic()
        if deadline is not None and now > deadline:
            raise UserError(
                f"{run.name} is being trained by {who}, which {duration(now - begun)} of waiting did not see the end "
                "of; give more time, or end that"
            )
        if not told and now - begun > PATIENCE:
            told = True
            progress.say(f"{run.name} is being trained by {who}: waiting until that has ended")

    return waiting
