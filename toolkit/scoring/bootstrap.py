"""How sure a score is: resampling of groups, and leaving them out one by one."""

import math

import numpy as np

from toolkit.competition import Competition
from toolkit.metrics.confusion import ConfusionMetric
from toolkit.outcome import FEW_GROUPS

PERCENTILES = (2.5, 97.5)  # of what is shown as low and high


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of resampled values (draws,), as of differences; `score_interval` is that of a score."""
    low, high = np.percentile(draws, PERCENTILES)
    return float(low), float(high)


def score_interval(competition: Competition, confusions: np.ndarray, groups: np.ndarray) -> tuple[float, float]:
    """The 95 % interval `low`, `high` of the official metric of confusion matrices (N, C, C), also weighted ones.

    groups: integers (N,) that samples of one origin share. The percentile bootstrap over groups; below FEW_GROUPS of
    them `widened`. A class that a draw lacks is predicted as in all samples: left out, or as an IoU of 0, it would
    move the score by itself.
    """
    totals = group_totals(confusions, groups)
    whole = totals.sum(0)

    def score(matrices: np.ndarray) -> np.ndarray:
        return score_as_in(whole, matrices, competition)

    draws = score(resample(totals, np.arange(len(totals))))
    return widened(float(competition.score(whole)), draws, score(whole - totals))


def class_intervals(
    competition: Competition, confusions: np.ndarray, groups: np.ndarray
) -> list[tuple[float, float] | None]:
    """As `score_interval`, of each class (C,) alone; None for one that has no sample.

    It is of the draws that hold the class, and rests on the groups that hold it: only they are left out and counted.
    """
    totals = group_totals(confusions, groups)
    whole, holds = totals.sum(0), totals.sum(2) > 0

    def values(matrices: np.ndarray) -> np.ndarray:
        return competition.metric.by_class(matrices, competition.scored)

    matrices = resample(totals, np.arange(len(totals)))
    drawn, without, found = values(matrices), values(whole - totals), values(whole)
    made: list[tuple[float, float] | None] = []
    for at, value in enumerate(found):
        held, known = without[holds[:, at], at], matrices[:, at].sum(1) > 0
        held = np.where(np.isnan(held), value, held)
        made.append(widened(float(value), drawn[known, at], held) if holds[:, at].any() else None)
    return made


def widened(score: float, draws: np.ndarray, without: np.ndarray) -> tuple[float, float]:
    """The percentile interval of resampled scores (draws,); of few groups, also what the jackknife's interval holds.

    without: the scores (n,) without each group in turn. The percentile interval of few groups is too narrow: here it
    is joined with score ± t · error (the jackknife's, Student's t with its degrees of freedom) on the scale of the
    logit, where an interval ends before 0 and 1 (Efron & Tibshirani 1993, ch. 11 to 13). Where all is right, or all
    wrong, no draw differs: the other end is that of as many right groups (Clopper & Pearson 1934).
    """
    groups = len(without)
    low, high = interval(draws)
    if groups < 2:
        return 0.0, 1.0
    if not 0 < score < 1:
        end = (PERCENTILES[0] / 100) ** (1 / groups)
        return (min(low, end), high) if score >= 1 else (low, max(high, 1 - end))
    if groups >= FEW_GROUPS:
        return low, high
    from scipy.stats import t as student

    error = math.sqrt(jackknife_variance(without)) / (score * (1 - score))
    reach = float(student.ppf(PERCENTILES[1] / 100, _freedom(without))) * error
    middle = math.log(score / (1 - score))
    ends = [1 / (1 + math.exp(min(-(middle + side * reach), 700.0))) for side in (-1, 1)]
    return min(low, ends[0]), max(high, ends[1])


def _freedom(without: np.ndarray) -> float:
    """Degrees of freedom of a jackknife's error, from 1 to n - 1: as few as 2 where one group makes it all, as that
    which holds the rare class may (Satterthwaite 1946).
    """
    squares = (without - without.mean()) ** 2
    spread = float((squares**2).sum() - squares.sum() ** 2 / len(squares))
    most = len(squares) - 1.0
    return max(1.0, min(most, 2 * float(squares.sum()) ** 2 / spread)) if spread > 0 else most


def score_as_in(whole: np.ndarray, matrices: np.ndarray, competition: Competition) -> np.ndarray:
    """Scores (...) of parts (..., C, C) of a confusion matrix `whole` (C, C).

    A class that a part lacks is predicted as in the whole; one that the whole lacks too doesn't count, as nothing is
    known of it.
    """
    assert isinstance(competition.metric, ConfusionMetric)
    return competition.metric.as_in(whole, matrices, competition.scored)


def jackknife_variance(without: np.ndarray) -> float:
    """A statistic's variance from its values (n,) without each group in turn (Miller 1974).

    It errs on the safe side (Efron & Stein 1981).
    """
    return float((len(without) - 1) / len(without) * ((without - without.mean()) ** 2).sum())


def group_totals(confusions: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Sums of confusion matrices (N, ..., C, C) over groups (N,), float64 (groups, ..., C, C)."""
    _, inverse = np.unique(groups, return_inverse=True)
    totals = np.zeros((inverse.max() + 1, math.prod(confusions.shape[1:])))
    np.add.at(totals, inverse, confusions.reshape(len(confusions), -1))
    return totals.reshape(-1, *confusions.shape[1:])


def resample(confusions: np.ndarray, groups: np.ndarray, seed: int = 0, draws: int = 1000) -> np.ndarray:
    """Sums of confusion matrices (N, ..., C, C) in random draws of the groups, float64 (draws, ..., C, C).

    The bootstrap (Efron 1979) over groups (N,), integers that samples of one origin share, not over samples.

    One seed and the same groups make the same draws, so that what two runs give in them can be compared.
    """
    totals = group_totals(confusions, groups).reshape(-1, math.prod(confusions.shape[1:]))
    rng = np.random.default_rng(seed)
    made = []
    for start in range(0, draws, 100):  # 100 draws at a time bound the memory: groups can be many
        size = min(100, draws - start)
        times = rng.multinomial(len(totals), np.full(len(totals), 1 / len(totals)), size=size)
        made.append(times @ totals)
    return np.concatenate(made).reshape(draws, *confusions.shape[1:])
