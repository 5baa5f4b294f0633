"""Greedy selection by metrics of values, and by decided ones, against AutoGluon's EnsembleSelection.

A part of `python -m benchmarks.ensemble`. On one half of drawn samples both select among the same models in as many
steps, each in a process of its own; what the weights are worth is measured on the other half, with thresholds and cuts
fitted on the first half for both in the same way. The peer rounds grades, and takes a half for a threshold, while it
selects, as it does by itself.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.blending.valued import Valued
from toolkit.competition import Competition
from toolkit.metrics.labels import LabelF1
from toolkit.metrics.masks import MeanDice
from toolkit.metrics.metric import Metric
from toolkit.metrics.numbers import Rmse
from toolkit.metrics.probabilistic import LogLoss
from toolkit.metrics.ranks import RocAuc
from toolkit.metrics.single_label import QuadraticKappa
from toolkit.task import Classification, Grades, Labels, Numbers, OverlappingMasks, Task

SIDE = 64  # of a mask, in pixels
SHAPE = (SIDE, SIDE, 1)
OURS = """
import json, sys, time
from pathlib import Path
import numpy as np
from benchmarks.ensemble_metrics import opened
from toolkit.blending.greedy import greedy
folder, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
valued = opened(folder, name)
begun = time.perf_counter()  # the kernels' compiled code is read from disk, or compiled
greedy(valued.part(np.flatnonzero(valued.fold == 0)[:50]), [0], 2)
loaded = time.perf_counter() - begun
begun = time.perf_counter()
weights = greedy(valued, [0], steps)
seconds = time.perf_counter() - begun
print(json.dumps({"seconds": seconds, "weights": weights.tolist(), "loaded": loaded}))
"""
PEER = """
import json, sys, time
from pathlib import Path
import numpy as np
from autogluon.core.metrics import f1, log_loss, make_scorer, roc_auc, root_mean_squared_error
from autogluon.core.models.greedy_ensemble.ensemble_selection import EnsembleSelection
from sklearn.metrics import cohen_kappa_score
folder, name, steps = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
half = len(np.load(folder / "targets.npy")) // 2
targets = np.load(folder / "targets.npy")[:half]
read = [np.load(path)[:half] for path in sorted(folder.glob("model_*.npy"))]
kind = "multiclass" if name == "log loss" else "binary" if name in ("ROC AUC", "F1") else "regression"
if name == "ROC AUC":
    read = [one[:, 1] for one in read]
elif name == "kappa":
    read = [one.sum(1) for one in read]
elif name == "mean Dice":
    read = [one.ravel() / np.float32(255) for one in read]
    targets = targets.reshape(half, -1)
elif name != "log loss":
    read = [one[:, 0] for one in read]
    targets = targets[:, 0]
def kappa(truth, expected):
    return cohen_kappa_score(truth, np.rint(expected).astype(int), weights="quadratic")
def dice(truth, values):
    given = (values >= 0.5).reshape(half, -1)
    both, sizes = (given & (truth > 0)).sum(1), given.sum(1) + truth.sum(1)
    return float(np.where(sizes > 0, 2 * both / np.maximum(sizes, 1), 1).mean())
known = {"ROC AUC": roc_auc, "log loss": log_loss, "RMSE": root_mean_squared_error, "F1": f1}
metric = known.get(name) or make_scorer(name, kappa if name == "kappa" else dice)
if name == "mean Dice":
    flat, truth = read, targets
    metric = make_scorer(name, lambda _, values: dice(truth, values))
    targets = np.zeros(len(read[0]), np.uint8)
