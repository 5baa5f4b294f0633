"""What a search shows: a live table where the screen is a terminal, a line a trial otherwise."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial

from toolkit.outcome import counted, duration, number
from toolkit.progress import Progress, Watch
from toolkit.tuning.settings import FINALISTS, REPEATED
from toolkit.tuning.study import place_of

if TYPE_CHECKING:
    from rich.console import RenderableType

ROWS = 12  # trials in the live table
FIRST = "optimizer.lr"  # the parameter that comes first, as it decides most


class Board:
    """The study's trials, and how far this process is with its own.

    until: time.monotonic() of its end; wanted: trials of the study; repeats: of the best ones, with other seeds. None:
    not known.
    """

    def __init__(
        self,
        study: Study,
        folds: int,
        until: float | None,
        progress: Progress,
        wanted: int | None = None,
        repeats: int = 0,
    ) -> None:
        self.study, self.folds, self.until, self.progress = study, folds, until, progress
        self.wanted, self.repeats = wanted, repeats
        self.started = time.monotonic()
        self.begun: dict[int, float] = {}
        self.stage, self.doing = "", ""  # such as `trial 2 of 4`, and `fold 1/3 epoch 4/12`
        self.trials: Sequence[FrozenTrial] = []
        self.more: Callable[[], Sequence[str]] = tuple  # lines of what runs elsewhere
        self.varying: Set[str] = frozenset()
        self.shown = False
        self.pieces = 0.0  # folds that were trained here,
        self.piece = 0.0  # the share of the present one,
        self.ahead_in_finals: float | None = None  # and those that finals still need, once these have begun

    @contextmanager
    def live(self) -> Iterator[None]:
        with self.progress.live(self.view, lambda: self.now, self.left) as self.shown:
            yield

    @property
    def now(self) -> str:
        return ": ".join(word for word in (self.stage, self.doing) if word)

    def begin(self, number: int) -> None:
        self.begun[number] = time.monotonic()
        among = "" if self.wanted is None or number >= self.wanted else f" of {self.wanted}"
        self.stage, self.doing = f"trial {number + 1}{among}", "preparing"
        self.read()

    def final(self, trained: int, finalists: int, repeated: int, repeats: int) -> None:
        """Finals have begun: so many of them, and repeats of the best with other seeds, are trained by now."""
        told = f"finals: {trained} of {finalists} trained"
        if trained == finalists and repeats:
            told = f"finals: {repeated} of {counted(repeats, 'repeat')} trained"
        elif repeats:
            told += f", then {counted(repeats, 'repeat')}"
        self.stage, self.doing, self.piece = told, "", 0.0
        self.ahead_in_finals = float(self.folds * (repeats - repeated))

    def read(self) -> None:
        self.trials = self.study.get_trials(deepcopy=False)
        self.varying = varying(self._begun())

    def watch(self, what: str, epochs: int, position: int) -> Watch:
        """What `fit_fold` calls after a step; what: a trial or a final."""

        def watch(fold: int, epoch: float, news: str) -> None:
            done = f"fold {position + 1}/{self.folds} epoch {min(int(epoch) + 1, epochs)}/{epochs}"
            self.piece = epoch / epochs
            self.doing = " ".join(filter(None, (what, done, news)))

        return watch

    def fold_ended(self) -> None:
        self.pieces, self.piece = self.pieces + 1, 0.0
        if self.ahead_in_finals is not None:
            self.ahead_in_finals = max(0.0, self.ahead_in_finals - 1)

    def ended(self, trial: FrozenTrial) -> None:
        self.read()
        if self.shown:
            return
        took = duration(time.monotonic() - self.begun.get(trial.number, time.monotonic()))
        among = "" if self.wanted is None or trial.number >= self.wanted else f" of {self.wanted}"
        told = f"trial {trial.number + 1}{among} ({name(trial)}) {state(trial)}"
        words = [told, scores(trial) if trial.values else "", took, *self._rest()]
        self.progress.say(", ".join(word for word in words if word) + f": {short(trial, varying(self._begun()))}")

    def _begun(self) -> list[FrozenTrial]:
        return [t for t in self.trials if t.state.name != "WAITING"]

    def _rest(self) -> list[str]:
        """The best trial, among how many it is that, and the time that is left."""
        best = best_of(self.trials, lower=self.study.directions[0] == StudyDirection.MINIMIZE)
        left = self.left()
        return [*([best] if best else []), *([f"about {duration(left)} left"] if left is not None else [])]

    def left(self) -> float | None:
        """Seconds: those of the budget, else by what a fold took so far; None where neither is known."""
        if self.until is not None:
            return max(0.0, self.until - time.monotonic())
        done = self.pieces + self.piece
        if self.wanted is None or done < 0.1:
            return None
        return (time.monotonic() - self.started) / done * max(0.0, self._folds_ahead() - self.piece)

    def _folds_ahead(self) -> float:
        """Folds that are still to be trained, as many a trial as the trials before took, those of finals included."""
        if self.ahead_in_finals is not None:
            return self.ahead_in_finals
        ended = [t.user_attrs.get("folds", 0) for t in self._begun() if t.state.name in ("COMPLETE", "PRUNED")]
        each = sum(ended) / len(ended) if ended else self.folds
        running = sum(t.state.name == "RUNNING" for t in self.trials)
        rest = max(0, (self.wanted or 0) - len(ended) - running) * each
        rest += sum(max(1.0, each - t.user_attrs.get("folds", 0)) for t in self.trials if t.state.name == "RUNNING")
        unfinished = min(FINALISTS, self.wanted or 0) * max(0.0, self.folds - each)
        return rest + unfinished + self.folds * self.repeats * min(REPEATED, self.wanted or 0)

    def view(self) -> "RenderableType":
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(header_style="bold", box=None, pad_edge=False, expand=True)
        for head, width in (("trial", 5), ("score", 6), ("state", 26)):
            table.add_column(head, justify="right" if width < 7 else "left", width=width, no_wrap=True)
        table.add_column("recipe", ratio=1, no_wrap=True, overflow="ellipsis")
        begun = self._begun()
        best = max_of(begun, lower=self.study.directions[0] == StudyDirection.MINIMIZE)
        for trial in begun[-ROWS:]:
            score = Text(scores(trial), style="bold green" if trial is best else "" if trial.values else "dim")
            told = state(trial, why=False, folds=self.folds)
            table.add_row(Text(name(trial)), score, Text(told), Text(short(trial, self.varying)))
        return Group(table, *(Text(line, no_wrap=True, overflow="ellipsis") for line in self.more()))


def name(trial: FrozenTrial) -> str:
    """As its run has it: `t0` is the first trial's."""
    return f"t{place_of(trial)}"


