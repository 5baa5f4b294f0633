"""The folds of a run side by side, each on a device of its own or over several.

`cuda:0,cuda:1` trains two folds at a time; `cuda:0+cuda:1` trains one fold over both (see `distributed.py`). Every
device has a process that takes one job after another. The processes end with this one, however it ends. A cluster
is a list of such places on other machines (see `toolkit/cluster`).
"""

import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from math import ceil
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from os import _exit
from pathlib import Path
from typing import Any, NoReturn

import torch

from toolkit.cluster.place import cluster
from toolkit.errors import UserError
from toolkit.events import Epoch, Tell, unheard
from toolkit.networks.devices import CLUSTER, resolve_device
from toolkit.progress import Watch
from toolkit.training import distributed
from toolkit.training.jobs import FoldJob

Stop = Callable[[Sequence[dict[str, Any]]], bool]
Work = Callable[..., Any]  # of a FoldJob, a Watch and a Tell, named at the top of a module: other processes find it
PATIENCE = 10.0  # seconds for a process to end when it is told to
NEWS, EPOCH, DONE, REFUSED, FAILED = range(5)  # what a process tells


def places(device: str) -> list[list[str]]:
    """`a,b+c` as [[a], [b, c]]: folds that are trained at once, each over these devices. UserError if it can't be."""
    resolve_device(device)
    if device.startswith(CLUSTER):
        return [[f"{device}:{place}"] for place in range(cluster().places)]
    names = [place.split("+") for place in device.split(",")]
    found = [["cuda:0" if name == "cuda" else name for name in place] for place in names]  # the first GPU
    for place in found:
        kinds = {resolve_device(name).type for name in place}
        if len(place) > 1 and kinds not in ({"cpu"}, {"cuda"}):
            raise UserError(
                f"one fold can't be trained over {'+'.join(place)}; name GPUs alone, such as cuda:0+cuda:1"
            )
        if kinds == {"cuda"} and len(set(place)) < len(place):
            raise UserError(f"{'+'.join(place)} names a GPU twice; a fold takes each but once")
    return found


def turns(device: str, folds: int) -> int:
    """How many folds a run takes one after the other: processes that share a device are no faster for it."""
    return ceil(folds / len({place[0] for place in places(device)}))


