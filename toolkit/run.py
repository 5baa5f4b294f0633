"""command: everything, from raw files to a checked submission, within a time budget.

    python -m toolkit.run competitions/mars --data folder/with/the/organisers/files --budget 20m

The first recipe gets as many epochs as this machine can do in the time; what is left goes to the next ones.
The choice is kept in `plan.json`, so that the same command, after a kill, ends with the same result. Where there are
many samples a tenth is held out (`--holdout`), and the submission scored on it. All of it stands in `report.html` in
the end.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import main, parse_duration, parser
from toolkit.folds import add_options as add_folds_options
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.pipeline import Result


def run(project: Project, options: argparse.Namespace) -> "Result":
    recipe = None
    if options.recipe or options.overrides:
        recipe = project.choose_recipe(options.recipe, options.overrides)
    return project.run(
        budget=options.budget,
        recipe=recipe,
        stress=options.stress,
        folds=options.folds,
        repeats=options.repeats,
        holdout=options.holdout,
        split=options.split,
    )


def add_options(made: argparse.ArgumentParser) -> None:
    add_folds_options(made, holdout="auto")
    made.add_argument("--budget", type=parse_duration, default="30m", metavar="TIME", help="default: 30m")


if __name__ == "__main__":
    made = parser("run", "Everything, from raw files to a checked submission.", overrides=True)
    add_options(made)
    main(made, run)
