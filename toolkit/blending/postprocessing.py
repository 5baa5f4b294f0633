"""From a blend's probabilities to labels: temperature, a bias for each class, small regions cleaned up."""

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize_scalar

from toolkit.compiled import compiled
from toolkit.metrics.confusion import ConfusionMetric

FLOOR = 1e-6  # probabilities below are taken for it in logarithms
GRID = np.linspace(-3, 3, 301)  # biases that are tried, in natural logarithms
ROUNDS = 4  # over the classes, at most
REGIONS = (4, 8, 16, 32, 64)  # smallest sizes that are tried, in pixels
SURE = 0.6  # more than half, so that storing it in a byte changes nothing
TEMPERATURES = 0.2, 5.0  # lowest and highest
SLOPES, SHIFT = (0.2, 5.0), 5.0  # lowest and highest slope of a logit, largest shift
ROUNDS_OF_NEWTON = 30


def biased(probabilities: np.ndarray, biases: np.ndarray) -> np.ndarray:
    """Probabilities (n, S, ...) with biases (S,) added to their logarithms, normalised again."""
    shape = (-1, *[1] * (probabilities.ndim - 2))
    scaled = probabilities * np.exp(biases).astype(np.float32).reshape(shape)
    return scaled / np.maximum(scaled.sum(1, keepdims=True), 1e-30)


def tune_biases(
    probabilities: np.ndarray, truth: np.ndarray, metric: ConfusionMetric, scored: Sequence[int], classes: int
) -> np.ndarray:
    """Biases (S,) that maximise the metric on items (n, S) of which `truth` (n,) is the class, one class at a time.

    For one class the label of an item changes at one threshold, so a histogram of thresholds gives the exact
    confusion at every point of the grid at once. Of equally good biases the one nearest to zero is taken.
    """
    logs = np.log(np.maximum(probabilities, FLOOR)).astype(np.float64)
    biases = np.zeros(len(scored))
    counted = truth < classes
    logs, truth = logs[counted], truth[counted].astype(np.int64)
    columns = np.array(scored)
    best = -np.inf
    for _ in range(ROUNDS):
        before = best
        for c in range(len(scored)):
            others = logs + biases
            others[:, c] = -np.inf
            rival = others.argmax(1)
            # a tie goes to the lower class, as in arg max
            needed = others[np.arange(len(rival)), rival] - logs[:, c]
            first = np.searchsorted(GRID, needed, side="left")
            first += (first < len(GRID)) & (rival < c) & (np.append(GRID, np.inf)[first] == needed)
            won = np.bincount(first * classes + truth, minlength=(len(GRID) + 1) * classes)
            lost = np.bincount((first * classes + truth) * classes + columns[rival])
            lost = np.pad(lost, (0, (len(GRID) + 1) * classes**2 - len(lost))).reshape(-1, classes, classes)
            confusion = lost.sum(0) - lost[:-1].cumsum(0)
            confusion[:, :, scored[c]] += won.reshape(-1, classes)[:-1].cumsum(0)
            scores = metric.sign * metric.of_counts(confusion, scored)
            equal = np.flatnonzero(scores >= scores.max() - 1e-12)
            now = int(np.abs(GRID - biases[c]).argmin())
            if scores.max() > scores[now] + 1e-12:
                biases[c] = GRID[equal[np.abs(GRID[equal]).argmin()]]
            best = max(best, float(scores.max()))
        if best <= before + 1e-12:
            break
    return np.round(biases - biases.mean(), 6)


