"""What commands share on the command line: options, the screen, and how they end.

Only commands import this, and it imports nothing heavy before the options are read, so that `--help` of every
command answers at once.
"""

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import UserError
from toolkit.outcome import Outcome, Table, Warned
from toolkit.progress import Progress, Watch
from toolkit.project import Project, open

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from toolkit.store import Workspace

Command = Callable[[Project, argparse.Namespace], Outcome | dict[str, Any]]


class Screen(Progress):
    """A terminal, a pipe or a notebook, through rich. `stderr`: `--json` keeps stdout for one object."""

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

        made = Made(title=table.title, title_justify="left", header_style="bold", show_header=any(table.columns))
        for position, name in enumerate(table.columns):
            made.add_column(name, justify="left" if position == 0 else "right", overflow="fold")
        for number, row in enumerate(table.rows, start=1):
            made.add_row(*map(Text, row), style="bold" if table.total and number == len(table.rows) else None)
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
        shown = self.console.is_terminal or self.console.is_jupyter
        with Bars(*columns, console=self.console, transient=True, disable=not shown) as bars:
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
    def live(self, view: "Callable[[], RenderableType]") -> Iterator[bool]:
        if not self.console.is_terminal:
            yield False
            return
        from rich.live import Live

        with Live(get_renderable=view, console=self.console, refresh_per_second=2, transient=True):
            yield True


def parser(command: str, text: str, overrides: bool = False, several: bool = False) -> argparse.ArgumentParser:
    """A parser with the competition and the options that every command shares; `several`: without one, all of them."""
    made = argparse.ArgumentParser(prog=f"python -m toolkit.{command}", description=text)
    if several:
        text = "the competition's folder, such as competitions/mars (default: all that have runs)"
        made.add_argument("competition", nargs="?", help=text)
    else:
        made.add_argument("competition", help="the competition's folder, such as competitions/mars")
    if overrides:
        made.add_argument("overrides", nargs="*", metavar="recipe.field=value", help="such as optimizer.lr=1e-3")
        made.add_argument(
            "--recipe", metavar="NAME", help="a recipe of the competition, or a file of one (default: its first)"
        )
        made.add_argument(
            "--stress",
            choices=("auto", "full", "none"),
            default="auto",
            help="the score under corruptions: of as many as fit into a quarter of the training time, of all, or not",
        )
    shared = made.add_argument_group("shared options")
    shared.add_argument("--data", type=Path, metavar="DIR", help="the organisers' files (default: COMPETITION/data)")
    shared.add_argument("--practice", action="store_true", help="use drawn practice data instead")
    shared.add_argument("--practice-size", type=int, metavar="N", help="distinct training samples to draw")
    shared.add_argument("--workspace", type=Path, default=Path("workspace"), metavar="DIR", help="default: workspace")
    shared.add_argument("--submissions", type=Path, default=Path("submissions"), metavar="DIR")
    shared.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    shared.add_argument("--workers", type=int, metavar="N", help="processes that augment (default: none on a CPU)")
    device = "auto, cpu, cuda, …; cuda:0,cuda:1: folds side by side; cuda:0+cuda:1: a fold over both (default: auto)"
    shared.add_argument("--device", default="auto", metavar="NAME", help=device)
    shared.add_argument("--seed", type=int, default=0, metavar="N")
    return made


def run_command(
    made: argparse.ArgumentParser,
    command: Command,
    arguments: Sequence[str] | None,
    concerns: "Callable[[Workspace], bool] | None" = None,
) -> int:
    """Parse, call the command, show its outcome, print it as JSON if asked; the exit status.

    Where no competition is named, the command is called for each under competitions/ that it `concerns`.
    """
    options = made.parse_intermixed_args(arguments)
    if options.seed < 0:
        made.error("--seed must not be negative")
    if options.workers is not None and options.workers < 0:
        made.error("--workers must not be negative")
    if options.practice_size is not None and options.practice_size < 24:
        made.error("--practice-size must be at least 24")
    screen = Screen(stderr=options.json)
    try:
        if options.competition is None and concerns is not None:
            result = _for_each(command, options, screen, concerns)
        else:
            result = _result(command, _opened(options.competition, options, screen), options)
    except UserError as error:
        screen.say(str(error), "error: ", "bold red")
        return 1
    except KeyboardInterrupt:
        screen.say("\nstopped; the same command again goes on from here")
        return 130
    if options.json:
        print(json.dumps(result))
    return 0


def _result(command: Command, project: Project, options: argparse.Namespace) -> dict[str, Any]:
    outcome = command(project, options)
    if isinstance(outcome, Outcome):
        project.progress.show(outcome)
        return outcome.as_json()
    return outcome


def _opened(folder: "Path | str", options: argparse.Namespace, screen: Screen) -> Project:
    shared = ("data", "practice", "practice_size", "workspace", "submissions", "seed", "device", "workers")
    return open(folder, progress=screen, **{name: getattr(options, name) for name in shared})


def _for_each(
    command: Command, options: argparse.Namespace, screen: Screen, concerns: "Callable[[Workspace], bool]"
) -> dict[str, Any]:
    done: dict[str, Any] = {}
    without = []
    for file in sorted(Path("competitions").glob("*/__init__.py")):
        project = _opened(file.parent, options, screen)
        name = project.workspace.name
        if concerns(project.workspace):
            done[name] = _result(command, project, options)
        else:
            without.append(name)
    if without:
        screen.say(f"nothing to do for {', '.join(without)}: no runs in {options.workspace}")
    if not done:
        raise UserError(f"no competition in {Path('competitions').resolve()} has runs in {options.workspace}")
    return {"competitions": done, "without_runs": without}


def main(
    made: argparse.ArgumentParser, command: Command, concerns: "Callable[[Workspace], bool] | None" = None
) -> None:
    sys.exit(run_command(made, command, None, concerns))


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `20m`, `1h30m`."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    seconds = sum(int(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write 90s, 20m or 1h30m")
    return float(seconds)


def at_least(least: int, otherwise: str) -> Callable[[str], int]:
    """A type of option: a whole number from `least` on, with what to say of others."""

    def whole(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(otherwise)
        return value

    return whole
