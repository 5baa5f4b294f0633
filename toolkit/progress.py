"""What work tells of itself while it is done. Engines are handed one of these and print nothing; this is silent."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from toolkit.events import Event, Listener
from toolkit.outcome import Outcome

if TYPE_CHECKING:
    from rich.console import RenderableType

Watch = Callable[[int, float, str], None]  # fold, epochs done (with a fraction), news; no news: the fold is stored
Done = Callable[[int], None]  # so many more


class Progress:
    """Silent. `screen` shows it on a terminal, in a pipe and in a notebook."""

    listeners: Sequence[Listener] = ()  # what hears of epochs and scores, such as trackers

    def tell(self, event: Event) -> None:
        """An epoch, or the scores of a run, for all that listen."""
        for listener in self.listeners:
            listener(event)

    def say(self, text: str) -> None:
        """A line, as it is."""

    def warn(self, text: str) -> None:
        """A line that asks for a look."""

    def show(self, outcome: Outcome) -> None:
        """What a step gives back, once it has ended. Commands call this, engines don't."""

    @contextmanager
    def training(self, folds: int, epochs: int) -> Iterator[Watch]:
        """A bar over all folds of a run and one for each that is trained now; yields what is called after a step."""
        yield lambda fold, epoch, news: None

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Done]:
        """A bar over `total` things with the time left; yields what is told how many more are done."""
        yield lambda more: None

    @contextmanager
    def live(self, view: "Callable[[], RenderableType]") -> Iterator[bool]:
        """Meanwhile `view` is shown anew twice a second; yields whether it is shown at all."""
        yield False


SILENT = Progress()
