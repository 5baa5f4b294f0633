"""command: load the organisers' files, check them, find what is wrong with them, propose the cleaning.

    compete audit mars --data FOLDER
    compete audit mars --practice
    compete audit mars --explain 123
    compete audit leaves --explain train/0123.jpg
    compete audit mars --accept 347 345 --refuse "doubtful label"

Leaves `data/`, `audit.parquet`, `cleaning.csv` and `audit.html`. Run it again after a training: labels are then
held against out-of-fold predictions. A `cleaning.csv` that was edited is never overwritten.
"""

import argparse
from typing import TYPE_CHECKING, Any

from toolkit.command_line import main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.auditing.audit import Audit, Explanation
    from toolkit.auditing.review import Review


def audit(project: Project, options: argparse.Namespace) -> "Audit | Explanation | Review":
    if options.accept or options.refuse:
        return project.review(options.accept, options.refuse)
    return project.audit() if options.explain is None else project.explain(options.explain)


def add_options(made: argparse.ArgumentParser) -> None:
    text = "write a PNG that shows why this sample, by its name or its row, is in the list"
    made.add_argument("--explain", metavar="NAME", help=text)
    listed: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "metavar": "SAMPLE|KIND"}
    accept = (
        "let suggestions of cleaning.csv take effect, by sample (name or row) or by kind, such as 'unlike the rest'"
    )
    made.add_argument("--accept", help=accept, **listed)
    made.add_argument("--refuse", help="take such suggestions out of cleaning.csv", **listed)


if __name__ == "__main__":
    text = "Load and check the data, find what is wrong with them, propose the cleaning."
    made = parser("audit", text, __doc__)
    add_options(made)
    main(made, audit)
