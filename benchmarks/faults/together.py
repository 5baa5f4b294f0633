"""Two of each command at once: one is stopped at a point, the other does the same meanwhile, as far as it gets."""

import os
import random
import signal
import time

from benchmarks.faults.cases import Case, Tries, Try
from benchmarks.faults.forks import Begun, put, signal_at
from benchmarks.faults.kills import verdict
from benchmarks.faults.steps import Stage, Stages, points

PATIENCE = 3.0  # seconds that the second gets, where it waits for the first


def tries(stages: Stages, count: int, rng: random.Random) -> Tries:
    """Points as of kills. Afterwards all files must be as after two commands one after the other."""
    for stage, number in stages.shared_out(count):
        for at in points(stage.changes, number):
            what = f"two {stage.step.name}, one stopped at change {at} of {stage.changes}"
            yield Try(what, lambda s=stage, at=at: both(s, at))  # type: ignore[misc]


def both(stage: Stage, at: int) -> Case:
    expected = stage.expected_of_two
    put(stage.before, stage.root)
    first = stage.begin(signal_at(at, signal.SIGSTOP))
    _wait(first, "TZ", 60)
    second = stage.begin(name="other")
    _wait(second, "Z", PATIENCE)
    while first.state() != "Z":  # on a busy machine it may stop later than it was waited for
        os.kill(first.pid, signal.SIGCONT)
        time.sleep(0.01)
    return verdict(stage, [first.end(), second.end()], expected)


def _wait(fork: Begun, states: str, seconds: float) -> None:
    """Until the fork is in one of these states, or the time is over."""
    end = time.monotonic() + seconds
    while fork.state() not in states and time.monotonic() < end:
        time.sleep(0.01)
