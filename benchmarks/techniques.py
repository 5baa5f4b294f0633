"""What each technique alone is worth: one recipe with it and without, in the same minutes, on the same images.

    python -m benchmarks.techniques blood_cells --data FOLDER [--minutes 6] [--only NAME …] [--json]

FOLDER holds `mars/` and `blood_cells/`, each as its organisers hand it out. A quarter of the groups is held out; half
of these images are corrupted by `benchmarks.hidden`, of whose effects none is in the stress score. Each training has
as many epochs as its speed allows in the minutes; but for these the technique alone differs. Gains are those on the
same images, with intervals over groups. What is trained is kept in the workspace and not trained again.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

import toolkit
from benchmarks.hidden import hide
from toolkit.data.labelled import Labelled
from toolkit.decisions.fit import fit_stored
from toolkit.metrics.tally import Tally
from toolkit.networks.predict import predict
from toolkit.outcome import Table
from toolkit.project import Project
from toolkit.recipe import Recipe, override, with_epochs
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
        of, device = self.labelled.competition, torch.device("cpu")
        inside = np.flatnonzero(self.labelled.inside)
        decisions = fit_stored(of.task, of.metric, self.labelled.truth, run.oof, inside, of.scored)
        networks = run.networks(device)
        values = [predict(each, self.images, of.scored, device, run.recipe.precision) for each in networks]
        return tally_by_fold(of, self.truth, np.mean(values, axis=0), np.zeros(len(self.truth), np.int64), [decisions])


def trained(project: Project, recipe: Recipe, seconds: float) -> Run:
    """For as many epochs as fit into the seconds, as fast as it is on this machine now; or as it was before."""
    for run in project.runs():
        if with_epochs(run.recipe, recipe.schedule.epochs) == recipe:
            return run
    cost = run_cost(project.labelled(), recipe, "auto", project.device)
    return project.train(with_epochs(recipe, max(1, cost.epochs_within(seconds))))


def measure(project: Project, recipe: Recipe, techniques: Mapping[str, str], seconds: float) -> dict[str, Any]:
    """Figures of the recipe itself, by "", and with each technique."""
    if not project.workspace.folds.exists():
        project.audit()
        project.folds(FOLDS, holdout=HELD_OUT)
    labelled = project.labelled()
    hidden, inside = Hidden(labelled), labelled.group[labelled.inside]
    plain = trained(project, recipe, seconds)
    without = labelled.tally(plain.oof), hidden.tally(plain)
    figures = {"": scores(plain, without[1])}
    for technique, words in techniques.items():
        run = trained(project, override(recipe, words.split()), seconds)
        tally = hidden.tally(run)
        (of_folds,) = compare([labelled.tally(run.oof)], without[0], inside)
        (of_hidden,) = compare([tally], without[1], labelled.group[hidden.rows])
        gains = {"cv_gain": [of_folds.difference, of_folds.low, of_folds.high]}
        gains["hidden_gain"] = [of_hidden.difference, of_hidden.low, of_hidden.high]
        figures[technique] = scores(run, tally) | gains
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
    parser.add_argument("--workspace", type=Path, default=Path("workspace/techniques"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    name, known = options.competition, TECHNIQUES[options.competition]
    if unknown := set(options.only) - set(known):
        parser.error(f"no technique {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    where: Any = {"data": options.data.resolve() / name, "workspace": options.workspace.resolve()}
    project = toolkit.open(ROOT / "competitions" / name, **where, progress=Screen(stderr=True))
    recipe = override(project.recipe(), options.fields)
    figures = measure(project, recipe, {one: known[one] for one in options.only or known}, 60 * options.minutes)
    if options.json:
        print(json.dumps(figures))
        return
    rows = []
    for technique, found in figures.items():
        gains = [found.get(f"{kind}_gain") for kind in ("cv", "hidden")]
        shown = ["" if gain is None else "{:+.3f} ({:+.3f} to {:+.3f})".format(*gain) for gain in gains]
        numbers = [f"{found[kind]:.3f}" if kind in found else "" for kind in ("clean", "stress", "hidden")]
        rows.append([technique or "the recipe itself", str(found["epochs"]), *numbers, *shown])
    columns = ["", "epochs", "CV", "stress", "hidden", "CV gained", "hidden gained"]
    Screen().table(Table(f"{options.competition}: {options.minutes:g} minutes each", columns, rows))


if __name__ == "__main__":
    main()
