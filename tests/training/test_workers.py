"""Folds side by side and one fold over several processes: the same results, and nothing left running."""

import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import active_children, get_context
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import nn

from tests import tiny
from tests.training import same_run, untimed
from toolkit.errors import UserError
from toolkit.events import Epoch, Tell
from toolkit.networks.devices import resolve_device
from toolkit.networks.speed import Settings
from toolkit.progress import Watch
from toolkit.training import distributed
from toolkit.training import fold as fit
from toolkit.training.fold import fit_fold
from toolkit.training.jobs import FoldJob
from toolkit.training.loop import RESCUE, Training
from toolkit.training.workers import each, places, turns

pytestmark = pytest.mark.usefixtures("one_thread", "forked")
MakeJob = Callable[..., FoldJob]
EXACT = ("precision=float32", "model.dropout=0")


def left() -> list[Any]:
    """Processes that are still there, but for those that joblib keeps for the next call."""
    return [process for process in active_children() if type(process).__name__ != "LokyProcess"]


@pytest.fixture
def make_job(tmp_path: Path) -> MakeJob:
    """Folds of one run."""
    return partial(tiny.make_job, tmp_path)


def silent(fold: int, epoch: float, news: str) -> None: ...


def answers(work: Any, jobs: list[FoldJob], device: str, watch: Watch = silent, **more: Any) -> dict[int, Any]:
    """What was answered for each fold, in the order of their ends."""
    found: dict[int, Any] = {}
    each(work, jobs, device, watch, lambda job, answer: found.update({job.fold: answer}), **more)
    return found


# What the processes do: they find these by name, and what they answer is small
def learn(job: FoldJob, watch: Watch, tell: Tell) -> tuple[list[list[float]], list[np.ndarray]]:
    with mock.patch.multiple(fit, SAVE_SECONDS=0.0, LOOKING=math.inf):
        result = fit_fold(job, watch, tell=tell)
    weights = [result.main.probabilities, *(value.numpy() for value in result.main.weights.values())]
    return [list(line.values()) for line in untimed(result)], weights


def learn_twice(job: FoldJob, watch: Watch, tell: Tell) -> Any:
    """Diverge once in one process alone: all must go back and begin the epoch again."""
    plain = Training.step

    def step(training: Training, images: Any, targets: Any, number: int, *more: Any) -> torch.Tensor:
        loss = plain(training, images, targets, number, *more)
        return loss * torch.nan if distributed.rank() == 1 and training.rate == 1 else loss

    Training.step = step  # type: ignore[assignment, method-assign]
    return learn(job, watch, tell)  # the process ends with this job


