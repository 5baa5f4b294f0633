"""What each technique alone is worth: one recipe with it and without, in the same minutes, on the same images.

    python -m benchmarks.techniques blood_cells --data FOLDER [--minutes 6] [--only NAME …] [--distil] [--json]

FOLDER holds `mars/` and `blood_cells/`, each as its organisers hand it out. A quarter of the groups is held out; half
of these images are corrupted by `benchmarks.hidden`, of whose effects none is in the stress score. Each training has
as many epochs as its speed allows in the minutes; but for these the technique alone differs. Gains are those on the
same images, with intervals over groups. What is trained is kept in the workspace and not trained again. With --distil
the mean of all that was trained is a blend, without views, from which one more network of the recipe learns.
"""

import argparse
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

import toolkit
from benchmarks.hidden import hide
from toolkit.blending.blend_folder import Blend
from toolkit.blending.stored_views import NONE
from toolkit.data.labelled import Labelled
from toolkit.decisions.decide import Decisions
from toolkit.decisions.fit import fit_stored
from toolkit.metrics.tally import Tally
from toolkit.networks.predict import predict
from toolkit.outcome import Table
from toolkit.project import Project
from toolkit.recipe import Distil, Recipe, override, with_epochs
from toolkit.runs import Run
from toolkit.scoring.comparison import compare
from toolkit.scoring.decided import tally_by_fold
from toolkit.screen import Screen
from toolkit.training.budget import run_cost

ROOT = Path(__file__).parent.parent
FOLDS, HELD_OUT = 3, 0.25
TECHNIQUES: Mapping[str, Mapping[str, str]] = {
    "blood_cells": {
        "no MixUp, no CutMix": "augment.mixup=0 augment.cutmix=0",
        "no label smoothing": "loss.label_smoothing=0",
        "no corruptions": "augment.degrade=0",
        "RandAugment": "augment.randaugment=2",
        "AugMix": "augment.augmix=0.5",
        "larger images": "model.input_scale=1.5",
        "images that grow": "images.grow=0.5",
        "larger images that grow": "model.input_scale=1.5 images.grow=0.5",
        "mean of weights": "schedule.average=swa",
    },
    "mars": {
        "no copy-paste": "augment.copy_paste=0",
        "no CutMix": "augment.cutmix=0",
        "AdamW": "optimizer.name=adamw",
        "corruptions": "augment.degrade=0.5",
        "RandAugment": "augment.randaugment=2",
        "half the size": "model.input_scale=0.5",
        "images that grow": "images.grow=0.5",
        "focal loss": "loss.names=focal",
        "mean of weights": "schedule.average=swa",
    },
}


class Hidden:
    """The held-out images, every other one corrupted."""

    def __init__(self, labelled: Labelled) -> None:
        self.labelled, self.rows = labelled, np.flatnonzero(labelled.held_out)
        self.images, self.truth = np.array(labelled.images[self.rows]), labelled.truth[self.rows].copy()
        masks = self.truth[::2] if self.truth.ndim > 2 else None
        worn, moved = hide(self.images[::2], masks, 0)
        self.images[::2] = worn
        if moved is not None:
            self.truth[::2] = moved

    def tally(self, run: Run) -> Tally:
        """What the metric counts of the mean of all folds' networks."""
        of, inside = self.labelled.competition, np.flatnonzero(self.labelled.inside)
        decisions = fit_stored(of.task, of.metric, self.labelled.truth, run.oof, inside, of.scored)
        return self._of(self.mean(run), decisions)

    def tally_of(self, blend: Blend) -> Tally:
        """Of a blend that is the mean of its runs."""
        return self._of(np.mean([self.mean(run) for run in blend.runs], axis=0), blend.decisions)

    def mean(self, run: Run) -> np.ndarray:
        """Values (H, channels, ...) of all folds' networks."""
        of, device = self.labelled.competition, torch.device("cpu")
        networks = run.networks(device)
        values = [predict(each, self.images, of.scored, device, run.recipe.precision) for each in networks]
        return np.mean(values, axis=0)

    def _of(self, values: np.ndarray, decisions: Decisions) -> Tally:
        where = np.zeros(len(self.truth), np.int64)
        return tally_by_fold(self.labelled.competition, self.truth, values, where, [decisions])


