"""Which blend, and how good it is, with nothing counted twice.

For the score of fold k, blenders are fitted and one of them is chosen without fold k: the choice rests on inner
scores, for which every other fold j is predicted by blends fitted on neither j nor k. So the score is that of the
whole procedure, the choice of the blender included (nested cross-validation; Varma and Simon 2006).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.blending.blenders import Blender
from toolkit.blending.candidates import Candidate, Pool
from toolkit.blending.solution import Solution, fold_confusions
from toolkit.data.labelled import confusions
from toolkit.probabilities import CHUNK, read
from toolkit.scoring.bootstrap import resample

DRAWS = 200
Key = tuple[int, ...]


@dataclass(frozen=True)
class BlenderScore:
    """One blender: its cross-fitted score and the score of the final fit on what it was fitted on."""

    name: str
    score: float
    naive: float
    eligible: bool  # to be chosen: a server that runs code can do linear blends alone
    within: bool  # a standard error of the best eligible one


@dataclass(frozen=True)
class CrossFit:
    """The chosen blend.

    parts: (blender, solution) of each fold in turn, fitted and chosen without it; final: on all folds. score: of the
    parts together; naive: of the final one on all samples; single: the best run, chosen without the fold it is
    scored on; real: probability that the gain over it is one, by resampling groups.
    """

    table: list[BlenderScore]
    parts: list[tuple[Blender, Solution]]
    final: tuple[Blender, Solution]
    score: float
    naive: float
    single: float
    real: float


def simplest_within(scores: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """bool (E,): the best and those whose distance to it is no more than its standard error.

    draws (D, E): scores of each on the same resampled data, so that the error is that of the difference.
    """
    best = int(scores.argmax())
    noise = np.std(draws[:, [best]] - draws, axis=0)
    within: np.ndarray = scores[best] - scores <= noise + 1e-12
    return within


def cross_fit(pool: Pool, blenders: Sequence[Blender]) -> CrossFit:
    """Fit, choose and score."""
    folds, group = pool.folds, pool.labelled.group
    score = pool.labelled.competition.score
    may = [one for one in blenders if one.linear or pool.labelled.competition.try_submission is None]
    best_single = _best_single(pool)
    solutions: dict[tuple[str, Key], Solution] = {}
    found: dict[tuple[str, Key, int], np.ndarray] = {}

    def fit(blender: Blender, without: Key) -> Solution:
        key = (blender.name, without)
        if key not in solutions:
            rest = [k for k in folds if k not in without]
            first = [fit(one, without) for one in blenders if one.name == blender.after]
            solutions[key] = blender.fit(pool, rest, *first)
        return solutions[key]

    def matrices(blender: Blender, without: Key, fold: int) -> np.ndarray:
        key = (blender.name, without, fold)
        if key not in found:
            made = fold_confusions(pool, fit(blender, without), fold)
            found[key] = made.astype(np.uint8 if made.max() < 256 else np.int32)
        return found[key]

    def groups_of(some: Sequence[int]) -> np.ndarray:
        return np.concatenate([group[pool.labelled.rows(k)] for k in some])

    def out_of_fold(blender: Blender, inside: Sequence[int], without: Key) -> np.ndarray:
        """Confusion matrices of the samples of `inside`, each fold's fitted without itself and `without`."""
        return np.concatenate([matrices(blender, tuple(sorted({*without, j})), j) for j in inside])

    def choose(inside: Sequence[int], without: Key) -> list[Blender]:
        """Those within noise of the best eligible one, from the simplest on."""
        whole = np.stack([out_of_fold(blender, inside, without) for blender in may], axis=1)
        draws = score(resample(whole, groups_of(inside), draws=DRAWS))
        within = simplest_within(score(whole.sum(0, dtype=np.int64)), draws)
        return [blender for blender, near in zip(may, within, strict=True) if near]

    def naive(blender: Blender) -> float:
        return float(score(np.sum([fold_confusions(pool, fit(blender, ()), k).sum(0) for k in folds], axis=0)))

    parts, blended, alone = [], [], []
    for k in folds:
        others = [j for j in folds if j != k]
        # with two folds nothing is left to fit on without both: the simplest is taken untried
        blender = choose(others, (k,))[0] if len(others) > 1 else may[0]
        parts.append((blender, fit(blender, (k,))))
        blended.append(matrices(blender, (k,), k))
        alone.append(best_single(others, k))
        for key in [key for key in found if len(key[1]) == 2 and max(key[1]) == k]:
            del found[key]  # both of its folds have been scored
    within = choose(folds, ())
    chosen = within[0] if len(folds) > 2 else may[0]
    table = [
        BlenderScore(
            one.name,
            float(score(out_of_fold(one, folds, ()).sum(0, dtype=np.int64))),
            naive(one),
            one in may,
            one in within,
        )
        for one in blenders
    ]
    both = np.stack([np.concatenate(blended), np.concatenate(alone)], axis=1).astype(np.int64)
    ours, theirs = score(both.sum(0))
    draws = score(resample(both, groups_of(folds), seed=1))
    gain = draws[:, 0] - draws[:, 1]
    return CrossFit(
        table=table,
        parts=parts,
        final=(chosen, fit(chosen, ())),
        score=float(ours),
        naive=next(line.naive for line in table if line.name == chosen.name),
        single=float(theirs),
        real=float((gain > 0).mean() + (gain == 0).mean() / 2),
    )


def _best_single(pool: Pool) -> Callable[[Sequence[int], int], np.ndarray]:
    """(folds, k) -> confusion matrices (n, C, C) of fold k under the run that is the best on `folds`.

    Runs are read one after the other, and only totals by fold are kept.
    """
    labelled, runs = pool.labelled, [member for group in pool.seed_groups for member in group.members]

    def matrices(run: Candidate, k: int) -> np.ndarray:
        rows = labelled.rows(k)
        parts = np.split(rows, range(CHUNK, len(rows), CHUNK))
        return np.concatenate(
            [confusions(labelled.competition, labelled.truth[at], read(run.oof, at)) for at in parts]
        )

    totals = np.array([[matrices(one, k).sum(0) for k in pool.folds] for one in runs])

    def single(inside: Sequence[int], k: int) -> np.ndarray:
        scores = labelled.competition.score(totals[:, list(inside)].sum(1))
        return matrices(runs[int(scores.argmax())], k)

    return single
