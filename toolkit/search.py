"""command: look for better recipes in the competition's search space.

    compete search competitions/mars --budget 2h
    compete search competitions/mars --trials 40 schedule.epochs=8 --objective stress

Every trial is a run like any other, trained fold by fold and pruned once it is clearly worse than the best. The best
are finished and repeated with other seeds; the winner is left as `search/best.recipe`, which `train --recipe` takes.
Killed at any moment, the same command goes on; several of them at once share the work.
"""

import argparse
import os
from typing import TYPE_CHECKING

from toolkit.command_line import main, parse_duration, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.tuning.summary import Search
STORAGE = "TOOLKIT_STORAGE"  # in the environment


def search(project: Project, options: argparse.Namespace) -> "Search":
    asked = ("trials", "budget", "recipe", "objective", "stress", "sampler", "storage", "repeats", "until_no_gain")
    return project.search(**{name: getattr(options, name) for name in asked}, assignments=options.overrides)


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--trials", type=int, metavar="N", help="of the study (default: 30, or as the budget allows)")
    made.add_argument("--budget", type=parse_duration, metavar="TIME", help="such as 40m, of this command")
    made.add_argument("--until-no-gain", type=int, metavar="N", help="end after so many trials without a better one")
    made.add_argument(
        "--objective",
        default="clean",
        metavar="NAME",
        help="clean, stress, test-matched, or two such as clean,stress or clean,seconds (default: clean)",
    )
    samplers = "auto, tpe, gp, cmaes, qmc or random"
    made.add_argument("--sampler", default="auto", metavar="NAME", help=f"{samplers} (default: auto)")
    made.add_argument(
        "--storage",
        default=os.environ.get(STORAGE, "sqlite"),
        metavar="WHERE",
        help="sqlite, journal (for shared folders) or postgresql://user@host/database "
        f"(default: ${STORAGE}, which no list of processes shows, else sqlite)",
    )
    made.add_argument("--repeats", type=int, default=1, metavar="N", help="other seeds for the best (default: 1)")


if __name__ == "__main__":
    made = parser("search", "Look for better recipes in the competition's search space.", overrides=True)
    add_options(made)
    main(made, search)
