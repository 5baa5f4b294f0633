"""The steps that are being done as rich draws them: a bar of all of it, below it what is done at the moment."""

import time
from typing import TYPE_CHECKING

from toolkit.steps import Step, Steps, clock, percent

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

TURNS = 10  # frames of the spinner a second
NAME, PERCENT, TOOK, LEFT = (16, 34), 5, 7, 18  # columns of letters, whatever stands in them; names: from and to
BAR = (8, 40)  # letters, from and to


def drawn(steps: Steps, console: "Console") -> "RenderableType":
    """At most `console.width` wide; columns have their width whatever is in them, so that nothing jumps."""
    from rich.console import Group
    from rich.text import Text

    now = list(steps.open)
    if not now:
        return Text("")
    spinner, detail, measured = _spinner(console), steps.detail, steps.measured
    views = [step.view() for step in now if step.view is not None]
    if measured is None:
        text = f"{spinner} {now[0].name or detail}  {clock(now[0].elapsed)}"
        lines = [text, *([f"  {detail}"] if detail and now[0].name else [])]
        return Group(*views, *(Text(line, no_wrap=True, overflow="ellipsis") for line in lines))
    below = Text(f"{spinner} {detail}", no_wrap=True, overflow="ellipsis")
    return Group(*views, _bar(steps, now[0], measured, console), below)


def _bar(steps: Steps, first: Step, measured: Step, console: "Console") -> "RenderableType":
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    room = console.width - PERCENT - TOOK - LEFT - 5
    bar = min(BAR[1], max(BAR[0], room - max(NAME[0], room // 2)))
    grid = Table.grid(padding=(0, 1))
    for width, right in ((min(NAME[1], max(1, room - bar)), 0), (bar, 0), (PERCENT, 1), (TOOK, 1), (LEFT, 0)):
        grid.add_column(width=width, no_wrap=True, overflow="ellipsis", justify="right" if right else "left")
    share, left = steps.share(measured) or 0.0, steps.left(measured)
    told = "" if left is None else f"about {clock(left)} left"
    if measured.budget:
        over = measured.elapsed - measured.budget
        told = f"{clock(-over)} left" if over < 0 else f"over by {clock(over)}"
    grid.add_row(
        Text(first.name or measured.name, style="bold"),
        ProgressBar(total=1, completed=share, width=bar),
        percent(share),
        clock(first.elapsed),
        Text(told, style="dim"),
    )
    return grid


def _spinner(console: "Console") -> str:
    frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏" if console.encoding.startswith("utf") else "|/-\\"
    return frames[int(time.monotonic() * TURNS) % len(frames)]
