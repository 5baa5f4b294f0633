"""Where people see what work tells of itself in a notebook: lines, tables, and a bar that is redrawn in its place.

rich has widgets of its own for that. They need ipywidgets, they aren't in the notebook once it is closed, and a line
that is printed while they are redrawn is lost in them; HTML is shown by every frontend.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape

from toolkit.outcome import Outcome
from toolkit.steps import Stepwise, every

EVERY = 0.5  # seconds between two drawings


class Cell(Stepwise):
    """The output of the cell that is run."""

    def say(self, text: str) -> None:
        print(text)

    def warn(self, text: str) -> None:
        print(f"warning: {text}")

    def show(self, outcome: Outcome) -> None:
        from IPython.display import display

        display(outcome)

    @contextmanager
    def displayed(self) -> Iterator[None]:
        from IPython.display import HTML, display

        bar, shown = display(HTML(""), display_id=True), ""

        def draw() -> None:
            nonlocal shown
            text = self._html()
            if text != shown:
                bar.update(HTML(text))
                shown = text

        try:
            with every(EVERY, draw):
                yield
        finally:
            bar.update(HTML(""))

    def _html(self) -> str:
        measured = self.steps.measured
        share = "" if measured is None else f' value="{self.steps.share(measured):.3f}"'
        text = ", ".join(filter(None, (self.steps.line, self.steps.times)))
        return f"<progress{share}></progress> {escape(text)}" if text else ""
