"""Where people see what work tells of itself: a terminal or a pipe, through rich."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Literal

from toolkit.bars import drawn
from toolkit.cell import Cell
from toolkit.outcome import Outcome, Table, Warned
from toolkit.progress import Progress
from toolkit.steps import LIBRARIES, Stepwise, every, loaded_now

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

MATTERS = "CV"  # begins the name of the score that is the number to look at: it is bold
REFRESHED = 5  # drawings a second
LOOK = 1.0  # seconds between two looks at whether a pipe gets a line
WORD = re.compile(r"\S+")
# what is not broken: a line that is a command, to be copied; a word, a path, a command in its quotes
UNIT = re.compile(r"^(?:Next:)? *compete .*$|(?:`[^`\n]+`|[^\s`]|`)+", re.MULTILINE)
HEAD_PART = re.compile(r"[^\s-]+-?")  # of a column's head, which may be broken after a hyphen
LONG = 24  # letters of a word in a table from which on it may be broken, such as a path
PIPED = 30.0  # seconds of silence after which a pipe gets a line


def here() -> Progress:
    """A notebook where this is one, else the screen."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return Cell() if hasattr(shell, "kernel") else Screen()


class Screen(Stepwise):
    """A terminal or a pipe, through rich. `stderr`: `--json` keeps stdout for one object."""

    def __init__(self, stderr: bool = False) -> None:
        super().__init__()
        self.stderr = stderr
        self._console: Console | None = None
        self._printed = time.monotonic()  # the last line
        self._loading_told = False

    @property
    def console(self) -> "Console":
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=self.stderr, highlight=False, soft_wrap=True, emoji=False)
        return self._console

    def say(self, text: str, label: str = "", style: str = "") -> None:
        from rich.text import Text

        self._print(Text.assemble((label, style), text))  # a path may hold [brackets] that rich would take for markup

    def say_score(self, before: str, score: str, after: str = "", better: bool | None = None) -> None:
        from rich.text import Text

        colour = "" if better is None else " green" if better else " red"
        self._print(Text.assemble(before, (score, f"bold{colour}"), after))

    def _print(self, text: "Text") -> None:
        """In lines that are broken between words, where the width is known."""
        if self.console.is_terminal or ("COLUMNS" in os.environ and "LINES" not in os.environ):
            # readline sets both, for all that its process starts, whatever that writes to
            text.plain = wrapped(text.plain, self.console.width)
        self.console.print(text)
        self._printed = time.monotonic()

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
            style = "bold" if name == MATTERS else ""
            made.add_column(_broken(name, width), justify=side, overflow="fold", width=width, style=style)
        for number, row in enumerate(table.rows, start=1):
            bold = (table.total and number == len(table.rows)) or row[0].startswith(MATTERS)
            made.add_row(*map(Text, row), style="bold" if bold else None)
        self.console.print(made)

    def _widths(self, table: Table) -> list[int] | None:
        """Of columns, so that heads and all but very long words stay whole; None where there is no room for that.

        Names in front are there to be copied and stay whole, where others can be narrower.
        """
        from rich.cells import cell_len

        room = self.console.width - 3 * len(table.columns) - 1
        columns = [list(column) for column in zip(*table.rows, strict=True)] or [[] for _ in table.columns]
        wanted, least = [], []
        for head, cells in zip(table.columns, columns, strict=True):
            lines = [cell_len(line) for text in (head, *cells) for line in text.split("\n")]
            words = [min(cell_len(word), LONG) for text in cells for word in text.split()]
            wanted.append(max(lines, default=0))
            least.append(max([*map(cell_len, HEAD_PART.findall(head)), *words], default=0))
        if columns:
            least[0] = max(least[0], *(cell_len(word) for name in columns[0] for word in name.split() or [""]))
        if sum(least) > room:
            if len(least) > 3:
                return None
            others = max(room - least[0], room // len(least) * (len(least) - 1)) // max(1, len(least) - 1)
            least = [min(least[0], room - others * (len(least) - 1)), *(min(width, others) for width in least[1:])]
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
    def displayed(self) -> Iterator[None]:
        with self._drawn() if self.draws_views else every(LOOK, self._tell):
            yield

    @property
    def draws_views(self) -> bool:  # type: ignore[override]
        """Is this a terminal, and not only treated as one, as FORCE_COLOR does for a log?"""
        return self.console.is_interactive and self.console.file.isatty()

    @contextmanager
    def _drawn(self) -> Iterator[None]:
        from rich.live import Live

        with Live(
            get_renderable=lambda: drawn(self.steps, self.console),
            console=self.console,
            refresh_per_second=REFRESHED,
            transient=True,
            redirect_stdout=not self.stderr,
        ):
            yield

    def _tell(self) -> None:
        """A line where nothing was printed for long, as a pipe can't have a bar."""
        now, loading = time.monotonic(), loaded_now()
        if loading == LIBRARIES["torch"] and not self._loading_told and now - self._printed >= LOOK:
            self._loading_told = True
            self.say(f"loading {loading}")
        elif now - self._printed >= PIPED and self.steps.open:
            self.say(f"{self.steps.line}; {self.steps.times}")


def _broken(head: str, width: int) -> str:
    """A column's head in lines of at most `width` letters, where its words and hyphens allow that."""
    return "\n".join(part for line in head.split("\n") for part in wrap(line, width, break_long_words=False) or [""])


def wrapped(text: str, width: int) -> str:
    """Text whose lines are at most `width` letters long: some of its spaces have become ends of lines, but none in a
    `command` of ours, which is to be copied, or another that fits on a line, and no word or path is broken.
    """
    from rich.cells import cell_len

    letters, column, end = list(text), 0, 0
    for first, last in _units(text, width):
        gap, wide = text[end:first], cell_len(text[first:last])
        column = cell_len(gap.rpartition("\n")[2]) + (0 if "\n" in gap else column)
        if end and gap.endswith(" ") and column + wide > width:
            letters[first - 1], column = "\n", 0
        column, end = column + wide, last
    return "".join(letters)


def _units(text: str, width: int) -> Iterator[tuple[int, int]]:
    """Where what is not broken begins and ends."""
    for unit in UNIT.finditer(text):
        fits = len(unit[0]) <= width or unit[0].lstrip(" `").startswith(("compete ", "Next:"))
        yield from [unit.span()] if fits else (word.span() for word in WORD.finditer(text, *unit.span()))
