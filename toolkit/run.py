"""command: everything, from raw files to a checked submission, within a time budget.

    compete run mars --practice --budget 3m
    compete run mars --data FOLDER --budget 2h
    compete run mars --budget 1h --plan
    compete run mars --recipe small_unet schedule.epochs=20

The first recipe gets as many epochs as this machine can do in the time, at most its own number. What is left goes to
whatever promises most for its time: other recipes, more epochs, larger images, other seeds, pseudo-labels, a search.
`--plan` shows the plan and trains nothing. What was chosen is kept in `plan.json`, so that the same command, after a
kill, goes on with it. Where there are many samples a tenth is held out (`--holdout`), and the submission scored on it.
All of it stands in `report.html` in the end.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import main, parse_duration, parser
from toolkit.folds import add_options as add_folds_options
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.pipeline import Result
    from toolkit.planning.planned import Planned


def run(project: Project, options: argparse.Namespace) -> "Result | Planned":
    recipe = None
    if options.recipe or options.overrides:
        recipe = project.choose_recipe(options.recipe, options.overrides)
    return (project.plan if options.plan else project.run)(
        budget=options.budget,
        recipe=recipe,
        stress=options.stress,
        folds=options.folds,
        repeats=options.repeats,
        holdout=options.holdout,
        split=options.split,
        again=options.again,
    )


def add_options(made: argparse.ArgumentParser) -> None:
    add_folds_options(made, holdout="auto")
    made.add_argument(
        "--budget",
        type=parse_duration,
        default="30m",
        metavar="TIME",
        help="for all of it, such as 90s, 20m or 2h (default: 30m)",
    )
    made.add_argument("--plan", action="store_true", help="show what would be trained, and train nothing")


if __name__ == "__main__":
    text = "Everything, from raw files to a checked submission, within a time budget."
    made = parser("run", text, __doc__, overrides=True)
    add_options(made)
    main(made, run, advised=True)
