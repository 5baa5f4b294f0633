"""What the runs of a pool kept of images as the test may have them, by which a blend is chosen beside its CV score.

Those that were made to look like the test images, where these may be looked at; else those of the stress score.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from toolkit.blending.candidates import SeedGroups
from toolkit.blending.solution import Solution, mixed
from toolkit.data.labelled import Labelled
from toolkit.metrics.tally import Tally, joined
from toolkit.probabilities import chunks
from toolkit.runs import Run
from toolkit.scoring.matched_to_test import kept_of_match, read_match
from toolkit.scoring.stress import read_evidence
from toolkit.scoring.stress_sampling import all_triples
from toolkit.scoring.weighted import weigh

VALUES = 2**25  # of a run, that are read for each blend at most


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


def find_worn(labelled: Labelled, runs: Sequence[Run], pool: SeedGroups) -> Worn | None:
    """None where a run of the pool kept nothing of such images, or where test images look like training images."""
    names = {member.name for member in pool.runs}
    used = [run for run in runs if run.name in names]
    source = _source(labelled, used)
    if source is None:
        return None
    # no more than there are samples, which say no more either
    most = max(1, min(VALUES // int(np.prod(labelled.probability_shape(1))), int(labelled.inside.sum())))
    places = np.sort(np.random.default_rng(0).permutation(len(source.rows))[:most])
    if len(np.unique(labelled.fold[source.rows[places]])) < labelled.folds:
        return None
    groups = _with(pool, dict(zip([run.name for run in used], source.kept, strict=True)))
    truth, rows, weights = np.asarray(source.truth[places]), source.rows[places], source.weights[places]
    return Worn(source.name, groups, places, truth, rows, weights)


def worn_key(labelled: Labelled, runs: Sequence[Run]) -> dict[str, Any]:
    """By what `find_worn` of these runs is known; empty where there is nothing."""
    source = _source(labelled, runs)
    return {} if source is None else source.key


@dataclass(frozen=True)
class _Source:
    """name, rows, truth, weights: as `Worn` has them; key: what they are known by; kept: values (n, ...) by run."""

    name: str
    key: dict[str, Any]
    rows: np.ndarray
    truth: np.ndarray
    weights: np.ndarray
    kept: list[np.ndarray]


def _source(labelled: Labelled, runs: Sequence[Run]) -> _Source | None:
    match = read_match(labelled.workspace.match)
    if match is not None:
        kept = [values for run in runs if (values := kept_of_match(run, match)) is not None]
        if match.alike or len(kept) < len(runs):
            return None
        return _Source("test-like", {"match": match.hash}, match.rows, match.truth, match.weights, kept)
    found = [one for run in runs if (one := read_evidence(run)) is not None]
    number = min((len(one.probabilities) for one in found), default=0)
    triples = all_triples(labelled)[:number]
    if len(found) < len(runs) or any(not np.array_equal(one.triples[:number], triples) for one in found):
        return None
    rows = triples[:, 0].astype(np.int64)
    truth = labelled.truth[rows] if found[0].truth is None else found[0].truth[:number]
    return _Source(
        "corrupted", {"corrupted": number}, rows, truth, np.ones(number), [one.probabilities for one in found]
    )


def _with(pool: SeedGroups, kept: Mapping[str, np.ndarray]) -> SeedGroups:
    groups = [
        replace(group, members=tuple(replace(one, oof=kept[one.name]) for one in group.members))
        for group in pool.seed_groups
    ]
    return SeedGroups(pool.labelled, tuple(groups))
