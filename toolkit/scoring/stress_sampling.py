"""The triples (sample, corruption, severity) of the stress score: which are taken, and the score they make.

The score of a corruption is the official metric of its samples together, in which its five severities weigh the same;
the stress score is the mean over the corruptions. For accuracy that is the mean over severities; for mean IoU and F1
it is one matrix a corruption, because a mean over scores of few samples would be biased, and a class that no sample of
a corruption has is taken from the others. What isn't decided by arg max is decided as for clean samples of the same
fold. `_Counted` sums matrices of one of several classes, which is fast; `TalliedTriples` has all other metrics.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from toolkit.competition import Competition, by_matrix
from toolkit.data.labelled import Labelled
from toolkit.data.targets import describe
from toolkit.decisions.decide import Decisions
from toolkit.metrics.confusion import ConfusionMetric, fill_classes
from toolkit.metrics.tally import Tally
from toolkit.probabilities import probabilities
from toolkit.scoring.bootstrap import jackknife_variance, widened
from toolkit.scoring.corruption_suite import SEVERITIES, VERSION, count_cells, suite
from toolkit.scoring.decided import tally_by_fold
from toolkit.scoring.stress_tallies import BLOCKS, PARTS, TalliedTriples
from toolkit.task import Task

SEED = 0  # of the suite and of the list of triples: one for all runs


@dataclass(frozen=True)
class Evidence:
    """What a stress score was made from, triple by triple.

    triples: int32 (T, 3), row, corruption (its number in the suite), severity. probabilities: values of whole images
    (T, channels); for masks uint8 (K, channels, H, W) of the first K triples, with their corrupted masks `truth`,
    uint8 (K, H, W), and `confusions` (T, C, C) of all, or what else the metric `counts` of them (T, ...).
    """

    triples: np.ndarray
    probabilities: np.ndarray
    truth: np.ndarray | None = None
    confusions: np.ndarray | None = None
    counts: np.ndarray | None = None


def all_triples(labelled: Labelled) -> np.ndarray:
    """Every triple of the samples that are in a fold, int32 (N * cells, 3), in the order in which they are taken.

    Each N of them have every sample once, and every corruption and severity (a cell) about equally often, over
    classes and folds alike: samples are ordered by their class (masks: their rarest) and fold, and dealt to the
    cells in turn; then again, moved on.
    """
    fold, truth, task = labelled.fold, labelled.truth, labelled.competition.task
    rows = np.flatnonzero(labelled.inside)
    cells = count_cells(labelled.competition.rgb)
    rng = np.random.default_rng(SEED)
    rows = rng.permutation(rows)
    rows = rows[np.lexsort((fold[rows], _strata(truth[rows], task)))]
    dealt, moves = rng.permutation(cells), rng.permutation(cells)
    triples = np.empty((cells, len(rows), 3), np.int32)
    for level, move in zip(triples, moves, strict=True):
        order = rng.permutation(len(rows))
        cell = dealt[(order + move) % cells]
        level[:] = np.stack([rows[order], cell // SEVERITIES, cell % SEVERITIES + 1], axis=1)
    return triples.reshape(-1, 3)


def _strata(truth: np.ndarray, task: Task) -> np.ndarray:
    """Integers (n,): samples of one are dealt evenly. Labels and heads: those that are all the same; numbers: of the
    first target's tenths.
    """
    if truth.ndim == 1:
        return truth
    if not task.masks:
        if truth.dtype.kind == "f":
            return np.searchsorted(np.nanquantile(truth[:, 0], np.arange(1, 10) / 10), truth[:, 0])
        return np.unique(truth, axis=0, return_inverse=True)[1].reshape(-1)
    held = describe(truth, task)[:, : len(task.classes)] > 0
    return np.where(held, held.sum(0), len(held) + 1).argmin(1)


def ladder(total: int, smallest: int) -> list[int]:
    """Numbers of triples that a run may be scored on, all of them first, halved until below `smallest`."""
    counts = [total]
    while counts[-1] > 1 and -(-counts[-1] // 2) >= smallest:
        counts.append(-(-counts[-1] // 2))
    return counts


def cells_of(triples: np.ndarray) -> np.ndarray:
    return triples[:, 1] * SEVERITIES + triples[:, 2] - 1


def score_triples(
    labelled: Labelled, evidence: Evidence, total: int, decisions: Sequence[Decisions] = ()
) -> dict[str, Any]:
    """The scores of what was gathered, out of `total` triples; decisions: of each fold, none where none are needed."""
    triples = evidence.triples
    members = suite(labelled.competition.rgb)
    counted = _counted(labelled, evidence, decisions)
    by_corruption, cells = counted.scores(np.zeros(len(triples), np.int64))
    by_fold, _ = counted.scores(labelled.fold[triples[:, 0]])
    group = _groups(labelled, evidence)
    score = _mean(by_corruption[0])
    metric = labelled.competition.metric
    ends = metric.low, metric.high
    low, high = widened(score or 0.0, counted.draws(group), counted.without(group), ends)
    families = dict.fromkeys(member.family for member in members)
    in_family = {family: [member.family == family for member in members] for family in families}
    return {
        "score": score,
        "low": low,
        "high": high,
        "groups": int(group.max()) + 1,
        "by_fold": [_mean(scores) for scores in by_fold],
        "by_corruption": {m.name: _number(s) for m, s in zip(members, by_corruption[0], strict=True)},
        "by_family": {family: _mean(by_corruption[0][at]) for family, at in in_family.items()},
        "by_severity": [_mean(scores) for scores in cells[0].T],
        "cells": {m.name: [_number(s) for s in five] for m, five in zip(members, cells[0], strict=True)},
        "share": len(triples) / total,
        "triples": len(triples),
        "error": counted.error(1 - len(triples) / total),
        "version": VERSION,
    }


def score_draws(labelled: Labelled, evidence: Evidence, decisions: Sequence[Decisions] = ()) -> np.ndarray:
    """Stress scores (draws,) under resampling of groups; two runs with the same triples have the same draws."""
    return _counted(labelled, evidence, decisions).draws(_groups(labelled, evidence))


def _groups(labelled: Labelled, evidence: Evidence) -> np.ndarray:
    """Of the triples, numbered from 0."""
    return np.unique(labelled.group[evidence.triples[:, 0]], return_inverse=True)[1]


def tally_of(labelled: Labelled, evidence: Evidence, decisions: Sequence[Decisions]) -> Tally:
    """A row a triple."""
    competition, rows = labelled.competition, evidence.triples[:, 0]
    if evidence.counts is not None:
        return competition.tally_of({"counts": evidence.counts})
    truth = labelled.truth[rows] if evidence.truth is None else evidence.truth
    return tally_by_fold(competition, truth, evidence.probabilities, labelled.fold[rows], decisions)


def _counted(labelled: Labelled, evidence: Evidence, decisions: Sequence[Decisions]) -> "_Counted | TalliedTriples":
    competition = labelled.competition
    triples, classes = evidence.triples, len(competition.task.classes)
    if not by_matrix(competition):
        kinds = len(suite(competition.rgb))
        return TalliedTriples(tally_of(labelled, evidence, decisions), kinds, cells_of(triples))
    if evidence.confusions is None:
        which, value = np.arange(len(triples)), np.ones(len(triples))
        predicted = competition.decode(probabilities(evidence.probabilities))
        entry = labelled.truth[triples[:, 0]].astype(np.int64) * classes + predicted
    else:
        flat = evidence.confusions.reshape(len(triples), -1)
        which, entry = flat.nonzero()
        value = flat[which, entry].astype(float)
    members = suite(competition.rgb)
    return _Counted(competition, len(members), cells_of(triples), which, entry, value)


def _mean(scores: np.ndarray) -> float | None:
    return _number(np.nanmean(scores)) if np.isfinite(scores).any() else None


def _number(score: float) -> float | None:
    return float(score) if np.isfinite(score) else None


class _Counted:
    """Confusions of triples, summed by cell and by whatever they are grouped by."""

    def __init__(
        self,
        competition: Competition,
        members: int,
        cell: np.ndarray,
        which: np.ndarray,
        entry: np.ndarray,
        value: np.ndarray,
    ) -> None:
        self.competition, self.members, self.cell = competition, members, cell
        self.which, self.entry, self.value = which, entry, value
        self.classes = len(competition.task.classes)

    def sums(self, part: np.ndarray) -> tuple[csr_array, csr_array]:
        """Confusion entries (parts, cells * C * C) and numbers of triples (parts, cells)."""
        cells, parts = self.members * SEVERITIES, int(part.max()) + 1
        places = (part[self.which], self.cell[self.which] * self.classes**2 + self.entry)
        entries = coo_array((self.value, places), shape=(parts, cells * self.classes**2))
        numbers = coo_array((np.ones(len(part)), (part, self.cell)), shape=(parts, cells))
        return entries.tocsr(), numbers.tocsr()

    def scores(self, part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Scores of corruptions (parts, S) and of cells (parts, S, 5); NaN where there is no triple."""
        return self._scores(*(table.toarray() for table in self.sums(part)))

    def _scores(self, entries: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        numbers = numbers.reshape(-1, self.members, SEVERITIES)
        matrices = entries.reshape(*numbers.shape, self.classes, self.classes)
        cells = np.where(numbers > 0, self.competition.score(matrices), np.nan)
        # severities weigh the same, however many triples they have
        weights = (
            numbers.sum(-1, keepdims=True) / np.maximum(numbers, 1) / np.maximum((numbers > 0).sum(-1), 1)[..., None]
        )
        pooled = (matrices * weights[..., None, None]).sum(-3)
        return np.where(numbers.sum(-1) > 0, self._score_each(pooled), np.nan), cells

    def _score_each(self, pooled: np.ndarray) -> np.ndarray:
        """Scores (parts, S) of the corruptions' matrices (parts, S, C, C).

        Where a metric over classes lacks one, because few samples were taken, the class is filled in as it is
        predicted under the other corruptions. Left out it would flatter the score: the hard classes are the rare ones.
        """
        metric = self.competition.metric
        if isinstance(metric, ConfusionMetric) and metric.fills:
            sizes = pooled.sum((-2, -1))[..., None]  # (parts, S, 1)
            of_those = (sizes * (pooled.sum(-1) > 0)).sum(-2)[..., None]  # (parts, C, 1): of those that have the class
            pooled = fill_classes(pooled, (pooled.sum(-3) / np.maximum(of_those, 1e-12))[:, None])
        return self.competition.score(pooled)

    def draws(self, group: np.ndarray, draws: int = 1000) -> np.ndarray:
        """Stress scores (draws,) under resampling of groups; the same groups make the same draws.

        With few triples a cell they lie too close together, as a bootstrap of small strata does (Rao & Wu 1988): then
        they are spread to the jackknife's standard error, which errs on the safe side (Efron & Stein 1981).
        """
        entries, numbers = self.sums(group)
        groups = entries.shape[0]
        rng = np.random.default_rng(0)
        made = []
        for _ in range(0, draws, 50):
            times = rng.multinomial(groups, np.full(groups, 1 / groups), size=50).astype(float).T
            scores, _ = self._scores((entries.T @ times).T, (numbers.T @ times).T)
            made.append(np.nanmean(scores, axis=1))
        drawn = np.concatenate(made)
        error = np.sqrt(jackknife_variance(self.without(group)))
        return drawn.mean() + (drawn - drawn.mean()) * max(1.0, error / max(drawn.std(), 1e-12))

    def without(self, group: np.ndarray) -> np.ndarray:
        """Stress scores without each group in turn, or each of BLOCKS blocks of many groups."""
        block = np.random.default_rng(0).permutation(int(group.max()) + 1) % BLOCKS
        return self._without(block[group])

    def _without(self, part: np.ndarray) -> np.ndarray:
        """Scores without each part of the triples in turn."""
        entries, numbers = (table.toarray() for table in self.sums(part))
        scores, _ = self._scores(entries.sum(0) - entries, numbers.sum(0) - numbers)
        return np.asarray(np.nanmean(scores, axis=1))

    def error(self, left_out: float) -> float:
        """Standard error of the score for a share of triples: a jackknife over random parts of them.

        It leaves out that they are spread evenly, so it is rather too large. left_out: share not taken.
        """
        part = np.random.default_rng(0).permutation(len(self.cell)) % PARTS
        return float(np.sqrt(jackknife_variance(self._without(part)) * left_out))
