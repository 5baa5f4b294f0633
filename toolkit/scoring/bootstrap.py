"""How sure a score is: resampling of groups, and leaving them out one by one."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from toolkit.metrics.many_classes import ManyClasses
from toolkit.metrics.tally import Counts, Tally
from toolkit.outcome import FEW_GROUPS

PERCENTILES = (2.5, 97.5)  # of what is shown as low and high
AT_ONCE = 100  # draws: they bound the memory, as groups can be many
DRAWN = 10_000_000  # groups in all draws together, beyond which fewer draws are made at once
ENOUGH = 0.8  # of the draws, that have to have a score: one group without which there is none is in 63 % of them
LEFT_OUT = 500  # groups of a metric without counts that are left out one by one; more of them in so many blocks


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of resampled values (draws,), as of differences; `score_interval` is that of a score."""
    low, high = np.percentile(draws, PERCENTILES)
    return float(low), float(high)


def score_interval(tally: Tally, groups: np.ndarray) -> tuple[float, float]:
    """The 95 % interval `low`, `high` of the official metric of a tally of n samples, also weighted ones.

    groups: integers (n,) that samples of one origin share. The percentile bootstrap over groups; below FEW_GROUPS of
    them `widened`. A class that a draw lacks is predicted as in all samples: left out, or as an IoU of 0, it would
    move the score by itself. Draws that have no score, as where an organisers' function fails, are left out.
    """
    totals = tally.by_group(groups)
    score, draws = totals.score(), score_draws([totals])[0]
    if isinstance(getattr(totals, "each", totals), ManyClasses):
        # of classes with a sample or two a draw has fewer, or one twice: all draws may lie on one side of the score
        draws = np.clip(draws + score - draws.mean(), *_range(tally))
    return _with_unknown(totals, score, widened(score, draws, _left_out(totals), _range(tally)))


def _with_unknown(totals: Tally, score: float, ends: tuple[float, float]) -> tuple[float, float]:
    """The interval, as far as it would reach if classes that are said and never true scored as the others do.

    Officially they count as 0, but nothing is known of them: the interval of that score alone would hold the truth of
    few groups, which lack a rare class, in half as many cases as it says.
    """
    held = totals.by_held()
    other = score if held is totals else held.score()
    if not np.isfinite([score, other]).all() or abs(other - score) < 1e-12:
        return ends
    times = other / score if score else 1.0
    low, high = (float(np.clip(other + (end - score) * times, *_range(totals))) for end in ends)
    return min(ends[0], low), max(ends[1], high)


def class_intervals(
    tally: Tally, groups: np.ndarray, classes: np.ndarray | None = None
) -> list[tuple[float, float] | None]:
    """As `score_interval`, of each class or target (C,) alone, or of some of them; None for one that has no sample;
    empty for a metric that scores none.

    It is of the draws that hold the class, and rests on the groups that hold it: only they are left out and counted.
    """
    totals = tally.by_group(groups)
    found = totals.by_class()
    if found is None:
        return []
    every = np.arange(len(found)) if classes is None else classes
    found, holds = found[every], totals.held(every)
    counted = holds.astype(float)

    def scores(times: np.ndarray) -> np.ndarray:
        made = totals.by_class(times)
        assert made is not None
        return made[:, every]

    parts = [(scores(times), times @ counted > 0) for times in drawn_times(len(totals))]
    drawn, known = (np.concatenate([part[at] for part in parts]) for at in range(2))
    few = holds.sum(0) < FEW_GROUPS
    needed = np.flatnonzero(holds[:, few].any(1))
    without = np.full((len(totals), len(found)), np.nan)
    for start in range(0, len(needed), AT_ONCE):
        out = needed[start : start + AT_ONCE]
        times = np.ones((len(out), len(totals)))
        times[np.arange(len(out)), out] = 0
        without[out] = scores(times)
    made: list[tuple[float, float] | None] = []
    for at, value in enumerate(found):
        held, mine = without[holds[:, at], at], drawn[known[:, at], at]
        able = holds[:, at].any() and not np.isnan(value)
        made.append(widened(float(value), mine, held, _range(tally)) if able else None)
    return made


def _range(tally: Tally) -> tuple[float, float]:
    return tally.metric.low, tally.metric.high


