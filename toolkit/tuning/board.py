"""What a search shows: a live table where the screen is a terminal, a line a trial otherwise."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from toolkit.outcome import duration, number
from toolkit.progress import Done, Progress, Watch

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 12  # trials in the live table


class _Preparing(Progress):
    """A terminal has room for one live display, so that a count becomes a part of it."""

    def __init__(self, board: "Board") -> None:
        self.board = board

    def say(self, text: str) -> None:
        self.board.progress.say(text)

    def warn(self, text: str) -> None:
        self.board.progress.warn(text)

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Done]:
        before, done = self.board.now, 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            self.board.now = f"{what}: {done:,} of {total:,}"

        yield count
        self.board.now = before


class Board:
    """The study's trials, and how far this process is with its own. until: time.monotonic() of its end."""

    def __init__(self, study: Study, folds: int, until: float | None, progress: Progress) -> None:
        self.study, self.folds, self.until, self.progress = study, folds, until, progress
        self.begun: dict[int, float] = {}
        self.now = ""
        self.trials: Sequence[FrozenTrial] = []
        self.more: Callable[[], Sequence[str]] = tuple  # lines of what runs elsewhere
        self.shown = False

    @contextmanager
    def live(self) -> Iterator[None]:
        with self.progress.live(self.view) as self.shown:
            yield

    def begin(self, number: int) -> None:
        self.begun[number] = time.monotonic()
        self.now = f"trial {number}: preparing"
        self.read()

    def read(self) -> None:
        self.trials = self.study.get_trials(deepcopy=False)

    def watch(self, what: str, epochs: int, position: int) -> Watch:
        """What `fit_fold` calls after a step; what: a trial or a final."""

        def watch(fold: int, epoch: float, news: str) -> None:
            done = f"fold {position + 1}/{self.folds} epoch {min(int(epoch) + 1, epochs)}/{epochs}"
            self.now = f"{what}: {done} {news}"

        return watch

    @cached_property
    def preparing(self) -> Progress:
        """What is done before a trial is trained, such as decoding images at its size: counted on the board."""
        return _Preparing(self)

    def ended(self, trial: FrozenTrial) -> None:
        self.read()
        if self.shown:
            return
        took = duration(time.monotonic() - self.begun.get(trial.number, time.monotonic()))
        words = [f"trial {trial.number} {state(trial)}", scores(trial) if trial.values else "", took, *self._rest()]
        self.progress.say(", ".join(word for word in words if word) + f": {short(trial)}")

    def _rest(self) -> list[str]:
        """The best trial, among how many it is that, and the time that is left."""
        best = best_of(self.trials, lower=self.study.directions[0] == StudyDirection.MINIMIZE)
        left = None if self.until is None else duration(max(0.0, self.until - time.monotonic()))
        return [*([best] if best else []), *([f"{left} left"] if left else [])]

    def view(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style="bold", box=None, pad_edge=False, expand=True)
        for name, width in (("trial", 5), ("score", 6), ("folds", 5), ("state", 15)):
            table.add_column(name, justify="right" if width < 7 else "left", min_width=width, no_wrap=True)
        table.add_column("recipe", ratio=1, no_wrap=True, overflow="ellipsis")
        begun = [t for t in self.trials if t.state.name != "WAITING"]
        for trial in begun[-ROWS:]:
            folds = f"{trial.user_attrs.get('folds', 0)}/{self.folds}"
            table.add_row(*map(Text, (str(trial.number), scores(trial), folds, state(trial, why=False), short(trial))))
        last = Text("  ".join(word for word in (self.now, *self._rest()) if word))
        return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in self.more()), last)


def scores(trial: FrozenTrial) -> str:
    if trial.values:
        return " ".join(map(number, trial.values))
    last = max(trial.intermediate_values, default=None)
    return "" if last is None else number(trial.intermediate_values[last])


def state(trial: FrozenTrial, why: bool = True) -> str:
    """Finished, pruned or failed, and why."""
    attributes = trial.user_attrs
    if trial.state.name == "COMPLETE":
        return "already trained" if attributes.get("note") else "finished"
    if trial.state.name == "PRUNED":
        return f"pruned {attributes.get('note', '')}".strip() if why else "pruned"
    if trial.state.name == "FAIL":
        if not why:
            return "failed"
        return f"failed ({attributes.get('error') or attributes.get('lost') or 'no reason given'})"
    return "running"


def short(trial: FrozenTrial) -> str:
    """The parameters without the groups that they belong to."""

    def shown(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return " ".join(
        f"{name.partition('@')[0].rpartition('.')[2]}={shown(value)}" for name, value in trial.params.items()
    )


def best_of(trials: Sequence[FrozenTrial], lower: bool = False) -> str:
    """lower: the lower value is the better one."""
    done = [t for t in trials if t.state.name == "COMPLETE"]
    if not done:
        return ""
    best = (min if lower else max)(done, key=lambda t: t.values[0])
    return f"best of {len(done)}: {number(best.values[0])} (trial {best.number})"
