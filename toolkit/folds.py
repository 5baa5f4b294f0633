"""command: make or show the split: which sample is validated when.

    compete folds mars
    compete folds mars --folds 5 --repeats 3 --holdout 0.1

Without options it shows the folds that are there, and makes some where there are none. Where runs are on them it makes
others only with `--again`, and names the command that takes it back.

Groups stay whole, unless the audit found that as many test images have relatives in training as validation images
have under plain folds; `--split` overrules it. The cleaning list is obeyed. Folds are as even as a search makes them
in the number of samples and, for each class, in its images and, for masks, its pixels. Leaves `folds.parquet` (index,
fold, group, label, and `fold_1`, `fold_2`, … for repeats): what everything later trains on is the column `fold`; and
`leaks.png`, the most alike pictures on two sides of a fold's boundary or the holdout's. With `--holdout` a part is in
no fold: nothing is trained on it or chosen by it, and `submit` scores on it what is handed in.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import at_least, main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.auditing.split_outcome import Split


def folds(project: Project, options: argparse.Namespace) -> "Split":
    return project.folds(options.folds, options.repeats, options.holdout, options.split, again=options.again)


def add_options(made: argparse.ArgumentParser, holdout: str | None = None) -> None:
    number = "number of folds (default: as there are, else 5, or as many as groups can fill)"
    made.add_argument("--folds", type=_at_least_two, metavar="K", help=number)
    repeats = "number of splits, from seeds N, N+1, … (default: as there are, else 1)"
    one = at_least(1, "there must be at least 1 split")
    made.add_argument("--repeats", type=one, metavar="R", help=repeats)
    text = "share of the samples that are kept out of all folds, so that only the submission is scored on it"
    default = "auto, 0.1 where there are many samples" if holdout else "0"
    text += f" (default: as the present folds have it, else {default})"
    made.add_argument("--holdout", type=_share, default=holdout, metavar="H", help=text)
    split = "groups: relatives that the audit found share a fold; plain: they need not; auto: as the audit says"
    split += " (default: as there are, else auto)"
    made.add_argument("--split", choices=("auto", "groups", "plain"), help=split)
    again = "make other folds than are there, although runs are on these, which join no blend with new ones then"
    made.add_argument("--again", action="store_true", help=again)


def _at_least_two(text: str) -> int:
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of folds; there must be at least 2")
    return int(text)


def _share(text: str) -> float | str:
    if text == "auto":
        return text
    value = float(text)
    if not 0 <= value < 0.9:
        raise argparse.ArgumentTypeError("the holdout must be a share from 0 to 0.9, such as 0.1")
    return value


if __name__ == "__main__":
    made = parser("folds", "Make or show the split: which sample is validated when.", __doc__)
    add_options(made)
    main(made, folds)
