"""How far predictions are from the truth, whatever a recipe's loss is: the same measure for all runs."""

import numpy as np

from toolkit.competition import Competition
from toolkit.decisions.decide import unpacked
from toolkit.networks.outputs import Scale
from toolkit.probabilities import chunks
from toolkit.task import IGNORED, MISSING, Grades, Heads, Labels, Numbers, OverlappingMasks

LEAST = 1e-7  # of a probability, so that its logarithm is a number
Parts = list[tuple[float, np.ndarray, np.ndarray]]  # weight, losses, and which of them count


def plain_loss(
    competition: Competition, truth: np.ndarray, values: np.ndarray, scale: Scale | None = None
) -> float | None:
    """Mean loss of values (n, channels, ...) on targets (n, ...); None where nothing of them is known.

    Cross-entropy of classes, labels and grades; of numbers the mean squared error, in squares of the spread that
    `scale` learnt of what was trained on. What is missing or not scored counts nowhere; heads have their weights.
    """
    sums: dict[int, np.ndarray] = {}
    weights: dict[int, float] = {}
    for at in chunks(len(truth), values.shape[2:]):
        for number, (weight, losses, known) in enumerate(_parts(competition, truth[at], values[at], scale)):
            found = np.array([losses.sum(where=known, dtype=np.float64), np.count_nonzero(known)])
            sums[number], weights[number] = sums.get(number, 0) + found, weight
    means = [weights[number] * total / count for number, (total, count) in sums.items() if count]
    return float(sum(means)) if means else None


def _parts(competition: Competition, truth: np.ndarray, values: np.ndarray, scale: Scale | None) -> Parts:
    task, scored = competition.task, list(competition.scored)
    if isinstance(task, Heads):
        parts: Parts = []
        for at, (output, span) in enumerate(zip(task.outputs, task.spans, strict=True)):
            own = [place - span.start for place in scored if span.start <= place < span.stop]
            losses, known = _cross_entropy(values[:, span], truth[:, at]), np.isin(truth[:, at], own)
            parts.append((output.weight, losses, known))
        return parts
    if isinstance(task, Labels):
        return [(1.0, _binary(values, truth == 1)[:, scored], truth[:, scored] != MISSING)]
    if isinstance(task, OverlappingMasks):
        losses = _binary(values, unpacked(truth, len(task.labels)))[:, scored]
        return [(1.0, losses, np.broadcast_to((truth != IGNORED)[:, None], losses.shape))]
    if isinstance(task, Grades):
        losses = _binary(values, truth[:, None] > np.arange(task.channels))
        return [(1.0, losses, np.ones(losses.shape, bool))]
    if isinstance(task, Numbers):
        spread = 1.0 if scale is None else scale.std.cpu().numpy()
        apart = ((values - truth) / spread)[:, scored]
        return [(1.0, apart**2, ~np.isnan(apart))]
    return [(1.0, _cross_entropy(values, truth), np.isin(truth, scored))]


def _cross_entropy(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of values (n, classes, ...) and classes (n, ...); of what is no class any number."""
    place = np.clip(truth, 0, values.shape[1] - 1).astype(np.int64)[:, None]
    given: np.ndarray = np.take_along_axis(values, place, 1)[:, 0]
    return -np.log(np.maximum(given, LEAST))


def _binary(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Of each yes or no, both of the same shape."""
    given: np.ndarray = np.where(truth, values, 1 - values)
    return -np.log(np.maximum(given, LEAST))
