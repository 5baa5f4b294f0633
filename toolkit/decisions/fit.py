"""Decisions fitted by the official metric on samples whose truth is known, to be applied to others.

Each is the best of all cuts through the values, found in one pass over them sorted; where decisions depend on each
other, one after the other until none changes. Of cuts that score the same the middle of the widest range is taken.
"""

from itertools import pairwise

import numpy as np

from toolkit.decisions.decide import PLAIN, Decisions, decide, likeliest
from toolkit.decisions.fit_grades import fit_cuts
from toolkit.decisions.fit_labels import fit_thresholds
from toolkit.decisions.fit_masks import fit_masks, looked_at
from toolkit.decisions.sweep import climbed_by_merit, merit_of, merits_of, middle_of_best, sweep, thinned
from toolkit.metrics.metric import CountedMetric, Metric
from toolkit.probabilities import decidable
from toolkit.task import UNKNOWN, Classification, Grades, Labels, OverlappingMasks, Task
from toolkit.top_k import TopK

TRIED = 32  # for a metric of which nothing is known


def is_decided(task: Task, metric: Metric) -> bool:
    """Is there something to choose between what networks say and what the metric needs?"""
    if metric.needs == "lists":
        return isinstance(task, Classification) and task.unknown is not None
    return metric.needs == "labels" and isinstance(task, Labels | OverlappingMasks | Grades)


def fit_decisions(
    task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]
) -> Decisions:
    """The best for targets (n, ...) and a network's values (n, channels, ...); PLAIN where none is needed.

    Never worse than PLAIN on these samples, of masks on those of them that are looked at.
    """
    if not is_decided(task, metric) or not len(truth):
        return PLAIN
    truth = np.asarray(truth)
    if metric.needs == "lists":
        fitted = Decisions(unknown=_unknown(task, metric, truth, values, scored))
    elif isinstance(task, Labels):
        fitted = Decisions(thresholds=fit_thresholds(task, metric, truth, values, scored))
    elif isinstance(task, Grades):
        fitted = Decisions(cuts=fit_cuts(task, metric, truth, values, scored))
    else:
        return fit_masks(task, metric, truth, values, scored)

    def merit(decisions: Decisions) -> float:
        predicted = decide(task, metric, values, scored, decisions)
        return merit_of(task, metric, truth, predicted, scored)

    return fitted if merit(fitted) >= merit(PLAIN) else PLAIN


def fit_stored(
    task: Task, metric: Metric, truth: np.ndarray, stored: np.ndarray, rows: np.ndarray, scored: tuple[int, ...]
) -> Decisions:
    """As `fit_decisions`, on some rows of targets (N, ...) and of stored values (N, channels, ...).

    Of masks no more are read than are looked at: all together as float32 would not fit in memory.
    """
    if not is_decided(task, metric):
        return PLAIN
    if task.masks:
        rows = rows[looked_at(metric, len(rows), int(np.prod(stored.shape[1:])))]
    return fit_decisions(task, metric, np.asarray(truth[rows]), decidable(stored[rows]), scored)


def _unknown(
    task: Task, metric: Metric, truth: np.ndarray, values: np.ndarray, scored: tuple[int, ...]
) -> float | None:
    """The probability that "none of these" counts as.

    The more probable it is, the fewer classes are listed before it; each sample has as many lists as they are long.
    """
    length = min(int(getattr(metric, "length", 5)), values.shape[1] + 1)
    known = likeliest(values, min(length, values.shape[1]), None)
    highest = values.at(known) if isinstance(values, TopK) else np.take_along_axis(values, known, axis=1)
    lists = [np.insert(known, place, UNKNOWN, axis=1)[:, :length] for place in range(known.shape[1] + 1)]
    if not isinstance(metric, CountedMetric):
        tried = thinned(np.unique(highest)[::-1], TRIED)

        def merit(unknown: np.ndarray) -> float:
            return merit_of(task, metric, truth, likeliest(values, length, float(unknown[0])), scored)

        return float(climbed_by_merit(merit, [tried[:1]], lambda cuts, i: tried, (0.0, 1.0), 1)[0])
    counts = [np.asarray(metric.counts(task, truth, one), np.float64) for one in lists]
    # "values from the cut on are above" it, so that the unknown is listed after them: before those that equal it
    changes = np.concatenate([after - before for before, after in pairwise(counts)])
    sums, falling = sweep(highest.T.ravel(), changes, counts[0].sum(0))
    cut = middle_of_best(merits_of(metric, sums, scored), falling, 0.0, 1.0)
    return float(np.nextafter(np.float32(cut), np.float32(-np.inf)))
