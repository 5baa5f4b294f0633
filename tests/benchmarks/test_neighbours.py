"""Training is timed beside processes that compute, which end with the benchmark."""

import os
import time

import pytest

from benchmarks.neighbours import (
    SETTINGS,
    Trainer,
    coming_and_going,
    environment,
    measure_steps,
    neighbours,
    words,
)
from toolkit.command_line import parser
from toolkit.run import add_options


def children() -> list[str]:
    """States of this process's own."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                state, parent = file.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        found += [state] if int(parent) == os.getpid() else []
    return found


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="there is no /proc")
def test_neighbours_come_and_go() -> None:
    before = len(children())
    with neighbours(2):
        assert len(children()) == before + 2
    assert len(children()) == before
    seen: set[int] = set()
    with coming_and_going(1, come=0.05, stay=0.2):
        until = time.monotonic() + 10
        while len(seen) < 2 and time.monotonic() < until:
            seen.add(len(children()))
            time.sleep(0.01)
    assert seen == {before, before + 1} and len(children()) == before


def test_a_setting_of_threads_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert not {"OMP_WAIT_POLICY", "OMP_NUM_THREADS"} & environment({}).keys()
    assert environment({"GOMP_SPINCOUNT": "1"})["GOMP_SPINCOUNT"] == "1"


def test_a_process_trains_when_it_is_told_to() -> None:
    with Trainer(SETTINGS["one_thread"], "float32") as trainer:
        found = trainer.steps(0.01)
    assert found["rate"] > 0 and found["threads"] == 1 and 0 <= found["waited"] <= 1
    assert trainer.process.returncode is not None


def test_ratios_are_of_the_same_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = iter([1.0, 1.0, 2.0, 6.0, 4.0, 8.0, 1.0, 3.0])  # warming up, then three turns of two settings
    monkeypatch.setattr(Trainer, "__init__", lambda trainer, settings, precision: None)
    monkeypatch.setattr(Trainer, "__exit__", lambda trainer, *_: None)
    monkeypatch.setattr(Trainer, "steps", lambda trainer, _: {"rate": next(rates), "waited": 0.0, "threads": 2})
    figures = measure_steps(["before", "chosen"], 1.0, 3, beside=(0,))
    assert (figures["beside_0_before_steps_per_s"], figures["beside_0_chosen_steps_per_s"]) == (2, 6)
    assert figures["beside_0_chosen_over_before"] == 3 and figures["beside_0_chosen_over_worst_before"] == 6


def test_the_run_is_called_as_the_command_wants_it() -> None:
    made = parser("run", "", overrides=True)
    add_options(made)
    options = made.parse_intermixed_args(words("mars", 300.0, "folder"))
    assert (options.budget, options.practice, options.json) == (300.0, True, True)
