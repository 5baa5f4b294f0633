"""Which blend, and how good it is, with nothing counted twice.

For the score of fold k, blenders are fitted and one of them is chosen without fold k: the choice rests on inner
scores, for which every other fold j is predicted by blends fitted on neither j nor k. So the score is that of the
whole procedure, the choice of the blender included (nested cross-validation; Varma and Simon 2006).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.blending.blenders import Blender, Solution, confusions
from toolkit.blending.candidates import Candidate, Pool
from toolkit.blending.greedy import read
from toolkit.competition import Competition
from toolkit.metrics import Metric, confusion_by_sample
from toolkit.probabilities import CHUNK

DRAWS = 200
Key = tuple[int, ...]


@dataclass(frozen=True)
class Scored:
    """One blender: its cross-fitted score and the score of the final fit on what it was fitted on."""

    blender: Blender
    score: float
    naive: float
    eligible: bool
    within: bool  # a standard error of the best eligible one


@dataclass(frozen=True)
class Outcome:
    """The chosen blend.

    parts: (blender, solution) of each fold in turn, fitted and chosen without it; final: on all folds. score: of the
    parts together; naive: of the final one on all samples; single: the best run, chosen without the fold it is
    scored on; real: probability that the gain over it is one, by resampling groups.
    """

    table: tuple[Scored, ...]
    parts: tuple[tuple[Blender, Solution], ...]
    final: tuple[Blender, Solution]
    score: float
    naive: float
    single: float
    real: float


def draw_groups(groups: np.ndarray, draws: int = DRAWS, seed: int = 0) -> np.ndarray:
    """How often each sample counts in each draw of groups, uint16 (draws, N)."""
    _, inverse = np.unique(groups, return_inverse=True)
    number = int(inverse.max()) + 1
    times = np.random.default_rng(seed).multinomial(number, np.full(number, 1 / number), size=draws)
    return times[:, inverse].astype(np.uint16)


def resampled(matrices: np.ndarray, times: np.ndarray, metric: Metric, scored: Sequence[int]) -> np.ndarray:
    """Scores (draws,) of per-sample matrices (N, C, C)."""
    flat = matrices.reshape(len(matrices), -1)
    used = flat.any(0)
    totals = np.zeros((len(times), flat.shape[1]))
    totals[:, used] = times.astype(np.float32) @ flat[:, used].astype(np.float32)
    return metric.score(totals.reshape(len(times), *matrices.shape[1:]), scored)


def simplest_within(scores: np.ndarray, draws: np.ndarray, eligible: np.ndarray) -> np.ndarray:
    """bool (E,): the best eligible one and those whose distance to it is no more than its standard error.

    draws (E, D): scores of each on the same resampled data, so that the error is that of the difference.
    """
    best = int(np.where(eligible, scores, -np.inf).argmax())
    noise = np.std(draws[best] - draws, axis=1)
    within: np.ndarray = eligible & (scores[best] - scores <= noise + 1e-12)
    return within


def cross_fit(
    pool: Pool,
    blenders: Sequence[Blender],
    eligible: Sequence[bool],
    single: Callable[[Key, int], np.ndarray],
    watch: Callable[[str], None] = lambda news: None,
) -> Outcome:
    """Fit, choose and score.

    single(folds, k): confusion matrices (n, C, C) of fold k under the run that is the best on `folds`.
    """
    folds = pool.folds
    solutions: dict[tuple[str, Key], Solution] = {}
    found: dict[tuple[str, Key, int], np.ndarray] = {}

    def fit(blender: Blender, without: Key) -> Solution:
        key = (blender.name, without)
        if key not in solutions:
            rest = [k for k in folds if k not in without]
            if blender.after:
                first = next(one for one in blenders if one.name == blender.after)
                solutions[key] = blender.fit(pool, rest, fit(first, without))
            else:
                solutions[key] = blender.fit(pool, rest)
        return solutions[key]

    def matrices(blender: Blender, without: Key, fold: int) -> np.ndarray:
        key = (blender.name, without, fold)
        if key not in found:
            made = confusions(pool, fit(blender, without), fold)
            found[key] = made.astype(np.uint8 if made.max() < 256 else np.int32)
        return found[key]

    metric, scored = pool.competition.metric, pool.scored
    allowed = np.array(eligible)

    def choose(inside: Sequence[int], without: Key) -> tuple[np.ndarray, np.ndarray]:
        """Who is within noise, and scores, each fold of `inside` scored without itself and `without`."""
        groups = np.concatenate([pool.group[pool.fold == j] for j in inside])
        times = draw_groups(groups)
        scores, draws = [], []
        for blender, may in zip(blenders, allowed, strict=True):
            if without and not may:  # what can't be chosen is scored only for the table
                scores.append(-1.0)
                draws.append(np.zeros(DRAWS))
                continue
            whole = np.concatenate([matrices(blender, tuple(sorted({*without, j})), j) for j in inside])
            scores.append(float(metric.score(whole.sum(0, dtype=np.int64), scored)))
            draws.append(resampled(whole, times, metric, scored))
        return simplest_within(np.array(scores), np.array(draws), allowed), np.array(scores)

    parts, blended, alone = [], [], []
    for k in folds:
        watch(f"fold {k + 1} of {len(folds)}")
        others = [j for j in folds if j != k]
        # with two folds nothing is left to fit on without both: the simplest is taken untried
        within = choose(others, (k,))[0] if len(others) > 1 else allowed
        blender = blenders[int(within.argmax())]
        parts.append((blender, fit(blender, (k,))))
        blended.append(matrices(blender, (k,), k))
        alone.append(single(tuple(others), k))
        for key in [key for key in found if len(key[1]) == 2 and k in key[1] and max(key[1]) == k]:
            del found[key]  # both of its folds have been scored
    within, scores = choose(folds, ())
    naive = [float(metric.score(_sum(pool, fit(one, ()), folds), scored)) for one in blenders]
    chosen = int(within.argmax()) if len(folds) > 2 else int(allowed.argmax())
    ours, theirs = np.concatenate(blended).astype(np.int64), np.concatenate(alone)
    times = draw_groups(np.concatenate([pool.group[pool.fold == k] for k in folds]), 1000, 1)
    gain = resampled(ours, times, metric, scored) - resampled(theirs, times, metric, scored)
    table = [
        Scored(*line)
        for line in zip(blenders, map(float, scores), naive, map(bool, allowed), map(bool, within), strict=True)
    ]
    return Outcome(
        tuple(table),
        tuple(parts),
        (blenders[chosen], fit(blenders[chosen], ())),
        float(metric.score(ours.sum(0), scored)),
        naive[chosen],
        float(metric.score(theirs.sum(0), scored)),
        float((gain > 0).mean() + (gain == 0).mean() / 2),
    )


def best_single(
    competition: Competition, candidates: Sequence[Candidate], targets: np.ndarray, fold: np.ndarray
) -> Callable[[Key, int], np.ndarray]:
    """The function `cross_fit` asks for: runs are read one after the other, and only totals by fold are kept."""
    classes = len(competition.task.classes)

    def matrices(candidate: Candidate, k: int) -> np.ndarray:
        rows = np.flatnonzero(fold == k)
        found = [
            confusion_by_sample(np.asarray(targets[at]), competition.decode(read(candidate.oof, at)), classes)
            for at in np.split(rows, range(CHUNK, len(rows), CHUNK))
        ]
        return np.concatenate(found)

    folds = [int(k) for k in np.unique(fold[fold >= 0])]
    totals = np.array([[matrices(one, k).sum(0) for k in folds] for one in candidates])

    def single(inside: Key, k: int) -> np.ndarray:
        scores = competition.score(totals[:, np.isin(folds, inside)].sum(1))
        return matrices(candidates[int(scores.argmax())], k)

    return single


def _sum(pool: Pool, solution: Solution, folds: Sequence[int]) -> np.ndarray:
    total: np.ndarray = np.sum([confusions(pool, solution, k).sum(0) for k in folds], axis=0)
    return total
