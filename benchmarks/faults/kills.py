"""Each command killed at systematic points, then the same command again: all files as if nothing had happened."""

import random
import signal
from collections.abc import Sequence

from benchmarks.faults.cases import Case, Tries, Try
from benchmarks.faults.contents import contents, differences
from benchmarks.faults.forks import Ended, put, signal_at
from benchmarks.faults.steps import Stage, Stages, points


def tries(stages: Stages, count: int, rng: random.Random) -> Tries:
    """Points are spread evenly over all changes of a command, and as many are taken of each command."""
    for stage, number in stages.shared_out(count):
        for at in points(stage.changes, number):
            what = f"{stage.step.name} killed at change {at} of {stage.changes}"
            yield Try(what, lambda s=stage, at=at: killed(s, at))  # type: ignore[misc]


def killed(stage: Stage, at: int) -> Case:
    expected = stage.expected
    put(stage.before, stage.root)
    first = stage.do(signal_at(at, signal.SIGKILL))
    if first.kind != "killed":
        return Case("unreached", f"{first.kind} after {first.changes} changes: {first.said}")
    return verdict(stage, [stage.do()], expected)


def verdict(stage: Stage, ended: Sequence[Ended], expected: dict[str, str]) -> Case:
    """What came of commands that were to end well, and to leave what is expected."""
    for one in ended:
        if one.kind != "same":
            return Case("lost" if one.kind in ("sentence", "killed", "going on") else one.kind, one.said)
    wrong = differences(contents(stage.root), expected)
    return Case(wrong[0][0], "; ".join(said for _, said in wrong)[:2000]) if wrong else Case("same")
