"""The workers of a driver: started where a machine has room, kept while they live, given out one fold at a time."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from toolkit.cluster import worker
from toolkit.cluster.connection import Machine, machines, places
from toolkit.cluster.need import Need
from toolkit.cluster.worker import Hello, Worker
from toolkit.errors import UserError
from toolkit.training.fold import StoppedError

POLL = 0.1  # seconds between two looks who is free
HEAR = 0.5  # seconds between two looks whether anything was asked of this process while a worker is heard
HEARD = 5.0  # seconds in which it is known of a machine that it is lost
SCARCE = 10.0  # seconds of waiting for a machine of which nothing is said
LATE = 60.0  # seconds after which room is made for who waits,
KEPT = 600.0  # for so long


@dataclass(eq=False)
class Hand:
    """A worker as the driver has it. need: what it was given; told: who it is, once it has started; fresh: it has done
    nothing yet.
    """

    actor: Any
    hello: Any
    need: Need
    told: Hello | None = None
    machine: str = ""
    fresh: bool = True


@dataclass(eq=False)
class _Waiting:
    """Who waits for a worker with so much, and since when."""

    need: Need
    since: float


class Crew:
    """machines: those that are alive; name_of: a machine's, by its ID; tell_of_want: say that there is no room for so
    much, if so.
    """

    def __init__(
        self,
        machines: Callable[[], Sequence[Machine]],
        name_of: Callable[[str], str],
        tell_of_want: Callable[[Need], bool],
    ) -> None:
        self.machines, self.name_of, self.tell_of_want = machines, name_of, tell_of_want
        self.idle: list[Hand] = []  # who waits longest first
        self.starting: list[Hand] = []
        self.busy: list[Hand] = []
        self.waiting: list[_Waiting] = []
        self.lock = threading.RLock()

    def take(self, need: Need, *ended: threading.Event, until: float | None = None) -> Hand:
        """One that is free and has so much, or a new one once a machine has room; KeyboardInterrupt as soon as one of
        these is set, StoppedError where none has come `until` then, of time.monotonic().
        """
        asks, told = _Waiting(need, time.monotonic()), False
        with self.lock:
            self.waiting.append(asks)
        try:
            while True:
                if any(one.is_set() for one in ended):
                    raise KeyboardInterrupt
                if until is not None and time.monotonic() > until:
                    raise StoppedError
                with self.lock:
                    self._welcome()
                    if found := self._free(asks):
                        self.idle.remove(found)
                        self.busy.append(found)
                        found.fresh = False
                        return found
                    alike = sum(one.need == need for one in self.waiting)
                    if self._pending(need) < alike and self._may_start(asks):
                        self.starting.append(self._start(need))
                    self._make_room(asks)
                if not told and time.monotonic() - asks.since > SCARCE:
                    told = self.tell_of_want(need)
                if hellos := [hand.hello for hand in self.starting]:
                    ray.wait(hellos, timeout=POLL)
                else:
                    time.sleep(POLL)
        finally:
            with self.lock:
                self.waiting.remove(asks)
                self._end_unwanted()

    def _pending(self, need: Need) -> int:
        return sum(hand.need == need for hand in self.starting)

    def _older(self, asks: _Waiting) -> list[_Waiting]:
        return self.waiting[: self.waiting.index(asks)]

    def _kept(self, asks: _Waiting) -> list[Machine]:
        """Machines on which room is made for somebody who has waited long: for some minutes none else begins there."""
        now = time.monotonic()
        late = [one.need for one in self._older(asks) if LATE < now - one.since < LATE + KEPT]
        return [machine for machine in self.machines() if any(places([machine], need) for need in late)]

    def _free(self, asks: _Waiting) -> Hand | None:
        """One that has enough, for which nobody waits longer, on a machine that isn't kept if it has worked before."""
        older, kept = self._older(asks), {machine.node for machine in self._kept(asks)}
        for hand in reversed(self.idle):
            wanted = hand.need.holds(asks.need) and not any(hand.need.holds(one.need) for one in older)
            if wanted and (hand.fresh or not (hand.told and hand.told.node in kept)):
                return hand
        return None

    def _may_start(self, asks: _Waiting) -> bool:
        """Is there room beside the machines that are kept? Where none are Ray finds it, as soon as there is some."""
        kept = self._kept(asks)
        return not kept or self._room(asks.need, kept) > self._pending(asks.need)

    def _end_unwanted(self) -> None:
        """End those that start for nobody: a cluster that grows by itself would start a machine for them."""
        wanted = [one.need for one in self.waiting]
        for hand in [hand for hand in self.starting if hand.need not in wanted]:
            self.starting.remove(hand)
            self.drop(hand)

    def _make_room(self, asks: _Waiting) -> None:
        """Of those that are free end the longest idle ones where nothing else gives room, as it is reckoned, or seems
        to after a while: other commands may have their part of the machines.
        """
        if any(self._free(one) for one in self.waiting):
            return  # it is taken in a moment
        able = {machine.node for machine in self.machines() if places([machine], asks.need)}
        late = time.monotonic() - asks.since > LATE
        for hand in [hand for hand in self.idle if hand.told and hand.told.node in able]:
            if not late and self._room(asks.need) >= self._pending(asks.need):
                return
            late = False
            self.drop(hand)

    def _room(self, need: Need, kept: Sequence[Machine] = ()) -> int:
        """How many workers with so much would fit beside those that have started, on machines that aren't kept."""
        left = []
        for machine in (one for one in self.machines() if one not in kept):
            here = [hand.need for hand in (*self.idle, *self.busy) if hand.told and hand.told.node == machine.node]
            taken = {name: sum(getattr(one, name) for one in here) for name in ("cpus", "gpus", "memory")}
            left.append(replace(machine, **{name: getattr(machine, name) - value for name, value in taken.items()}))
        return places(left, need)

    def _start(self, need: Need) -> Hand:
        remote: Any = ray.remote
        made = remote(concurrency_groups={"control": 1})(Worker).options(
            num_cpus=need.cpus,
            num_gpus=need.gpus,
            memory=need.memory or None,
            max_restarts=0,
            scheduling_strategy="SPREAD",
        )
        actor: Any = made.remote()
        return Hand(actor, actor.hello.remote(), need)

    def _welcome(self) -> None:
        """Those that have started become idle; UserError where one has other versions, or can't import its code."""
        if not self.starting:
            return
        ready, _ = ray.wait([hand.hello for hand in self.starting], num_returns=len(self.starting), timeout=0)
        for hand in [hand for hand in self.starting if hand.hello in ready]:
            self.starting.remove(hand)
            try:
                hand.told = ray.get(hand.hello)
            except RayTaskError as error:
                raise UserError(f"a machine of the cluster can't train: {_last_line(error)}") from None
            except RayActorError as error:
                if "Error" in str(error) and "creation" in str(error).lower():
                    text = "install there what the toolkit needs, in the versions that are here"
                    raise UserError(f"a machine of the cluster can't train: {_last_line(error)}; {text}") from None
                continue  # its machine is gone already
            hand.machine = self.name_of(hand.told.node)
            self._check(hand)
            self.idle.append(hand)

    def _check(self, hand: Hand) -> None:
        assert hand.told is not None
        theirs, ours = hand.told.versions, worker.versions()
        unlike = [f"{name} {theirs[name]} in place of {ours[name]}" for name in ours if theirs[name] != ours[name]]
        if unlike:
            raise UserError(
                f"{hand.machine} has {', '.join(unlike)}, so its folds would not be those of this machine; install "
                "the same there"
            )

    def drop(self, hand: Hand) -> None:
        with suppress(RayError):
            ray.kill(hand.actor)
        with self.lock:
            self.idle = [one for one in self.idle if one is not hand]
            self.busy = [one for one in self.busy if one is not hand]

    def give_back(self, hand: Hand) -> None:
        """It is free again."""
        with self.lock:
            self.busy.remove(hand)
            self.idle.append(hand)


def is_gone(hand: Hand) -> bool:
    """Is its machine lost, of which Ray hears a little later than of the process?"""
    until = time.monotonic() + HEARD
    while hand.told is not None and hand.told.node in {one.node for one in machines()}:
        if time.monotonic() > until:
            return False
        time.sleep(HEAR)
    return True


def stream(told: Any, *ended: threading.Event) -> Iterator[tuple[int, Any]]:
    """What a worker yields, as it comes; KeyboardInterrupt once one of these is set."""
    while True:
        if any(one.is_set() for one in ended):
            raise KeyboardInterrupt
        ready, _ = ray.wait([told], timeout=HEAR, fetch_local=False)
        if ready:
            try:
                yield ray.get(next(told))
            except StopIteration:
                return


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else type(error).__name__)
