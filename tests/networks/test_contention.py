"""What was timed while others computed is timed again."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from toolkit.networks import contention as module
from toolkit.networks.contention import NOTICED, TRIES, Contention, contention, quietest


def test_threads_of_this_process_that_compete_for_a_core_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([(100 * NOTICED, 10 * NOTICED), (118 * NOTICED, 12 * NOTICED)])
    monkeypatch.setattr(module, "_schedule", lambda: next(times))
    with contention() as found:
        assert found.share == 0
    assert found.share == pytest.approx(0.1)


def test_the_system_is_asked_without_a_fault_and_threads_that_end_count_nothing() -> None:
    def compute(seconds: float) -> None:
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            pass

    with contention() as found:
        thread = threading.Thread(target=compute, args=(0.02,))
        thread.start()
        compute(0.02)
        thread.join()
    assert 0 <= found.share < 1


@pytest.mark.parametrize(
    ("shares", "taken"), [([0.0], 0), ([0.5, 0.05], 1), ([0.5, 0.2, 0.4], 1), ([0.3, 0.4, 0.5], 0)]
)
def test_the_quietest_of_a_few_tries_counts(shares: list[float], taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    tries = iter(enumerate(shares))
    measured: list[int] = []

    @contextmanager
    def pretended() -> Iterator[Contention]:
        at, share = next(tries)
        measured.append(at)
        yield Contention(share)

    monkeypatch.setattr(module, "contention", pretended)
    assert quietest(lambda: measured[-1]) == taken
    assert len(measured) == len(shares) <= TRIES


def test_no_further_try_where_it_would_take_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def busy() -> Iterator[Contention]:
        yield Contention(0.9)

    monkeypatch.setattr(module, "contention", busy)
    tries: list[int] = []
    quietest(lambda: tries.append(1), within=0.0)
    assert len(tries) == 1
    quietest(lambda: tries.append(1), within=60.0)
    assert len(tries) == 1 + TRIES
