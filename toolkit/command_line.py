"""What commands share on the command line: options, and how they end.

Only commands import this, and it imports nothing heavy before the options are read, so that `--help` of every
command answers at once.
"""

import argparse
import io
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import UserError
from toolkit.faults import REPORT, is_debugged, sentence, traced, write_report
from toolkit.outcome import Outcome, seconds
from toolkit.project import Project, open
from toolkit.screen import Screen

if TYPE_CHECKING:
    from toolkit.store import Workspace

SHARED = (
    *("data", "practice", "practice_size", "workspace", "submissions"),
    *("seed", "device", "workers", "cache", "max_disk", "weights", "cluster"),
)
Command = Callable[[Project, argparse.Namespace], Outcome | dict[str, Any]]


def parser(command: str, text: str, overrides: bool = False, several: bool = False) -> argparse.ArgumentParser:
    """A parser with the competition and the options that every command shares; `several`: without one, all of them."""
    made = argparse.ArgumentParser(prog=f"compete {command}", description=text)
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
            help="the score under corruptions: of as many as fit into a tenth of the training time, of all, or not",
        )
    shared = made.add_argument_group("shared options")
    shared.add_argument("--data", type=Path, metavar="DIR", help="the organisers' files (default: COMPETITION/data)")
    shared.add_argument("--practice", action="store_true", help="use drawn practice data instead")
    shared.add_argument("--practice-size", type=int, metavar="N", help="distinct training samples to draw")
    shared.add_argument("--workspace", type=Path, default=Path("workspace"), metavar="DIR", help="default: workspace")
    shared.add_argument("--submissions", type=Path, default=Path("submissions"), metavar="DIR")
    shared.add_argument("--json", action="store_true", help="one JSON object on stdout, all else on stderr")
    shared.add_argument("--workers", type=int, metavar="N", help="processes that audit (default: one a core)")
    shared.add_argument(
        "--no-cache",
        dest="cache",
        action="store_false",
        help="decode images each time they are looked at, for want of room on the disk: slower",
    )
    weights = "a folder of pretrained weights, each a file such as convnext_tiny.in12k_ft_in1k.safetensors"
    shared.add_argument("--weights", type=Path, metavar="FOLDER", help=weights)
    shared.add_argument("--max-disk", metavar="SIZE", help="what the workspace may take, such as 50GB (default: all)")
    if overrides:  # commands that train
        where = "Ray trains the folds: local (on this machine), auto (this machine's cluster) or HOST:PORT"
        shared.add_argument("--cluster", metavar="WHERE", help=f"{where}; see docs/cluster.md")
    device = "auto, cpu, cuda, …; cuda:0,cuda:1: folds side by side; cuda:0+cuda:1: a fold over both (default: auto)"
    shared.add_argument("--device", default="auto", metavar="NAME", help=device)
    shared.add_argument("--seed", type=int, default=0, metavar="N")
    add_faults(shared)
    return made


def add_faults(made: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """What every command is asked when it fails."""
    made.add_argument("--debug", action="store_true", help="show the traceback of what fails")
    text = f"where the command fails, write {REPORT} here: versions, machine, traceback, the workspace's file names"
    made.add_argument("--report-bug", action="store_true", help=text)


def check_words(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    """Wrong usage where an argument isn't UTF-8: it could be neither shown nor stored."""
    for word in sys.argv[1:] if arguments is None else arguments:
        if not word.isprintable() and any("\ud800" <= sign <= "\udfff" for sign in word):
            shown = word.encode("unicode_escape").decode("ascii")
            made.error(f"the argument {shown} isn't UTF-8; rename the file or folder, or type it anew")


def run_command(
    made: argparse.ArgumentParser,
    command: Command,
    arguments: Sequence[str] | None,
    concerns: "Callable[[Workspace], bool] | None" = None,
) -> int:
    """Parse, call the command, show its outcome, print it as JSON if asked; the exit status.

    Where no competition is named, the command is called for each under competitions/ that it `concerns`.
    """
    check_words(made, arguments)
    options = made.parse_intermixed_args(arguments)
    if options.seed < 0:
        made.error("--seed must not be negative")
    if options.workers is not None and options.workers < 0:
        made.error("--workers must not be negative")
    if options.practice_size is not None and options.practice_size < 24:
        made.error("--practice-size must be at least 24")
    screen = Screen(stderr=options.json)
    given = {name: getattr(options, name, None) for name in SHARED}

    def opened(folder: str | Path) -> Project:
        return open(folder, progress=screen, **given)

    def called(project: Project) -> dict[str, Any]:
        outcome = command(project, options)
        if not isinstance(outcome, Outcome):
            return outcome
        screen.show(outcome)
        return outcome.as_json()

    def result() -> dict[str, Any]:
        if options.competition is None and concerns is not None:
            return _for_each(opened, called, concerns)
        return called(opened(options.competition))

    return attempted(result, screen, options, options.workspace)


def attempted(
    call: Callable[[], Outcome | dict[str, Any]],
    screen: Screen,
    options: argparse.Namespace,
    workspace: Path | None = None,
) -> int:
    """Call, show what comes of it, if it isn't a dictionary, and print it as JSON if asked; the exit status.

    Whatever is raised is one sentence, with `--debug` behind its traceback. workspace: listed in a bug report.
    """
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal can't show is shown as its code
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        result = call()
        if isinstance(result, Outcome):
            screen.show(result)
            result = result.as_json()
    except KeyboardInterrupt:
        screen.say("\nstopped; the same command again goes on from here")
        return 130
    except Exception as error:
        if is_debugged(options.debug):
            print(traced(error), file=sys.stderr)
        screen.say(sentence(error), "error: ", "bold red")
        if options.report_bug:
            try:
                screen.say(f"what is known of it is in {write_report(error, workspace)}; read it before you send it")
            except OSError as again:
                screen.warn(f"{REPORT} can't be written here: {sentence(again)}")
        return 1
    if options.json:
        print(json.dumps(result))
    return 0


def _for_each(
    opened: Callable[[Path], Project],
    called: Callable[[Project], dict[str, Any]],
    concerns: "Callable[[Workspace], bool]",
) -> dict[str, Any]:
    projects = [opened(file.parent) for file in sorted(Path("competitions").glob("*/__init__.py"))]
    done = {project.workspace.name: called(project) for project in projects if concerns(project.workspace)}
    without = [project.workspace.name for project in projects if project.workspace.name not in done]
    if not done:
        raise UserError(f"no competition in {Path('competitions').resolve()} has runs in its workspace")
    if without:
        projects[0].progress.say(f"nothing to do for {', '.join(without)}: they have no runs")
    return {"competitions": done, "without_runs": without}


def main(
    made: argparse.ArgumentParser, command: Command, concerns: "Callable[[Workspace], bool] | None" = None
) -> None:
    sys.exit(run_command(made, command, None, concerns))


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `20m`, `1h30m`."""
    try:
        return seconds(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def finite(text: str) -> float:
    """A type of option: a number, which nan and infinity are not."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is no score; give a number")
    return value


def at_least(least: int, otherwise: str) -> Callable[[str], int]:
    """A type of option: a whole number from `least` on, with what to say of others."""

    def whole(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(otherwise)
        return value

    return whole
