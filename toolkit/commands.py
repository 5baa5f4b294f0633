"""Commands as a person types them here, for sentences and pages to name."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.competition_folders import called

if TYPE_CHECKING:
    from toolkit.competition import Competition
    from toolkit.store import Workspace

WORKSPACE, SUBMISSIONS = Path("workspace"), Path("submissions")  # where nobody says others


def command(competition: "Competition", workspace: "Workspace", verb: str, *words: str) -> str:
    """Such as `compete folds mars --practice`; words: of a command, each of which is quoted where it has to be."""
    places = [] if workspace.name == competition.name else ["--practice"]
    if workspace.root != WORKSPACE:
        places += ["--workspace", str(workspace.root)]
    return shlex.join(["compete", verb, called(competition.folder), *places, *words])


def with_submissions(text: str, folder: Path) -> str:
    """A command, with the folder of the ledger where that is another than usual."""
    given = not text.startswith("compete ") or folder == SUBMISSIONS or "--submissions" in text.split(" ")
    return text if given else f"{text} --submissions {shlex.quote(str(folder))}"
