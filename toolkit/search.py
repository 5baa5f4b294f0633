"""command: look for better recipes in the competition's search space.

    compete search mars --budget 2h
    compete search mars --trials 40 schedule.epochs=8 --objective stress

Every trial is a run like any other, trained fold by fold and pruned once it is clearly worse than the best. The best
are finished and repeated with other seeds; the winner is left as `search/best.recipe`, which `train --recipe` takes.
Killed at any moment, the same command goes on; several of them at once share the work.
"""

import argparse
import os
from typing import TYPE_CHECKING

from toolkit.command_line import main, parse_duration, parser, whole
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.tuning.summary import Search
STORAGE = "TOOLKIT_STORAGE"  # in the environment


def search(project: Project, options: argparse.Namespace) -> "Search":
    asked = ("trials", "budget", "recipe", "objective", "stress", "sampler", "storage", "repeats", "until_no_gain")
    return project.search(**{name: getattr(options, name) for name in asked}, assignments=options.overrides)


def add_options(made: argparse.ArgumentParser) -> None:
    trials = "trials in the study, of all processes together (default: 30, or as the budget allows)"
    made.add_argument("--trials", type=whole, metavar="N", help=trials)
    made.add_argument(
        "--budget", type=parse_duration, metavar="TIME", help="of this command, such as 40m (default: none)"
    )
    gain = "end after so many trials without a better one (default: never)"
    made.add_argument("--until-no-gain", type=whole, metavar="N", help=gain)
    made.add_argument(
        "--objective",
        default="clean",
        metavar="NAME",
        help="the score that is searched for: clean (CV), stress, test-matched (test-like), or two such as "
        "clean,stress or clean,seconds (default: clean)",
    )
    samplers = "who suggests trials: auto, tpe, gp, cmaes, qmc or random"
    made.add_argument("--sampler", default="auto", metavar="NAME", help=f"{samplers} (default: auto)")
    made.add_argument(
        "--storage",
        default=os.environ.get(STORAGE, "sqlite"),
        metavar="WHERE",
        help="where the study is kept: sqlite, journal (for shared folders) or postgresql://user@host/database "
        f"(default: ${STORAGE}, which no list of processes shows, else sqlite)",
    )
    repeats = "other seeds with which the finalists are trained again (default: 1)"
    made.add_argument("--repeats", type=whole, default=1, metavar="N", help=repeats)


if __name__ == "__main__":
    made = parser("search", "Look for better recipes in the competition's search space.", __doc__, overrides=True)
    add_options(made)
    main(made, search)
