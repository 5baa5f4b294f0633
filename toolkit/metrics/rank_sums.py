"""Sums along sorted scores under many weightings at once, compiled. Samples of equal score come together."""

import numpy as np
from numba import njit


@njit(cache=True)  # type: ignore[untyped-decorator]
def areas(weights: np.ndarray, order: np.ndarray, yes: np.ndarray, last: np.ndarray) -> np.ndarray:
    """ROC AUC (D,) of samples in falling order of score; NaN where all that count are yes, or none is.

    weights: (D, N); order: places int64 (n,) of samples, the highest score first; yes: bool (n,) and last: bool (n,),
    of these in order: is it true, is it the last of its score.
    """
    found = np.empty(len(weights))
    for d in range(len(weights)):
        row = weights[d]
        right = wrong = area = 0.0
        true_here = false_here = 0.0
        for i in range(len(order)):
            w = row[order[i]]
            if yes[i]:
                true_here += w
            else:
                false_here += w
            if last[i]:
                area += false_here * (right + true_here / 2)
                right += true_here
                wrong += false_here
                true_here = false_here = 0.0
        found[d] = area / (right * wrong) if right > 0 and wrong > 0 else np.nan
    return found


@njit(cache=True)  # type: ignore[untyped-decorator]
def average_precisions(weights: np.ndarray, order: np.ndarray, yes: np.ndarray, last: np.ndarray) -> np.ndarray:
    """Average precision (D,), as `areas`; NaN where none is yes."""
    found = np.empty(len(weights))
    for d in range(len(weights)):
        row = weights[d]
        right = every = total = true_here = 0.0
        for i in range(len(order)):
            w = row[order[i]]
            every += w
            if yes[i]:
                true_here += w
            if last[i]:
                if true_here > 0:
                    right += true_here
                    total += true_here * right / every
                true_here = 0.0
        found[d] = total / right if right > 0 else np.nan
    return found


@njit(cache=True)  # type: ignore[untyped-decorator]
def areas_in_regions(
    weights: np.ndarray,
    order: np.ndarray,
    yes: np.ndarray,
    last: np.ndarray,
    regions: np.ndarray,
    most_false: float,
) -> np.ndarray:
    """Weighted area (D,) under the ROC curve within regions, divided by the most that it can be.

    regions: (R, 3), from and to which true positive rate, and how much the area there counts; most_false: up to which
    false positive rate.
    """
    found = np.empty(len(weights))
    most = 0.0
    for r in range(len(regions)):
        most += (regions[r, 1] - regions[r, 0]) * regions[r, 2] * most_false
    for d in range(len(weights)):
        row = weights[d]
        positives = negatives = 0.0
        for i in range(len(order)):
            if yes[i]:
                positives += row[order[i]]
            else:
                negatives += row[order[i]]
        if positives <= 0 or negatives <= 0:
            found[d] = np.nan
            continue
        total = right = wrong = true_here = false_here = 0.0
        for i in range(len(order)):
            w = row[order[i]]
            if yes[i]:
                true_here += w
            else:
                false_here += w
            if last[i]:
                y0, x0 = right / positives, wrong / negatives
                right += true_here
                wrong += false_here
                y1, x1 = right / positives, wrong / negatives
                true_here = false_here = 0.0
                if x1 > x0 and x0 < most_false:
                    if x1 > most_false:
                        y1 = y0 + (y1 - y0) * (most_false - x0) / (x1 - x0)
                        x1 = most_false
                    for r in range(len(regions)):
                        total += regions[r, 2] * (x1 - x0) * _mean_within(y0, y1, regions[r, 0], regions[r, 1])
        found[d] = total / most
    return found


@njit(cache=True)  # type: ignore[untyped-decorator]
def _mean_within(start: float, end: float, low: float, high: float) -> float:
    """Mean of min(max(y, low), high) - low of y that rises evenly from start to end."""
    if end <= low:
        return 0.0
    if start >= high or end <= start:
        return min(max(start, low), high) - low
    a, b = max(start, low), min(end, high)
    return ((b - a) * ((a + b) / 2 - low) + (end - b) * (high - low)) / (end - start)