def each(
    work: Work,
    jobs: Sequence[FoldJob],
    device: str,
    watch: Watch,
    finished: Callable[[FoldJob, Any], None],
    deadline: float | None = None,
    tell: Tell = unheard,
) -> None:
    """Call `work(job, watch, tell)` for every job on the next free device of the list; `finished` gets its answer.

    With one device it is called right here. Else each process gets its share of the threads, also where fewer jobs
    than devices are left: a sum on a CPU depends on their number. With a deadline (of time.monotonic()) each job gets
    its share of the time that is left when it begins. The first job that fails ends all others; UserError is raised
    as it was, or says which process died.
    """
    if device.startswith(CLUSTER):
        cluster().each(work, jobs, watch, finished, deadline, tell)
        return
    found, waiting = places(device), list(jobs)

    def next_job() -> FoldJob:
        if deadline is not None:
            share = max(0.0, deadline - time.monotonic()) / ceil(len(waiting) / len(found))
            return replace(waiting.pop(0), deadline=time.monotonic() + share)
        return waiting.pop(0)

    if found == [[device]]:
        while waiting:
            job = next_job()
            finished(job, work(job, watch, tell))
        return
    threads = max(1, torch.get_num_threads() // sum(map(len, found)))
    folder = Path(tempfile.mkdtemp(prefix="ranks-"))  # where the processes of one fold find each other
    teams: list[_Team] = []
    try:
        for place in found[: len(waiting)]:
            teams.append(_Team(place))
            teams[-1].start(work, threads)
        for team in teams:
            team.begin(next_job(), folder)
        while busy := [team for team in teams if team.job is not None]:
            for team in busy:
                team.raise_if_dead()
            ready = wait([end for team in busy for end in team.ends])
            for team in busy:
                for answer in team.hear(ready, watch, tell):
                    done, team.job = team.job, None
                    assert done is not None
                    finished(done, answer)
                    if waiting:
                        team.begin(next_job(), folder)
    finally:
        for team in teams:
            team.end()
        shutil.rmtree(folder, ignore_errors=True)


def perform(
    work: Work,
    job: FoldJob,
    watch: Watch,
    tell: Tell = unheard,
    stop: Stop | None = None,
    ended: threading.Event | None = None,
) -> Any:
    """`work(job, watch, tell)` where the job's device is: right here, or on a machine of the cluster.

    stop: asked after every epoch by work that takes it; on a cluster the training goes on while it is asked.
    ended: where it is set, what is done on a cluster ends with a KeyboardInterrupt.
    """
    if job.device.startswith(CLUSTER):
        return cluster().run(work, job, watch, tell, stop, ended)
    return work(job, watch, tell) if stop is None else work(job, watch, tell, stop=stop)


class _Team:
    """The processes that train one fold at a time, one a device; the first one's answer counts."""

    def __init__(self, devices: list[str]) -> None:
        self.devices, self.pending = devices, set[int]()
        self.job: FoldJob | None = None
        self.answer: Any = None
        self.pipes: list[Connection] = []
        self.processes: list[ForkServerProcess] = []

    def start(self, work: Work, threads: int) -> None:
        # forked from a server that has imported all they need, and has used no device: it takes seconds, once
        context = get_context("forkserver")
        # optimizers import torch._dynamo, networks of timm's timm, where they are made
        context.set_forkserver_preload(["toolkit.training.fold", "torch._dynamo", *{"timm"} & {*sys.modules}])
        # ctrl-C reaches the whole group of processes; this one alone answers it, once it knows all it has to end
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            for rank, device in enumerate(self.devices):
                ours, theirs = context.Pipe()
                process = context.Process(target=_serve, args=(theirs, work, rank, len(self.devices), device, threads))
                process.start()
                theirs.close()
                self.pipes.append(ours)
                self.processes.append(process)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def ends(self) -> list[Connection | int]:
        """What says that there is something to read, or that a process ended."""
        return [*self.pipes, *(process.sentinel for process in self.processes)]

    def begin(self, job: FoldJob, folder: Path) -> None:
        meeting = folder / str(job.fold)
        self.job, self.pending = job, set(range(len(self.pipes)))
        for device, pipe in zip(self.devices, self.pipes, strict=True):
            with suppress(OSError):  # of a process that died, which is noticed when it is waited for
                pipe.send((replace(job, device=device), meeting))

    def hear(self, ready: Sequence[Any], watch: Watch, tell: Tell) -> list[Any]:
        """Pass on the news; the job's answer, if all have finished it."""
        for rank, pipe in enumerate(self.pipes):
            while pipe in ready and pipe.poll():
                try:
                    kind, content = pipe.recv()
                except (EOFError, OSError):
                    self.died(rank)
                if kind == NEWS:
                    watch(*content)
                elif kind == EPOCH:
                    tell(content)
                elif kind == REFUSED:
                    raise UserError(content)
                elif kind == FAILED:
                    raise RuntimeError(f"in the process for {self.devices[rank]}:\n{content}")
                else:
                    self.pending.remove(rank)
                    self.answer = content if rank == 0 else self.answer
        return [] if self.pending else [self.answer]

    def raise_if_dead(self) -> None:
        for rank, (pipe, process) in enumerate(zip(self.pipes, self.processes, strict=True)):
            if process.exitcode is not None and not pipe.poll():
                self.died(rank)

    def died(self, rank: int) -> NoReturn:
        assert self.job is not None
        self.processes[rank].join(PATIENCE)
        raise UserError(
            f"the process for fold {self.job.fold} on {self.devices[rank]} ended with status "
            f"{self.processes[rank].exitcode} (-9: killed, maybe for memory); the same command goes on from the last "
            "saved epoch"
        )

    def end(self) -> None:
        for process in self.processes:
            process.terminate()
        for pipe in self.pipes:
            pipe.close()
        until = time.monotonic() + PATIENCE
        for process in self.processes:
            process.join(max(0.0, until - time.monotonic()))
            if process.exitcode is None:
                process.kill()
                process.join()


def _serve(pipe: Connection, work: Work, rank: int, size: int, device: str, threads: int) -> None:
    """What a process does: one job after another, until the one that started it ends it or is gone."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # not at once, so that no partial files are left
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(threads)
    if resolve_device(device).type == "cuda":
        torch.cuda.set_device(resolve_device(device))

    def watch(*news: Any) -> None:
        if rank == 0:
            pipe.send((NEWS, news))

    def tell(epoch: Epoch) -> None:
        if rank == 0:
            pipe.send((EPOCH, epoch))

    while True:
        try:
            job, meeting = pipe.recv()
        except EOFError:
            return
        try:
            with distributed.joined(meeting, rank, size, device) if size > 1 else nullcontext():
                pipe.send(_answer(work, job, watch, tell))  # before the others miss this one
        except Exception:
            pipe.send((FAILED, traceback.format_exc()))


def _answer(work: Work, job: FoldJob, watch: Watch, tell: Tell) -> tuple[int, Any]:
    try:
        return DONE, work(job, watch, tell)
    except distributed.Left:
        return DONE, None
    except UserError as error:
        return REFUSED, str(error)
    except Exception:
        return FAILED, traceback.format_exc()


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    _exit(1)
