"""Where people see what work tells of itself: a terminal or a pipe through rich, and a notebook."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Literal

from toolkit.outcome import Outcome, Table, Warned, duration
from toolkit.progress import Done, Progress, Watch

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

EVERY = 0.5  # seconds between two drawings of a notebook's bar
LONG = 24  # letters of a word in a table from which on it may be broken, such as a path
PIPED = 60.0  # seconds between two lines of a count in a pipe


def here() -> Progress:
    """A notebook where this is one, else the screen."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return Notebook() if hasattr(shell, "kernel") else Screen()


class Screen(Progress):
    """A terminal or a pipe, through rich. `stderr`: `--json` keeps stdout for one object."""

    def __init__(self, stderr: bool = False) -> None:
        self.stderr = stderr
        self._console: Console | None = None

    @property
    def console(self) -> "Console":
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=self.stderr, highlight=False, soft_wrap=True, emoji=False)
        return self._console

    def say(self, text: str, label: str = "", style: str = "") -> None:
        from rich.text import Text

        # a path may hold [brackets] that rich would take for markup
        self.console.print(Text.assemble((label, style), text))

    def warn(self, text: str) -> None:
        self.say(text, "warning: ", "yellow")

    def table(self, table: Table) -> None:
        from rich.table import Table as Made
        from rich.text import Text

        widths = self._widths(table)
        if widths is None:
            return self._as_lists(table)
        made = Made(title=table.title, title_justify="left", header_style="bold", show_header=any(table.columns))
        for position, (name, width) in enumerate(zip(table.columns, widths, strict=True)):
            side: Literal["left", "right"] = "right" if position and not table.text else "left"
            made.add_column(name, justify=side, overflow="fold", width=width)
        for number, row in enumerate(table.rows, start=1):
            made.add_row(*map(Text, row), style="bold" if table.total and number == len(table.rows) else None)
        self.console.print(made)

    def _widths(self, table: Table) -> list[int] | None:
        """Of columns, so that heads and all but very long words stay whole; None where there is no room for that.

        Names in front are there to be copied: rather other columns are broken, where these leave them room.
        """
        from rich.cells import cell_len

        room = self.console.width - 3 * len(table.columns) - 1
        columns = [list(column) for column in zip(*table.rows, strict=True)] or [[] for _ in table.columns]
        wanted, least = [], []
        for head, cells in zip(table.columns, columns, strict=True):
            lines = [cell_len(line) for text in (head, *cells) for line in text.split("\n")]
            words = [min(cell_len(word), LONG) for text in cells for word in text.split()]
            wanted.append(max(lines, default=0))
            least.append(max([*map(cell_len, head.split()), *words], default=0))
        if columns and not any(" " in name or 3 * len(name) > self.console.width for name in columns[0]):
            least[0] = wanted[0]
        if sum(least) > room:
            if len(least) > 3:
                return None
            least = [min(width, max(1, room // len(least))) for width in least]
        widths, left = [], room - sum(least)
        for most, width in zip(wanted, least, strict=True):
            more = min(most - width, left)
            widths.append(width + more)
            left -= more
        return widths

    def _as_lists(self, table: Table) -> None:
        """Of a table that is too wide each row below the other, a line a column."""
        from rich.table import Table as Made
        from rich.text import Text

        made = Made(title=table.title, title_justify="left", show_header=False, show_lines=False)
        made.add_column(style="bold", no_wrap=True)
        made.add_column(overflow="fold")
        for row in table.rows:
            for name, cell in zip(table.columns, row, strict=True):
                made.add_row(name.replace("\n", ", "), Text(cell.replace("\n", ", ")))
            made.add_section()
        self.console.print(made)

    def show(self, outcome: Outcome) -> None:
        for part in outcome.told():
            if isinstance(part, Table):
                self.table(part)
            elif isinstance(part, Warned):
                self.warn(part.text)
            else:
                self.say(part)

    @contextmanager
    def training(self, folds: int, epochs: int) -> Iterator[Watch]:
        from rich.progress import BarColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[news]}"),
        )
        # a pipe gets one line a fold instead of a redrawn bar
        with Bars(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            total = bars.add_task("training", total=folds * epochs, news="")
            rows: dict[int, TaskID] = {}  # of the folds that are trained now
            done: dict[int, float] = {}
            shown_at: dict[int, float] = {}

            def watch(fold: int, epoch: float, news: str) -> None:
                done[fold] = epoch
                if epoch < epochs and time.monotonic() - shown_at.get(fold, 0) < 0.2:
                    return
                shown_at[fold] = time.monotonic()
                bars.update(total, completed=sum(done.values()))
                if not news:  # stored
                    if fold in rows:
                        bars.remove_task(rows.pop(fold))
                    return
                if fold not in rows:
                    rows[fold] = bars.add_task("", total=epochs, news="")
                text = f"fold {fold + 1}/{folds} epoch {min(int(epoch) + 1, epochs)}/{epochs}"
                bars.update(rows[fold], completed=epoch, description=text, news=news)

            yield watch

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Done]:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(elapsed_when_finished=False),
        )
        begun = told = time.monotonic()
        with Bars(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as bars:
            row, done = bars.add_task(what, total=total), 0

            def more(number: int) -> None:
                nonlocal done, told
                done += number
                bars.update(row, completed=done)
                now = time.monotonic()
                # a pipe gets a line a minute instead of a redrawn bar
                if not self.console.is_terminal and now - told > PIPED and done < total:
                    told = now
                    left = duration((now - begun) / done * (total - done))
                    self.say(f"{what}: {done:,} of {total:,}, {left} left")

            yield more

    @contextmanager
    def live(self, view: "Callable[[], RenderableType]") -> Iterator[bool]:
        if not self.console.is_terminal:
            yield False
            return
        from rich.live import Live

        with Live(get_renderable=view, console=self.console, refresh_per_second=2, transient=True):
            yield True


class Notebook(Progress):
    """Lines, tables, and a bar that is redrawn in its place."""

    def say(self, text: str) -> None:
        print(text)

    def warn(self, text: str) -> None:
        print(f"warning: {text}")

    def show(self, outcome: Outcome) -> None:
        from IPython.display import display

        display(outcome)

    @contextmanager
    def training(self, folds: int, epochs: int) -> Iterator[Watch]:
        from IPython.display import HTML, display

        bar = display(HTML(""), display_id=True)
        done: dict[int, float] = {}
        begun = drawn = time.monotonic()

        def watch(fold: int, epoch: float, news: str) -> None:
            nonlocal drawn
            done[fold] = epoch
            if not news or time.monotonic() - drawn < EVERY:
                return
            drawn = time.monotonic()
            share = sum(done.values()) / (folds * epochs)
            text = f"{share:.0%}, {duration(drawn - begun)}: fold {fold + 1}/{folds}"
            text += f" epoch {min(int(epoch) + 1, epochs)}/{epochs}, {news}"
            bar.update(HTML(f'<progress value="{share:.3f}"></progress> {escape(text)}'))

        try:
            yield watch
        finally:
            bar.update(HTML(""))

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Done]:
        from IPython.display import HTML, display

        bar = display(HTML(""), display_id=True)
        begun = drawn = time.monotonic()
        done = 0

        def more(number: int) -> None:
            nonlocal done, drawn
            done += number
            now = time.monotonic()
            if now - drawn < EVERY:
                return
            drawn = now
            left = duration((now - begun) / done * (total - done))
            text = f"{what}: {done:,} of {total:,}, {left} left"
            bar.update(HTML(f'<progress value="{done / total:.3f}"></progress> {escape(text)}'))

        try:
            yield more
        finally:
            bar.update(HTML(""))
