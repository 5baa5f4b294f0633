"""Trials are counted once, whoever dies; the dead are noticed, and what they were at is tried again."""

import multiprocessing
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from tests.conftest import START
from tests.tiny import Heard
from tests.tuning.studies import expected, opened, suggested, up_to
from toolkit import claims
from toolkit.errors import UserError
from toolkit.processes import GRACE, this_process
from toolkit.tuning.samplers import Seeded
from toolkit.tuning.storage import JournalLock
from toolkit.tuning.study import (
    GIVEN_UP,
    HEARD,
    LOST,
    MOST_ENDED_WITH,
    OWNER,
    PLACE,
    RETRIED,
    RETRIES,
    RETRY_OF,
    Interrupted,
    begin,
    begun_trials,
    enqueue,
    give_back,
    in_turn,
    place_of,
    revive,
    work,
)

KILLS = int(os.environ.get("SEARCH_KILLS", "5"))
WORKERS = 4


def test_the_queue_comes_first_and_is_made_once(tmp_path: Path) -> None:
    queue = [({"x": 0.25, "branch": "a"}, {"recipe": "one"}), ({"x": 0.5, "branch": "a"}, {"recipe": "two"})]
    for _ in range(2):
        study = opened(tmp_path)
        enqueue(study, tmp_path, queue)
    work(study, tmp_path, up_to(3), suggested)
    trials = study.get_trials()
    assert [t.user_attrs.get("recipe") for t in trials] == ["one", "two", None]
    assert [t.values[0] for t in trials[:2]] == [0.25, 0.5]


def test_how_a_trial_ended_is_told_with_its_reason(tmp_path: Path) -> None:
    study = opened(tmp_path)
    told: list[FrozenTrial] = []

    def evaluate(trial: Trial) -> list[float]:
        values = suggested(trial)
        if trial.number == 0:
            raise UserError("the loss is no longer a number")
        if trial.number == 1:
            raise optuna.TrialPruned("after 1 of 3 folds")
        return values

    work(study, tmp_path, up_to(3), evaluate, told.append)
    assert [t.state for t in told] == [TrialState.FAIL, TrialState.PRUNED, TrialState.COMPLETE]
    assert told[0].user_attrs["error"] == "the loss is no longer a number"
    assert told[1].user_attrs["note"] == "after 1 of 3 folds"


def test_a_trial_that_others_took_for_dead_is_left_to_them(tmp_path: Path) -> None:
    study = opened(tmp_path)
    told: list[int] = []

    def evaluate(trial: Trial) -> list[float]:
        values = suggested(trial)
        if trial.number == 0:
            give_back(study, study.get_trials()[0], {RETRIES: 1})
            trial.set_user_attr("folds", 1)
        return values

    work(study, tmp_path, up_to(2), evaluate, lambda trial: told.append(trial.number))
    lost, again, _ = study.get_trials()
    assert lost.state == TrialState.FAIL and again.params == lost.params and told == [1, 2]


@pytest.mark.parametrize("end", [KeyboardInterrupt, Interrupted])
def test_an_interrupted_trial_is_queued_again_however_often(end: type[BaseException], tmp_path: Path) -> None:
    def interrupt(trial: Trial) -> list[float]:
        suggested(trial)
        raise end

    for _ in range(3):
        if end is KeyboardInterrupt:
            with pytest.raises(KeyboardInterrupt):
                work(opened(tmp_path), tmp_path, up_to(1), interrupt)
        else:
            work(opened(tmp_path), tmp_path, up_to(1), interrupt)
    study = opened(tmp_path)
    work(study, tmp_path, up_to(1), suggested)
    *lost, done = study.get_trials()
    assert [t.user_attrs[LOST] for t in lost] == [RETRIED] * 3 and done.state == TrialState.COMPLETE
    assert all(t.params == lost[0].params for t in (*lost, done)) and begun_trials([*lost, done]) == [done]


def left_running(study: Study, owner: object, heard: float) -> int:
    trial = study.ask()
    suggested(trial)
    trial.set_user_attr(OWNER, owner)
    trial.set_user_attr(HEARD, heard)
    return trial.number


