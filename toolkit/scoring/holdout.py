"""The score of the held-out samples, by what is predicted of them as of test images."""

from typing import Any

import numpy as np

from toolkit.data.dataset import open_dataset
from toolkit.data.labelled import Labelled, confusions
from toolkit.scoring.bootstrap import interval, resample


def score_held_out(labelled: Labelled, stored: np.ndarray) -> dict[str, Any]:
    """The official metric of probabilities (H, C, ...) of the held-out samples, in their order.

    `score`, its 95 % interval `low` and `high` from resampling the `groups`, of which there are so many, `samples`,
    `by_class`. Against the labels in the file: no cleaning list mends those of the hidden test set.
    """
    competition, rows = labelled.competition, np.flatnonzero(labelled.held_out)
    truth = open_dataset(labelled.workspace.data).targets[rows]
    counted = confusions(competition, truth, stored)
    total, group = counted.sum(0), labelled.group[rows]
    low, high = interval(competition.score(resample(counted, group)))
    by_class = competition.metric.by_class(total, competition.scored)
    return {
        "score": float(competition.score(total)),
        "low": low,
        "high": high,
        "groups": len(np.unique(group)),
        "samples": len(rows),
        "by_class": {competition.task.classes[at]: float(np.nan_to_num(by_class[at])) for at in competition.scored},
    }
