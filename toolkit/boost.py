"""command: boosted trees on the table beside the images, and on what runs predict of these.

    compete boost lesions
    compete boost lesions --features resnet18-1a2b3c4d effnet-5e6f7a8b

Leaves `train/boosted-<hash>/`: out-of-fold and test values and scores, as of any run, but no weights. `ensemble`
blends it with the others.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import add_log, main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.runs import Run


def boost(project: Project, options: argparse.Namespace) -> "Run":
    return project.boost(options.features)


def add_options(made: argparse.ArgumentParser) -> None:
    text = "runs whose predictions the trees see beside the table (default: the best run)"
    made.add_argument("--features", nargs="+", metavar="RUN", help=text)
    add_log(made)


if __name__ == "__main__":
    text = "Boosted trees on the table beside the images and on what runs predict."
    made = parser("boost", text, __doc__)
    add_options(made)
    main(made, boost)
