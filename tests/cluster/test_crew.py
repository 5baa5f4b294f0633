"""Who gets which worker, with a Ray that is played: machines with so much, actors that wait until there is room."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from toolkit.cluster.connection import Machine
from toolkit.cluster.need import Need
from toolkit.training.fold import StoppedError

pytest.importorskip("ray", reason="folds are sent to other machines by Ray: pip install '.[cluster]'")

from toolkit.cluster import crew as module
from toolkit.cluster.crew import Crew, Hand
from toolkit.cluster.worker import Hello, versions

GB = 10**9
SIZES = {"num_cpus": "cpus", "num_gpus": "gpus", "memory": "memory"}


@dataclass(eq=False)
class Actor:
    """hello: what waits for it, too, as both are asked for by one object."""

    asked: dict[str, Any]
    node: str = ""

    @property
    def hello(self) -> "Actor":
        return self

    def remote(self) -> "Actor":
        return self


@dataclass
class Played:
    """Of Ray what a crew needs."""

    machines: list[Machine]
    actors: list[Actor] = field(default_factory=list)
    started: int = 0

    def remote(self, **more: Any) -> Callable[[type], Any]:
        played = self

        class Made:
            def options(self, **asked: Any) -> "Made":
                self.asked = asked
                return self

            def remote(self) -> Actor:
                actor = Actor(self.asked)
                played.actors.append(actor)
                played.started += 1
                return actor

        return lambda cls: Made()

    def place(self) -> None:
        for actor in self.actors:
            if not actor.node:
                actor.node = next((one.node for one in self.machines if self._fits(actor, one)), "")

    def _fits(self, actor: Actor, machine: Machine) -> bool:
        here = [*(one for one in self.actors if one.node == machine.node), actor]
        return all(sum(one.asked[key] or 0 for one in here) <= getattr(machine, name) for key, name in SIZES.items())

    def wait(self, hellos: list[Actor], num_returns: int = 1, timeout: float = 0) -> tuple[list[Actor], list[Actor]]:
        self.place()
        time.sleep(min(timeout, 0.01))
        ready = [one for one in hellos if one.node]
        return ready, [one for one in hellos if not one.node]

    def get(self, actor: Actor) -> Hello:
        return Hello(actor.node, 0, versions(), 0.0)

    def kill(self, actor: Actor) -> None:
        self.actors.remove(actor)


def machine(name: str = "a", cpus: float = 4, gpus: float = 0, memory: float = 4 * GB) -> Machine:
    return Machine(name, name, cpus, gpus, memory)


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LATE", 0.2)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[Crew, Played]]]:
    def made(*machines: Machine) -> tuple[Crew, Played]:
        played = Played(list(machines))
        monkeypatch.setattr(module, "ray", played)
        return Crew(lambda: played.machines, lambda node: node, lambda need: False), played

    yield made
    for taking in TAKING:
        taking.ended.set()
        taking.thread.join()
    TAKING.clear()


class Taking:
    """Somebody who waits for a worker, in a thread."""

    def __init__(self, crew: Crew, need: Need) -> None:
        self.hand: list[Hand] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._take, args=(crew, need), daemon=True)
        self.thread.start()
        TAKING.append(self)

    def _take(self, crew: Crew, need: Need) -> None:
        try:
            self.hand.append(crew.take(need, self.ended))
        except KeyboardInterrupt:
            return

    def got(self, seconds: float = 5.0) -> Hand:
        self.thread.join(seconds)
        assert self.hand, "nobody came"
        return self.hand[0]

    def waits(self, seconds: float = 0.3) -> bool:
        self.thread.join(seconds)
        return not self.hand


TAKING: list[Taking] = []


def test_a_worker_stays_for_the_next_fold(make: Any) -> None:
    crew, played = make(machine())
    for _ in range(3):
        crew.give_back(crew.take(Need(1, memory=GB)))
    assert played.started == 1 and len(crew.idle) == 1 and not crew.busy
    fits = crew.take(Need(1, memory=int(1.2 * GB)))  # within the margin
    crew.give_back(fits)
    assert played.started == 1


def test_what_is_free_makes_room_for_what_needs_more(make: Any) -> None:
    crew, played = make(machine())
    first, second = (crew.take(Need(1, memory=2 * GB)) for _ in range(2))
    crew.give_back(first)
    large = Taking(crew, Need(1, memory=3 * GB))
    assert large.waits()  # the other one is still at work
    crew.give_back(second)
    assert large.got().need.memory == 3 * GB and len(played.actors) == 1


def test_a_worker_that_waits_for_a_machine_is_asked_for_no_longer_than_somebody_wants_it(make: Any) -> None:
    crew, played = make(machine(cpus=2))
    first = Taking(crew, Need(2)).got()
    second = Taking(crew, Need(2))
    assert second.waits() and len(played.actors) == 2, "one has no machine yet"
    crew.give_back(first)
    assert second.got() is first and played.actors == [first.actor] and not crew.starting


def test_nothing_is_ended_where_there_is_room(make: Any) -> None:
    crew, played = make(machine("a", memory=64 * GB), machine("b", memory=64 * GB))
    hands = [crew.take(Need(1, memory=GB)) for _ in range(4)]
    for hand in hands:
        crew.give_back(hand)
    crew.take(Need(1, memory=3 * GB))
    assert len(crew.idle) == 4 and played.started == 5


def test_one_that_is_too_large_for_now_hides_no_room(make: Any) -> None:
    crew, _ = make(machine("a", memory=30 * GB), machine("b", memory=24 * GB))
    busy = crew.take(Need(1, memory=27 * GB))
    large = Taking(crew, Need(1, memory=28 * GB))
    assert large.waits()
    assert Taking(crew, Need(1, memory=4 * GB)).got().machine == "b"
    crew.give_back(busy)
    assert large.got().machine == "a"


def test_who_waits_long_comes_first(make: Any, late: None) -> None:
    crew, _ = make(machine(gpus=1))
    shares = [crew.take(Need(1, 1 / 2)) for _ in range(2)]
    whole = Taking(crew, Need(1, 1))
    assert whole.waits(0.5)
    small = []
    for hand in shares:  # they would take what they gave back at once, again and again
        crew.give_back(hand)
        small.append(Taking(crew, Need(1, 1 / 2)))
    assert whole.got().need.gpus == 1 and all(one.waits(0.1) for one in small)
    crew.give_back(whole.got())
    assert [one.got().need.gpus for one in small] == [1 / 2, 1 / 2]


def test_of_two_who_want_the_same_the_first_gets_it(make: Any) -> None:
    crew, _ = make(machine(cpus=1))
    hand = crew.take(Need(1))
    first = Taking(crew, Need(1))
    assert first.waits(0.1)
    for _ in range(5):
        if first.hand:
            break
        crew.give_back(hand)
        second = Taking(crew, Need(1))
        assert second.waits(0.05) or second.got() is not hand
    assert first.got() is hand


def test_who_waits_long_keeps_others_from_no_other_machine(make: Any, late: None) -> None:
    crew, _ = make(machine("a", memory=64 * GB), machine("b", memory=16 * GB))
    busy = crew.take(Need(1, memory=40 * GB))
    idle = crew.take(Need(1, memory=10 * GB))
    large = Taking(crew, Need(1, memory=41 * GB))
    assert busy.machine == "a" and large.waits(0.5)
    assert Taking(crew, Need(1, memory=11 * GB)).got().machine in ("a", "b")
    crew.give_back(idle)
    crew.give_back(busy)
    assert large.got().machine == "a"


def test_who_waits_for_what_no_machine_has_keeps_nobody_waiting(make: Any, late: None) -> None:
    crew, played = make(machine("a"), machine("b", gpus=1))
    played.machines = played.machines[:1]  # the one with the GPU is gone
    never = Taking(crew, Need(1, 1))
    assert never.waits(0.5)
    crew.give_back(Taking(crew, Need(1)).got())
    never.ended.set()
    never.thread.join(5)
    assert not never.thread.is_alive() and not crew.waiting


def test_three_share_a_gpu(make: Any) -> None:
    crew, _ = make(machine(gpus=1))
    hands = [Taking(crew, Need(1, 1 / 3)).got() for _ in range(3)]
    fourth = Taking(crew, Need(1, 1 / 3))
    assert fourth.waits()
    crew.give_back(hands[0])
    assert fourth.got() is hands[0]


def test_nobody_waits_longer_than_there_is_time(make: Any) -> None:
    crew, _ = make(machine(cpus=1))
    crew.take(Need(1))
    with pytest.raises(StoppedError):
        crew.take(Need(1), until=time.monotonic() + 0.2)
    assert not crew.waiting
