"""command: everything that is known about a competition's runs, on one page.

    compete report mars

Leaves `report.html`, which needs nothing beside it: scores and what the leaderboard will likely say, runs against the
best one, classes, corruptions, training, the worst predictions, search, blend and submissions.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.reporting.page import Report


def report(project: Project, options: argparse.Namespace) -> "Report":
    return project.report()


if __name__ == "__main__":
    main(parser("report", "Everything that is known of the runs, on one page.", __doc__), report, advised=True)
