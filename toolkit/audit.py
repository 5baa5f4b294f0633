"""command: load the organisers' files, check them, find what is wrong with them, propose the cleaning.

    compete audit mars --data FOLDER
    compete audit mars --practice
    compete audit mars --explain 123
    compete audit leaves --explain train/0123.jpg

Leaves `data/`, `audit.parquet`, `cleaning.csv` and `audit.html`. Run it again after a training: labels are then
held against out-of-fold predictions. A `cleaning.csv` that was edited is never overwritten.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.auditing.audit import Audit, Explanation


def audit(project: Project, options: argparse.Namespace) -> "Audit | Explanation":
    return project.audit() if options.explain is None else project.explain(options.explain)


def add_options(made: argparse.ArgumentParser) -> None:
    text = "write a PNG that shows why this sample, by its name or its row, is in the list"
    made.add_argument("--explain", metavar="NAME", help=text)


if __name__ == "__main__":
    text = "Load and check the data, find what is wrong with them, propose the cleaning."
    made = parser("audit", text, __doc__)
    add_options(made)
    main(made, audit)
