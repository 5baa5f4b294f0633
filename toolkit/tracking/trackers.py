"""Which trackers there are, and how a training is told to several of them at once without being stopped by any."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from toolkit.errors import UserError
from toolkit.events import Epoch, Event, Listener
from toolkit.progress import Progress
from toolkit.tracking.record import without_password

NEEDED = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow-skinny"}  # what to install for each
# nothing is sent but what is logged, and a server that is gone doesn't hold up training for long
QUIET = {
    "wandb": {"WANDB_ERROR_REPORTING": "false"},
    "mlflow": {
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
    },
}
OnEpoch = Callable[[Epoch], object]


class Tracker(Protocol):
    """One of them, for one competition. It logs nothing twice, however often it is told."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...

    @property
    def look(self) -> str:
        """The command by which what it logs is looked at."""


def chosen(log: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of trackers, from `tensorboard,wandb` or several names; UserError for another one, or one that is missing.

    Nothing of them is imported.
    """
    words = (log or "").split(",") if isinstance(log, str) or log is None else log
    names = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for name in names:
        if name not in NEEDED:
            raise UserError(f"nothing is known of logging to {name!r}; there are {', '.join(NEEDED)}")
        found = find_spec(name)
        if found is None or found.origin is None:  # W&B leaves a folder of its name, which is no package
            raise UserError(f"logging to {name} needs a package that isn't installed: pip install {NEEDED[name]}")
    return names


@contextmanager
def listening(
    progress: Progress, folder: Path, log: str | Sequence[str] | None, on_epoch: OnEpoch | None = None
) -> Iterator[None]:
    """Meanwhile trackers, and a callable of one's own, hear what `progress` is told of epochs and scores.

    folder: the competition's workspace. The callable hears of epochs that are trained now. What fails in any of them
    is warned of once; it is told nothing more, and training goes on.
    """
    names = chosen(log)
    trackers = [_open(name, folder) for name in names]
    own = [] if on_epoch is None else [_own(on_epoch)]
    before = progress.listeners
    guarded = [
        *(_Guarded(name, tracker, progress) for name, tracker in zip(names, trackers, strict=True)),
        *(_Guarded("on_epoch", listener, progress) for listener in own),
    ]
    if guarded:
        progress.listeners = (*before, *guarded)
    for name, tracker in zip(names, trackers, strict=True):
        progress.say(f"logging to {name}, to look at: {tracker.look}")
    try:
        yield
    finally:
        if guarded:
            progress.listeners = before
        for one in guarded:
            one.close()


def _open(name: str, folder: Path) -> Tracker:
    for variable, value in QUIET.get(name, {}).items():
        os.environ.setdefault(variable, value)
    made: Tracker = import_module(f"toolkit.tracking.{name}_log").open_tracker(folder)
    return made


def _own(on_epoch: OnEpoch) -> Listener:
    def listener(event: Event) -> None:
        if isinstance(event, Epoch) and not event.replayed:
            on_epoch(event)

    return listener


class _Guarded:
    """A listener that no longer hears anything once it failed."""

    def __init__(self, name: str, listener: Listener, progress: Progress) -> None:
        self.name, self.listener, self.progress = name, listener, progress
        self.failed = False

    def __call__(self, event: Event) -> None:
        self._try(lambda: self.listener(event))

    def close(self) -> None:
        self._try(getattr(self.listener, "close", lambda: None))

    def _try(self, call: Callable[[], Any]) -> None:
        if self.failed:
            return
        try:
            call()
        except Exception as error:
            self.failed = True
            lines = str(error).strip().splitlines()
            again = "" if self.name == "on_epoch" else "; the same command again logs what is missing"
            self.progress.warn(
                f"{self.name} failed, so it is told nothing more, and training goes on: "
                f"{type(error).__name__}{': ' + without_password(lines[0]) if lines else ''}{again}"
            )
