"""A few kills, and two at once: the same command ends with the same bits, and leaves nothing over."""

from pathlib import Path

import pytest

from benchmarks.fault_kills import submit, train
from tests import crashes, tiny


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data and folds of the tiny competition."""
    folder = tmp_path_factory.mktemp("kills")
    tiny.prepare(folder / "work" / "workspace", folds=2)
    return folder


def test_what_is_killed_or_done_twice_at_once_ends_as_undisturbed(place: Path) -> None:
    root, before, told = place / "work", place / "before", place / "told.json"
    crashes.put(root, before)
    for attack, most in ((crashes.killed, 2), (crashes.interleaved, 1)):
        found = attack(train, root, before, told, most)
        assert found.tried == most and found.of > 50 and not found.faults


def test_two_submissions_at_once_are_one_line_of_the_ledger(place: Path) -> None:
    root, before, told = place / "blended", place / "before_it", place / "told.json"
    tiny.blend(root / "workspace", "one")
    crashes.put(root, before)
    found = crashes.interleaved(submit, root, before, told, 2)
    assert found.tried == 2 and not found.faults
    assert len((root / "submissions" / "ledger.csv").read_text().splitlines()) == 2
