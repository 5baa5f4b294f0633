"""command: blend the finished runs.

    compete ensemble mars
    compete ensemble blood_cells --max-models 3 --max-bytes 200000000 --views none
    compete ensemble                  every competition that has runs

Averages each run over test-time views where that gains, then tries the blenders of `blending/blenders.py` on
out-of-fold probabilities and takes the simplest one within noise of the best.
The printed score is cross-fitted, the choice of the blender included; that of the views is not wholly. Only runs on
the present data and folds take part.
Leaves `ensemble/<blender>/`, and its name in `ensemble/chosen.json`.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import at_least, main, parser
from toolkit.project import Project
from toolkit.store import Workspace, read_manifest

if TYPE_CHECKING:
    from toolkit.blending.blend_folder import Blend

LIMITS = ("max_models", "max_seconds", "max_bytes", "test_images")


def ensemble(project: Project, options: argparse.Namespace) -> "Blend":
    limits = {name: getattr(options, name) for name in LIMITS}
    how = {"views": options.views, "blender": options.blender, "adapt": options.adapt}
    return project.ensemble(options.runs, **how, **limits)


def has_runs(workspace: Workspace) -> bool:
    return any(read_manifest(run) is not None for run in workspace.train.glob("[!.]*/"))


def add_options(made: argparse.ArgumentParser) -> None:
    made.add_argument("--runs", nargs="+", metavar="NAME", help="blend these runs only (default: all)")
    made.add_argument(
        "--views",
        nargs="+",
        default=["trained"],
        metavar="VIEW",
        help="test-time views to try: none, trained (familiar from all recipes' augmentation) or their names "
        "(default: trained)",
    )
    made.add_argument(
        "--blender",
        metavar="NAME",
        help="blending method, taken whatever its score (default: the simplest within noise of the best)",
    )
    made.add_argument(
        "--adapt",
        default="auto",
        metavar="SHARE",
        help="share of the test images' statistics in batch norms: auto (where the CV score gains), none, or 0 to 1 "
        "(default: auto)",
    )
    limits = made.add_argument_group("limits of the organisers' machine (default: none)")
    whole = at_least(1, "must be at least 1")
    limits.add_argument("--max-models", type=whole, metavar="N", help="runs, each with the networks of all its folds")
    limits.add_argument("--max-seconds", type=float, metavar="S", help="for all test images, on a machine like this")
    limits.add_argument("--test-images", type=whole, metavar="N", help="how many those are (default: those at hand)")
    limits.add_argument("--max-bytes", type=whole, metavar="B", help="of the networks' weights")


if __name__ == "__main__":
    made = parser("ensemble", "Blend the finished runs.", __doc__, several="that have runs")
    add_options(made)
    main(made, ensemble, has_runs)
