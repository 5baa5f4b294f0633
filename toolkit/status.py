"""command: what was run, what is best, what was handed in, what takes the disk, and what to do next, on one screen.

    compete status mars
    compete status mars --practice
    compete status                    every competition that has a workspace

Reads a few small files and makes nothing.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import main, parser
from toolkit.project import Project
from toolkit.store import Workspace

if TYPE_CHECKING:
    from toolkit.overview import Status


def status(project: Project, options: argparse.Namespace) -> "Status":
    return project.status()


def is_there(workspace: Workspace) -> bool:
    return workspace.folder.is_dir()


if __name__ == "__main__":
    text = "What was run, what is best, what was handed in, and what to do next."
    main(parser("status", text, __doc__, several="that have a workspace"), status, is_there, practice_too=True)
