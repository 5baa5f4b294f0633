"""The score of the held-out samples, by what is predicted of them as of test images."""

from typing import Any

import numpy as np

from toolkit.data.labelled import Labelled, confusions
from toolkit.scoring.out_of_fold import with_interval


def score_held_out(labelled: Labelled, stored: np.ndarray) -> dict[str, Any]:
    """The official metric of probabilities (H, C, ...) of the held-out samples, in their order.

    As `with_interval`, with the number of `samples`, and `by_class`. Against the labels in the file: no cleaning list
    mends those of the hidden test set.
    """
    competition, rows = labelled.competition, np.flatnonzero(labelled.held_out)
    counted = confusions(competition, labelled.truth[rows], stored)
    by_class = competition.metric.by_class(counted.sum(0), competition.scored)
    return {
        **with_interval(competition, counted, labelled.group[rows]),
        "samples": len(rows),
        "by_class": {competition.task.classes[at]: float(np.nan_to_num(by_class[at])) for at in competition.scored},
    }
