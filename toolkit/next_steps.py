"""What can be done next, by what is there: commands, each with what it is good for. Nothing is computed for it."""

from contextlib import suppress
from typing import TYPE_CHECKING

from toolkit.errors import UserError
from toolkit.store import read_manifest

if TYPE_CHECKING:
    from toolkit.data.labelled import Labelled
    from toolkit.opened import Opened

Steps = list[tuple[str, str]]
MOST = 3


def next_steps(project: "Opened", labelled: "Labelled | None" = None) -> Steps:
    """Commands such as `compete train`, each with a reason, the best first. labelled: as opened, if it is.

    Where something is damaged there are none: the command that needs it says so.
    """
    if read_manifest(project.workspace.data) is None:
        return to_begin(project)
    with suppress(UserError):
        return _advised(project, labelled)
    return []


def to_begin(project: "Opened") -> Steps:
    """Where nothing is there yet."""
    if project.practice:
        return [("compete run --budget 3m", "all of it, from data to a checked submission, in three minutes")]
    if project.data.is_dir():
        return [
            ("compete run --budget 30m", "all of it, from files to a checked submission"),
            ("compete audit", "only looks at the data, and shows what is wrong with them"),
        ]
    files = project.competition.files or "the organisers' files"
    tries = [("compete run --practice --budget 3m", "tries all of it on synthetic practice data")]
    if project.data_is_given:
        return tries
    return [*tries, ("compete run --data FOLDER --budget 30m", f"once FOLDER has {files}")]


def _advised(project: "Opened", labelled: "Labelled | None") -> Steps:
    if not project.workspace.folds.exists():
        return [("compete train", "makes the folds and trains the first recipe on them")]
    from toolkit.data.labelled import open_labelled
    from toolkit.reporting.advice import advise_next

    found = labelled or open_labelled(project.competition, project.workspace)
    return [(step.command, step.text) for step in advise_next(found, project.ledger) if step.command][:MOST]