begun = time.perf_counter()
fitted = EnsembleSelection(steps, kind, metric).fit(read, targets)
print(json.dumps({"seconds": time.perf_counter() - begun, "weights": list(fitted.weights_)}))
"""


def _noise(rng: np.random.Generator, shape: tuple[int, ...], models: int) -> list[np.ndarray]:
    """Of runs of unlike strength that share a part of their errors."""
    shared = rng.normal(size=shape)
    return [0.8 * shared + (0.9 + 0.04 * (m % 20)) * rng.normal(size=shape) for m in range(models)]


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32)


Drawn = tuple[np.ndarray, list[np.ndarray]]


def draw_classes(rng: np.random.Generator, samples: int, models: int, classes: int = 5) -> Drawn:
    targets = rng.choice(classes, size=samples, p=np.arange(1, classes + 1) / (classes * (classes + 1) / 2))
    hint = 2 * (np.arange(classes) == targets[:, None])
    return targets, [_softmax(hint + one) for one in _noise(rng, (samples, classes), models)]


def draw_two(rng: np.random.Generator, samples: int, models: int) -> Drawn:
    return draw_classes(rng, samples, models, 2)


def draw_numbers(rng: np.random.Generator, samples: int, models: int) -> Drawn:
    targets = rng.normal(5, 2, size=(samples, 1)).astype(np.float32)
    # each is off by a little of its own
    return targets, [
        (targets + one + rng.normal(0, 0.3)).astype(np.float32) for one in _noise(rng, (samples, 1), models)
    ]


def draw_grades(rng: np.random.Generator, samples: int, models: int, grades: int = 5) -> Drawn:
    targets = rng.choice(grades, size=samples, p=(0.5, 0.1, 0.2, 0.1, 0.1))
    hint = targets[:, None] - np.arange(grades - 1) - 0.5
    return targets, [_sigmoid(1.2 * hint + one[:, :1] - 0.5) for one in _noise(rng, (samples, 2), models)]


def draw_label(rng: np.random.Generator, samples: int, models: int) -> Drawn:
    targets = (rng.random((samples, 1)) < 0.1).astype(np.int8)
    return targets, [_sigmoid(2.5 * targets - 3 + one) for one in _noise(rng, (samples, 1), models)]


def draw_masks(rng: np.random.Generator, samples: int, models: int) -> Drawn:
    """Smooth regions, in half of the images none."""
    import cv2

    fields = rng.normal(size=(400, 8, 8)).astype(np.float32)
    large = np.stack([cv2.resize(field, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for field in fields])
    some = large[rng.integers(len(large), size=samples)] - 0.8 - 4.0 * (rng.random((samples, 1, 1)) < 0.5)
    shared = large[rng.integers(len(large), size=samples)]
    stored = []
    for m in range(models):
        own = large[rng.integers(len(large), size=samples)]
        values = _sigmoid(3 * some + 1.5 * shared + (1.5 + 0.05 * m) * own)
        stored.append(np.rint(255 * values).astype(np.uint8)[:, None])
    return (some > 0).astype(np.uint8), stored


ONE = ("yes",)
MEASURED: dict[str, tuple[Task, Metric, Callable[[np.random.Generator, int, int], Drawn]]] = {
    "ROC AUC": (Classification(("no", "yes"), (1, 1, 1)), RocAuc(), draw_two),
    "log loss": (Classification(tuple("abcde"), (1, 1, 1)), LogLoss(), draw_classes),
    "RMSE": (Numbers(ONE, (1, 1, 1)), Rmse(), draw_numbers),
    "kappa": (Grades(tuple("01234"), (1, 1, 1)), QuadraticKappa(), draw_grades),
    "F1": (Labels(ONE, (1, 1, 1)), LabelF1(), draw_label),
    "mean Dice": (OverlappingMasks(ONE, SHAPE), MeanDice(), draw_masks),
}


def competition(name: str) -> Competition:
    from dataclasses import replace

    from competitions.blood_cells import competition as cells

    task, metric, _ = MEASURED[name]
    return replace(cells, name=name, task=task, metric=metric, try_submission=None)


def draw(folder: Path, name: str, samples: int, models: int) -> None:
    targets, stored = MEASURED[name][2](np.random.default_rng(0), samples, models)
    np.save(folder / "targets.npy", targets)
    for number, one in enumerate(stored):
        np.save(folder / f"model_{number:03}.npy", one)


def opened(folder: Path, name: str) -> Valued:
    """The first half is fold 0, on which weights are fitted; the second is held out."""
    targets = np.load(folder / "targets.npy")
    values = np.stack([np.load(path) for path in sorted(folder.glob("model_*.npy"))])
    rows = np.arange(len(targets))
    return Valued(competition(name), values, targets, (2 * rows // len(rows)), rows)


def held_out(valued: Valued, weights: np.ndarray) -> float:
    """The score of the weighted mean on the second half, decided on the first."""
    seen, unseen = (np.flatnonzero(valued.fold == half) for half in (0, 1))
    decided = valued.decisions(weights, seen)
    return valued.competition.tally(valued.truth[unseen], valued.mixture(weights, unseen), decided).score()


def compare(
    call: Callable[..., dict[str, Any]], folder: Path, name: str, peer: str, steps: int, samples: int, models: int
) -> dict[str, Any]:
    """Seconds and held-out scores, the peer's too where there is an interpreter for it."""
    draw(folder, name, samples, models)
    call(sys.executable, OURS, str(folder), name, "1")  # kernels are compiled and kept on disk
    ours = call(sys.executable, OURS, str(folder), name, str(steps))
    valued = opened(folder, name)
    equal = np.ones(models)
    found = {
        "seconds": ours["seconds"],
        "score": held_out(valued, np.array(ours["weights"], float)),
        "mean_score": held_out(valued, equal),
    }
    if peer:
        theirs = call(peer, PEER, str(folder), name, str(steps))
        found |= {
            "peer_seconds": theirs["seconds"],
            "peer_score": held_out(valued, np.array(theirs["weights"], float)),
            "over_autogluon": theirs["seconds"] / ours["seconds"],
        }
    return found


def line(name: str, found: dict[str, Any]) -> list[str]:
    theirs = [f"{found[k]:.4g}" if k in found else "-" for k in ("peer_seconds", "over_autogluon")]
    scores = [f"{found[k]:.5f}" if k in found else "-" for k in ("score", "peer_score", "mean_score")]
    return [name, f"{found['seconds']:.3f}", *theirs, *scores]
