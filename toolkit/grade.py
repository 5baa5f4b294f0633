"""command: score a submission against truth that is at hand.

    compete grade mars --practice
    compete grade mars --submission file.csv --truth answers.csv
    compete grade blood_cells --submission file.zip --truth truth.npz

The truth is a file in the form of a submission, or an .npz with `targets` and, where the submission is code, the test
`images`.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.command_line import main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.submission.grading import Grade


def grade(project: Project, options: argparse.Namespace) -> "Grade":
    return project.grade(options.submission, options.truth)


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument(
        "--submission", type=Path, metavar="FILE", help="the submission (default: the newest in the ledger)"
    )
    made.add_argument(
        "--truth",
        type=Path,
        metavar="FILE",
        help="what is right, in the form of a submission; or an .npz with `targets`, one row per test image, in "
        "the form and order of the competition's `load`, and for code the test `images` (default: the practice data's "
        "truth)",
    )


if __name__ == "__main__":
    made = parser("grade", "Score a submission against truth that is at hand.", __doc__)
    add_options(made)
    main(made, grade)
