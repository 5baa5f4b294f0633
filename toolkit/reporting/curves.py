"""What probabilities are worth, over all thresholds: ROC, precision and recall, and how often they come true."""

from dataclasses import dataclass

import numpy as np

BINS = 10  # of probabilities, of equal width
POINTS = 400  # of a drawn curve


@dataclass(frozen=True, eq=False)
class Curve:
    """x, y: float64 (p,), in their order; area: under it."""

    x: np.ndarray
    y: np.ndarray
    area: float


def roc(truth: np.ndarray, values: np.ndarray) -> Curve | None:
    """False and true positive rates of 0/1 truth (n,) by values (n,); None where a class is missing."""
    steps = _steps(truth, values)
    if steps is None:
        return None
    right, wrong = steps
    x, y = np.append(0, wrong / wrong[-1]), np.append(0, right / right[-1])
    return _thinned(x, y, float(np.trapezoid(y, x)))


def precision_recall(truth: np.ndarray, values: np.ndarray) -> Curve | None:
    """Recall and precision; area: the average precision, a sum of steps (as scikit-learn has it)."""
    steps = _steps(truth, values)
    if steps is None:
        return None
    right, wrong = steps
    recall, precision = right / right[-1], right / (right + wrong)
    area = float((np.diff(recall, prepend=0) * precision).sum())
    return _thinned(np.append(0, recall), np.append(precision[:1], precision), area)


def _steps(truth: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Right and wrong ones (k,) that are taken from each value down, ties together."""
    positive = int(truth.sum())
    if not 0 < positive < len(truth):
        return None
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)
    right = np.cumsum(truth[order])[ends]
    return right, ends + 1 - right


def _thinned(x: np.ndarray, y: np.ndarray, area: float) -> Curve:
    at = np.unique(np.linspace(0, len(x) - 1, min(len(x), POINTS)).astype(int))
    return Curve(x[at], y[at], area)


@dataclass(frozen=True, eq=False)
class Reliability:
    """Of each bin that holds some: said, the mean probability; came, how often it was so; counts. error: the mean
    difference of the two (expected calibration error, Guo et al. 2017)."""

    said: np.ndarray
    came: np.ndarray
    counts: np.ndarray

    @property
    def error(self) -> float:
        return float(np.average(np.abs(self.said - self.came), weights=self.counts)) if len(self.counts) else 0.0


def reliability(truth: np.ndarray, values: np.ndarray) -> Reliability:
    """Of 0/1 truth (n,) and probabilities (n,)."""
    place = np.clip((values * BINS).astype(int), 0, BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    held = counts > 0
    said, came = (np.bincount(place, each, BINS)[held] / counts[held] for each in (values, truth))
    return Reliability(said, came, counts[held])
