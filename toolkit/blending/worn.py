"""What the runs of a pool kept of images as the test may have them, by which a blend is chosen beside its CV score.

Those that were made to look like the test images, where these may be looked at; else those of the stress score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.blending.candidates import SeedGroups, with_values
from toolkit.blending.solution import Solution, mixed
from toolkit.data.labelled import Labelled
from toolkit.metrics.tally import Tally, joined
from toolkit.probabilities import chunks
from toolkit.runs import Run
from toolkit.scoring.matched_to_test import kept_of_match, read_match
from toolkit.scoring.stress import read_evidence
from toolkit.scoring.weighted import weigh

VALUES = 2**25  # of a run, that are read for each blend at most


@dataclass(frozen=True)
class Kept:
    """name, rows, truth, weights: as `Worn` has them, of all; key: by what they are known; values: (n, ...) by run."""

    name: str
    key: dict[str, Any]
    rows: np.ndarray
    truth: np.ndarray
    weights: np.ndarray
    values: dict[str, np.ndarray]


@dataclass(frozen=True)
class Worn:
    """n images, each predicted by the networks that hadn't seen it.

    seed_groups: with what they kept for `oof`, of which the values at `places` int64 (n,) are read; truth: (n, ...),
    masks moved with their images; rows: int64 (n,), which samples they are; weights: (n,). name: what they are called.
    """

    name: str
    seed_groups: SeedGroups
    places: np.ndarray
    truth: np.ndarray
    rows: np.ndarray
    weights: np.ndarray

    def groups(self, folds: Sequence[int]) -> np.ndarray:
        """Of the images of these folds, in their order."""
        return np.concatenate([self.seed_groups.labelled.group[self.rows[self._of(k)]] for k in folds])

    def tally(self, solution: Solution, fold: int) -> Tally:
        """What the metric counts of one fold's images, in order, under the solution's own decisions."""
        competition, at = self.seed_groups.labelled.competition, self._of(fold)

        def of(some: np.ndarray) -> Tally:
            values = mixed(self.seed_groups, solution, "oof", self.places[some])
            return competition.tally(self.truth[some], values, solution.decisions)

        made = joined([of(at[part]) for part in chunks(len(at), self.truth.shape[1:])])
        return weigh(made.as_part(), self.weights[at])

    def _of(self, fold: int) -> np.ndarray:
        return np.flatnonzero(self.seed_groups.labelled.fold[self.rows] == fold)


def find_worn(kept: Kept | None, pool: SeedGroups) -> Worn | None:
    """Of the runs of a pool; None where nothing was kept, or some fold has none of the images."""
    if kept is None:
        return None
    labelled = pool.labelled
    # no more than there are samples, which say no more either
    most = max(1, min(VALUES // int(np.prod(labelled.probability_shape(1))), int(labelled.inside.sum())))
    places = np.sort(np.random.default_rng(0).permutation(len(kept.rows))[:most])
    if len(np.unique(labelled.fold[kept.rows[places]])) < labelled.folds:
        return None
    groups = SeedGroups(labelled, with_values(pool.seed_groups, "oof", kept.values))
    return Worn(kept.name, groups, places, np.asarray(kept.truth[places]), kept.rows[places], kept.weights[places])


def kept_of(labelled: Labelled, runs: Sequence[Run]) -> Kept | None:
    """None where one of these runs kept nothing of such images, or where test images look like training images."""
    match = read_match(labelled.workspace.match)
    if match is not None:
        of_match = {run.name: said for run in runs if (said := kept_of_match(run, match)) is not None}
        if match.alike or len(of_match) < len(runs):
            return None
        return Kept("test-like", {"match": match.hash}, match.rows, match.truth, match.weights, of_match)
    found = {run.name: one for run in runs if (one := read_evidence(run)) is not None}
    evidence = list(found.values())
    number = min((len(one.probabilities) for one in evidence), default=0)
    # of two runs on the same folds one has the beginning of the other's
    if len(found) < len(runs) or any((one.triples[:number] != evidence[0].triples[:number]).any() for one in evidence):
        return None
    rows, truth = evidence[0].triples[:number, 0].astype(np.int64), evidence[0].truth
    truth = labelled.truth[rows] if truth is None else truth[:number]
    values = {name: one.probabilities for name, one in found.items()}
    return Kept("corrupted", {"corrupted": number}, rows, truth, np.ones(number), values)
