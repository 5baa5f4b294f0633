"""Whether the processor had other work while something was timed, as Linux counts it for each thread."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

NOTICED = 10_000_000  # nanoseconds of waiting: less is none
BUSY, TRIES = 0.1, 3  # share of waiting from which on a measurement is made again, and how often at most


@dataclass
class Contention:
    """share: of the time in which this process's threads wanted to compute they waited for a core; 0 where the system
    doesn't say."""

    share: float = 0.0


@contextmanager
def contention() -> Iterator[Contention]:
    """Known once the block has ended."""
    found, (ran, stood) = Contention(), _schedule()
    yield found
    now_ran, now_stood = _schedule()
    ran, stood = max(0, now_ran - ran), max(0, now_stood - stood)  # less than before: threads have ended
    found.share = stood / (ran + stood) if stood > NOTICED else 0.0


def quietest(measure: Callable[[], T], within: float = math.inf) -> T:
    """The measurement during which this process waited least; made again while the processor is busy, if all together
    are likely to take no longer than `within` seconds.
    """
    made: list[tuple[float, T]] = []
    begun = time.monotonic()

    def may_go_on() -> bool:
        took = time.monotonic() - begun
        return len(made) < TRIES and min(share for share, _ in made) > BUSY and took * (1 + 1 / len(made)) <= within

    while not made or may_go_on():
        with contention() as waited:
            value = measure()
        made.append((waited.share, value))
    return min(made, key=lambda pair: pair[0])[1]


def _schedule() -> tuple[int, int]:
    """Nanoseconds that all threads have computed, and that they have waited for a core, so far."""
    total = [0, 0]
    for path in Path("/proc/self/task").glob("*/schedstat"):
        try:
            ran, stood, _ = map(int, path.read_text().split())
        except (OSError, ValueError):  # a thread that has just ended
            continue
        total[0] += ran
        total[1] += stood
    return total[0], total[1]
