"""What is being done now, a step within a step, and how far each is: engines move it on, screens draw it."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import exp
from typing import TYPE_CHECKING

from toolkit.outcome import duration
from toolkit.processes import meanwhile
from toolkit.progress import Done, Progress, Watch

if TYPE_CHECKING:
    import threading

    from rich.console import RenderableType

SURE = 0.01  # share of a step from which on the time that is left can be told,
FIRST = 1.0  # and seconds
ALMOST = 0.999  # the most that a step has done before it ends
# what takes seconds to import; the first that is under way is named
LIBRARIES = {"torch": "PyTorch", "torchvision": "torchvision", "timm": "timm", "sklearn": "scikit-learn"}
LIBRARIES |= {"scipy": "SciPy", "pandas": "pandas", "matplotlib": "Matplotlib", "optuna": "Optuna", "cv2": "OpenCV"}


@dataclass(eq=False)
class Step:
    """Something that is being done, since `begun` (of time.monotonic()).

    total: things to do, of which `done` are, such as epochs (their `unit`); costs: what its parts take, by their
    names and in their order, in seconds or anything else; budget: seconds that it takes whatever is done; ahead: tells
    the seconds that are left. Without these nobody knows how far it is. news: what is new, in words; rows: the same of
    what is done side by side.
    """

    name: str
    total: float | None = None
    unit: str = ""
    costs: Mapping[str, float] = field(default_factory=dict)
    budget: float | None = None
    ahead: Callable[[], float | None] | None = None
    view: "Callable[[], RenderableType] | None" = None  # a picture of all of it, for a terminal
    now: Callable[[], str] | None = None  # tells the news
    begun: float = field(default_factory=lambda: time.monotonic())
    done: float = 0.0
    news: str = ""
    rows: dict[int, str] = field(default_factory=dict)
    passed: float = 0.0  # of costs, by parts that have ended
    reached: float = 0.0  # the share, which never falls

    @property
    def elapsed(self) -> float:
        return time.monotonic() - self.begun

    def part_ended(self, name: str) -> None:
        """So is all that comes before it."""
        if name in self.costs:
            names = list(self.costs)
            ended = names[: names.index(name) + 1]
            self.passed = max(self.passed, sum(self.costs[one] for one in ended))

    def guess(self, cost: float, elapsed: float) -> float:
        """Of a part that doesn't say how far it is, by how long the parts before it took; it never ends."""
        pace = max(1e-9, self.elapsed - elapsed) / self.passed if self.passed else 1.0
        return 1 - exp(-elapsed / max(1e-9, pace * cost))


class Steps:
    """The steps that are being done now, each a part of the one before."""

    def __init__(self) -> None:
        self.open: list[Step] = []

    @contextmanager
    def within(self, step: Step) -> Iterator[Step]:
        self.open.append(step)
        try:
            yield step
        finally:
            self.open.remove(step)
            for outer in self.open:
                outer.part_ended(step.name)

    def share(self, step: Step) -> float | None:
        """How much of it is done, 0 to 1; None where nobody knows."""
        found = self._share(step)
        if found is None:
            return step.reached or None  # it was known before, and a bar doesn't go
        step.reached = max(step.reached, min(ALMOST, found))
        return step.reached

    def _share(self, step: Step) -> float | None:
        if step.budget:
            return step.elapsed / step.budget
        if step.ahead is not None:
            left = step.ahead()
            return None if left is None else step.elapsed / max(1e-9, step.elapsed + left)
        if step.total:
            return step.done / step.total
        whole = sum(step.costs.values())
        if not whole:
            return None
        part = next((one for one in self._within(step) if one.name in step.costs), None)
        if part is None:
            return step.passed / whole
        cost, share = step.costs[part.name], self.share(part)
        names = list(step.costs)
        before = sum(step.costs[name] for name in names[: names.index(part.name)])
        return (before + cost * (step.guess(cost, part.elapsed) if share is None else share)) / whole

    def _within(self, step: Step) -> list[Step]:
        now = list(self.open)
        return now[now.index(step) + 1 :] if step in now else []

    def left(self, step: Step) -> float | None:
        """Seconds, by what was done in those that are over; None where that is too little."""
        if step.budget:
            return max(0.0, step.budget - step.elapsed)
        share = self.share(step)
        if share is None or share < SURE or step.elapsed < FIRST:
            return None
        return step.elapsed * (1 - share) / share

    @property
    def measured(self) -> Step | None:
        """The outermost one of which it is known how far it is."""
        return next((step for step in list(self.open) if self.share(step) is not None), None)

    @property
    def detail(self) -> str:
        """What is done at the moment within the first of them, in words."""
        now, loading = list(self.open), loaded_now()
        now = now[:1] + [step for step in now[1:] if not step.budget]  # the whole command, named before
        words = [_words(step) for step in now[1:][-2:]] or [_words(step, named=False) for step in now]
        return ": ".join([*filter(None, words), *([f"loading {loading}"] if loading else [])])

    @property
    def line(self) -> str:
        """All of it as one line of text, without how long it takes: `train mars: 43 %, fold 2/3 epoch 5/12`."""
        now, measured = list(self.open), self.measured
        if not now:
            return ""
        share = "" if measured is None else percent(self.share(measured) or 0.0)
        return f"{now[0].name}: " * bool(now[0].name) + ", ".join(filter(None, (share, self.detail)))

    @property
    def times(self) -> str:
        """How long it has taken, and how long it will."""
        if not self.open:
            return ""
        measured, took = self.measured, duration(self.open[0].elapsed)
        left = None if measured is None else self.left(measured)
        return took if left is None else f"{took}, about {duration(left)} left"