class Forked(nn.Module):
    """Of three weights, the second is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[2](self.layers[0](x))


def gradients(job: FoldJob, watch: Watch, tell: Tell) -> list[np.ndarray]:
    """Of a network with a loose end, after two batches in parts; `job.fold` of its layers are frozen."""
    torch.manual_seed(0)
    network, replica, inputs = Forked(), distributed.Replica(), torch.randn(2, 7, 2)
    network.layers[0].requires_grad_(job.fold == 0)
    for batch in range(2):
        parts = distributed.parts(7, 2)
        for at in parts:
            part = inputs[batch][at]
            with replica.of(network, batch == 1 and at == parts[-1]) as called:
                (called(part).square().mean() * len(part) / 7 * distributed.size()).backward()
    distributed.leave()
    return [np.zeros(1) if p.grad is None else p.grad.numpy() for p in network.parameters()]


def look(job: FoldJob, watch: Watch, tell: Tell) -> tuple[int, int, float | None, str]:
    time.sleep(0.2)
    return os.getpid(), torch.get_num_threads(), job.deadline, job.device


def die(job: FoldJob, watch: Watch, tell: Tell) -> None:
    if job.fold == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def divide(job: FoldJob, watch: Watch, tell: Tell) -> float:
    return 1 / (job.fold - 1)


def endless(job: FoldJob, watch: Watch, tell: Tell) -> None:
    job.folder.mkdir()
    (job.folder / str(os.getpid())).touch()
    while True:
        watch(job.fold, 0.5, "")
        sum(range(10_000))


def same(one: Any, other: Any) -> bool:
    return one[0] == other[0] and all(np.array_equal(*pair) for pair in zip(one[1], other[1], strict=True))


def alone_and_together(job: FoldJob, root: Path) -> tuple[Any, Any]:
    """What one process learns of a fold, and what two do."""
    one, two = (answers(learn, [replace(job, folder=root / name)], name)[0] for name in ("cpu", "cpu+cpu"))
    return one, two


def test_a_list_of_devices_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    assert places("cpu") == [["cpu"]] and places("cpu,cpu+cpu") == [["cpu"], ["cpu", "cpu"]]
    monkeypatch.setattr("toolkit.training.workers.resolve_device", lambda name: torch.device(name[:4]))
    assert places("cuda,cuda:1") == [["cuda:0"], ["cuda:1"]]
    with pytest.raises(UserError, match="names a GPU twice"):
        places("cuda+cuda:0")
    monkeypatch.undo()
    assert resolve_device("cpu,cpu+cpu") == torch.device("cpu")
    assert [turns(device, 5) for device in ("cpu", "cpu,cpu")] == [5, 5], "the same processor is not twice as fast"


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("cpu,cuda:77", "device 'cuda:77' can't be used"),
        ("cpu,", "device '' can't be used"),
        ("cpu+warp", "device 'warp' can't be used"),
        ("meta+cpu", r"can't be trained over meta\+cpu"),
    ],
)
def test_a_device_that_is_not_there_is_refused_at_once(device: str, told: str, tmp_path: Path) -> None:
    project = tiny.prepare(tmp_path, device=device)
    with pytest.raises(UserError, match=told) as caught:
        project.train()
    assert "\n" not in str(caught.value) and not project.workspace.train.exists()


@pytest.mark.parametrize("more", [(), ("pseudo.rounds=1", "pseudo.confidence=0")], ids=["plain", "taught"])
def test_folds_side_by_side_make_the_same_bits_as_one_after_the_other(more: tuple[str, ...], tmp_path: Path) -> None:
    runs = []
    for device in ("cpu", "cpu,cpu"):
        tiny.prepare(tmp_path / device)
        of = tiny.looking if more else tiny.competition
        runs.append(tiny.train(tmp_path / device, *more, device=device, of=of, stress="none"))
    assert runs[0].name == runs[1].name and same_run(*runs)
    assert not list(tmp_path.rglob("*.partial")) and not left()


def test_every_process_has_its_share_of_threads_and_every_fold_its_share_of_the_time(make_job: MakeJob) -> None:
    torch.set_num_threads(4)
    deadline = time.monotonic() + 1000
    found = answers(look, [make_job(fold=k) for k in range(4)], "cpu,cpu", deadline=deadline)
    assert len({pid for pid, *_ in found.values()} - {os.getpid()}) == 2
    assert {(threads, device) for _, threads, _, device in found.values()} == {(2, "cpu")}
    left = [deadline - found[k][2] for k in range(4)]
    assert left == [pytest.approx(expected, abs=30) for expected in (500, 500, 0, 0)]
    assert {threads for _, threads, *_ in answers(look, [make_job()], "cpu,cpu").values()} == {2}, "one is left"
    assert answers(look, [make_job()], "cpu")[0][:2] == (os.getpid(), 4)


def test_news_of_all_folds_arrive(make_job: MakeJob) -> None:
    heard: list[tuple[int, float, str]] = []
    answers(learn, [make_job(*EXACT, fold=k) for k in range(3)], "cpu,cpu", lambda *news: heard.append(news))
    for fold in range(3):
        epochs = [epoch for k, epoch, _ in heard if k == fold]
        assert epochs == sorted(epochs) and epochs[-1] == 4
    assert all(news.startswith("loss ") for _, _, news in heard)


def test_the_first_fold_that_fails_ends_the_others_with_its_sentence(make_job: MakeJob) -> None:
    wild = make_job("optimizer.lr=1e30", "schedule.warmup=0", fold=1)
    begun = time.monotonic()
    with pytest.raises(UserError, match="no longer a number in fold 1"):
        answers(learn, [make_job("schedule.epochs=100000"), wild], "cpu,cpu")
    with pytest.raises(UserError, match=r"fold 1 on cpu ended with status -9 .* goes on from the last saved epoch"):
        answers(die, [make_job(), make_job(fold=1)], "cpu,cpu")
    with pytest.raises(UserError, match="fold 1 on cpu ended with status -9"):
        answers(die, [make_job(fold=1)], "cpu+cpu")
    assert time.monotonic() - begun < 50 and not left()


def test_a_fault_of_the_program_is_not_hidden(make_job: MakeJob) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)in divide.*ZeroDivisionError"):
        answers(divide, [make_job(), make_job(fold=1)], "cpu,cpu")


@pytest.fixture
def heard() -> Iterator[None]:
    """Ctrl-C reaches the test, also where a shell started the tests in the background: it makes them deaf to it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heard")
