"""What a minute of training is worth: our run against fastai's `fine_tune` with the same network, folds and minutes.

    python -m benchmarks.quality competitions/mars --workspace workspace --run small_unet-0123abcd [--json]

Takes a finished run, and trains its network with its augmentation in fastai for as long as each of its folds took,
in one `fine_tune` whose epochs are counted so that they fill the time. Scores of both out of fold, clean and under
the same corrupted images. Needs `pip install .[bench]`.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.training_peers import WORKERS, Pictures, loss_of
from toolkit.competition import Competition, load_competition
from toolkit.data.dataset import open_dataset, relabel
from toolkit.data.folds import read_folds, relabels
from toolkit.networks.devices import resolve_device
from toolkit.networks.predict import predict
from toolkit.recipe import Recipe, from_dict
from toolkit.scoring.out_of_fold import score
from toolkit.scoring.stress import stress_score
from toolkit.store import Workspace, read_json, read_manifest

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


def compare(competition: Competition, workspace: Workspace, run: Path) -> dict[str, Any]:
    """Scores of the run and of fastai in its time."""
    device = resolve_device("auto")
    dataset, table, recipe = (
        open_dataset(workspace.data),
        read_folds(workspace),
        from_dict(read_json(run / "recipe.json")),
    )
    targets, fold = relabel(dataset.targets, relabels(table)), table["fold"].to_numpy()
    values = np.zeros((len(targets), len(competition.task.classes), *targets.shape[1:]), np.float16)
    networks, ours, theirs, epochs = [], 0.0, 0.0, []
    for k in range(int(fold.max()) + 1):
        done = read_manifest(run / f"fold_{k}")
        assert done is not None
        torch.manual_seed(k)
        rows = np.flatnonzero((fold >= 0) & (fold != k))
        begun = time.perf_counter()
        network, trained = fine_tune(
            competition.build_model(recipe), dataset.images[rows], targets[rows], recipe, done["seconds"]
        )
        theirs, ours = theirs + time.perf_counter() - begun, ours + done["seconds"]
        epochs.append(trained)
        networks.append(network.eval())
        rows = np.flatnonzero(fold == k)
        values[rows] = predict(network, dataset.images[rows], competition.scored, device, "float32")
    clean = score(competition, targets, table, values)
    stored = read_json(run / "metrics.json")
    seconds = stored["stress"]["seconds"]
    stress, _ = stress_score(competition, dataset.images, targets, table, networks, device, "float32", seconds)
    return {
        "run": run.name,
        "clean": stored["clean"]["score"],
        "stress": stored["stress"]["score"],
        "seconds": ours,
        "epochs": recipe.schedule.epochs,
        "fastai_clean": clean["score"],
        "fastai_stress": stress["score"],
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
    competition = load_competition(options.competition)
    workspace = Workspace(options.workspace, competition.name)
    figures = compare(competition, workspace, workspace.train / options.run)
    if options.json:
        print(json.dumps(figures))
        return
    for key, value in figures.items():
        print(f"{key:20}", f"{value:.4f}" if isinstance(value, float) else value)


if __name__ == "__main__":
    main()