def _words(step: Step, named: bool = True) -> str:
    """Its name, how many of its things are done, and what is new; of what is done side by side that alone."""
    if step.rows:
        return ", ".join(step.rows.values())
    news = step.news if step.now is None else step.now()
    numbers = f"{int(step.done):,} of {int(step.total):,} {step.unit}".strip() if step.total else ""
    return " ".join(filter(None, (step.name * named, numbers, news)))


def loaded_now() -> str:
    """The library that is being imported at this moment; none: no text."""
    for module, name in LIBRARIES.items():
        spec = getattr(sys.modules.get(module), "__spec__", None)
        if getattr(spec, "_initializing", False):  # importlib's own mark, by which it knows circular imports
            return name
    return ""


def percent(share: float) -> str:
    """`43 %`; 100 % is what has ended."""
    return f"{int(100 * share)} %"


def clock(seconds: float) -> str:
    """`0:07`, `12:05`, `1:02:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class Stepwise(Progress):
    """Keeps the steps that are being done, and displays them while there are any."""

    draws_views = False

    def __init__(self) -> None:
        self.steps = Steps()

    @contextmanager
    def displayed(self) -> Iterator[None]:
        """The steps are displayed meanwhile."""
        yield

    @contextmanager
    def step(self, step: Step) -> Iterator[Step]:
        with ExitStack() as stack:
            if not self.steps.open:
                stack.enter_context(self.displayed())
            yield stack.enter_context(self.steps.within(step))

    @contextmanager
    def phase(
        self,
        name: str,
        total: float | None = None,
        *,
        costs: Mapping[str, float] | None = None,
        budget: float | None = None,
        begun: float | None = None,
    ) -> Iterator[Done]:
        begun = time.monotonic() if begun is None else begun
        with self.step(Step(name, total, "", costs or {}, budget, begun=begun)) as step:

            def more(number: float) -> None:
                step.done += number

            yield more

    @contextmanager
    def training(self, folds: int, epochs: int, name: str = "folds") -> Iterator[Watch]:
        done: dict[int, float] = {}
        with self.step(Step(name, folds * epochs, unit="epochs")) as step:

            def watch(fold: int, epoch: float, news: str) -> None:
                done[fold] = epoch
                step.done = sum(done.values())
                text = f"fold {fold + 1}/{folds} epoch {min(int(epoch) + 1, epochs)}/{epochs} {news}"
                # replaced as a whole, as another thread reads it
                step.rows = {k: row for k, row in {**step.rows, fold: text}.items() if k != fold or news}

            yield watch

    @contextmanager
    def live(
        self, view: "Callable[[], RenderableType]", now: Callable[[], str], ahead: Callable[[], float | None]
    ) -> Iterator[bool]:
        with self.step(Step("", ahead=ahead, view=view, now=now)):
            yield self.draws_views


@contextmanager
def every(seconds: float, call: Callable[[], None]) -> Iterator[None]:
    """`call` is called again and again meanwhile: also while what is waited for says nothing."""

    def again(ended: "threading.Event") -> None:
        while not ended.wait(seconds):
            call()

    with meanwhile(again):
        yield
