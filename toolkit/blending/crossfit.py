"""Which blend, and how good it is, with nothing counted twice.

For the score of fold k, blenders are fitted and one of them is chosen without fold k: the choice rests on inner
scores, for which every other fold j is predicted by blends fitted on neither j nor k. So the score is that of the
whole procedure, the choice of the blender included (nested cross-validation; Varma and Simon 2006).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from toolkit.blending.blenders import SINGLE, Blender, with_decisions
from toolkit.blending.pool import Pool
from toolkit.blending.solution import Solution, fold_tally
from toolkit.blending.worn import Worn
from toolkit.metrics.confusion import ConfusionMetric
from toolkit.metrics.tally import Counts, Tally, joined
from toolkit.progress import SILENT, Done, Progress
from toolkit.scoring.bootstrap import resample, score_draws
from toolkit.scoring.out_of_fold import defined

FITTING = "fitting blends"  # a phase
DRAWS = 200
FEWEST = 20  # draws that have a score: fewer say nothing
UNREAL = 0.05  # probability of a gain over the best run below which a blend gives way to it
Key = tuple[int, ...]
Part = tuple[Blender, Solution]


@dataclass(frozen=True)
class BlenderScore:
    """One blender: its cross-fitted score and the score of the final fit on what it was fitted on, both official."""

    name: str
    score: float
    naive: float
    eligible: bool  # to be chosen: a server that runs code can do linear blends alone
    within: bool  # a standard error of the best eligible one
    worn: float | None = None  # cross-fitted, on images as the test may have them, where there are any


@dataclass(frozen=True)
class CrossFit:
    """The chosen blend.

    parts: (blender, solution) of each fold in turn, fitted and chosen without it; final: on all folds. score: of the
    parts together; naive: of the final one on all samples; single: the best run, chosen without the fold it is
    scored on; real: probability that the gain over it is one, by resampling groups. gave_way: the blender that was
    chosen and then gave way to the best seed group, as its gain was not real.
    """

    table: list[BlenderScore]
    parts: list[Part]
    final: Part
    score: float
    naive: float
    single: float
    real: float
    gave_way: str | None = None


def simplest_within(seen: Sequence[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """bool (E,): the best and those whose distance to it is no more than its standard error. More is better.

    seen: of each set of images, which weigh the same, merits (E,) and draws (D, E), merits of each on the same
    resampled data, so that the error is that of the difference. A further set on which one has no score says nothing.
    """
    known = [seen[0], *(each for each in seen[1:] if np.isfinite(each[0]).all())]
    merits = np.mean([each for each, _ in known], axis=0)
    best = int(merits.argmax())
    if not np.isfinite(merits[best]):
        return np.ones(len(merits), bool)  # none has a score, as of AUC where all of one class lie in one fold
    # sets show the same groups: were errors added up as of independent ones, too few would be within
    able = np.isfinite(merits)
    noise = np.mean([_noise(draws[:, able], int(able[:best].sum())) for _, draws in known], axis=0)
    within = able.copy()
    within[able] = merits[best] - merits[able] <= noise + 1e-12
    return within


def _noise(draws: np.ndarray, best: int) -> np.ndarray:
    """(E,): standard errors of the differences to the best, from merits (D, E) of those draws in which all have one;
    infinite where these are too few to tell.
    """
    told = draws[np.isfinite(draws).all(1)]
    if len(told) < min(FEWEST, len(draws)):
        return np.full(draws.shape[1], np.inf)
    return np.asarray(np.std(told[:, [best]] - told, axis=0))


def merits(tallies: Sequence[Tally]) -> np.ndarray:
    """(E,): official scores of several predictions of the same samples, times the metric's sign; none is the worst."""
    first = tallies[0]
    if isinstance(first, Counts) and isinstance(first.metric, ConfusionMetric):
        counts: list[np.ndarray] = [one.counts for one in tallies]  # type: ignore[attr-defined]
        total = np.stack([one.sum(0, dtype=np.result_type(one, np.int64)) for one in counts])
        return first.metric.sign * first.metric.of_counts(total, first.scored)
    found = np.array([one.metric.sign * one.score() for one in tallies])
    return np.nan_to_num(found, nan=-np.inf)


def merit_draws(tallies: Sequence[Tally], groups: np.ndarray, seed: int = 0, draws: int = 1000) -> np.ndarray:
    """(draws, E): the same where groups are drawn with replacement, the same ones for all."""
    first = tallies[0]
    if isinstance(first, Counts) and isinstance(first.metric, ConfusionMetric):
        counts = np.stack([one.counts for one in tallies], axis=1)  # type: ignore[attr-defined]
        found: np.ndarray = first.metric.of_counts(resample(counts, groups, seed, draws), first.scored)
        return first.metric.sign * found
    made = score_draws([one.by_group(groups) for one in tallies], seed, draws)
    return np.nan_to_num(first.metric.sign * made.T, nan=-np.inf)


def _small(tally: Tally) -> Tally:
    """Confusion matrices in as few bytes as hold them: many blends' are kept at once."""
    if not isinstance(tally, Counts) or not isinstance(tally.metric, ConfusionMetric):
        return tally
    if tally.counts.dtype != np.int64:
        return tally
    return replace(tally, counts=tally.counts.astype(np.uint8 if tally.counts.max(initial=0) < 256 else np.int32))


