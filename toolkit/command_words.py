"""Commands as they are to be typed for one project: with its competition and the options that it was opened with."""

import re
import shlex
from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

from toolkit.commands import with_submissions
from toolkit.competition_folders import HERE

if TYPE_CHECKING:
    from toolkit.opened import Opened

WITHOUT = {"new"}  # commands that take no competition that is there
GAP = 3  # blanks between a command and what it does


def typed(command: str, project: "Opened") -> str:
    """`compete train` or `compete train schedule.epochs=3` with the competition and the options behind the verb; a
    command that names a competition gets the folder of submissions, and anything else stays as it is.
    """
    first, verb, *rest = [*command.split(" "), ""]
    if first != "compete" or not verb.isalpha() or verb in WITHOUT:
        return command
    if rest[0] == shlex.quote(project.name):
        return with_submissions(command, project.submissions)
    words = [word for word in rest if word not in ("", "…")]
    return " ".join(["compete", verb, shlex.quote(project.name), *words, *project.options])


def completed(sentence: str, project: "Opened") -> str:
    """A sentence whose `compete train` can be copied, and whose file of the competition's rules can be opened."""
    stated = HERE / project.competition.folder.name / "README.md"  # as `Rules.sources` call it
    if not stated.exists():
        sentence = sentence.replace(str(stated), str(project.competition.folder / "README.md"))
    return re.sub(r"`(compete [^`]*)`", lambda found: f"`{typed(found[1], project)}`", sentence)


def joined(told: Iterable[tuple[str, str]], advised: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """What an outcome says comes next and what the runs suggest, but to record a score once."""
    first = list(told)
    scored = any("--score" in command for command, _ in first)
    return [*first, *(step for step in advised if not (scored and "--score" in step[0]))]


def next_lines(steps: Iterable[tuple[str, str]], project: "Opened | None", width: int) -> Iterator[str]:
    """What comes next, a line a command with what it does beside it, or below it where the line would be too long."""
    known = dict(steps)
    commands = [typed(command, project) if project else command for command in known]
    column = max(map(len, commands), default=0)
    beside = all(len("Next:  ") + column + GAP + len(why) <= width for why in known.values())
    for number, (command, why) in enumerate(zip(commands, known.values(), strict=True)):
        head = "Next:  " if not number else " " * len("Next:  ")
        if beside:
            yield f"{head}{command:<{column + GAP}}{why}".rstrip()
        else:
            yield f"{head}{command}"
            yield from wrap(why, max(40, width), initial_indent=" " * 9, subsequent_indent=" " * 9)
