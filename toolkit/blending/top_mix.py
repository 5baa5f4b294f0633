"""Mixtures of predictions of which only the likeliest of many classes are stored."""

from collections.abc import Sequence

import numpy as np

from toolkit.compiled import compiled
from toolkit.top_k import TopK


def mixed_top(parts: Sequence[TopK], shares: Sequence[float]) -> TopK:
    """The weighted mean of predictions of the same n samples, as they are stored; shares sum to 1."""
    if len(parts) == 1:
        return parts[0]
    made = TopK(np.zeros(len(parts[0]), parts[0].dtype))
    values, places = np.stack([part.values for part in parts]), np.stack([part.places for part in parts])
    spread = np.stack([part.spread() for part in parts])
    found = np.empty(values.shape[1:], np.float32)
    _mix(values, places, spread, np.asarray(shares, np.float32), made.classes, found, made.places)
    made.records["value"] = found
    return made


def common_classes(parts: Sequence[TopK], truth: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What decides among predictions of n samples: the true class of each and the likeliest others of their mean.

    Classes int32 (n, length), rising; probabilities float32 (M, n, length) of each prediction; the place of truth
    (n,) among the classes, int64 (n,), -1 where it is none of them.
    """
    mean = mixed_top(parts, [1 / len(parts)] * len(parts))
    classes = np.asarray(mean.places[:, :length]).copy()
    lacking = (truth >= 0) & (classes != truth[:, None]).all(1)
    classes[lacking, -1] = truth[lacking]
    classes.sort(axis=1)
    slot = np.where(truth >= 0, (classes == truth[:, None]).argmax(1), -1)
    return classes, np.stack([part.at(classes) for part in parts]), slot


@compiled
def _mix(
    values: np.ndarray,
    places: np.ndarray,
    spread: np.ndarray,
    shares: np.ndarray,
    classes: int,
    found: np.ndarray,
    chosen: np.ndarray,
) -> None:
    """Into found and chosen (n, k), the highest of the mean of values (M, n, k) of places (M, n, k), falling."""
    models, samples, kept = values.shape
    total = np.zeros(classes, np.float32)
    seen = np.zeros(classes, np.bool_)
    touched = np.empty(models * kept, np.int64)
    for i in range(samples):
        number, least = 0, np.float32(0)
        for m in range(models):
            least += shares[m] * spread[m, i]
            for j in range(kept):
                place = places[m, i, j]
                if not seen[place]:
                    seen[place] = True
                    touched[number] = place
                    number += 1
                total[place] += shares[m] * (values[m, i, j] - spread[m, i])
        some = np.sort(touched[:number])  # of equal ones the first class comes first
        order = np.argsort(-total[some], kind="mergesort")
        for j in range(kept):
            if j < number:
                place = some[order[j]]
                found[i, j], chosen[i, j] = total[place] + least, place
            else:
                found[i, j], chosen[i, j] = 0, 0
        for j in range(number):
            total[touched[j]], seen[touched[j]] = 0, False
