"""Commands as a person types them here: whole ones for pages, and short ones made whole for one project.

Where a project is at hand, say it short (`compete train … seed=1`): what shows it completes it by `typed`. A page
knows its competition and workspace alone: `command`.
"""

import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

from toolkit.competition_folders import HERE, called

if TYPE_CHECKING:
    from toolkit.competition import Competition
    from toolkit.opened import Opened
    from toolkit.store import Workspace

WORKSPACE, SUBMISSIONS = Path("workspace"), Path("submissions")  # where nobody says others
WITHOUT = {"new"}  # commands that take no competition that is there
GAP = 3  # blanks between a command and what it does


def options(practice: bool, workspace: Path, submissions: Path = SUBMISSIONS, data: Path | None = None) -> list[str]:
    """Words behind a competition that lead to the same data and folders, quoted; data: where they are given."""
    made = ["--practice"] if practice else []
    given = (("data", data, None), ("workspace", workspace, WORKSPACE), ("submissions", submissions, SUBMISSIONS))
    for option, folder, usual in given:
        if folder != usual:
            made += [f"--{option}", shlex.quote(str(folder))]
    return made


def command(competition: "Competition", workspace: "Workspace", verb: str, *words: str) -> str:
    """Such as `compete folds mars --practice`; words: of a command, each of which is quoted where it has to be."""
    places = options(workspace.name != competition.name, workspace.root)
    return " ".join([shlex.join(["compete", verb, called(competition.folder)]), *places, *map(shlex.quote, words)])


def with_submissions(text: str, folder: Path) -> str:
    """A command, with the folder of the ledger where that is another than usual."""
    given = not text.startswith("compete ") or folder == SUBMISSIONS or "--submissions" in text.split(" ")
    return text if given else f"{text} --submissions {shlex.quote(str(folder))}"


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
