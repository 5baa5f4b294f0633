"""What work tells of itself while it is done. Engines are handed one of these and print nothing; this is silent."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from toolkit.events import Event, Listener
from toolkit.outcome import Outcome

if TYPE_CHECKING:
    from rich.console import RenderableType

Watch = Callable[[int, float, str], None]  # fold, epochs done (with a fraction), news; no news: the fold is stored
Done = Callable[[float], None]  # so many more


class Progress:
    """Silent. `screen` shows it on a terminal and in a pipe, `cell` in a notebook."""

    listeners: Sequence[Listener] = ()  # what hears of epochs and scores, such as trackers

    def tell(self, event: Event) -> None:
        """An epoch, or the scores of a run, for all that listen."""
        for listener in self.listeners:
            listener(event)

    def say(self, text: str) -> None:
        """A line, as it is."""

    def warn(self, text: str) -> None:
        """A line that asks for a look."""

    def say_score(self, before: str, score: str, after: str = "", better: bool | None = None) -> None:
        """A line with the number that matters, which stands out. better: than the best so far, if there is one."""
        self.say(f"{before}{score}{after}")

    def show(self, outcome: Outcome) -> None:
        """What a step gives back, once it has ended. Commands call this, engines don't."""

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
        """Whatever may take longer than a second: its name and how long it has taken, within the phases around it.

        total: things to do, of which what is yielded is told how many more are done. costs: what phases inside this
        one take, by their names, in order and in any unit. budget: seconds since `begun` (of time.monotonic()), which
        are taken whatever is done. With one of them there is a bar, with the time that is left.
        """
        yield lambda more: None

    def counting(self, what: str, total: int) -> AbstractContextManager[Done]:
        """A phase of `total` things."""
        return self.phase(what, total)

    @contextmanager
    def training(self, folds: int, epochs: int, name: str = "folds") -> Iterator[Watch]:
        """A phase over all folds of a run, with a line for each that is trained now; yields what is called after a
        step.
        """
        yield lambda fold, epoch, news: None

    @contextmanager
    def live(
        self, view: "Callable[[], RenderableType]", now: Callable[[], str], ahead: Callable[[], float | None]
    ) -> Iterator[bool]:
        """A phase over which `view` is drawn, with what is done `now` and the seconds `ahead` that are left; yields
        whether `view` is shown at all.
        """
        yield False


class Flat(Progress):
    """Lines and events of work that is done beside other work, whose phases would be within one another."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.listeners = progress, progress.listeners

    def say(self, text: str) -> None:
        self.progress.say(text)

    def warn(self, text: str) -> None:
        self.progress.warn(text)


SILENT = Progress()
