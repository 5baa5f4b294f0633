"""What greedy selection does with each sample, compiled: sums of single metrics under every next step."""

from functools import partial

import numpy as np

from toolkit.compiled import compiled


@compiled
def ranked_scores(keys: np.ndarray, precision: bool) -> float:
    """Area under the ROC curve, or average precision, of sorted keys uint32 (n,): a value's order, then its label."""
    n = len(keys)
    positive = 0
    for i in range(n):
        positive += keys[i] & 1
    if positive == 0 or (not precision and positive == n):
        return np.nan
    found, above, i = 0.0, 0, n
    while i > 0:
        key, hits, start = keys[i - 1] >> 1, 0, i
        while i > 0 and keys[i - 1] >> 1 == key:
            hits += keys[i - 1] & 1
            i -= 1
        misses = start - i - hits
        if precision:
            above += hits
            found += hits * (above / (n - i))
        else:
            found += misses * (above + 0.5 * hits)
            above += hits
    return found / positive if precision else found / (positive * np.float64(n - positive))


@compiled
def log_sums(
    total: np.ndarray,
    own: np.ndarray,
    ends: np.ndarray,
    scale: float,
    clip: float,
    multiplied: int,
    sums: np.ndarray,
) -> None:
    """Into sums (M, E), of logarithms of scale * (total (n,) + own (M, n)), clipped, up to each of ends (E,).

    So many factors have one logarithm, which is most of the work.
    """
    for m in range(own.shape[0]):
        start = 0
        for e in range(len(ends)):
            found, at = 0.0, start
            while at < ends[e]:
                product = 1.0
                for i in range(at, min(at + multiplied, ends[e])):
                    value = scale * (total[i] + own[m, i])
                    product *= min(max(value, clip), 1 - clip)
                found += np.log(product)
                at += multiplied
            sums[m, e] = found
            start = ends[e]


@partial(compiled, fastmath=True)
def absolute_sums(total: np.ndarray, errors: np.ndarray, sums: np.ndarray) -> None:
    """Into sums (M, T), of absolute values of total (T, n) + errors (M, T, n)."""
    for m in range(errors.shape[0]):
        for t in range(errors.shape[1]):
            found = 0.0
            for i in range(errors.shape[2]):
                found += abs(total[t, i] + errors[m, t, i])
            sums[m, t] = found


@compiled
def binned(total: np.ndarray, values: np.ndarray, truth: np.ndarray, scale: float, counts: np.ndarray) -> None:
    """Into counts (M, bins, K), how often each truth (n,) has scale * (total (n,) + values (M, n)) in each bin."""
    counts[:] = 0
    last = counts.shape[1] - 1
    for m in range(values.shape[0]):
        for i in range(values.shape[1]):
            at = int(scale * (total[i] + values[m, i]))
            counts[m, max(0, min(at, last)), truth[i]] += 1


@compiled
def mask_tables(
    total: np.ndarray, values: np.ndarray, truth: np.ndarray, least: np.ndarray, smallest: np.ndarray, ignored: int
) -> np.ndarray:
    """Contingencies int64 (M, n, L, 2, 2) of masks in whole numbers, total (n, L, P) + values (n, L, P, M).

    A pixel is given where that is `least` (L,) or more; a mask of fewer than `smallest` (L,) pixels is left empty.
    truth: uint8 (n, P), labels as bits. A pixel that no candidate can turn is counted once for all: as more are taken,
    those are nearly all.
    """
    samples, labels, pixels, candidates = values.shape
    reach = 255 if values.itemsize == 1 else 65535
    found = np.zeros((candidates, samples, labels, 2, 2), np.int64)
    turned = np.empty((3, candidates), np.int32)  # by truth: no, yes, not known
    for n in range(samples):
        for c in range(labels):
            turned[:] = 0
            still, number = np.zeros(3, np.int64), np.zeros(3, np.int64)
            for p in range(pixels):
                kind = 2 if truth[n, p] == ignored else (truth[n, p] >> c) & 1
                number[kind] += 1
                needed = least[c] - total[n, c, p]
                if needed <= 0:
                    still[kind] += 1
                elif needed <= reach:
                    limit, counts = np.int32(needed), turned[kind]
                    for m in range(candidates):
                        counts[m] += np.int32(values[n, c, p, m]) >= limit
            for m in range(candidates):
                no, yes, unknown = still[0] + turned[0, m], still[1] + turned[1, m], still[2] + turned[2, m]
                if no + yes + unknown < smallest[c]:
                    no, yes = 0, 0
                found[m, n, c, 0, 0] = number[0] - no
                found[m, n, c, 0, 1] = no
                found[m, n, c, 1, 0] = number[1] - yes
                found[m, n, c, 1, 1] = yes
    return found


@compiled
def places(total: np.ndarray, values: np.ndarray, truth: np.ndarray, unknown: float, most: int) -> np.ndarray:
    """int64 (M, most + 1): how often the truth (n,) has which place among total (n, C) + values (M, n, C).

    Of equal ones the first class comes first. A truth of -1 is likelier than what is not above `unknown`, the least
    of which every other class has to beat; without it (negative) it has no place. The last number counts the rest.
    """
    candidates, samples, classes = values.shape
    found = np.zeros((candidates, most + 1), np.int64)
    for m in range(candidates):
        for i in range(samples):
            own, before = truth[i], 0
            if own < 0:
                before = most if unknown < 0 else 0
                limit = unknown
                for c in range(classes):
                    if before >= most:
                        break
                    before += total[i, c] + values[m, i, c] > limit
            else:
                limit = total[i, own] + values[m, i, own]
                before = 1 if unknown >= 0 and unknown >= limit else 0
                for c in range(classes):
                    if before >= most:
                        break
                    value = total[i, c] + values[m, i, c]
                    before += value > limit or (value == limit and c < own)
            found[m, min(before, most)] += 1
    return found


@compiled
def likeliest_labels(total: np.ndarray, values: np.ndarray, classes: np.ndarray, labels: np.ndarray) -> None:
    """Into labels int64 (M, n), of classes (n, L) the one of the largest total (n, L) + values (M, n, L)."""
    for m in range(values.shape[0]):
        for i in range(values.shape[1]):
            best, place = total[i, 0] + values[m, i, 0], 0
            for j in range(1, values.shape[2]):
                value = total[i, j] + values[m, i, j]
                if value > best:
                    best, place = value, j
            labels[m, i] = classes[i, place]
