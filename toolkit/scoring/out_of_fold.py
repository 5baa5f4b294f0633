"""Out-of-fold predictions: how runs and blends store them, score them and are found again.

Probabilities lie in `.npy` files that are memory-mapped: float16 for labels; for masks uint8 (0..255 for
0..1) where that changes the score by less than QUANTISATION, else float16.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.metrics import INTERVAL, MeanIoU, confusion_by_sample, resample
from toolkit.probabilities import chunks, open_probabilities, probabilities, write_probabilities
from toolkit.store import read_manifest
from toolkit.task import Segmentation

QUANTISATION = 1e-4


def stored_confusions(competition: Competition, targets: np.ndarray, stored: np.ndarray) -> np.ndarray:
    """Confusion matrices (N, C, C) of stored probabilities (N, C, ...)."""
    classes = len(competition.task.classes)
    parts = [
        confusion_by_sample(targets[at], competition.decode(probabilities(stored[at])), classes)
        for at in chunks(len(targets))
    ]
    return np.concatenate(parts)


def score(competition: Competition, targets: np.ndarray, folds: pd.DataFrame, stored: np.ndarray) -> dict[str, Any]:
    """The official metric of out-of-fold probabilities (N, C, ...): `score`, its 95 % interval `low` and
    `high` from resampling groups, `by_fold`, `by_class` with its `by_class_interval` [low, high] (None for a class
    that has no sample), and for mean IoU its `readings`.
    """
    fold = folds["fold"].to_numpy()
    confusions = stored_confusions(competition, targets, stored)[fold >= 0]
    groups = folds["group"].to_numpy()[fold >= 0]
    fold = fold[fold >= 0]
    total = confusions.sum(0)
    draws = resample(confusions, groups)
    low, high = np.percentile(competition.score(draws), INTERVAL)
    by_class = competition.metric.by_class(total, competition.scored)
    class_draws = competition.metric.by_class(draws, competition.scored)
    result = {
        "score": float(competition.score(total)),
        "low": float(low),
        "high": float(high),
        "by_fold": [float(competition.score(confusions[fold == k].sum(0))) for k in range(int(fold.max()) + 1)],
        "by_class": {competition.task.classes[i]: float(np.nan_to_num(by_class[i])) for i in competition.scored},
        "by_class_interval": {competition.task.classes[i]: _interval(class_draws[:, i]) for i in competition.scored},
    }
    if isinstance(competition.metric, MeanIoU):
        result["readings"] = competition.metric.readings(total, competition.scored)
    return result


def _interval(draws: np.ndarray) -> list[float] | None:
    """Of the draws in which the class occurs or is predicted."""
    known = draws[~np.isnan(draws)]
    return [float(end) for end in np.percentile(known, INTERVAL)] if len(known) else None


def write_oof(
    path: Path, values: np.ndarray, competition: Competition, targets: np.ndarray, folds: pd.DataFrame
) -> dict[str, Any]:
    """Store probabilities (N, C, ...) as small as the metric allows; their score as read back."""
    if isinstance(competition.task, Segmentation):
        exact = score(competition, targets, folds, values)
        write_probabilities(path, (probabilities(values[at]) for at in chunks(len(values))), values.shape, np.uint8)
        stored = score(competition, targets, folds, open_probabilities(path))
        if abs(stored["score"] - exact["score"]) < QUANTISATION:
            return stored
    write_probabilities(path, (probabilities(values[at]) for at in chunks(len(values))), values.shape, np.float16)
    return score(competition, targets, folds, open_probabilities(path))


def finished_runs(train_folder: Path, data: str, folds: str) -> list[Path]:
    """Folders of the complete runs on these data and folds, by name."""
    found = []
    for folder in sorted(train_folder.glob("*/")):
        manifest = read_manifest(folder)
        if manifest is not None and manifest["data"] == data and manifest["folds"] == folds:
            found.append(folder)
    return found
