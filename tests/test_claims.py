"""A process is known to live, here and on another machine; a piece of work is had by one."""

import multiprocessing
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.conftest import START
from toolkit import claims
from toolkit.claims import claimed
from toolkit.processes import GRACE, Owner, alive, this_process
from toolkit.store import write_json


def test_a_dead_process_is_known_at_once_here_and_after_two_minutes_elsewhere() -> None:
    me, now = this_process(), time.time()
    assert alive(me, 0.0)
    assert not alive(replace(me, started="1"), now), "another process has got the same number"
    assert not alive(replace(me, pid=2**22 + 1), now)
    assert alive(replace(me, host="elsewhere"), now - GRACE / 2)
    assert not alive(replace(me, host="elsewhere"), now - GRACE - 1)


def hold(path: Path, taken: "multiprocessing.synchronize.Event") -> None:
    with claimed(path) as mine:
        assert mine
        taken.set()
        time.sleep(60)


def test_a_claim_is_had_by_one_and_ends_with_its_process(tmp_path: Path) -> None:
    path, taken = tmp_path / "claim", START.Event()
    process = START.Process(target=hold, args=(path, taken))
    process.start()
    assert taken.wait(60)
    with claimed(path) as mine:
        assert not mine
    process.kill()
    process.join()
    with claimed(path) as mine:
        assert mine
    write_json(path, {**asdict(this_process()), "host": "elsewhere"})
    with claimed(path) as mine:
        assert not mine, "another machine has given a sign of life"
    os.utime(path, (0, time.time() - GRACE - 1))
    with claimed(path) as mine:
        assert mine


def test_a_claim_that_is_given_back_while_it_is_looked_at_is_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "claim"
    write_json(path, {**asdict(this_process()), "host": "elsewhere"})
    read = claims.owner_of

    def given_back(claim: Path) -> Owner:
        owner = read(claim)
        claim.unlink()
        return owner

    monkeypatch.setattr(claims, "owner_of", given_back)
    with claimed(path) as mine:
        assert mine


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": 1}', '{"pid": 1, "host": "a", "started": 1, "x": 2}'])
def test_a_damaged_claim_counts_as_long_as_one_of_another_machine(content: str, tmp_path: Path) -> None:
    path = tmp_path / "claim"
    path.write_text(content)
    with claimed(path) as mine:
        assert not mine
    os.utime(path, (0, time.time() - GRACE - 1))
    with claimed(path) as mine:
        assert mine
