"""command: two runs side by side: settings, scores, classes, time and versions, and whether one is really better.

    compete diff mars small_unet-1a2b small_unet-3c4d
    compete diff mars small_unet-1a small_unet-3c --practice

A run may be shortened while it is the only one that begins so. Runs on the same data and folds are compared sample
by sample.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.difference import Difference


def diff(project: Project, options: argparse.Namespace) -> "Difference":
    return project.diff(*options.runs)


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("runs", nargs=2, metavar="RUN", help="a run's name, or how it begins; see `compete status`")


if __name__ == "__main__":
    made = parser("diff", "Two runs side by side: what differs, and whether one is really better.", __doc__)
    add_options(made)
    main(made, diff)
