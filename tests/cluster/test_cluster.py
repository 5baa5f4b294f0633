"""Three simulated machines: the same results as on one, whichever of them die, and nothing done twice."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import torch

from tests import tiny
from tests.cluster.simulated import Simulated, simulated, until
from tests.conftest import START
from tests.training import same_run
from tests.tuning.studies import runs
from toolkit.cluster.place import ask, cluster, leave
from toolkit.errors import UserError
from toolkit.events import Tell
from toolkit.progress import Watch
from toolkit.training import fold as fit
from toolkit.training.cross_validation import train_fold
from toolkit.training.fold import StoppedError
from toolkit.training.jobs import FoldJob
from toolkit.training.workers import perform

if TYPE_CHECKING:
    from toolkit.cluster.cluster import Cluster

pytest.importorskip("ray", reason="folds are sent to other machines by Ray: pip install '.[cluster]'")
silent: Watch = lambda fold, epoch, news: None  # noqa: E731


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulated]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    send_along()
    with simulated(tmp_path_factory.mktemp("machines"), 3) as made:
        yield made
    torch.set_num_threads(threads)


@pytest.fixture
def unshared(machines: Simulated, monkeypatch: pytest.MonkeyPatch) -> Simulated:
    """No machine sees the workspace."""
    monkeypatch.setattr("toolkit.cluster.stock.Stock.shared_folder", lambda *_: Path("/nowhere"))
    return machines


# what machines are asked for: it is sent along, as they have another package `tests`, that of the competition


def send_along() -> None:
    cloudpickle: Any = import_module("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])


def saving(job: FoldJob, watch: Watch, tell: Tell, wait: float = 0.0, **more: Any) -> str:
    """Train a fold, its state on the disk after each epoch, and each taking so many seconds longer."""

    def slowly(fold: int, epoch: float, news: str) -> None:
        watch(fold, epoch, news)
        time.sleep(wait if epoch == int(epoch) else 0.0)

    with mock.patch.multiple(fit, SAVE_SECONDS=0.0):
        return train_fold(job, slowly, tell, **more)


def dying(job: FoldJob, watch: Watch, tell: Tell) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def too_large(job: FoldJob, watch: Watch, tell: Tell) -> None:
    raise MemoryError


def results(job: FoldJob) -> list[bytes]:
    """What a fold leaves, but for times."""
    return [path.read_bytes() for path in (job.place.weights, job.place.oof_path)]


def on_cluster(root: Path, machines: Simulated, folds: int, *recipe: str) -> tuple[list[FoldJob], list[list[bytes]]]:
    """Jobs for the cluster, and what comes of them here."""
    jobs = [tiny.make_job(root, *recipe, fold=k) for k in range(folds)]
    here = [replace(job, folder=root / "here" / job.folder.name) for job in jobs]
    for job in here:
        train_fold(job, silent)
    device = ask(machines.address)
    return [replace(job, device=device) for job in jobs], [results(job) for job in here]


def test_a_driver_that_is_killed_finds_its_folds(machines: Simulated, tmp_path: Path) -> None:
    jobs, expected = on_cluster(tmp_path, machines, 4, "schedule.epochs=3")
    driver = START.Process(target=drive, args=(jobs, machines.address))
    driver.start()
    try:
        until(lambda: sum(job.place.finished for job in jobs) >= 2 or not driver.is_alive())
    finally:
        driver.kill()
        driver.join()
    written = {job.fold: job.place.history_path.stat().st_mtime for job in jobs if job.place.finished}
    told = tiny.Heard()
    ask(machines.address, progress=told)
    left = [job for job in jobs if not job.place.finished]
    cluster().each(train_fold, left, silent, lambda job, told: None)
    assert "cluster: 3 machines with 3 CPUs, 3 folds at a time, 1 CPU each" in str(told)
    assert [results(job) for job in jobs] == expected
    assert all(jobs[k].place.history_path.stat().st_mtime == moment for k, moment in written.items())


def drive(jobs: Sequence[FoldJob], address: str) -> None:
    torch.set_num_threads(1)
    send_along()
    ask(address)
    cluster().each(partial(saving, wait=0.2), jobs, silent, lambda job, told: None)


def test_a_run_has_the_same_bits_and_its_data_go_to_each_machine_once(unshared: Simulated, tmp_path: Path) -> None:
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    for root in (own, theirs):
        tiny.prepare(root)
    one = tiny.train(own, stress="none")
    ask(unshared.address)
    found = cluster()
    assert str(found).startswith("3 machines with 3 CPUs, 3 folds at a time, 1 CPU")
    trained, before = sum(found.trained.values()), found.sent.copy()  # for the tests before
    other = tiny.train(theirs, stress="none", cluster=unshared.address)
    assert one.name == other.name and one.bits == other.bits and same_run(one, other)
    assert set(other.manifest or {}) == set(one.manifest or {})
    assert sum(found.trained.values()) == trained + 3
    sent = found.sent - before
    size = sum(path.stat().st_size for path in (theirs / "tiny-practice" / "data").glob("*"))
    assert sent and all(size <= each < size + 10**6 for each in sent.values())  # the code may be there already
    had = {name: found.sent[name] for name in sent}
    tiny.train(theirs, "optimizer.lr=2e-3", stress="none", cluster=unshared.address)
    assert sum(found.trained.values()) == trained + 6 and all(found.sent[name] == each for name, each in had.items())
    taught = [
        tiny.train(root, "pseudo.rounds=1", "pseudo.confidence=0", of=tiny.looking, stress="none", cluster=where)
        for root, where in ((own, None), (theirs, unshared.address))
    ]
    assert taught[0].bits == taught[1].bits
    assert not list(tmp_path.rglob("*.partial"))


def test_a_search_makes_the_same_trials_several_at_a_time(machines: Simulated, tmp_path: Path) -> None:
    found = []
    for name, where in (("own", None), ("theirs", machines.address)):
        tiny.prepare(tmp_path / name)
        project = tiny.project(tmp_path / name, cluster=where)
        with mock.patch("toolkit.tuning.summary.draw", return_value=[]):
            found.append(project.search(trials=4, repeats=0, stress="none", schedule__epochs=1))
    own, theirs = (runs(one) for one in found)
    assert [run.name for run in own] == [run.name for run in theirs] and len(own) >= 4
    whole = [pair for pair in zip(own, theirs, strict=True) if all(run.finished for run in pair)]
    assert len(whole) >= 2 and all(same_run(*pair) for pair in whole)


def test_a_fold_that_is_told_to_stop_leaves_its_state_here(machines: Simulated, tmp_path: Path) -> None:
    (job,), (expected,) = on_cluster(tmp_path, machines, 1, "schedule.epochs=6")
    cluster().allotments.measured.clear()
    with pytest.raises(StoppedError):
        perform(partial(saving, wait=0.5), job, silent, stop=lambda history: len(history) == 2)
    assert len(cluster().allotments.measured) == 1  # by what it took until then
    assert job.place.state.exists() and not job.place.finished
    perform(train_fold, job, silent)
    assert results(job) == expected and not job.place.state.exists()
    assert len(job.place.history) == 6


def idle_on(found: "Cluster", nodes: Sequence[str]) -> list[str]:
    """Which of these machines have a worker that waits for work."""
    with found.crew.lock:
        found.crew._welcome()
        return [hand.told.node for hand in found.crew.idle if hand.told and hand.told.node in nodes]


def test_machines_that_are_lost_cost_no_fold(machines: Simulated, tmp_path: Path) -> None:
    told = tiny.Heard()
    jobs, expected = on_cluster(tmp_path, machines, 4, "schedule.epochs=8")
    ask(machines.address, progress=told)
    found = cluster()
    lost: list[str] = []

    def lose_one(fold: int, epoch: float, news: str) -> None:
        (place,) = (job.place for job in jobs if job.fold == fold)
        if lost or epoch <= 2 or not place.state.exists():
            return
        busy = {what: hand.told.node for hand, what in found.busy.items() if hand.told}
        node = next(node for what, node in busy.items() if f"fold {fold} " in what)
        if node in machines.others:
            lost.append(node)
            threading.Thread(target=machines.lose, args=(node,)).start()

    found.each(partial(saving, wait=0.3), jobs, lose_one, lambda job, told: None)
    assert [results(job) for job in jobs] == expected and len(found.given_on) == 1
    assert "another goes on from its last saved epoch" in str(told) and "1 given on" in found.summary()
    until(lambda: idle_on(found, machines.others))  # on a busy machine it may still be starting
    (idle,) = idle_on(found, machines.others)
    machines.lose(idle)  # while it waits for work
    again = [replace(job, folder=tmp_path / "again" / job.folder.name) for job in jobs]
    found.each(train_fold, again, silent, lambda job, told: None)
    assert [results(job) for job in again] == expected


def test_what_goes_wrong_there_is_said_here(machines: Simulated, tmp_path: Path) -> None:
    device = ask(machines.address)
    wild = replace(tiny.make_job(tmp_path, "optimizer.lr=1e30", "schedule.warmup=0"), device=device)
    with pytest.raises(UserError, match="no longer a number in fold 0"):
        perform(train_fold, wild, silent)
    with pytest.raises(UserError, match=r"fold 0 ended the process that trained it twice, .* lower batch_size"):
        perform(dying, wild, silent)
    (guess,) = cluster().allotments.guessed.values()
    assert guess.memory > cluster().allotments.first.memory  # it is given more, the next time
    with pytest.raises(UserError, match="it did not fit into memory; lower batch_size"):
        perform(too_large, wild, silent)
    leave()
    ask(machines.address)  # all workers are new, and asked
    unlike = mock.patch("toolkit.cluster.worker.versions", return_value={"torch": "1.0"})
    with unlike, pytest.raises(UserError, match=r"torch 2.* in place of 1\.0"):
        perform(train_fold, wild, silent)
    leave()
    ask(machines.address, "cuda")
    with pytest.raises(UserError, match="no machine of the cluster has a GPU"):
        cluster()