def cross_fit(
    pool: Pool,
    blenders: Sequence[Blender],
    asked: str | None = None,
    progress: Progress = SILENT,
    worn: Worn | None = None,
) -> CrossFit:
    """Fit, choose and score.

    asked: a blender's name, which is taken whatever its score. Else one whose gain over the best run is real with a
    probability under UNREAL gives way to `single`, all of whose numbers are then the blend's. worn: images whose score
    counts as much in the choice as that of the samples.
    """
    number = len(pool.folds)  # fits: of all folds, without each, and without each two where a choice is scored
    fits = 1 + number + (number * (number - 1) // 2 if asked is None else 0)
    with progress.counting(FITTING, len(blenders) * fits) as done:
        return _cross_fit(pool, blenders, asked, progress, worn, done)


def _cross_fit(
    pool: Pool, blenders: Sequence[Blender], asked: str | None, progress: Progress, worn: Worn | None, done: Done
) -> CrossFit:
    folds, group = pool.folds, pool.labelled.group
    may = [one for one in blenders if one.linear or pool.labelled.competition.try_submission is None]
    wanted = next((one for one in blenders if one.name == asked), None)
    solutions: dict[tuple[str, Key], Solution] = {}
    found: dict[tuple[str, Key, int], Tally] = {}

    def fit(blender: Blender, without: Key) -> Solution:
        key = (blender.name, without)
        if key not in solutions:
            rest = [k for k in folds if k not in without]
            first = [fit(one, without) for one in blenders if one.name == blender.after]
            with progress.phase(blender.name):
                solutions[key] = with_decisions(pool, blender.fit(pool, rest, *first), rest)
            done(1)
        return solutions[key]

    def counted(blender: Blender, without: Key, fold: int) -> Tally:
        key = (blender.name, without, fold)
        if key not in found:
            found[key] = _small(fold_tally(pool, fit(blender, without), fold))
        return found[key]

    def groups_of(some: Sequence[int]) -> np.ndarray:
        return np.concatenate([group[pool.labelled.rows(k)] for k in some])

    def keys(inside: Sequence[int], without: Key) -> list[tuple[Key, int]]:
        return [(without if len(inside) == 1 else tuple(sorted({*without, j})), j) for j in inside]

    def out_of_fold(blender: Blender, inside: Sequence[int], without: Key) -> Tally:
        """Of the samples of `inside`, each fold's fitted without itself and `without`.

        One fold alone has no other to be fitted on: it is scored by what was fitted on it.
        """
        return joined([counted(blender, key, j) for key, j in keys(inside, without)])

    def worn_out_of_fold(blender: Blender, inside: Sequence[int], without: Key) -> Tally:
        """The same of images as the test may have them."""
        assert worn is not None
        return joined([worn.tally(fit(blender, key), j) for key, j in keys(inside, without)])

    def choose(inside: Sequence[int], without: Key) -> list[Blender]:
        """Those within noise of the best eligible one, from the simplest on."""
        every = [out_of_fold(blender, inside, without) for blender in may]
        every = [one.as_part() for one in every] if without else every
        seen = [(merits(every), merit_draws(every, groups_of(inside), draws=DRAWS))]
        if worn is not None:
            others = [worn_out_of_fold(blender, inside, without) for blender in may]
            seen.append((merits(others), merit_draws(others, worn.groups(inside), draws=DRAWS)))
        return [blender for blender, near in zip(may, simplest_within(seen), strict=True) if near]

    def naive(blender: Blender) -> float:
        return joined([fold_tally(pool, fit(blender, ()), k) for k in folds]).score()

    def against(parts: Sequence[Part]) -> tuple[float, float, float]:
        """The parts' score, that of the best run, and the probability that the gain is one."""
        ours = joined([counted(blender, (k,), k) for k, (blender, _) in enumerate(parts)])
        theirs = joined([counted(SINGLE, (k,), k) for k in folds])
        draws = merit_draws([ours, theirs], groups_of(folds), seed=1)
        gain = np.subtract(*draws[np.isfinite(draws).all(1)].T)
        scores = ours.metric.sign * merits([ours, theirs])
        real = float((gain > 0).mean() + (gain == 0).mean() / 2) if len(gain) >= FEWEST else 0.5
        return float(scores[0]), float(scores[1]), real

    parts = []
    for k in folds:
        blender = wanted or choose([j for j in folds if j != k], (k,))[0]
        parts.append((blender, fit(blender, (k,))))
        for key in [key for key in found if len(key[1]) == 2 and max(key[1]) == k]:
            del found[key]  # both of its folds have been scored
    within = choose(folds, ())
    chosen, gave_way = wanted or within[0], None
    ours, theirs, real = against(parts)
    # not where `single` is chosen already: to let its score take the place of the parts' then would be to print the
    # better of the two
    if real < UNREAL and wanted is None and chosen is not SINGLE:
        chosen, gave_way = SINGLE, chosen.name
        parts = [(SINGLE, fit(SINGLE, (k,))) for k in folds]
        ours, theirs, real = against(parts)
    table = [
        BlenderScore(
            one.name,
            out_of_fold(one, folds, ()).score(),
            naive(one),
            one in may,
            one in within,
            None if worn is None else defined(worn_out_of_fold(one, folds, ()).score()),
        )
        for one in blenders
    ]
    return CrossFit(
        table=table,
        parts=parts,
        final=(chosen, fit(chosen, ())),
        score=ours,
        naive=naive(chosen),
        single=theirs,
        real=real,
        gave_way=gave_way,
    )
