"""Out-of-fold predictions: made on whatever becomes of a sample, scored, and stored with their score."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from toolkit.competition import Competition
from toolkit.data.labelled import Labelled
from toolkit.data.labelled import confusions as confusions_of
from toolkit.metrics.confusion import MeanIoU
from toolkit.networks.predict import predict
from toolkit.probabilities import chunks, open_probabilities, probabilities, write_probabilities
from toolkit.runs import Run
from toolkit.scoring.bootstrap import class_intervals, score_interval

QUANTISATION = 1e-4  # of the score, that storing masks' probabilities in 8 bits may change
BATCH = 128


def predict_out_of_fold(
    run: Run,
    rows: np.ndarray,
    alter: Callable[[np.ndarray], np.ndarray],
    device: torch.device,
    networks: Sequence[nn.Module] | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places `at` in `rows` and the probabilities float32 (n, C, ...) there, each by the network of its own fold.

    rows: of the data, any of them any number of times, all in a fold. alter(at): images uint8 (n, H, W, C) in place of
    those of rows[at]; BATCH of them are asked for at a time, fold by fold, in the order of `rows`. networks: of the
    folds, where they are loaded already.
    """
    fold, scored = run.labelled.fold[rows], run.labelled.competition.scored
    for k in np.unique(fold):
        network = networks[k] if networks is not None else run.network(int(k), device)
        own = np.flatnonzero(fold == k)
        for start in range(0, len(own), BATCH):
            at = own[start : start + BATCH]
            yield at, predict(network, alter(at), scored, device, run.recipe.precision)


def score(labelled: Labelled, stored: np.ndarray) -> dict[str, Any]:
    """The official metric of out-of-fold probabilities (N, C, ...): `score`, its 95 % interval `low` and
    `high` and the number of `groups` that it rests on, `by_fold`, `by_class` with its
    `by_class_interval` [low, high] (None for a class that has no sample), and for mean IoU its `readings`.

    All on the file's labels, as those of a hidden test set are; labels that were mended by what a network predicted
    would flatter it. Where some are relabelled, `mended` has `score`, `low`, `high` and `groups` on those.
    """
    competition = labelled.competition
    metric, scored, classes = competition.metric, competition.scored, competition.task.classes
    confusions = labelled.confusions(stored)[labelled.inside]
    fold, group = labelled.fold[labelled.inside], labelled.group[labelled.inside]
    total = confusions.sum(0)
    by_class, ends = metric.by_class(total, scored), class_intervals(competition, confusions, group)
    result: dict[str, Any] = {
        **with_interval(competition, confusions, group),
        "by_fold": [float(competition.score(confusions[fold == k].sum(0))) for k in range(labelled.folds)],
        "by_class": {classes[i]: float(np.nan_to_num(by_class[i])) for i in scored},
        "by_class_interval": {classes[i]: list(ends[i] or ()) or None for i in scored},
    }
    if isinstance(metric, MeanIoU):
        result["readings"] = metric.readings(total, scored)
    if len(labelled.relabels):
        mended = confusions_of(competition, labelled.targets, stored)[labelled.inside]
        result["mended"] = with_interval(competition, mended, group)
    return result


def with_interval(competition: Competition, confusions: np.ndarray, group: np.ndarray) -> dict[str, Any]:
    """The official metric `score` of confusion matrices (n, C, C), its 95 % interval `low` and `high`, and the number
    of `groups` (n,) that it rests on.
    """
    low, high = score_interval(competition, confusions, group)
    score = float(competition.score(confusions.sum(0)))
    return {"score": score, "low": low, "high": high, "groups": len(np.unique(group))}


def write_oof(path: Path, values: np.ndarray, labelled: Labelled) -> dict[str, Any]:
    """Store probabilities (N, C, ...) as small as the metric allows; their score as read back."""
    if labelled.masks:
        exact = score(labelled, values)
        write_probabilities(path, (probabilities(values[at]) for at in chunks(len(values))), values.shape, np.uint8)
        stored = score(labelled, open_probabilities(path))
        if abs(stored["score"] - exact["score"]) < QUANTISATION:
            return stored
    write_probabilities(path, (probabilities(values[at]) for at in chunks(len(values))), values.shape, np.float16)
    return score(labelled, open_probabilities(path))