def test_ctrl_c_while_processes_are_started_leaves_none(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    def pipe(context: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return plain(context)

    plain = ForkServerContext.Pipe
    monkeypatch.setattr(ForkServerContext, "Pipe", pipe)
    with pytest.raises(KeyboardInterrupt):
        answers(look, [make_job(), make_job(fold=1)], "cpu,cpu")
    assert not left()


@pytest.mark.usefixtures("heard")
@pytest.mark.parametrize("device", ["cpu,cpu", "cpu+cpu"])
def test_what_ctrl_c_stopped_goes_on_to_the_same_bits(device: str, make_job: MakeJob, tmp_path: Path) -> None:
    interrupted: list[int] = []

    def interrupt(fold: int, epoch: float, news: str) -> None:
        if epoch > 2:
            interrupted.append(fold)
            for child in left():
                assert child.pid
                os.kill(child.pid, signal.SIGINT)  # as a terminal sends it to all of them
            signal.raise_signal(signal.SIGINT)

    jobs = [make_job("precision=float32", fold=k) for k in range(2)]
    other = [replace(job, folder=tmp_path / f"whole_{job.fold}") for job in jobs]
    with pytest.raises(KeyboardInterrupt):
        answers(learn, jobs, device, interrupt)
    assert not left() and jobs[interrupted[0]].place.state.exists()
    assert not list(tmp_path.rglob("*.partial"))
    stopped, whole = (answers(learn, these, device) for these in (jobs, other))
    assert all(same(stopped[k], whole[k]) for k in range(2))


def test_processes_end_with_the_one_that_started_them_even_if_it_is_killed(make_job: MakeJob, tmp_path: Path) -> None:
    # of a process of its own, which can be killed
    killed = get_context("forkserver").Process(
        target=each, args=(endless, [make_job(fold=0), make_job(fold=1)], "cpu,cpu", silent, print)
    )
    killed.start()
    until = time.monotonic() + 120
    while len(begun := list(tmp_path.glob("fold_*/*"))) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    pids = [int(path.name) for path in begun]
    assert len(pids) == 2 and all(map(alive, pids))
    killed.kill()
    killed.join()
    until = time.monotonic() + 20
    while any(map(alive, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(alive, pids))


def alive(pid: int) -> bool:
    """A process that ended may wait for someone to read its status."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.parametrize(
    ("overrides", "micro_batch"),
    [
        pytest.param((), None, id="plain"),
        pytest.param(("schedule.patience=1", "schedule.epochs=6"), None, id="early stopping"),
        pytest.param(("optimizer.accumulate=4", "optimizer.clip=0.1"), 3, id="in parts"),
        pytest.param(("schedule.freeze=0.5", "optimizer.backbone_factor=0.5"), None, id="frozen at the start"),
        pytest.param(("batch_size=7", "schedule.average=swa"), 2, id="uneven"),
    ],
)
def test_one_fold_over_several_processes_learns_the_same(
    overrides: tuple[str, ...], micro_batch: int | None, make_job: MakeJob, tmp_path: Path
) -> None:
    job = make_job(*EXACT, "schedule.freeze_norm=true", *overrides, settings=Settings(micro_batch=micro_batch))
    alone, together = alone_and_together(job, tmp_path)
    assert np.allclose(alone[0], together[0], rtol=1e-5), (alone[0], together[0])
    for one, other in zip(alone[1], together[1], strict=True):
        assert np.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_gradients_are_summed_once_whatever_the_loss_reaches(make_job: MakeJob) -> None:
    jobs = [make_job(fold=k) for k in range(2)]
    alone, *others = (answers(gradients, jobs, device) for device in ("cpu", "cpu+cpu", "cpu+cpu+cpu"))
    for together in others:
        for one, other in zip(alone[0] + alone[1], together[0] + together[1], strict=True):
            assert np.allclose(one, other, atol=1e-6)
    assert alone[0][0].any() and alone[0][4].any() and not alone[0][2].any() and not alone[1][0].any()


def test_batch_norm_of_each_part_changes_little(make_job: MakeJob, tmp_path: Path) -> None:
    alone, together = alone_and_together(make_job(*EXACT, "batch_size=24", "optimizer.lr=1e-3"), tmp_path)
    losses = [[line[0] for line in history] for history, _ in (alone, together)]
    assert losses[0] != losses[1] and losses[0] == pytest.approx(losses[1], rel=0.05)


def test_processes_agree_that_a_loss_is_no_number_and_begin_the_epoch_again(make_job: MakeJob) -> None:
    history, weights = answers(learn_twice, [make_job(*EXACT)], "cpu+cpu")[0]
    assert np.isfinite(history).all() and all(np.isfinite(value).all() for value in weights)
    assert max(line[2] for line in history) < RESCUE * tiny.FIRST.optimizer.lr * 1.001


def test_a_batch_that_is_too_small_to_be_divided_is_refused(make_job: MakeJob) -> None:
    with pytest.raises(UserError, match="a batch of 2 can't be divided among 3 devices"):
        answers(learn, [make_job("batch_size=2")], "cpu+cpu+cpu")


def test_a_run_over_two_processes_is_a_run_like_others(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    recipe = ("pseudo.rounds=1", "pseudo.confidence=0", "schedule.freeze=0.5")
    run = tiny.train(tmp_path, *recipe, device="cpu+cpu", of=tiny.looking)
    assert len(run.fold(2).history) == 4 and run.score >= 0
    assert list(run.labelled.workspace.features.glob("*.npy"))
    assert tiny.train(tmp_path, *recipe, device="cpu", of=tiny.looking) == run, "it is finished, whatever trained it"


def test_folds_side_by_side_tell_of_their_epochs_in_the_one_process_that_listens(tmp_path: Path) -> None:
    tiny.prepare(tmp_path)
    progress, heard = tiny.Heard(), list[Any]()
    progress.listeners = (heard.append,)
    run = tiny.train(tmp_path, progress=progress, device="cpu,cpu", stress="none")
    told = [(event.fold, event.epoch) for event in heard if isinstance(event, Epoch)]
    assert sorted(told) == [(fold, epoch) for fold in range(3) for epoch in range(1, 5)]
    lines = run.log_path.read_text().splitlines()[1:]
    assert [tuple(map(int, line.split(",")[:2])) for line in lines] == sorted(told)
