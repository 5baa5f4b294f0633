"""Folds on the machines of a Ray cluster: handed out, heard, and given to another machine where one dies.

A worker is a process that stays, as importing what a fold needs takes it seconds. All that it makes is written here,
by this process alone: a fold that is given on goes on from the last state that was sent.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RayTaskError

from toolkit.cluster import worker
from toolkit.cluster.allotments import Allotments
from toolkit.cluster.connection import Machine, disconnect, machines, places
from toolkit.cluster.crew import HEAR, Crew, Hand, is_gone, stream
from toolkit.cluster.fold_files import state_of, write
from toolkit.cluster.need import Need, Used
from toolkit.cluster.stock import Stock, needed
from toolkit.cluster.worker import DONE, EPOCH, FAILED, FILE, FULL, NEWS, REFUSED, STOPPED, TOLD, Order
from toolkit.errors import UserError
from toolkit.events import Epoch, Tell, unheard
from toolkit.leftovers import forget, of_no_use_to
from toolkit.networks.speed import Settings
from toolkit.outcome import counted
from toolkit.progress import Progress, Watch
from toolkit.recipe import to_dict
from toolkit.store import hash_json
from toolkit.training.fold import Stop, StoppedError
from toolkit.training.jobs import FoldJob

LOST = 20  # times that a fold is given on whose machine is gone,
KILLED = 1  # or whose process alone died: what the fold does to its memory may have killed it
STATES = 50e6  # bytes a second of saved epochs that all machines together send here
KNOWN = 2.0  # seconds for which what machines there are is remembered
Work = Callable[..., Any]


class _Lost(Exception):
    """The worker is gone."""


class Cluster:
    """The machines, the workers that were started on them, and what each does.

    threads: of a fold, as many as it would have here where a machine has them, as the bits of a sum depend on their
    number; allotments: what is asked for each, on a GPU where there are any.
    """

    def __init__(self, device: str, progress: Progress) -> None:
        self.progress = progress
        found = machines()
        self._looked, self._machines = time.monotonic(), found
        gpus = int(device == "cuda" or (device == "auto" and any(one.gpus >= 1 for one in found)))
        self.device = "cuda" if gpus else "cpu"
        able = [one for one in found if one.gpus >= gpus]
        if not able:
            names = ", ".join(f"{one.name} ({one.cpus:g} CPUs)" for one in found)
            raise UserError(f"no machine of the cluster has a GPU: {names}; leave out --device cuda, or start one")
        most = max(one.cpus // max(1, one.gpus) if gpus else one.cpus for one in able)
        self.threads = max(1, min(torch.get_num_threads(), int(most)))
        self.allotments = Allotments(lambda: self.machines, able, Need(self.threads, gpus))
        self.crew = Crew(lambda: self.machines, self._name_of, self._tell_of_want)
        self.busy: dict[Hand, str] = {}  # what each is at
        self.trained: Counter[str] = Counter()  # folds, by machine
        self.sent: Counter[str] = Counter()  # bytes of parcels, by machine
        self.given_on: list[str] = []  # folds whose machine died, and where
        self.seen: dict[str, str] = {}  # names of machines by node, also of those that are gone
        self.ended, self.lock = threading.Event(), threading.RLock()
        self._thread = threading.local()  # of `side_by_side`: what ends it, and when it waits no longer
        self._settings: dict[str, Settings] = {}
        self.stock = Stock()
        progress.say(f"cluster: {self}")

    def __str__(self) -> str:
        found = self.machines
        cpus, gpus = (int(sum(getattr(one, what) for one in found)) for what in ("cpus", "gpus"))
        has = f"{counted(cpus, 'CPU')}, {counted(gpus, 'GPU')}" if gpus else counted(cpus, "CPU")
        need = self.allotments.last
        each = need if self.allotments.measured else replace(need, memory=0)
        return f"{counted(len(found), 'machine')} with {has}, {counted(self.places, 'fold')} at a time, {each} each"

    @property
    def machines(self) -> list[Machine]:
        """Those that are alive."""
        with self.lock:
            if time.monotonic() - self._looked > KNOWN:
                self._looked, self._machines = time.monotonic(), machines()
            self.seen.update({one.node: one.name for one in self._machines if one.node not in self.seen})
            return self._machines

    @property
    def places(self) -> int:
        """Folds that are trained at a time, like the one that was measured last; one at least: a machine may come
        back.
        """
        return max(1, places(self.machines, self.allotments.last))

    def _name_of(self, node: str) -> str:
        self.machines  # noqa: B018 their names are looked up
        return self.seen.get(node, node[:6])

    def _tell_of_want(self, need: Need) -> bool:
        """Say that no machine has room for a fold, if that is so."""
        if places(self.machines, need):
            return False
        self.progress.warn(f"no machine of the cluster has room for a fold, which takes {need}: waiting for one")
        return True

    def measure(self, job: FoldJob) -> None:
        """What such a fold takes, by a few steps of it, where that isn't known."""
        if not self.allotments.knows(job):
            self.run(worker.some_steps, job, lambda *news: None)
        self.allotments.look_at(job)

    def _learn(self, job: FoldJob, hand: Hand, used: Used) -> None:
        before = self.places
        first = self.allotments.learn(job, hand.need, used)
        if first or self.places != before:
            self.progress.say(f"cluster: {self}")

    def lines(self) -> list[str]:
        """What runs where, a line a worker; what was given on."""
        busy = sorted(f"{hand.machine}: {what}" for hand, what in list(self.busy.items()) if what)
        return [*busy, *(f"given on: {text}" for text in self.given_on[-3:])]

    def summary(self) -> str:
        """Which machine trained how much."""
        done = ", ".join(f"{name} {number}" for name, number in sorted(self.trained.items()))
        sent = sum(self.sent.values())
        parts = [f"{counted(sum(self.trained.values()), 'fold')} ({done})"] if done else []
        parts += [f"{sent / 1e6:,.1f} MB of data and code sent"] if sent else []
        parts += [f"{len(self.given_on)} given on"] if self.given_on else []
        return "cluster: " + ", ".join(parts) if parts else ""

    # folds

    def each(
        self,
        work: Work,
        jobs: Sequence[FoldJob],
        watch: Watch,
        finished: Callable[[FoldJob, Any], None],
        deadline: float | None = None,
        tell: Tell = unheard,
    ) -> None:
        """As `training.workers.each`, on the machines of the cluster."""
        waiting, lock = list(jobs), threading.Lock()

        def heard(*news: Any) -> None:
            with lock:
                watch(*news)

        def told(epoch: Epoch) -> None:
            with lock:
                tell(epoch)

        def one(ended: threading.Event) -> None:
            while not ended.is_set():
                with lock:
                    if not waiting:
                        return
                    until, job = deadline, waiting.pop(0)
                    if until is not None:
                        share = max(0.0, until - time.monotonic()) / ceil((len(waiting) + 1) / self.places)
                        job = replace(job, deadline=time.monotonic() + share)
                try:
                    answer = self.run(work, job, heard, told, ended=ended)
                except StoppedError:
                    what = f"{job.folder.parent.name} fold {job.fold}"
                    raise UserError(f"no machine of the cluster had room for {what} within the time") from None
                with lock:
                    finished(job, answer)

        if len(jobs) > 1:
            self.measure(jobs[0])
        self.side_by_side([one] * min(len(jobs), self.places), deadline)
        if jobs:
            self.progress.say(self.summary())

    def side_by_side(self, calls: Sequence[Callable[[threading.Event], None]], until: float | None = None) -> None:
        """Calls in threads, each with an event that says that it is to end; the first that fails ends all others.

        until: when, of time.monotonic(), nobody waits for a machine any longer.
        """
        ended, failed = threading.Event(), list[BaseException]()

        def called(call: Callable[[threading.Event], None]) -> None:
            self._thread.ended, self._thread.until = ended, until
            try:
                call(ended)
            except BaseException as error:
                failed.append(error)
                ended.set()

        threads = [threading.Thread(target=called, args=(call,), daemon=True) for call in calls]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(HEAR)
        except BaseException:  # ctrl-C, which this thread alone hears
            ended.set()
            for thread in threads:
                thread.join()
            raise
        if failed:
            raise failed[0]

    def run(
        self,
        work: Work,
        job: FoldJob,
        watch: Watch,
        tell: Tell = unheard,
        stop: Stop | None = None,
        ended: threading.Event | None = None,
        learns: bool = True,
    ) -> Any:
        """`work(job, watch, tell, stop)` on a machine; what it leaves in the fold's folder lies in the same here.

        learns: what such folds need is what it takes. Raises what the work raises; UserError where its process died
        twice, KeyboardInterrupt where `ended` is set, StoppedError where no machine has room within the time of
        `side_by_side`.
        """
        ended = ended or getattr(self._thread, "ended", None) or threading.Event()
        until, lost, killed = getattr(self._thread, "until", None), 0, 0
        while True:
            hand = self.crew.take(self.allotments.of(job), ended, self.ended, until=until)
            self.busy[hand] = ""
            try:
                answer = self._told(hand, work, job, watch, tell, stop, ended)
            except _Lost:
                self.crew.drop(hand)
                if not self.busy[hand]:  # it waited for work
                    self.progress.say(f"{hand.machine} is gone; others do what it would have done")
                    continue
                gone = is_gone(hand)
                lost, killed = lost + gone, killed + (not gone)
                if not gone:
                    self.allotments.give_more_memory(job, hand.need)
                if lost > LOST or killed > KILLED:
                    raise UserError(self._too_often(job, hand, killed > KILLED)) from None
                self._tell_of_loss(job, hand, gone)
                continue
            except BaseException:
                self.crew.drop(hand)
                raise
            finally:
                with self.lock:
                    self.busy.pop(hand, None)
            self.crew.give_back(hand)
            if answer[0] == FULL and 0 < hand.need.gpus < 1:  # the others took more than their share, or it does
                self.allotments.give_whole_gpu(job, hand.need)
                continue
            return self._answer(hand, job, *answer, learns=learns)

    def _too_often(self, job: FoldJob, hand: Hand, killed: bool) -> str:
        what = f"{job.folder.parent.name} fold {job.fold}"
        if not killed:
            return f"{what} was on {LOST} machines that were lost; the same command goes on from the last saved epoch"
        took = f" ({hand.need.memory / 1e9:.1f} GB were kept for it)" if hand.need.memory else ""
        return (
            f"{what} ended the process that trained it twice, the last on {hand.machine}, maybe for lack of "
            f"memory{took}; lower batch_size, images.size or model.input_scale, or take larger machines"
        )

    def _tell_of_loss(self, job: FoldJob, hand: Hand, gone: bool) -> None:
        what = "machine is gone" if gone else "process died, maybe for lack of memory"
        begins = "its last saved epoch" if job.place.state.exists() else "its beginning"
        self.given_on.append(f"{job.folder.parent.name} fold {job.fold} of {hand.machine}")
        self.progress.warn(
            f"{job.folder.parent.name} fold {job.fold}: {hand.machine}'s {what}; another goes on from {begins}"
        )

    def settings(self, job: FoldJob, steps: int) -> Settings:
        """How the recipe is trained fastest there, as one machine measures it."""
        if job.recipe.precision != "auto":
            return Settings(precision=job.recipe.precision)
        key = hash_json([to_dict(job.recipe), steps, str(job.competition)])
        if key not in self._settings:
            work = partial(worker.measured_settings, steps=steps)
            self._settings[key] = self.run(work, job, lambda *news: None, learns=False)
        return self._settings[key]

    # what goes there and comes back

    def _told(
        self,
        hand: Hand,
        work: Work,
        job: FoldJob,
        watch: Watch,
        tell: Tell,
        stop: Stop | None,
        ended: threading.Event,
    ) -> tuple[int, Any]:
        """The last that a worker tells of a fold."""
        try:
            order = self._order(hand, work, job, stop is not None)
            return self._heard(hand, order, job, watch, tell, stop, ended)
        except RayTaskError as error:
            raise RuntimeError(f"on {hand.machine}:\n{error}") from None
        except RayError as error:
            raise _Lost from error

    def _answer(self, hand: Hand, job: FoldJob, kind: int, content: Any, learns: bool) -> Any:
        if kind in (REFUSED, FULL):
            raise UserError(content)
        if kind == FAILED:
            raise RuntimeError(f"on {hand.machine}:\n{content}")
        found, used = (None, content) if kind == STOPPED else content
        if learns:
            self._learn(job, hand, used)
        if kind == STOPPED:
            raise StoppedError
        assert kind == DONE
        with self.lock:
            self.trained[hand.machine] += job.place.finished
        forget(of_no_use_to(job.folder))
        return f"{found}, on {hand.machine}" if isinstance(found, str) else found  # what is said of a fold

    def _heard(
        self,
        hand: Hand,
        order: Order,
        job: FoldJob,
        watch: Watch,
        tell: Tell,
        stop: Stop | None,
        ended: threading.Event,
    ) -> tuple[int, Any]:
        """All that a worker tells until it has ended: the last of it."""
        what = f"{job.folder.parent.name} fold {job.fold}"
        self.busy[hand], told_to_stop, first = f"{what}: starting", False, True
        for kind, content in stream(hand.actor.take.options(num_returns="streaming").remote(order), ended, self.ended):
            if first:
                self.sent[hand.machine] += content
                first = False
            elif kind == NEWS:
                fold, epoch, news = content
                self.busy[hand] = f"{what} epoch {int(epoch) + 1}, {news}"
                watch(fold, epoch, f"{news} on {hand.machine}".strip())
            elif kind == TOLD:
                tell(content)
            elif kind == EPOCH:
                if stop is not None and not told_to_stop and stop(content):
                    told_to_stop = True
                    hand.actor.stop.options(concurrency_group="control").remote()
            elif kind == FILE:
                write(job, *content)
            else:
                return (STOPPED, content[1]) if told_to_stop and kind == DONE else (kind, content)
        raise _Lost

    def _order(self, hand: Hand, work: Work, job: FoldJob, asks: bool) -> Order:
        sent = needed(work, job)
        keys, shared = [one.key for one in sent.values()], self.stock.shared_folder(job)
        shares, lacking = ray.get(hand.actor.lacks.remote(keys, shared))
        if shares:  # the workspace, and so the data and all runs
            sent = {role: one for role, one in sent.items() if role not in ("data", "teacher")}
        files = {role: (one.key, self.stock.blocks(one) if one.key in lacking else []) for role, one in sent.items()}
        until = None if job.deadline is None else job.deadline - time.monotonic()
        there = replace(job, device=self.device, deadline=None)
        pace = STATES / self.places
        return Order(work, there, files, state_of(job), until, self.threads, pace, asks, list(sys.argv))

    def close(self) -> None:
        """Nothing is left running of it."""
        self.ended.set()
        self.stock.close()
        disconnect()
