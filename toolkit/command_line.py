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

from toolkit.command_words import completed, joined, next_lines
from toolkit.competition_folders import competition_folders
from toolkit.errors import UserError
from toolkit.faults import REPORT, is_debugged, sentence, traced, write_report
from toolkit.noise import silenced
from toolkit.outcome import Outcome, seconds
from toolkit.processes import end_soon
from toolkit.project import Project, open
from toolkit.screen import Screen
from toolkit.usage import SHARED as SHARED_GROUP
from toolkit.usage import Parser

if TYPE_CHECKING:
    from toolkit.store import Workspace

LARGE = 2_000_000_000
SHARED = (
    *("data", "practice", "practice_size", "workspace", "submissions"),
    *("seed", "device", "workers", "cache", "max_disk", "weights", "log", "cluster"),
)
Command = Callable[[Project, argparse.Namespace], Outcome | dict[str, Any]]


def parser(command: str, text: str, examples: str | None = None, overrides: bool = False, several: str = "") -> Parser:
    """A parser with the competition and the options that every command shares.

    examples: text whose indented lines are shown at the end of the help. overrides: recipe, its fields and `--stress`
    are taken; several: without a name it is all competitions, of these `that have runs`.
    """
    made = Parser(f"compete {command}", text, examples, overrides)
    name = "a competition by its name (mars) or its folder (competitions/mars)"
    if several:
        made.add_argument("competition", nargs="?", metavar="NAME", help=f"{name} (default: all {several})")
    else:
        made.add_argument("competition", metavar="NAME", help=name)
    if overrides:
        _add_recipe(made)
    _add_shared(made)
    return made


def _add_recipe(made: Parser) -> None:
    fields = "settings of the recipe that are to be others, as many as you like, such as optimizer.lr=1e-3 (optional)"
    made.add_argument(
        "overrides", nargs="*", metavar="recipe.field=value", help=f"{fields}; `compete recipes` lists them"
    )
    recipe = "a recipe of the competition, or a file with one (default: the competition's first)"
    made.add_argument("--recipe", metavar="NAME", help=recipe)
    stress = (
        "measure the stress score: auto, on as many corrupted images as fit into a tenth of the training time; full, "
        "on all; or none (default: auto)"
    )
    made.add_argument("--stress", choices=("auto", "full", "none"), default="auto", help=stress)
    add_log(made)
    add_cluster(made)


def _add_shared(made: Parser) -> None:
    shared = made.add_argument_group(SHARED_GROUP)
    data = "the folder of the organisers' files (default: data in the competition's folder)"
    shared.add_argument("--data", type=Path, metavar="FOLDER", help=data)
    shared.add_argument("--practice", action="store_true", help="work on synthetic practice data instead")
    size = "distinct training samples of practice data that are made (default: the competition says)"
    shared.add_argument("--practice-size", type=whole, metavar="N", help=size)
    workspace = "where runs and all else is kept (default: workspace)"
    shared.add_argument("--workspace", type=Path, default=Path("workspace"), metavar="FOLDER", help=workspace)
    submissions = "where submissions and their ledger are kept (default: submissions)"
    shared.add_argument("--submissions", type=Path, default=Path("submissions"), metavar="FOLDER", help=submissions)
    weights = "a folder of files such as convnext_tiny.in12k_ft_in1k.safetensors (default: the hub's cache)"
    shared.add_argument("--weights", type=Path, metavar="FOLDER", help=weights)
    device = "auto, cpu, cuda, …; cuda:0,cuda:1: folds side by side; cuda:0+cuda:1: a fold over both (default: auto)"
    shared.add_argument("--device", default="auto", metavar="NAME", help=device)
    shared.add_argument("--seed", type=whole, default=0, metavar="N", help="random seed (default: 0, or the recipe's)")
    shared.add_argument("--workers", type=whole, metavar="N", help="processes of an audit (default: one a core)")
    cache = "decode images each time instead of keeping them decoded: slower, for small disks"
    shared.add_argument("--no-cache", dest="cache", action="store_false", help=cache)
    disk = "most that the workspace may take, such as 50GB (default: no limit)"
    shared.add_argument("--max-disk", metavar="SIZE", help=disk)
    shared.add_argument("--json", action="store_true", help="print one JSON object on stdout, all else on stderr")
    add_faults(shared)


def add_cluster(made: argparse.ArgumentParser) -> None:
    """Of commands that train folds."""
    where = "Ray trains the folds: local, on this machine; auto, on this machine's cluster; or HOST:PORT"
    made.add_argument("--cluster", metavar="WHERE", help=f"{where} (docs/cluster.md)")


def add_log(made: argparse.ArgumentParser) -> None:
    """Of commands that train."""
    text = "log every epoch and the scores to tensorboard, wandb or mlflow, or several: tensorboard,wandb"
    made.add_argument("--log", default="", metavar="NAMES", help=text)


def add_faults(made: "argparse.ArgumentParser | argparse._ArgumentGroup") -> None:
    """What every command is asked when it fails."""
    made.add_argument("--debug", action="store_true", help="show the traceback of an error")
    text = f"on an error write {REPORT} here: versions, machine, traceback, the workspace's file names; no data"
    made.add_argument("--report-bug", action="store_true", help=text)