def tempered(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities (n, S, ...) with their logits divided by a temperature."""
    powers = np.maximum(probabilities, FLOOR) ** np.float32(1 / temperature)
    return powers / powers.sum(1, keepdims=True)


def tune_temperature(probabilities: np.ndarray, position: np.ndarray) -> float:
    """The temperature of the least cross-entropy (Guo et al. 2017) of items (n, S) whose class is `position` (n,)."""
    logs = np.log(np.maximum(probabilities, FLOOR))
    logs -= logs[np.arange(len(logs)), position][:, None]

    def loss(log_temperature: float) -> float:
        return float(np.log(np.exp(logs / np.exp(log_temperature)).sum(1)).mean())

    # a convex function of the inverse, so it has one valley
    low, high = np.log(TEMPERATURES)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(found.x))


def sloped(probabilities: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Probabilities (n, S) of yes or no, whose logits are multiplied by slopes (S, 2)[:, 0], [:, 1] being added."""
    return _sigmoid(_logit(probabilities) * slopes[:, 0] + slopes[:, 1]).astype(np.float32)


def tune_slopes(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Slope and shift (2,) of the logits of least log loss (Platt 1999), for items (n,) whose truth is 0 or 1.

    Both are drawn to no change as if a further sample were known, so that a label without a yes keeps its values.
    """
    logits, start = _logit(probabilities).astype(np.float64), np.array([1.0, 0.0])
    found = start.copy()
    for _ in range(ROUNDS_OF_NEWTON):
        given = _sigmoid(found[0] * logits + found[1])
        inputs = np.stack([logits, np.ones_like(logits)], axis=1)
        slope = inputs.T @ (given - truth) + (found - start)
        curve = (inputs * (given * (1 - given))[:, None]).T @ inputs + np.eye(2)
        step = np.clip(np.linalg.solve(curve, slope), -2, 2)
        found = found - step
        if np.abs(step).max() < 1e-6:
            break
    return np.array([np.clip(found[0], *SLOPES), np.clip(found[1], -SHIFT, SHIFT)])


def _logit(probabilities: np.ndarray) -> np.ndarray:
    inside = np.clip(probabilities, FLOOR, 1 - FLOOR)
    result: np.ndarray = np.log(inside / (1 - inside))
    return result


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    result: np.ndarray = 1 / (1 + np.exp(-logits))
    return result


def without_small_regions(labels: np.ndarray, smallest: int) -> np.ndarray:
    """Masks uint8 (n, H, W) in which each connected region under `smallest` pixels has its surroundings' class.

    Regions are 4-connected, in reading order; the class is the most frequent one on their rim.
    """
    result = np.ascontiguousarray(labels).copy()
    _clean(result, smallest)
    return result


@compiled
def _clean(masks: np.ndarray, smallest: int) -> None:
    count, height, width = masks.shape
    seen = np.zeros((height, width), np.int32)
    queue = np.empty(height * width, np.int32)
    for n in range(count):
        mask = masks[n]
        seen[:] = 0
        for start in range(height * width):
            y, x = start // width, start % width
            if seen[y, x]:
                continue
            value = mask[y, x]
            around = np.zeros(256, np.int32)
            queue[0], filled, at = start, 1, 0
            seen[y, x] = 1
            while at < filled:
                y, x = queue[at] // width, queue[at] % width
                at += 1
                for k in range(4):
                    v, u = y + (k == 0) - (k == 1), x + (k == 2) - (k == 3)
                    if v < 0 or u < 0 or v >= height or u >= width:
                        continue
                    if mask[v, u] != value:
                        around[mask[v, u]] += 1
                    elif not seen[v, u]:
                        seen[v, u] = 1
                        queue[filled] = v * width + u
                        filled += 1
            if filled < smallest and around.max() > 0:
                for k in range(filled):
                    mask[queue[k] // width, queue[k] % width] = around.argmax()


def with_labels(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Probabilities (n, S, ...) in which `labels` (n, ...) have the largest, SURE at least where they had not."""
    wanted = labels[:, None].astype(np.int64)
    changed = probabilities.argmax(1)[:, None] != wanted
    own = np.take_along_axis(probabilities, wanted, 1)
    rest = (1 - SURE) / np.maximum(1 - own, 1e-6)
    result = np.where(changed, probabilities * rest, probabilities)
    np.put_along_axis(result, wanted, np.where(changed, np.float32(SURE), own), 1)
    return result