def scores(trial: FrozenTrial) -> str:
    """Its values; of one that isn't finished what it is expected to have."""
    if trial.values:
        return " ".join(map(number, trial.values))
    last = max(trial.intermediate_values, default=None)
    return "" if last is None else number(trial.intermediate_values[last])


def state(trial: FrozenTrial, why: bool = True, folds: int | None = None) -> str:
    """Finished, pruned or failed, and why, or after how many folds."""
    attributes = trial.user_attrs
    done = attributes.get("folds", 0)
    after = f"after {done} of {folds} folds" if folds and done else ""
    if trial.state.name == "COMPLETE":
        return "already trained" if attributes.get("note") else "finished"
    if trial.state.name == "PRUNED":
        return f"pruned {attributes.get('note', '') if why else after}".strip()
    if trial.state.name == "FAIL":
        if not why:
            return "failed"
        return f"failed ({attributes.get('error') or attributes.get('lost') or 'no reason given'})"
    return f"running {after}".strip()


def varying(trials: Sequence[FrozenTrial]) -> set[str]:
    """The parameters of which not all of the trials have the same; of a single trial, all."""
    if len(trials) < 2:
        return {parameter.partition("@")[0] for trial in trials for parameter in trial.params}
    values: dict[str, set[str]] = {}
    for trial in trials:
        for parameter, value in trial.params.items():
            values.setdefault(parameter.partition("@")[0], set()).add(repr(value))
    often = Counter(parameter.partition("@")[0] for trial in trials for parameter in trial.params)
    return {parameter for parameter, found in values.items() if len(found) > 1 or often[parameter] < len(trials)}


def short(trial: FrozenTrial, told: Set[str]) -> str:
    """These of its parameters as the command line takes them, the learning rate first."""

    def shown(value: Any) -> str:
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    mine = {parameter.partition("@")[0]: value for parameter, value in trial.params.items()}
    names = [parameter for parameter in mine if parameter in told]
    return " ".join(f"{each}={shown(mine[each])}" for each in sorted(names, key=lambda each: each != FIRST))


def max_of(trials: Sequence[FrozenTrial], lower: bool = False) -> FrozenTrial | None:
    """The best of those that are finished; lower: the lower value is the better one."""
    done = [t for t in trials if t.state.name == "COMPLETE"]
    return (min if lower else max)(done, key=lambda t: t.values[0]) if done else None


def best_of(trials: Sequence[FrozenTrial], lower: bool = False) -> str:
    """In words, with how many it is the best of; lower: as for `max_of`."""
    best, done = max_of(trials, lower), sum(t.state.name == "COMPLETE" for t in trials)
    return "" if best is None else f"best of {done}: {number(best.values[0])} ({name(best)})"
