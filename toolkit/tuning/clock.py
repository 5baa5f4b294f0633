"""The time of a search: until when trials are begun, cut and finished, and what trainings took of it."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf

from toolkit.tuning.settings import UNPRUNED, SearchSettings

RESERVE = 0.2  # of a budget is kept for finishing and repeating the best,
MOST_RESERVE = 0.4  # and up to so much where the best take long
MEASURING = 0.1  # of the time that is left, at most, to find out how fast a network is here
CLOSING = 10.0  # seconds at most for tables and pictures


@dataclass
class Clock:
    """Times of time.monotonic(), which nobody sets; without a budget (seconds) there are none to keep to."""

    started: float
    budget: float | None = None
    per_trial: float | None = None  # seconds of a trial that the budget's epochs are chosen for
    training: float = 0.0  # seconds that trainings took
    merging: float = 0.0  # seconds at most that putting a run together took, with what is predicted for it,
    joining: float = 0.0  # and without

    @property
    def begin_until(self) -> float | None:
        """No trial begins later."""
        return self._at(1 - RESERVE)

    @property
    def cut_at(self) -> float | None:
        """A trial under way is cut here."""
        return self._at(1 - RESERVE / 2)

    @property
    def deadline(self) -> float | None:
        """Nothing is trained later."""
        return None if self.budget is None else self.started + self.budget - min(CLOSING, 0.05 * self.budget)

    def _at(self, share: float) -> float | None:
        return None if self.budget is None else self.started + share * self.budget

    @property
    def for_measuring(self) -> float:
        """Seconds that may be spent now on finding out how fast a network is here."""
        return inf if self.begin_until is None else max(0.0, MEASURING * (self.begin_until - time.monotonic()))

    def fits(self, seconds: float) -> bool:
        """Is there time for what takes so many?"""
        return self.deadline is None or time.monotonic() + seconds < self.deadline

    @contextmanager
    def counting(self) -> Iterator[None]:
        """What is done meanwhile counts as training."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.training += time.monotonic() - begun


def start(settings: SearchSettings) -> Clock:
    clock = Clock(time.monotonic(), settings.budget)
    if settings.budget_for_epochs is not None:
        clock.per_trial = (1 - RESERVE) * settings.budget_for_epochs / min(settings.expected_trials, UNPRUNED)
    return clock


def passed(until: float | None) -> bool:
    return until is not None and time.monotonic() > until
