"""Does a local score hold on a hidden test set? The stress score beside the clean one.

    python -m benchmarks.stress [--data ../shared/data] [--workspace DIR] [--only ranking|coverage] [--json]

ranking: twelve runs a competition (three networks, no to strong augmentation) are trained on three quarters of the
groups; the hidden set is the last quarter, corrupted by `benchmarks.hidden`, three draws. Rank correlation
(Spearman) of each local score with the hidden one, the gap to it, and the regret: what is lost by handing in the
run with the best local score. For the test-matched score the hidden images stand for the test images, without labels.
Without --data everything is drawn as practice data. Trained runs are kept in the workspace and not trained again.

coverage: how often a 90 % interval holds the truth, in repeated draws of a small set of groups from a large practice
set: two small networks are trained on two folds of the draw; their score on the rest of the large set is the truth.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

import toolkit
from benchmarks.hidden import hide
from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT, assign
from toolkit.data.targets import describe
from toolkit.metrics.confusion import confusion_by_sample
from toolkit.networks.predict import predict
from toolkit.outcome import Table, duration
from toolkit.project import Project
from toolkit.runs import current_runs
from toolkit.scoring.bootstrap import resample
from toolkit.scoring.corruption_suite import corrupt_arrays
from toolkit.scoring.matched_to_test import find_match, matched_score, predict_matched
from toolkit.scoring.stress_sampling import SEED, Evidence, all_triples, cells_of, score_draws, score_triples
from toolkit.screen import Screen

ROOT = Path(__file__).parent.parent
NAMES = ("blood_cells", "mars")
DRAWS = 3  # of the hidden set
SHARE = 16  # one in so many groups of the large set is in a draw
SIZES = {"blood_cells": 12000, "mars": 6000}  # of the large sets
EACH = {"blood_cells": 300, "mars": 100}  # triples of the large set for each corruption and severity
CPU = torch.device("cpu")
KINDS = ("clean", "stress", "matched")
WORDS = ("rotate", "scale", "shift", "shear", "colour", "degrade", "erase", "mixup", "cutmix")
NOTHING = ("augment.flip=none", *(f"augment.{word}=0" for word in WORDS))
HALF = "model.input_scale=0.5"
# recipe: overrides for all its runs, and for each level of augmentation
MOBILE = ("schedule.epochs=6", "model.pretrained=false", "optimizer.backbone_factor=1", "schedule.freeze=0")
TILES = ("schedule.ema=0.9", "batch_size=16", "optimizer.lr=1e-3")
RECIPES: dict[str, dict[str, tuple[str, ...]]] = {
    "blood_cells": {
        "efficientnet_lite0": ("schedule.epochs=4", "schedule.freeze=0.25"),
        "resnet18": ("schedule.epochs=6", HALF),
        "mobilenetv3": MOBILE,
    },
    "mars": {
        "small_unet": ("schedule.epochs=10", *TILES),
        "unet_resnet18": ("schedule.epochs=8", HALF, *TILES),
        "deeplabv3plus": ("schedule.epochs=8", HALF, *TILES),
    },
}
MOVED = ("augment.flip=both", "augment.rotate=180", "augment.scale=0.2", "augment.shift=0.1", "augment.colour=0.2")
WORN = ("augment.cutmix=0", "augment.degrade=0.5")
LEVELS: dict[str, dict[str, tuple[str, ...]]] = {
    "blood_cells": {
        "none": NOTHING,
        "light": (*NOTHING, *MOVED),
        "default": (),
        "strong": ("augment.randaugment=2", "augment.augmix=0.3"),
    },
    "mars": {
        "none": NOTHING,
        "light": ("augment.cutmix=0",),
        "worn": WORN,
        "strong": (*WORN, "augment.colour=0.6", "augment.erase=0.3"),
    },
}


def ranking(name: str, data: Path | None, root: Path) -> dict[str, Any]:
    """Local scores of the runs against their hidden score."""
    project = opened(name, data, root)
    project.audit()
    if not project.workspace.folds.exists():
        project.folds(2, holdout=0.25)
    for base, common in RECIPES[name].items():
        for level, words in LEVELS[name].items():
            project.train(project.choose_recipe(base, (f"name={base}_{level}", *common, *words)))
    labelled, competition = project.labelled(), project.competition
    held = np.flatnonzero(labelled.fold == HELD_OUT)
    masks = labelled.truth[held] if labelled.masks else None
    draws = [hide(labelled.images[held], masks, seed) for seed in range(DRAWS)]
    hidden = np.concatenate([images for images, _ in draws])
    truth = np.concatenate([labelled.truth[held] if moved is None else moved for _, moved in draws])
    began = time.time()
    match = find_match(replace(labelled, test_images=hidden))
    costs = {"finding the mixture": time.time() - began, "training": 0.0, "stress": 0.0, "matched": 0.0}
    rows: list[dict[str, Any]] = []
    for run in current_runs(labelled):
        each = [predict(one, hidden, competition.scored, CPU, run.recipe.precision) for one in run.networks(CPU)]
        predicted = competition.decode(np.mean(each, axis=0))
        confusions = confusion_by_sample(truth, predicted, len(competition.task.classes))
        began = time.time()
        scores = {kind: run.metrics[kind] for kind in KINDS[:2]}
        scores["matched"] = matched_score(labelled, match, predict_matched(run, match, "cpu"))
        costs["matched"] += time.time() - began
        costs["stress"] += scores["stress"]["seconds"]
        costs["training"] += run.seconds
        found = {kind: score["score"] for kind, score in scores.items()}
        rows.append({"run": run.recipe.name, "hidden": float(competition.score(confusions.sum(0)))} | found)
    rows.sort(key=lambda row: -float(row["hidden"]))
    score = {kind: np.array([row[kind] for row in rows]) for kind in ("hidden", *KINDS)}
    figures: dict[str, Any] = {"runs": rows, "seconds": costs, "match": match.words(hidden.shape[3])}
    for kind in KINDS:
        figures[f"spearman_{kind}"] = float(spearmanr(score[kind], score["hidden"]).statistic)
        figures[f"gap_{kind}"] = float(np.median(np.abs(score[kind] - score["hidden"])))
        figures[f"regret_{kind}"] = float(score["hidden"].max() - score["hidden"][score[kind].argmax()])
    return figures | {"regret": figures["regret_stress"]}


def opened(name: str, data: Path | None, root: Path, size: int | None = None) -> Project:
    """A competition, on practice data where there are no files; what is done is told on stderr."""
    source = data / name if data else None
    screen = Screen(stderr=True)
    return toolkit.open(
        ROOT / "competitions" / name,
        data=source,
        practice=source is None,
        practice_size=size,
        workspace=root,
        progress=screen,
    )


class Small(nn.Module):
    """A network that trains in a blink: linear for labels, two convolutions for masks."""

    def __init__(self, images: np.ndarray, classes: int, masks: bool) -> None:
        super().__init__()
        _, height, width, channels = images.shape
        self.classify = nn.Sequential(nn.Flatten(), nn.Linear(height * width * channels, classes))
        if masks:
            self.classify = nn.Sequential(nn.Conv2d(channels, 8, 5, 1, 2), nn.ReLU(), nn.Conv2d(8, classes, 5, 1, 2))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classify(images.float() / 127.5 - 1)
        return logits


def _shrunk(images: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images of an eighth of the side, with masks of a half."""
    by = 8 if targets.ndim == 1 else 2
    n, height, width, channels = images.shape
    blocks = images.reshape(n, height // by, by, width // by, by, channels)
    return blocks.mean((2, 4)).astype(np.uint8), targets if targets.ndim == 1 else targets[:, ::by, ::by]


def _fitted(classes: int, images: np.ndarray, targets: np.ndarray, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    network = Small(images, classes, targets.ndim > 1)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    x, y = torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(targets.astype(np.int64))
    for _ in range(60):
        at = torch.randint(len(x), (16 if targets.ndim > 1 else 128,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[at]), y[at]).backward()
        optimizer.step()
    return network.eval()


def coverage(name: str, draws: int, size: int) -> dict[str, Any]:
    """Shares of the draws in which the 90 % interval of the clean and of the stress score holds the truth."""
    with tempfile.TemporaryDirectory() as folder:
        project = opened(name, None, Path(folder), size)
        labelled, competition = project.labelled(), project.competition
        inside = np.flatnonzero(labelled.inside)
        images, targets = np.array(labelled.images[inside]), np.array(labelled.truth[inside])
    group = np.unique(labelled.group[inside], return_inverse=True)[1]
    everywhere = replace(
        labelled, images=images, truth=targets, targets=targets, fold=np.zeros_like(group), group=group
    )
    triples = all_triples(everywhere)
    triples = triples[: EACH[name] * len(np.unique(cells_of(triples)))]
    made, moved = _corrupted(images, targets, triples)
    images, targets = _shrunk(images, targets)
    classes = len(competition.task.classes)
    held: dict[str, list[bool]] = {"clean": [], "stress": []}
    for draw in range(draws):
        rng = np.random.default_rng(draw)
        groups = rng.permutation(group.max() + 1)
        drawn = np.isin(group, groups[: max(20, len(groups) // SHARE)])
        fold = np.full(len(group), -1)
        fold[drawn] = assign(describe(targets[drawn], competition.task), group[drawn], 2, draw)
        networks = [_fitted(classes, images[fold == 1 - k], targets[fold == 1 - k], draw) for k in (0, 1)]

        clean = _judged(competition, networks, images, targets, fold)
        truth = float(competition.score(clean[fold == -1].sum(0)))
        scores = competition.score(resample(clean[fold >= 0], group[fold >= 0]))
        held["clean"].append(_holds(scores, truth))
        where = fold[triples[:, 0]]
        found = _judged(competition, networks, made, moved, where)
        none = np.zeros((0, classes), np.float16)
        own, rest = (Evidence(triples[at], none, None, found[at]) for at in (where >= 0, where == -1))
        truth = score_triples(everywhere, rest, len(triples))["score"]
        held["stress"].append(_holds(score_draws(everywhere, own), truth))
    return {f"coverage_{kind}": float(np.mean(each)) for kind, each in held.items()} | {"draws": draws}


def _judged(
    competition: Competition, networks: list[nn.Module], images: np.ndarray, truth: np.ndarray, fold: np.ndarray
) -> np.ndarray:
    """Confusions (N, C, C), each sample by the network that has not seen it; what is in no fold by all, summed."""
    classes = len(competition.task.classes)
    found = np.zeros((len(images), classes, classes), np.int64)
    for k, network in enumerate(networks):
        at = np.flatnonzero((fold == k) | (fold == -1))
        predicted = competition.decode(predict(network, images[at], competition.scored, CPU, "float32"))
        found[at] += confusion_by_sample(truth[at], predicted, classes)
    return found


def _holds(scores: np.ndarray, truth: float) -> bool:
    low, high = np.percentile(scores, [5, 95])
    return bool(low <= truth <= high)


def _corrupted(images: np.ndarray, targets: np.ndarray, triples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The shrunk images and targets of triples (T, 3)."""
    cells, rows = cells_of(triples), triples[:, 0]
    order = np.argsort(cells, kind="stable")
    parts = []
    for start in range(0, len(order), 128):
        at = order[start : start + 128]
        truth = targets[rows[at]]
        mask, rgb = truth if truth.ndim > 1 else None, (0, 1, 2) if images.shape[3] == 3 else ()
        made, masks = corrupt_arrays(images[rows[at]], mask, cells[at], SEED, rgb, rows[at])
        parts.append(_shrunk(made, truth if masks is None else masks))
    back = np.argsort(order)
    made, moved = (np.concatenate(each)[back] for each in zip(*parts, strict=True))
    return made, moved


def _show(name: str, figures: dict[str, Any]) -> None:
    screen = Screen()
    if "runs" in figures:
        rows = [[row["run"], *(f"{row[kind]:.4f}" for kind in ("hidden", *KINDS))] for row in figures["runs"]]
        screen.table(Table(f"{name}: local scores and the hidden one", ["run", "hidden", *KINDS], rows))
        measures = ("spearman", "gap", "regret")
        rows = [[what, *(f"{figures[f'{what}_{kind}']:.3f}" for kind in KINDS)] for what in measures]
        screen.table(Table(f"{name}: how local scores hold", ["", *KINDS], rows))
        screen.say(f"{name}: {figures['match']}")
        rows = [[what, duration(seconds)] for what, seconds in figures["seconds"].items()]
        screen.table(Table(f"{name}: what it cost, {len(figures['runs'])} runs", ["", "time"], rows))
    if "draws" in figures:
        rows = [[kind, f"{figures[f'coverage_{kind}']:.1%}"] for kind in ("clean", "stress")]
        title = f"{name}: 90 % intervals that hold the truth, {figures['draws']} draws"
        screen.table(Table(title, ["", "share"], rows))


def main() -> None:
    made = argparse.ArgumentParser(prog="python -m benchmarks.stress", description=__doc__.partition("\n")[0])
    made.add_argument("--data", type=Path, metavar="DIR", help="with a folder for each competition; default: practice")
    made.add_argument("--workspace", type=Path, default=Path("workspace/stress"), metavar="DIR")
    made.add_argument("--competitions", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    made.add_argument("--only", choices=("ranking", "coverage"))
    made.add_argument("--draws", type=int, default=100, metavar="N", help="of the coverage (default: 100)")
    made.add_argument("--size", type=int, metavar="N", help="of the set they are drawn from (default: 12000, 6000)")
    made.add_argument("--json", action="store_true")
    options = made.parse_args()
    data = options.data.resolve() if options.data else None
    figures: dict[str, dict[str, Any]] = {name: {} for name in options.competitions}
    for name, found in figures.items():
        if options.only != "coverage":
            found |= ranking(name, data, options.workspace.resolve())
        if options.only != "ranking":
            found |= coverage(name, options.draws, options.size or SIZES[name])
            found["coverage"] = found["coverage_stress"]
        if not options.json:
            _show(name, found)
    if options.json:
        json.dump(figures, sys.stdout)


if __name__ == "__main__":
    main()