def check_words(made: argparse.ArgumentParser, arguments: Sequence[str] | None) -> None:
    """Wrong usage where an argument isn't UTF-8, or has a null character: it could be neither shown nor stored."""
    for word in sys.argv[1:] if arguments is None else arguments:
        if not word.isprintable() and any(sign == "\0" or "\ud800" <= sign <= "\udfff" for sign in word):
            shown = word.encode("unicode_escape").decode("ascii")
            made.error(f"the argument {shown} can't be a name; rename the file or folder, or type it anew")


def run_command(
    made: argparse.ArgumentParser,
    command: Command,
    arguments: Sequence[str] | None,
    concerns: "Callable[[Workspace], bool] | None" = None,
    advised: bool = False,
    practice_too: bool = False,
) -> int:
    """Parse, call the command, show its outcome and what comes next, print it as JSON if asked; the exit status.

    Where no competition is named, the command is called for each that it `concerns`; practice_too: on its practice
    data as well. advised: does what comes next include what the runs so far suggest?
    """
    check_words(made, arguments)
    options = made.parse_intermixed_args(arguments)
    _check(made, options)
    screen = Screen(stderr=options.json)
    given = {name: getattr(options, name) for name in SHARED if hasattr(options, name)}
    ends: list[tuple[Project, Sequence[tuple[str, str]]]] = []

    def opened(folder: str | Path, **other: Any) -> Project:
        return open(folder, progress=screen, **(given | other))

    def called(project: Project) -> dict[str, Any]:
        try:
            outcome = command(project, options)
            if not isinstance(outcome, Outcome):
                return outcome
            screen.show(outcome)
        except UserError as error:
            raise type(error)(completed(str(error), project)) from error
        if not options.json:
            ends.append((project, joined(outcome.next, project.next_steps() if advised else ())))
        return outcome.as_json()

    def result() -> dict[str, Any]:
        name = made.prog.removeprefix("compete ")
        with screen.phase(f"{name} {Path(options.competition or '').name}".strip()):
            if options.competition is not None or concerns is None:
                return called(opened(options.competition))
            folders = competition_folders().values()
            wanted = [options.practice, True] if practice_too and not options.practice else [options.practice]
            projects = [opened(folder, practice=one) for folder in folders for one in wanted]
            return _for_each(projects, called, concerns, tells=not practice_too)

    status = attempted(result, screen, options, options.workspace)
    if not status and not options.json:
        for project, steps in ends:
            few = steps if len(ends) == 1 else steps[:1]
            for line in next_lines(few, project, screen.console.width):
                screen.say(line)
    return status


def _check(made: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Wrong usage where a number can't be."""
    if options.seed < 0:
        made.error("--seed must not be negative")
    if options.workers is not None and options.workers < 0:
        made.error("--workers must not be negative")
    if options.practice_size is not None and options.practice_size < 24:
        made.error("--practice-size must be at least 24")


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
        with silenced(is_debugged(options.debug)):
            result = call()
        if isinstance(result, Outcome):
            screen.show(result)
            if not options.json:
                for line in next_lines(result.next, None, screen.console.width):
                    screen.say(line)
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
        return getattr(error, "status", 1)
    if options.json:
        print(json.dumps(result))
    return 0


def _for_each(
    projects: Sequence[Project],
    called: Callable[[Project], dict[str, Any]],
    concerns: "Callable[[Workspace], bool]",
    tells: bool,
) -> dict[str, Any]:
    """tells: of those that it doesn't concern."""
    done = {project.workspace.name: called(project) for project in projects if concerns(project.workspace)}
    without = [project.workspace.name for project in projects if project.workspace.name not in done]
    if not done:
        known = ", ".join(competition_folders())
        raise UserError(f"nothing is there yet of {known}; start with `compete run NAME --practice --budget 3m`")
    if without and tells:
        projects[0].progress.say(f"no runs yet: {', '.join(without)}")
    return {"competitions": done, "without_runs": without}


def main(
    made: argparse.ArgumentParser,
    command: Command,
    concerns: "Callable[[Workspace], bool] | None" = None,
    **how: bool,
) -> None:
    """how: as `run_command` takes it."""
    status = run_command(made, command, None, concerns, **how)
    end_soon()
    sys.exit(status)


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `20m`, `1h30m`."""
    try:
        return seconds(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def finite(text: str) -> float:
    """A type of option: a number, which nan and infinity are not."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is no score; give a number")
    return value


def whole(text: str) -> int:
    """A type of option: a whole number that is no larger than any that means something."""
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if abs(value) >= LARGE:
        raise argparse.ArgumentTypeError("numbers end below two billion")
    return value


def at_least(least: int, otherwise: str) -> Callable[[str], int]:
    """The same from `least` on, with what to say of smaller ones."""

    def large_enough(text: str) -> int:
        value = whole(text)
        if value < least:
            raise argparse.ArgumentTypeError(otherwise)
        return value

    return large_enough
