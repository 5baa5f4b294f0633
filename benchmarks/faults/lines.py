"""Bad command lines: each command with one option that has a bad value, or with one word that it doesn't know."""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from benchmarks.faults.cases import Case, Tries, Try
from benchmarks.faults.forks import call, forked, options_of, put
from benchmarks.faults.steps import ALL, Stages, Step
from toolkit.__main__ import COMMANDS

QUICK = 6  # seconds for a bad command line, of which some are good ones
LONG, LONGER = "a" * 300, "a" * 5000
NUMBERS = ("", "x", "nan", "inf", "-1", "0", "1e999", "9" * 400, "1.5")
TEXTS = ("", "../../x", LONGER, "\udcff", "a/b", "{0}%s[x]", "\0x", "-")
TIMES = ("", "0s", "-1m", "9" * 400 + "h", "1h1h", "soon")
WORDS = ("optimizer.lr=x", "nothing=1", "optimizer=1", "schedule.epochs=-1", LONGER, "=", "a.b.c=\udcff")


def tries(stages: Stages, count: int, rng: random.Random) -> Tries:
    """On a finished workspace."""
    base = stages.after("report")
    put(base, stages.root)
    every = list(bad_lines(stages.root))
    for command, words in sorted(rng.sample(every, min(count, len(every))), key=lambda one: one[0]):
        shown = " ".join(word if len(word) < 60 else f"{word[:40]}… ({len(word)})" for word in words)
        what = f"{command} {shown.replace(str(stages.place), '')}".encode("unicode_escape").decode()
        yield Try(what, lambda c=command, w=words: _called(stages, base, c, w))  # type: ignore[misc]


def _called(stages: Stages, base: Path, command: str, words: list[str]) -> Case:
    put(base, stages.root)
    bad_places(stages.root)
    ended = forked(lambda: call(command, words), stages.root, limit=QUICK)
    return Case(ended.kind, ended.said)


def bad_lines(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Commands and their words."""
    places = bad_places(root)
    steps = {step.command: step for step in reversed(ALL)}
    for command in COMMANDS:
        start, *more = steps.get(command, Step(command, command)).arguments(root)
        for name in (*places, *TEXTS):
            yield command, [name, *more]
        for word in ("--nonsense", *WORDS):
            yield command, [start, *more, word]
        for action in options_of(command)._actions:
            if action.option_strings and action.dest not in ("help", "report_bug", "debug"):
                for value in bad_values(action, places):
                    yield command, [start, *more, f"{action.option_strings[0]}{value}"]


def bad_places(root: Path) -> list[str]:
    """A file, a link to nothing, what can't be a folder, names that are too long."""
    file, link = root / "file", root / "dangling"
    file.touch()
    link.unlink(missing_ok=True)
    link.symlink_to(root / "nowhere")
    paths = (file, link, file / "below", root / LONG, root / LONGER, Path("/proc/x"), Path("/dev/null"))
    return [*map(str, paths), ""]


def bad_values(action: argparse.Action, places: list[str]) -> Iterator[str]:
    """As they follow an option: `=` in front, or nothing at all."""
    if action.nargs == 0:
        yield "=1"
        return
    if action.metavar == "DIR":
        yield from (f"={place}" for place in places)
    elif action.metavar == "TIME":
        yield from (f"={value}" for value in TIMES)
    elif action.type is not None:
        yield from (f"={value}" for value in NUMBERS)
    else:
        yield from (f"={value}" for value in TEXTS)
    yield ""
