"""Two that train one recipe at once: one trains, the other says for whom it waits, and neither fails."""

import os
import time
from pathlib import Path

import pytest

from tests.conftest import START
from tests.tiny import Heard, prepare, project
from toolkit import claims
from toolkit.claims import alone, claimed, in_turn, turn
from toolkit.errors import UserError
from toolkit.training import cross_validation
from toolkit.training.alone import claim_of, waiting_for, whole_run


class Answering(Heard):
    """Lets the other process end once it is said that this one waits."""

    def __init__(self, done: Path) -> None:
        super().__init__()
        self.done = done

    def say(self, text: str) -> None:
        super().say(text)
        if "waiting" in text:
            self.done.touch()


def hold(root: Path, begun: Path, done: Path) -> None:
    """What another process does that trains the first recipe."""
    labelled = project(root).labelled()
    run = cross_validation.run_of(labelled, project(root).recipe(None))
    with whole_run(run, waiting_for(run, Heard())):
        begun.touch()
        appears(done)


def appears(path: Path) -> None:
    """Wait until there is such a file, a minute at most."""
    until = time.monotonic() + 60
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.01)


def test_who_trains_what_is_being_trained_waits_and_says_for_whom(tmp_path: Path) -> None:
    begun, done = tmp_path / "begun", tmp_path / "done"
    heard = Answering(done)
    prepare(tmp_path)
    process = START.Process(target=hold, args=(tmp_path, begun, done))
    process.start()
    appears(begun)
    run = project(tmp_path, progress=heard).train(schedule__epochs=4, stress="none")
    process.join()
    assert f"{run.name} is being trained by process {process.pid}: waiting until that has ended" in heard.lines
    assert run.finished and not [path for path in run.labelled.workspace.claims.iterdir() if path.suffix != ".lock"]


def test_a_budget_is_not_waited_away(tmp_path: Path) -> None:
    begun, made = tmp_path / "begun", prepare(tmp_path)
    process = START.Process(target=hold, args=(tmp_path, begun, tmp_path / "never"))
    process.start()
    appears(begun)
    said = rf"is being trained by process {process.pid}, which .* did not see the end of"
    with pytest.raises(UserError, match=said):
        cross_validation.train(made.labelled(), made.recipe(None), deadline=time.monotonic() + 0.3)
    run = cross_validation.run_of(made.labelled(), made.recipe(None))
    claim = alone(claim_of(run, 1), waiting_for(run, Heard(), time.monotonic()))
    with pytest.raises(UserError, match="is being trained by"), claim:  # one fold is a part of it
        pass
    process.kill()
    process.join()


def test_a_claim_is_had_again_by_whoever_has_it(tmp_path: Path) -> None:
    def never(who: str) -> None:
        raise AssertionError(who)

    with alone(tmp_path / "claim", never), alone(tmp_path / "claim", never):
        pass
    with claimed(tmp_path / "claim") as mine:
        assert mine


@pytest.mark.parametrize("damage", [b"", b"\0" * 20, b"[]", b'{"host": "a"}', b"null"])
def test_a_damaged_claim_counts_for_two_minutes(damage: bytes, tmp_path: Path) -> None:
    path = tmp_path / "claim"
    path.write_bytes(damage)
    with claimed(path) as mine:
        assert not mine
    os.utime(path, (0, 0))
    with claimed(path) as mine:
        assert mine


def lock(path: Path, begun: Path, done: Path) -> None:
    with turn(path):
        begun.touch()
        appears(done)


def test_who_waits_for_a_lock_says_so_and_for_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.01)
    begun, done = tmp_path / "begun", tmp_path / "done"
    heard = Answering(done)
    process = START.Process(target=lock, args=(tmp_path / "lock", begun, done))
    process.start()
    appears(begun)
    with in_turn(tmp_path / "lock", "the ledger", heard):
        pass
    assert heard.lines == [f"waiting for the ledger: another process has it ({tmp_path / 'lock'} is locked)"]
    process.join()
