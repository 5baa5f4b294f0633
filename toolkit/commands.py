"""Commands as a person types them here, for sentences and pages to name."""

import shlex
from pathlib import Path

from toolkit.competition import Competition
from toolkit.competition_folders import called
from toolkit.store import Workspace

WORKSPACE = Path("workspace")  # where nobody says another


def command(competition: Competition, workspace: Workspace, verb: str, *words: str) -> str:
    """Such as `compete folds mars --practice`; words: of a command, each of which is quoted where it has to be."""
    places = [] if workspace.name == competition.name else ["--practice"]
    if workspace.root != WORKSPACE:
        places += ["--workspace", str(workspace.root)]
    return shlex.join(["compete", verb, called(competition.folder), *places, *words])
