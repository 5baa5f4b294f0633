"""What a metric counts of a part of the samples alone, where what has to be decided can't be learnt from other folds.

A fold of a search, a part that decides when to stop: choices of thresholds and the like are cross-fitted within it.
"""

from collections.abc import Sequence

import numpy as np

from toolkit.competition import Competition
from toolkit.data.labelled import decided_tally
from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.decisions.fit import fit_stored, is_decided
from toolkit.metrics.tally import Tally
from toolkit.probabilities import Mix, chunks, no_values, value_type
from toolkit.runs import Run

PARTS = 5  # of the groups, where nothing is said


def tally_within(
    competition: Competition,
    truth: np.ndarray,
    stored: np.ndarray,
    groups: np.ndarray,
    learnt_from: tuple[np.ndarray, np.ndarray] | None = None,
    parts: int = PARTS,
) -> Tally:
    """A row for each of n samples, of targets (n, ...) and stored values (n, channels, ...).

    Decisions are fitted on other groups (n,) than those they are applied to; learnt_from: targets and stored values of
    the same samples to fit them on, if others than these; parts: of the groups, each decided by the others.
    """
    of_truth, of_stored = learnt_from or (truth, stored)
    decided = _decided(competition, of_truth, of_stored, groups, parts)
    return decided_tally(competition, truth, stored, decided).as_part()


def tally_by_fold(
    competition: Competition,
    truth: np.ndarray,
    stored: np.ndarray,
    fold: np.ndarray,
    decisions: Sequence[Decisions],
) -> Tally:
    """A row for each of n samples, of targets (n, ...) and stored values (n, channels, ...), decided as it is done in
    the fold (n,) that each belongs to.
    """
    if all(one == PLAIN for one in decisions):
        return decided_tally(competition, truth, stored, [(np.arange(len(truth)), PLAIN)])
    parts = [(np.flatnonzero(fold == k), decisions[k]) for k in np.unique(fold)]
    return decided_tally(competition, truth, stored, parts)


def mixed_decisions(runs: Sequence[Run], mix: Mix) -> list[Decisions]:
    """Of each fold, fitted on what is mixed of the runs' values out of fold in the others."""
    labelled = runs[0].labelled
    if not is_decided(labelled.competition.task, labelled.competition.metric):
        return [PLAIN] * labelled.folds
    mixed = no_values(runs[0].oof.shape, value_type(labelled.competition.task))
    rows, stored = np.flatnonzero(labelled.inside), [run.oof for run in runs]
    for at in chunks(len(rows), mixed.shape[2:]):
        mixed[rows[at]] = mix([one[rows[at]] for one in stored], labelled.fold[rows[at]])
    return labelled.decisions(mixed)


def _decided(
    competition: Competition, truth: np.ndarray, stored: np.ndarray, groups: np.ndarray, parts: int
) -> list[tuple[np.ndarray, Decisions]]:
    """Places of samples, and what is decided for them by the others."""
    task, metric, scored = competition.task, competition.metric, competition.scored
    names, inverse = np.unique(groups, return_inverse=True)
    if not is_decided(task, metric) or len(names) < 2:
        return [(np.arange(len(truth)), PLAIN)]
    part = (np.random.default_rng(0).permutation(len(names)) % parts)[inverse]
    found = []
    for one in np.unique(part):
        others = np.flatnonzero(part != one)
        fitted = fit_stored(task, metric, truth, stored, others, scored)
        found.append((np.flatnonzero(part == one), fitted))
    return found
