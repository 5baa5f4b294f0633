"""What a fold takes of a machine, and what is asked for the next one."""

import time
from dataclasses import replace

import numpy as np
import pytest

from toolkit.cluster.connection import Machine, places
from toolkit.cluster.need import MARGIN, MOST, STEP, Meter, Need, Used, largest, own_memory

GB = 10**9


def test_memory_is_that_of_the_process_alone_at_its_peak() -> None:
    before = own_memory()
    if not before:
        pytest.skip("the system doesn't say what memory a process takes")
    with Meter() as meter:
        held = np.ones(50_000_000, np.float64)
        time.sleep(0.3)
        del held
    assert before + 0.35 * GB < meter.used.memory < before + 0.6 * GB
    assert meter.used.gpu_time is None and meter.used.gpu_memory is None


def test_cpus_are_those_that_were_busy() -> None:
    with Meter() as waiting:
        time.sleep(0.3)
    with Meter() as busy:
        until = time.process_time() + 0.3
        while time.process_time() < until:
            pass
    assert waiting.used.cpus < 0.3 < busy.used.cpus


def test_threads_stay_and_memory_gets_a_margin() -> None:
    asked = Need(4).after(Used(1.1, GB))
    assert asked.cpus == 4 and not asked.gpus
    assert MARGIN * GB <= asked.memory < MARGIN * GB + STEP and asked.memory % STEP == 0
    assert Need(4).after(Used(1.1, 0)) == Need(4)  # nobody says


@pytest.mark.parametrize(
    ("memory", "busy", "share"),
    [(0.1, 0.95, 1), (0.1, 0.45, 1 / 2), (0.1, 0.3, 1 / 3), (0.45, 0.1, 1), (0.35, 0.1, 1 / 2), (0.01, 0, 1 / MOST)],
)
def test_a_gpu_is_shared_where_time_and_memory_allow(memory: float, busy: float, share: float) -> None:
    asked = Need(8, 1).after(Used(1.3, GB, memory, busy))
    assert (asked.cpus, asked.gpus) == (2, share)


def test_of_a_shared_gpu_only_memory_is_known() -> None:
    shared = Need(2, 1 / 3)
    assert shared.after(Used(1, GB, 0.1, 0.99)).gpus == 1 / 3
    assert shared.after(Used(1, GB, 0.3, 0.1)).gpus == 1 / 2
    assert Need(2, 1).after(Used(1, GB, 0.1, None)).gpus == 1  # the driver says nothing


def test_places_are_counted_by_what_is_scarce() -> None:
    machine = Machine("a", "a", cpus=8, gpus=2, memory=10 * GB)
    assert places([machine], Need(3)) == 2
    assert places([machine], Need(1, 0, 4 * GB)) == 2
    assert places([machine, machine], Need(1, 1)) == 4
    assert places([machine], Need(1, 1 / 3)) == 6
    assert places([machine], Need(2, 1 / 3)) == 4
    assert places([replace(machine, gpus=0)], Need(1, 1 / 2)) == 0


def test_what_holds_what() -> None:
    large = largest([Need(2, 1 / 2, GB), Need(1, 1, 2 * GB)])
    assert large == Need(2, 1, 2 * GB)
    assert large.holds(Need(1, 1, GB)) and not large.holds(Need(1, 1 / 2, GB)) and not Need(1, 1, GB).holds(large)
    assert Need(1, 0, GB).holds(Need(1, 0, int(1.2 * GB))) and not Need(1, 0, GB).holds(Need(1, 0, int(1.3 * GB)))
    assert str(Need(2, 1 / 3, 3 * GB)) == "2 CPUs, 1/3 of a GPU and 3.0 GB of memory" and str(Need(1)) == "1 CPU"
