"""What a training tells of itself in numbers, to whoever listens: trackers, and a callable of one's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

NAMES = {"clean": "CV", "stress": "stress", "matched": "test-like"}  # of scores, as people read them


@dataclass(frozen=True)
class Epoch:
    """One epoch of one fold. epoch: from 1 on; lr: of its last step; seconds: with the look at validation samples.

    validation_loss, score: of those samples, None where none were looked at in this epoch. replayed: it was trained
    before, by a process that was interrupted, and is told again so that nobody misses it.
    """

    run: str
    fold: int
    epoch: int
    loss: float
    validation_loss: float | None
    score: float | None
    lr: float
    seconds: float
    replayed: bool = False

    @property
    def measured(self) -> dict[str, float]:
        """What there is to log."""
        values = {name: getattr(self, name) for name in ("loss", "validation_loss", "score", "lr", "seconds")}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Scores:
    """What a finished run is worth by the official metric: `CV`, `stress` and `test-like`, where measured."""

    run: str
    metric: str
    scores: Mapping[str, float]


Event = Epoch | Scores
Listener = Callable[[Event], None]
Tell = Callable[[Epoch], None]


def unheard(event: Event) -> None:
    """Nobody listens."""


def epoch_of(run: str, fold: int, number: int, line: Mapping[str, Any], replayed: bool = False) -> Epoch:
    """The epoch `number`, from 1 on, of a line of history.json."""
    values = {name: line.get(name) for name in ("loss", "validation_loss", "score", "lr", "seconds")}
    return Epoch(run, fold, number, replayed=replayed, **values)  # type: ignore[arg-type]


def scores_of(run: str, metrics: Mapping[str, Any]) -> Scores:
    """From what metrics.json has."""
    found = {name: metrics[kind]["score"] for kind, name in NAMES.items() if metrics.get(kind)}
    return Scores(run, metrics.get("metric", ""), found)