def trained(project: Project, recipe: Recipe, seconds: float) -> Run:
    """For as many epochs as fit into the seconds, as fast as it is on this machine now; or as it was before.

    Where it has a teacher each epoch is longer by what is learnt from it.
    """
    for run in project.runs():
        if with_epochs(run.recipe, recipe.schedule.epochs) == recipe:
            return run
    cost = run_cost(project.labelled(), replace(recipe, distil=Distil()), "auto", project.device)
    share = recipe.distil.share if recipe.distil.blend else 0.0
    return project.train(with_epochs(recipe, max(1, cost.epochs_within((1 - share) * seconds))))


def measure(
    project: Project, recipe: Recipe, techniques: Mapping[str, str], seconds: float, distil: bool = False
) -> dict[str, Any]:
    """Figures of the recipe itself, by "", and with each technique; of a blend of all, and of what learns from it."""
    if not project.workspace.folds.exists():
        project.audit()
        project.folds(FOLDS, holdout=HELD_OUT)
    labelled = project.labelled()
    hidden, inside = Hidden(labelled), labelled.group[labelled.inside]
    plain = trained(project, recipe, seconds)
    without = labelled.tally(plain.oof), hidden.tally(plain)
    figures = {"": scores(plain, without[1])}

    def beside(run: Run) -> dict[str, Any]:
        tally = hidden.tally(run)
        (of_folds,) = compare([labelled.tally(run.oof)], without[0], inside)
        (of_hidden,) = compare([tally], without[1], labelled.group[hidden.rows])
        gains = {"cv_gain": [of_folds.difference, of_folds.low, of_folds.high]}
        gains["hidden_gain"] = [of_hidden.difference, of_hidden.low, of_hidden.high]
        return scores(run, tally) | gains

    for technique, words in techniques.items():
        figures[technique] = beside(trained(project, override(recipe, words.split()), seconds))
    if distil:
        runs = [run for run in project.runs() if not run.recipe.distil.blend]
        blend = project.ensemble(runs, views=NONE, adapt="none", blender="mean")
        figures["the mean of these"] = {
            "clean": blend.metrics["clean"]["score"],
            "stress": (blend.metrics.get("stress") or {}).get("score"),
            "hidden": hidden.tally_of(blend).score(),
            "seconds": sum(run.seconds for run in runs),
        }
        learns = override(recipe, [f"distil.blend={blend.name}"])
        figures["a network that learns from it"] = beside(trained(project, learns, seconds))
    return figures


def scores(run: Run, hidden: Tally) -> dict[str, Any]:
    known = {kind: run.metrics[kind]["score"] for kind in ("clean", "stress") if run.metrics.get(kind)}
    return known | {"hidden": hidden.score(), "epochs": run.recipe.schedule.epochs, "seconds": run.seconds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("competition", choices=TECHNIQUES)
    parser.add_argument("fields", nargs="*", metavar="FIELD=VALUE", help="of all recipes, that without too")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0, help="of each training, with its scores")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--distil", action="store_true", help="also what one network keeps of the blend of all these")
    parser.add_argument("--workspace", type=Path, default=Path("workspace/techniques"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    name, known = options.competition, TECHNIQUES[options.competition]
    if unknown := set(options.only) - set(known):
        parser.error(f"no technique {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    where: Any = {"data": options.data.resolve() / name, "workspace": options.workspace.resolve()}
    project = toolkit.open(ROOT / "competitions" / name, **where, progress=Screen(stderr=True))
    recipe = override(project.recipe(), options.fields)
    techniques = {one: known[one] for one in options.only or known}
    figures = measure(project, recipe, techniques, 60 * options.minutes, options.distil)
    if options.json:
        print(json.dumps(figures))
        return
    rows = []
    for technique, found in figures.items():
        gains = [found.get(f"{kind}_gain") for kind in ("cv", "hidden")]
        shown = ["" if gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*gain) for gain in gains]
        known_scores = [found.get(kind) for kind in ("clean", "stress", "hidden")]
        numbers = ["" if score is None else f"{score:.3f}" for score in known_scores]
        rows.append([technique or "the recipe itself", str(found.get("epochs", "")), *numbers, *shown])
    columns = ["", "epochs", "CV", "stress", "hidden", "CV gained", "hidden gained"]
    Screen().table(Table(f"{options.competition}: {options.minutes:g} minutes each", columns, rows))


if __name__ == "__main__":
    main()
