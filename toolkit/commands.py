"""Commands as a person types them here, for sentences and pages to name."""

import shlex
from pathlib import Path

from toolkit.competition import Competition
from toolkit.store import Workspace

WORKSPACE = Path("workspace")  # where nobody says another


def command(competition: Competition, workspace: Workspace, verb: str, *words: str) -> str:
    """Such as `compete folds mars --practice`; words: of a command, each of which is quoted where it has to be."""
    places = [] if workspace.name == competition.name else ["--practice"]
    if workspace.root != WORKSPACE:
        places += ["--workspace", str(workspace.root)]
    return shlex.join(["compete", verb, called(competition), *places, *words])


def called(competition: Competition) -> str:
    """What a competition is called on the command line: its name, or its folder where that isn't in `competitions`."""
    folder = competition.folder
    if folder.parent.name == "competitions":
        return folder.name
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
