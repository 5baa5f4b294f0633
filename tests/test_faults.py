"""A short form of `benchmarks.faults`: bad command lines, damaged files, a full disk; nothing is a traceback."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import faults


@pytest.fixture(scope="module", autouse=True)
def without_a_search() -> Iterator[None]:
    """It takes as long as all other commands, and has tests of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(faults, "WHOLE", tuple(command for command in faults.WHOLE if command != "search"))
        yield


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faults") / "root"
    return faults.finished(made)


@pytest.mark.parametrize(("name", "count"), [("lines", 8), ("damage", 2)])
def test_what_goes_wrong_is_a_sentence_or_is_healed(base: Path, name: str, count: int) -> None:
    cases = list(faults.CAMPAIGNS[name](base, count, random.Random(0)))
    assert len(cases) == count
    assert [case for case in cases if case.kind not in faults.RIGHT] == []


def test_a_fork_that_raises_or_lingers_is_seen(tmp_path: Path) -> None:
    def broken() -> int:
        raise KeyError("x")

    def linger() -> int:
        while True:
            pass

    assert faults.forked(broken, tmp_path)[0] == "traceback"
    assert faults.forked(linger, tmp_path, 1)[0] == "going on"
    assert faults.forked(lambda: 0, tmp_path) == ("fine", "")
