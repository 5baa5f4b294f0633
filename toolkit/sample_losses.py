"""How wrong a prediction is, sample by sample: by what mistakes are put in order, whatever the metric."""

import numpy as np

from toolkit.decisions.decide import unpacked
from toolkit.task import IGNORED, MISSING, Grades, Heads, Labels, Numbers, OverlappingMasks, Task

LEAST = 1e-6  # a stored probability of 0 is no proof


def sample_losses(task: Task, truth: np.ndarray, values: np.ndarray, scale: np.ndarray | None = None) -> np.ndarray:
    """float64 (n,) of targets (n, ...) and values (n, channels, ...); 0 where nothing is known of a sample.

    Labels and heads: the mean negative logarithm of what the truth was given. Overlapping masks: the mean distance of
    a pixel's probabilities to the truth. Numbers: the mean distance, divided by `scale` (T,). Grades: the distance of
    the expected one. Missing labels, numbers and pixels are left out.
    """
    if isinstance(task, Labels):
        given = np.where(truth == 1, values, 1 - values)
        return _mean(-np.log(np.maximum(given, LEAST)), truth != MISSING)
    if isinstance(task, Heads):
        known = truth != MISSING
        losses = [_negative_log(values[:, span], truth[:, at]) for at, span in enumerate(task.spans)]
        return _mean(np.stack(losses, axis=1), known)
    if isinstance(task, OverlappingMasks):
        apart = np.abs(values - unpacked(truth, len(task.labels))).mean(1)
        return _mean(apart.reshape(len(apart), -1), (truth != IGNORED).reshape(len(truth), -1))
    if isinstance(task, Numbers):
        by = np.ones(truth.shape[1]) if scale is None else np.where(scale > 0, scale, 1)
        return _mean(np.abs(values - truth) / by, ~np.isnan(truth))
    assert isinstance(task, Grades)
    found: np.ndarray = np.abs(values.sum(1, dtype=np.float64) - truth)
    return found


def _negative_log(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    given = np.take_along_axis(values, np.maximum(truth, 0).astype(np.int64)[:, None], 1)[:, 0]
    return -np.log(np.maximum(given, LEAST))


def _mean(losses: np.ndarray, known: np.ndarray) -> np.ndarray:
    total: np.ndarray = np.where(known, losses, 0).sum(1, dtype=np.float64)
    return total / np.maximum(known.sum(1), 1)
