"""command: remove what takes room and can be made again, least valuable first.

    compete clean mars --dry-run
    compete clean mars --keep 5

Removes caches, blends on old folds, trials that a search gave up, runs on old data or folds, and runs beyond the best
ones that are in no blend and no submission. Of each removed run a line stays in `removed.csv`: recipe, scores, time.
What stays: submissions and what they were blended from (`--all`: not those runs), the chosen blend, the best recipe of
a search, trainings that were interrupted. It stops where a run is being trained.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import at_least, main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.removable import Cleaned


def clean(project: Project, options: argparse.Namespace) -> "Cleaned":
    return project.clean(keep=options.keep, dry_run=options.dry_run, submitted_too=options.all)


def add_options(made: argparse.ArgumentParser) -> None:
    whole = at_least(0, "there can't be fewer than 0 runs")
    made.add_argument(
        "--keep", type=whole, default=10, metavar="N", help="runs that stay, the best ones (default: 10)"
    )
    made.add_argument("--dry-run", action="store_true", help="show what would be removed, and end")
    text = "runs of past submissions too, so that these can't be built again; the submissions themselves stay"
    made.add_argument("--all", action="store_true", help=text)


if __name__ == "__main__":
    made = parser("clean", "Remove what takes room and can be made again.", __doc__)
    add_options(made)
    main(made, clean)