def test_trials_of_dead_processes_are_tried_again(tmp_path: Path) -> None:
    me, now, study = this_process(), time.time(), opened(tmp_path)
    elsewhere = replace(me, host="elsewhere")
    for owner, heard in ((me, 0.0), (replace(me, started="1"), now), (elsewhere, now), (elsewhere, now - GRACE - 1)):
        left_running(study, asdict(owner), heard)
    assert revive(study) == [1, 3]
    assert [t.state.name for t in study.get_trials()] == ["RUNNING", "FAIL", "RUNNING", "FAIL", "WAITING", "WAITING"]


def test_what_a_dead_process_was_at_is_tried_once_more_and_only_once(tmp_path: Path) -> None:
    study = opened(tmp_path)
    dead = asdict(replace(this_process(), started="1"))
    first = left_running(study, dead, 0.0)
    assert revive(study) == [first]
    again = begin(study, tmp_path, up_to(5))
    assert again is not None and again.user_attrs[RETRY_OF] == first and again.user_attrs[RETRIES] == 1
    suggested(again)
    again.set_user_attr(OWNER, dead)
    assert revive(study) == [again.number]
    trials = study.get_trials()
    assert [t.user_attrs.get(LOST) for t in trials] == [RETRIED, GIVEN_UP] and trials[0].params == trials[1].params
    assert [t.number for t in begun_trials(trials)] == [again.number], (
        "a trial that killed two processes counts, and ends"
    )


def test_what_died_with_its_machine_is_tried_again_and_not_forever(tmp_path: Path) -> None:
    study, gone = opened(tmp_path), asdict(replace(this_process(), host="this one before it was switched off"))
    left_running(study, gone, 0.0)
    for _ in range(MOST_ENDED_WITH):
        assert len(revive(study)) == 1
        again = begin(study, tmp_path, up_to(9))
        assert again is not None and RETRY_OF in again.user_attrs
        suggested(again)
        again.set_user_attr(OWNER, gone)
        again.set_user_attr(HEARD, 0.0)
    assert len(revive(study)) == 1
    trials = study.get_trials()
    assert [t.user_attrs.get(LOST) for t in trials] == [RETRIED] * MOST_ENDED_WITH + [GIVEN_UP]
    assert len({str(t.params) for t in trials}) == 1


@pytest.mark.parametrize("column", ["trial_values.value", "trial_params.param_value"])
def test_a_number_that_changed_in_the_database_is_told(column: str, tmp_path: Path) -> None:
    work(opened(tmp_path), tmp_path, up_to(2), suggested)
    assert len(opened(tmp_path).trials) == 2
    table, name = column.split(".")
    with closing(sqlite3.connect(tmp_path / "study.db")) as database, database:
        database.execute(f"UPDATE {table} SET {name} = {name} + 1e-6 WHERE trial_id = 2")
    with pytest.raises(UserError, match=r"study\.db is damaged: trial 1 isn't what it ended with; remove it and run"):
        opened(tmp_path)


def test_a_database_whose_pages_are_damaged_is_told(tmp_path: Path) -> None:
    work(opened(tmp_path), tmp_path, up_to(3), suggested)
    path = tmp_path / "study.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(path.read_bytes())
    data[4096 * 3 : 4096 * 3 + 100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"study\.db is damaged \(.*\); remove it and run `compete search`"):
        opened(tmp_path)


def test_who_waits_for_the_study_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "PATIENCE", 0.01)
    heard, study = Heard(), opened(tmp_path)
    with in_turn(tmp_path):
        waiting = threading.Thread(target=lambda: enqueue(study, tmp_path, [], heard))
        waiting.start()
        while not heard.lines:
            time.sleep(0.01)
    waiting.join()
    assert "waiting for the search's study: another process has it" in str(heard)


