"""The workers of a driver: started where a machine has room, kept while they live, given out one fold at a time."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from toolkit.cluster import worker
from toolkit.cluster.need import Need
from toolkit.cluster.worker import Hello, Worker
from toolkit.errors import UserError

POLL = 0.1  # seconds between two looks who is free
SCARCE = 10.0  # seconds of waiting for a machine of which nothing is said


@dataclass(eq=False)
class Hand:
    """A worker as the driver has it. need: what it was given; told: who it is, once it has started."""

    actor: Any
    hello: Any
    need: Need
    told: Hello | None = None
    machine: str = ""


class Crew:
    """name_of: a machine's, by its ID; tell_of_want: say that there is no room for so much, if so."""

    def __init__(self, name_of: Callable[[str], str], tell_of_want: Callable[[Need], bool]) -> None:
        self.name_of, self.tell_of_want = name_of, tell_of_want
        self.idle: list[Hand] = []
        self.starting: list[Hand] = []
        self.waiting, self.lock = Counter[Need](), threading.RLock()

    def take(self, need: Need, *ended: threading.Event) -> Hand:
        """One that is free and has so much, or a new one once a machine has room; KeyboardInterrupt as soon as one of
        these is set.
        """
        begun, told = time.monotonic(), False
        with self.lock:
            self.waiting[need] += 1
        try:
            while True:
                if any(one.is_set() for one in ended):
                    raise KeyboardInterrupt
                with self.lock:
                    self._welcome()
                    if fit := [hand for hand in self.idle if hand.need.holds(need)]:
                        self.idle.remove(fit[-1])
                        return fit[-1]
                    if sum(hand.need.holds(need) for hand in self.starting) < self.waiting[need]:
                        self._make_room()
                        self.starting.append(self._start(need))
                if not told and time.monotonic() - begun > SCARCE:
                    told = self.tell_of_want(need)
                if hellos := [hand.hello for hand in self.starting]:
                    ray.wait(hellos, timeout=POLL)
                else:
                    time.sleep(POLL)
        finally:
            with self.lock:
                self.waiting[need] -= 1

    def _make_room(self) -> None:
        """End those that are free, or to come, and have what nobody waits for."""
        wanted = [need for need, number in self.waiting.items() if number]
        for hand in [*self.idle, *self.starting]:
            if not any(hand.need.holds(need) for need in wanted):
                self.starting = [one for one in self.starting if one is not hand]
                self.drop(hand)

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

    def give_back(self, hand: Hand) -> None:
        """It is free again."""
        with self.lock:
            self.idle.append(hand)


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else type(error).__name__)
