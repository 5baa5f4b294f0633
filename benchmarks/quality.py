"""What a minute of training is worth: our run against fastai's `fine_tune` with the same network, folds and minutes.

    python -m benchmarks.quality competitions/mars --workspace workspace --run small_unet-0123abcd [--json]

Takes a finished run, and trains its network with its augmentation in fastai for as long as each of its folds took,
in one `fine_tune` whose epochs are counted so that they fill the time. Scores of both out of fold, clean and under
the same corrupted images. Needs `pip install .[bench]`.
"""

import argparse
import json
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import toolkit
from benchmarks.training_peers import WORKERS, Pictures, loss_of
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import predict
from toolkit.recipe import Recipe
from toolkit.runs import Run
from toolkit.scoring.out_of_fold import score
from toolkit.scoring.stress import stress_score

RATE = 2e-3  # of fine_tune; its default


def fine_tune(
    network: nn.Module, images: np.ndarray, targets: np.ndarray, recipe: Recipe, seconds: float
) -> tuple[nn.Module, int]:
    """fastai's `fine_tune` in about so many seconds, and its epochs: one frozen, the rest not."""
    from fastai.callback import progress, schedule  # noqa: F401, they add methods to Learner
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    data = Pictures(images, targets, recipe)
    few = torch.utils.data.Subset(data, range(32))
    body: Any = network
    inner = {id(p) for p in body.body.get_submodule(body.backbone).parameters()} if body.backbone else set()

    def splitter(model: nn.Module) -> list[list[nn.Parameter]]:
        parameters = list(model.parameters())
        return [[p for p in parameters if id(p) in inner], [p for p in parameters if id(p) not in inner]]

    loaders = DataLoaders.from_dsets(data, few, bs=recipe.batch_size, num_workers=WORKERS)
    learner = Learner(loaders, network, loss_func=loss_of, splitter=splitter)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    with learner.no_bar(), learner.no_logging():
        begun = time.perf_counter()
        Learner(loaders, network, loss_of).fit(1)
        epochs = max(2, round(seconds / (time.perf_counter() - begun)))
        network.load_state_dict(state)
        learner.fine_tune(epochs - 1, RATE)
    return network, epochs


@dataclass(frozen=True, eq=False, repr=False)
class FineTuned(Run):
    """A run's folds with networks that fastai trained."""

    trained: tuple[nn.Module, ...] = ()

    @cached_property
    def recipe(self) -> Recipe:
        return replace(super().recipe, precision="float32")

    def networks(self, device: torch.device) -> list[nn.Module]:
        return list(self.trained)


def compare(run: Run) -> dict[str, Any]:
    """Scores of the run and of fastai in its time."""
    device, labelled, competition = resolve_device("auto"), run.labelled, run.labelled.competition
    values = np.zeros(labelled.probability_shape(len(labelled.targets)), np.float16)
    networks, ours, theirs, epochs = [], 0.0, 0.0, []
    for fold in run.folds:
        done = fold.manifest
        assert done is not None
        torch.manual_seed(fold.number)
        rows = labelled.training_rows(fold.number)
        images, targets = labelled.images[rows], labelled.targets[rows]
        begun = time.perf_counter()
        network, trained = fine_tune(competition.build_model(run.recipe), images, targets, run.recipe, done["seconds"])
        theirs, ours = theirs + time.perf_counter() - begun, ours + done["seconds"]
        epochs.append(trained)
        networks.append(network.eval())
        rows = labelled.rows(fold.number)
        values[rows] = predict(network, labelled.images[rows], competition.scored, device, "float32")
    stored = run.metrics
    tuned = FineTuned(run.folder, labelled, tuple(networks))
    return {
        "run": run.name,
        "clean": stored["clean"]["score"],
        "stress": stored["stress"]["score"],
        "seconds": ours,
        "epochs": run.recipe.schedule.epochs,
        "fastai_clean": score(labelled, values)["score"],
        "fastai_stress": stress_score(tuned, device, stored["stress"]["seconds"])[0]["score"],
        "fastai_seconds": theirs,
        "fastai_epochs": epochs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("competition")
    parser.add_argument("--workspace", type=Path, default=Path("workspace"))
    parser.add_argument("--run", required=True, help="name of a finished run's folder")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    labelled = toolkit.open(options.competition, workspace=options.workspace).labelled()
    figures = compare(Run(labelled.workspace.train / options.run, labelled))
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:20}", f"{value:.4f}" if isinstance(value, float) else value)


if __name__ == "__main__":
    main()