def test_a_kill_between_the_two_steps_of_giving_back_queues_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = opened(tmp_path)
    number = left_running(study, asdict(replace(this_process(), started="1")), 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(Study, "tell", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            revive(study)
    assert revive(study) == [number]
    assert [t.state.name for t in study.get_trials()] == ["FAIL", "WAITING"]


def test_trials_that_were_lost_do_not_bias_the_sampler(tmp_path: Path) -> None:
    drawn = {}
    for name in ("whole", "left alone", "revived"):
        study = opened(tmp_path / name, "journal", "tpe")
        work(study, tmp_path / name, up_to(12), suggested)
        if name != "whole":
            left_running(study, asdict(replace(this_process(), started="1")), 0.0)
        if name == "revived":
            revive(study)
            study.tell(study.ask().number, state=TrialState.FAIL)  # the retry
        assert isinstance(study.sampler, Seeded)
        study.sampler = study.sampler.make(7)
        trial = study.ask()
        suggested(trial)
        drawn[name] = trial.params
    assert drawn["revived"] == drawn["whole"] != drawn["left alone"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing is told."""


@pytest.mark.parametrize(
    ("sampler", "drawn"),
    [("random", 0), ("random", 1), ("random", 2), ("qmc", 0), ("tpe", 1), ("gp", 2), ("cmaes", 1)],
)
def test_a_killed_study_ends_with_the_trials_of_one_that_was_not(sampler: str, drawn: int, tmp_path: Path) -> None:
    """Killed before, in the middle of and after the drawing of a trial's parameters, once each time."""
    number, at = 13, (0, 4, 11)

    def evaluate(trial: Trial) -> list[float]:
        if trial.user_attrs[PLACE] in at and RETRY_OF not in trial.user_attrs and trial.number not in killed:
            for name in ("x", "y")[:drawn]:
                trial.suggest_float(name, 0, 1)
            raise Killed
        return [trial.suggest_float("x", 0, 1) * trial.suggest_float("y", 0, 1)]

    found = {}
    for name in ("whole", "killed"):
        killed = set(range(99)) if name == "whole" else set()
        while True:
            study = opened(tmp_path / name, sampler=sampler)
            try:
                work(study, tmp_path / name, up_to(number), evaluate)
                break
            except Killed:
                (lost,) = study.get_trials(states=(TrialState.RUNNING,))
                killed |= {lost.number, lost.number + 1}  # which is the same one again, where nothing was drawn
                dead = asdict(replace(this_process(), started="1"))
                study._storage.set_trial_user_attr(lost._trial_id, OWNER, dead)
        begun = sorted(begun_trials(study.get_trials()), key=place_of)
        found[name] = [(place_of(t), t.params, t.values) for t in begun]
    assert found["whole"] == found["killed"] and len(study.get_trials()) == number + len(at)


def test_a_sign_of_life_is_given_while_a_trial_runs(tmp_path: Path) -> None:
    study = opened(tmp_path)
    heard: list[float] = []

    def slow(trial: Trial) -> list[float]:
        until = time.time() + 20
        while len(set(heard)) < 3 and time.time() < until:
            heard.append(study.get_trials()[0].user_attrs[HEARD])
            time.sleep(0.01)
        return suggested(trial)

    work(study, tmp_path, up_to(1), slow, beat=0.02)
    assert len(set(heard)) >= 3


def worker(where: str, folder: Path, number: int, log: Path) -> None:
    """Work on the study until it has so many trials; write down what was told."""
    study = opened(folder, where, "tpe")

    def evaluate(trial: Trial) -> list[float]:
        values = suggested(trial)
        time.sleep(np.random.default_rng().uniform(0.02, 0.15))
        return values

    def told(trial: FrozenTrial) -> None:
        with open(log, "a", buffering=1) as file:
            file.write(f"{trial.number} {trial.values[0]!r}\n")

    work(study, folder, up_to(number), evaluate, told)


def killed_again_and_again(where: str, folder: Path, kills: int, number: int) -> list[FrozenTrial]:
    """The study's trials after four processes have worked on it, one killed by -9 now and then and started anew."""
    log, rng = folder / "told", np.random.default_rng()
    folder.mkdir(parents=True, exist_ok=True)

    def started() -> multiprocessing.process.BaseProcess:
        process = START.Process(target=worker, args=(where, folder, number, log))
        process.start()
        return process

    processes = [started() for _ in range(WORKERS)]
    for _ in range(kills):
        time.sleep(rng.uniform(0.05, 0.6))
        at = int(rng.integers(WORKERS))
        pid = processes[at].pid
        assert pid is not None
        if processes[at].exitcode is None:
            os.kill(pid, signal.SIGKILL)
        processes[at].join()
        processes[at] = started()
    for process in processes:
        process.join(180)
        assert process.exitcode == 0
    with pytest.MonkeyPatch.context() as patch:  # nobody is left who may yet give a trial its name
        patch.setattr("toolkit.tuning.study.UNOWNED", 0.0)
        work(opened(folder, where), folder, up_to(number), suggested)  # what the last one killed was at
    trials = opened(folder, where).get_trials()
    for line in log.read_text().splitlines():
        told, value = line.split()
        assert trials[int(told)].state == TrialState.COMPLETE and trials[int(told)].values == [float(value)]
    return trials


def check_nothing_is_lost(trials: Sequence[FrozenTrial], number: int) -> None:
    begun = begun_trials(trials)
    assert len(begun) == number
    assert all(t.values == [expected(t)] for t in begun if t.state == TrialState.COMPLETE)
    assert {t.user_attrs.get(LOST) for t in begun if t.state != TrialState.COMPLETE} <= {GIVEN_UP}
    retries = Counter(t.user_attrs[RETRY_OF] for t in trials if RETRY_OF in t.user_attrs)
    assert set(retries.values()) <= {1}, "nothing is tried again twice"
    assert sorted(map(place_of, begun)) == list(range(number))
    for trial in trials:
        if trial.user_attrs.get(LOST) == RETRIED and (trial.params or "fixed_params" in trial.system_attrs):
            (again,) = (t for t in trials if t.user_attrs.get(RETRY_OF) == trial.number)
            assert trial.params.items() <= again.params.items()


def test_four_processes_killed_again_and_again_lose_no_finished_trial(tmp_path: Path) -> None:
    number = 10 + 4 * KILLS
    check_nothing_is_lost(killed_again_and_again("sqlite", tmp_path, KILLS, number), number)


@pytest.fixture
def postgres() -> Iterator[str]:
    """The address of a server on the loopback, made for the test by a user who is not root."""
    programs = [shutil.which(name) for name in ("initdb", "postgres", "setpriv")]
    if None in programs:
        pytest.skip("initdb, postgres and setpriv are not all at hand")
    initdb, server, setpriv = map(str, programs)
    folder = Path(tempfile.mkdtemp(prefix="study-"))
    user = [] if os.getuid() else [setpriv, "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    try:
        if user:
            shutil.chown(folder, "nobody", "nogroup")
        made = subprocess.run(
            [*user, initdb, "-D", str(folder / "db"), "-A", "trust", "-U", "me", "--no-sync"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
        )
        if made.returncode:
            pytest.skip(f"initdb can't be run here: {made.stderr.strip().splitlines()[-1]}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        process = subprocess.Popen(
            [*user, server, "-D", str(folder / "db"), "-h", "127.0.0.1", "-p", str(port), "-k", str(folder), "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        try:
            for _ in range(300):
                with socket.socket() as asking:
                    if asking.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None
                time.sleep(0.1)
            time.sleep(0.5)
            yield f"postgresql://me@127.0.0.1:{port}/postgres"
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_four_processes_share_a_study_in_postgresql(postgres: str, tmp_path: Path) -> None:
    check_nothing_is_lost(killed_again_and_again(postgres, tmp_path, 2, 16), 16)


def test_a_journal_whose_writer_was_killed_goes_to_one_of_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="grace_period"):
        locks = [JournalLock("study.log", grace_period=1) for _ in range(2)]
    locks[0].acquire()  # and dies
    held = threading.Lock()

    def write(lock: JournalLock) -> None:
        lock.acquire()
        assert held.acquire(blocking=False)
        time.sleep(0.6)
        held.release()
        lock.release()

    with ThreadPoolExecutor() as pool:
        for written in [pool.submit(write, lock) for lock in locks]:
            written.result(30)
    locks[0].acquire()
    locks[1].release()  # as if it had been away for so long that it was thought dead
    locks[0].release()


def test_a_journal_is_shared_as_well(tmp_path: Path) -> None:
    check_nothing_is_lost(killed_again_and_again("journal", tmp_path, 2, 16), 16)