def widened(
    score: float, draws: np.ndarray, without: np.ndarray, ends: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """The percentile interval of resampled scores (draws,); of few groups, also what the jackknife's interval holds.

    without: the scores (n,) without each group in turn, which from FEW_GROUPS on only have to be as many; ends:
    between which all scores lie. NaN: there is none; where too many draws have none, a few groups decide whether there
    is a score at all, and it may be anything between the ends. The percentile interval of few groups is too narrow:
    here it is joined with score ± t · error (the jackknife's, Student's t with its degrees of freedom) on a scale
    where an interval ends before what no score can be: the logit between two ends, the logarithm beyond one, itself
    where there is none (Efron & Tibshirani 1993, ch. 11 to 13). Where all is right, or all wrong, no draw differs: the
    other end is that of as many right groups (Clopper & Pearson 1934).
    """
    groups, known = len(without), draws[~np.isnan(draws)]
    without = np.where(np.isnan(without), score, without)
    low, high = interval(known) if len(known) else (score, score)
    # a metric that was declared carelessly: what is beyond an end shows that there is none
    least = ends[0] if min(score, low) >= ends[0] else -math.inf
    most = ends[1] if max(score, high) <= ends[1] else math.inf
    if groups < 2 or len(known) < ENOUGH * len(draws):
        return least, most
    bounded = math.isfinite(least) and math.isfinite(most)
    if not least < score < most:
        if not bounded:
            return low, high
        end = (most - least) * (PERCENTILES[0] / 100) ** (1 / groups)
        return (min(low, least + end), high) if score >= most else (low, max(high, most - end))
    if groups >= FEW_GROUPS:
        return low, high
    from scipy.stats import t as student

    reach, error = float(student.ppf(PERCENTILES[1] / 100, _freedom(without))), math.sqrt(jackknife_variance(without))
    if bounded:
        wide = most - least
        share = (score - least) / wide
        reach, middle = reach * (error / wide / (share * (1 - share))), math.log(share / (1 - share))
        found = [least + wide / (1 + math.exp(min(-(middle + side * reach), 700.0))) for side in (-1, 1)]
    elif math.isfinite(least):
        found = [least + (score - least) * _power(side * reach * error / (score - least)) for side in (-1, 1)]
    elif math.isfinite(most):
        found = [most - (most - score) * _power(-side * reach * error / (most - score)) for side in (-1, 1)]
    else:
        found = [score - reach * error, score + reach * error]
    return min(low, found[0]), max(high, found[1])


def _power(exponent: float) -> float:
    return math.exp(min(exponent, 700.0))


def _freedom(without: np.ndarray) -> float:
    """Degrees of freedom of a jackknife's error, from 1 to n - 1: as few as 2 where one group makes it all, as that
    which holds the rare class may (Satterthwaite 1946).
    """
    squares = (without - without.mean()) ** 2
    spread = float((squares**2).sum() - squares.sum() ** 2 / len(squares))
    most = len(squares) - 1.0
    return max(1.0, min(most, 2 * float(squares.sum()) ** 2 / spread)) if spread > 0 else most


def jackknife_variance(without: np.ndarray) -> float:
    """A statistic's variance from its values (n,) without each group in turn (Miller 1974).

    It errs on the safe side (Efron & Stein 1981). Groups without which there is no value (NaN) are left out.
    """
    known = without[~np.isnan(without)]
    return float((len(known) - 1) / len(known) * ((known - known.mean()) ** 2).sum()) if len(known) else math.inf


def _left_out(totals: Tally) -> np.ndarray:
    """As many values as there are groups: scores without each in turn where they are few enough to be looked at."""
    return totals.without_each() if len(totals) < FEW_GROUPS else np.zeros(len(totals))


def without_groups(totals: Tally) -> np.ndarray:
    """Scores without each row of a tally in turn, for `jackknife_variance`.

    Where a metric needs the samples themselves and there are more than LEFT_OUT rows, without each of as many blocks
    of them: the same blocks for all tallies of so many rows.
    """
    if isinstance(totals, Counts) or len(totals) <= LEFT_OUT:
        return totals.without_each()
    block = np.random.default_rng(0).permutation(len(totals)) % LEFT_OUT
    return totals.by_group(block).without_each()


def group_totals(confusions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of counts (N, ...), such as confusion matrices, over groups (N,), float64 (groups, ...)."""
    _, inverse = np.unique(groups, return_inverse=True)
    totals = np.zeros((inverse.max() + 1, math.prod(confusions.shape[1:])))
    np.add.at(totals, inverse, confusions.reshape(len(confusions), -1))
    return totals.reshape(-1, *confusions.shape[1:])


def drawn_times(groups: int, seed: int = 0, draws: int = 1000) -> Iterator[np.ndarray]:
    """How often each group is drawn, int64 (d, groups), at most AT_ONCE times in one go: the bootstrap over groups.

    It is Efron's (1979). One seed and the same number of groups make the same draws, so that what two runs give in
    them can be compared.
    """
    rng, step = np.random.default_rng(seed), int(np.clip(DRAWN // groups, 1, AT_ONCE))
    for start in range(0, draws, step):
        yield rng.multinomial(groups, np.full(groups, 1 / groups), size=min(step, draws - start))


def score_draws(tallies: Sequence[Tally], seed: int = 0, draws: int = 1000) -> np.ndarray:
    """Scores (T, draws) of tallies of the same groups, a row each, in random draws of them, the same for all.

    NaN where a draw has none.
    """
    parts = [[tally.scores(times) for tally in tallies] for times in drawn_times(len(tallies[0]), seed, draws)]
    return np.concatenate(parts, axis=1)


def resample(confusions: np.ndarray, groups: np.ndarray, seed: int = 0, draws: int = 1000) -> np.ndarray:
    """Sums of counts (N, ...), such as confusion matrices, in random draws of the groups, float64 (draws, ...).

    The bootstrap over groups (N,), integers that samples of one origin share, not over samples; its draws are those of
    `score_draws`.
    """
    totals = group_totals(confusions, groups).reshape(-1, math.prod(confusions.shape[1:]))
    made = [times @ totals for times in drawn_times(len(totals), seed, draws)]
    return np.concatenate(made).reshape(draws, *confusions.shape[1:])
