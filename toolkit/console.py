"""What verbs share on the command line: options, tables, progress, and how they end.

Only verbs import this, and it imports nothing heavy before the options are read, so that `--help` of every
verb answers at once; for the same reason verbs import the engines inside their functions.
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
from toolkit.store import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from toolkit.competition import Competition
    from toolkit.training.loop import Watch

_console: "Console | None" = None
_to_stderr = False
_quiet = False


def screen() -> "Console":
    """The rich console; on stderr when `--json` keeps stdout for one object."""
    global _console
    if _console is None or _console.stderr != _to_stderr:
        from rich.console import Console

        _console = Console(stderr=_to_stderr, highlight=False, soft_wrap=True, emoji=False)
    return _console


def say(text: str, label: str = "", style: str = "") -> None:
    """Print a line as it is: a path may hold [brackets] that rich would take for markup."""
    from rich.text import Text

    if not _quiet:
        screen().print(Text.assemble((label, style), text))


@contextmanager
def quiet() -> Iterator[None]:
    """Meanwhile verbs say nothing and draw no progress: another verb tells what they do."""
    global _quiet
    before, _quiet = _quiet, True
    try:
        yield
    finally:
        _quiet = before


def warn(text: str) -> None:
    say(text, "warning: ", "yellow")


def parser(verb: str, text: str, overrides: bool = False, several: bool = False) -> argparse.ArgumentParser:
    """A parser with the competition and the options that every verb shares; `several`: without one, all of them."""
    made = argparse.ArgumentParser(prog=f"python -m toolkit.{verb}", description=text)
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


def run_verb(
    made: argparse.ArgumentParser,
    verb: Callable[["Competition", Workspace, argparse.Namespace], dict[str, Any]],
    arguments: Sequence[str] | None,
    concerns: Callable[[Workspace], bool] | None = None,
) -> int:
    """Parse, call the verb, print its result as JSON if asked; the exit status.

    Where no competition is named, the verb is called for each under competitions/ that it `concerns`.
    """
    global _to_stderr
    options = made.parse_intermixed_args(arguments)
    if options.seed < 0:
        made.error("--seed must not be negative")
    if options.workers is not None and options.workers < 0:
        made.error("--workers must not be negative")
    if options.practice_size is not None and options.practice_size < 24:
        made.error("--practice-size must be at least 24")
    _to_stderr = options.json
    try:
        if options.competition is None and concerns is not None:
            result = _for_each(verb, options, concerns)
        else:
            result = verb(*_opened(options.competition, options), options)
    except UserError as error:
        say(str(error), "error: ", "bold red")
        return 1
    except KeyboardInterrupt:
        say("\nstopped; the same command again goes on from here")
        return 130
    if options.json:
        print(json.dumps(result))
    return 0


def _opened(folder: "Path | str", options: argparse.Namespace) -> tuple["Competition", Workspace]:
    from toolkit.competition import load_competition

    competition = load_competition(folder)
    suffix = "-practice" if options.practice else ""
    return competition, Workspace(options.workspace, competition.name + suffix)


def _for_each(
    verb: Callable[["Competition", Workspace, argparse.Namespace], dict[str, Any]],
    options: argparse.Namespace,
    concerns: Callable[[Workspace], bool],
) -> dict[str, Any]:
    done: dict[str, Any] = {}
    without = []
    for file in sorted(Path("competitions").glob("*/__init__.py")):
        competition, workspace = _opened(file.parent, options)
        if concerns(workspace):
            done[workspace.name] = verb(competition, workspace, options)
        else:
            without.append(workspace.name)
    if without:
        say(f"nothing to do for {', '.join(without)}: no runs in {options.workspace}")
    if not done:
        raise UserError(f"no competition in {Path('competitions').resolve()} has runs in {options.workspace}")
    return {"competitions": done, "without_runs": without}


def main(
    made: argparse.ArgumentParser,
    verb: Callable[..., dict[str, Any]],
    concerns: Callable[[Workspace], bool] | None = None,
) -> None:
    sys.exit(run_verb(made, verb, None, concerns))


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], total: bool = False) -> None:
    """Print rows; the first column is text, the others numbers. `total`: the last row sums up the others."""
    from rich.table import Table
    from rich.text import Text

    made = Table(title=title, title_justify="left", header_style="bold", show_header=any(columns))
    for position, name in enumerate(columns):
        made.add_column(name, justify="left" if position == 0 else "right", overflow="fold")
    for number, row in enumerate(rows, start=1):
        made.add_row(*map(Text, row), style="bold" if total and number == len(rows) else None)
    screen().print(made)


def interval(score: dict[str, Any]) -> str:
    """A score with its 95 % interval, as text."""
    return f"{score['score']:.4f} ({score['low']:.4f} to {score['high']:.4f})"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `20m`, `1h30m`."""
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    seconds = sum(int(n or 0) * unit for n, unit in zip(match.groups(), (3600, 60, 1), strict=True)) if match else 0
    if not seconds:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration; write 90s, 20m or 1h30m")
    return float(seconds)


@contextmanager
def training_progress(folds: int, epochs: int) -> Iterator["Watch"]:
    """A live bar over all folds of a run, and one for each that is trained now.

    Yields what `fit_fold` calls after each step, to be called with no news once a fold is finished.
    """
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        TextColumn("{task.fields[news]}"),
    )
    # a pipe gets one line a fold from the verb instead of a redrawn bar
    with Progress(*columns, console=screen(), transient=True, disable=_quiet or not screen().is_terminal) as progress:
        total = progress.add_task("training", total=folds * epochs, news="")
        rows: dict[int, TaskID] = {}  # of the folds that are trained now
        done: dict[int, float] = {}
        shown: dict[int, float] = {}

        def watch(fold: int, epoch: float, news: str) -> None:
            done[fold] = epoch
            if epoch < epochs and time.monotonic() - shown.get(fold, 0) < 0.2:
                return
            shown[fold] = time.monotonic()
            progress.update(total, completed=sum(done.values()))
            if not news:  # stored
                if fold in rows:
                    progress.remove_task(rows.pop(fold))
                return
            if fold not in rows:
                rows[fold] = progress.add_task("", total=epochs, news="")
            text = f"fold {fold + 1}/{folds} epoch {min(int(epoch) + 1, epochs)}/{epochs}"
            progress.update(rows[fold], completed=epoch, description=text, news=news)

        yield watch
