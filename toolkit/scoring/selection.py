"""The best of several runs: what choosing it by its score is worth.

The best score of many is too high, because it was chosen for being so. What a choice is worth shows where it wasn't
made: for each fold the best on the other folds is taken, and these predictions together are scored (nested
cross-validation of the choice: Varma & Simon 2006; Cawley & Talbot 2010).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from toolkit.metrics.tally import Tally, joined
from toolkit.outcome import number
from toolkit.scoring.bootstrap import PERCENTILES, score_interval


@dataclass(frozen=True)
class FoldTally:
    """What the metric counts of one fold's validation samples, a row a group.

    groups: int64 (n,), sorted, each once; tally: n rows.
    """

    number: int
    groups: np.ndarray
    tally: Tally


Folds = Sequence[FoldTally]  # of one run or trial
# of each candidate: its folds as they came, where it could be given up between
Orders = Sequence[Sequence[int] | None]
SURVIVORS = 5  # candidates from which on they say what surviving took
DECISIVE = 2  # folds that decide on winners, too: they survive later ones by what they have shown (benchmarks.honesty)


@dataclass(frozen=True)
class Selection:
    """What choosing the best of `candidates` is worth.

    winner: the place of the best score, which is `naive`; parts: for each fold, the place of the best on the others;
    score: of their predictions, with its 95 % interval `low` and `high`, and `by_fold`; optimism: by how much naive is
    better than score, with a 95 % interval of its own. sign: -1 where the lower score is the better one.
    """

    candidates: int
    winner: int
    parts: tuple[int, ...]
    naive: float
    score: float
    low: float
    high: float
    by_fold: tuple[float, ...]
    optimism_low: float
    optimism_high: float
    sign: int = 1

    @property
    def optimism(self) -> float:
        return self.sign * (self.naive - self.score)

    @property
    def words(self) -> str:
        """The optimism with its interval."""
        low, high = (number(one, "+") for one in (self.optimism_low, self.optimism_high))
        return f"{number(self.optimism, '-')} ({low} to {high})"


def by_group(number: int, groups: np.ndarray, tally: Tally) -> FoldTally:
    """A fold from its samples' groups, int (N,), and their tally."""
    return FoldTally(number, np.unique(groups).astype(np.int64), tally.by_group(groups).as_part())


def pooled(folds: Iterable[FoldTally]) -> Tally:
    """The rows of all folds, one fold after the other."""
    return joined([fold.tally for fold in folds])


def pooled_score(folds: Iterable[FoldTally]) -> float:
    """The official metric over all samples of the folds."""
    return pooled(folds).score()


def pooled_merit(folds: Iterable[FoldTally]) -> float:
    """The same with its sign turned where the lower score is the better one."""
    tally = pooled(folds)
    return float(tally.metric.sign * tally.score())


def part_score(folds: Iterable[FoldTally]) -> float:
    """The metric over the samples of some of the folds, by the classes that have one there (`Tally.by_held`)."""
    return pooled(folds).by_held().score()


def part_merit(folds: Iterable[FoldTally]) -> float:
    """The same with its sign turned where the lower score is the better one."""
    tally = pooled(folds).by_held()
    return float(tally.metric.sign * tally.score())


def merits_by_fold(candidates: Sequence[Folds]) -> np.ndarray:
    """Merits (T, K) of T candidates on each of the same K folds, by the folds' numbers, of classes that these have.

    A fold in which the metric isn't defined, such as one without both classes, is taken to be as all folds together.
    """
    found = []
    for folds in candidates:
        each = [part_merit([fold]) for fold in in_order(folds)]
        found.append([pooled_merit(folds) if np.isnan(one) else one for one in each])
    return np.array(found)


def in_order(folds: Folds) -> list[FoldTally]:
    return sorted(folds, key=lambda fold: fold.number)


def residual_variance(scores: np.ndarray) -> tuple[float, int]:
    """Of merits (T, K) of T candidates on K folds: the variance that neither the candidate nor the fold explains, and
    its degrees of freedom (two-way analysis of variance). It holds the samples' noise and the training's together.
    """
    rest = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean()
    freedom = (scores.shape[0] - 1) * (scores.shape[1] - 1)
    return float((rest**2).sum() / freedom), freedom


def survivors_luck(scores: np.ndarray, orders: Orders) -> np.ndarray:
    """By how much the merits (T, K) of those that a search didn't give up are too high for that, (T, K).

    Who went on after a fold did well there, by its worth or by luck; the last fold decided on nothing. So the mean
    lead that a place in the orders has over the later ones is luck, each fold measured by its mean. It is taken of the
    DECISIVE first places. 0 for candidates without an order, and where fewer than SURVIVORS have one.
    """
    luck = np.zeros(scores.shape)
    known = [row for row, order in enumerate(orders) if order is not None]
    if len(known) < SURVIVORS:
        return luck
    order = np.array([orders[row] for row in known])
    came = np.take_along_axis(scores[known] - scores[known].mean(0), order, axis=1)
    places = np.zeros(scores.shape[1])
    for place in reversed(range(len(places) - 1)):
        later = slice(place + 1, None)
        places[place] = (came[:, place] - came[:, later].mean(1)).mean() + places[later].mean()
    places[DECISIVE:] = 0
    luck[np.array(known)[:, None], order] = places
    return luck


def worth_of_best(candidates: Sequence[Folds], orders: Orders = ()) -> Selection:
    """The candidate of the best official score, and what a choice made so scores where it wasn't made.

    At least two candidates, which have the same folds, at least two; ValueError otherwise. Which fold is listed first,
    and which group in it, makes no difference. orders: of a search's trials, whose `survivors_luck` is taken off.
    """
    ordered = [in_order(folds) for folds in candidates]
    numbers = {tuple(fold.number for fold in folds) for folds in ordered}
    if len(ordered) < 2 or len(numbers) != 1 or len(ordered[0]) < 2:
        raise ValueError("a winner is chosen among two or more that have the same folds, at least two")
    sign, folds = ordered[0][0].tally.metric.sign, range(len(ordered[0]))
    totals = [_one_row_a_fold(each) for each in ordered]
    naive = sign * np.array([total.score() for total in totals])
    rest = [[total[[j for j in folds if j != k]].by_held().score() for k in folds] for total in totals]
    parts = np.nan_to_num(sign * np.array(rest), nan=-np.inf).argmax(0)
    taken = [ordered[best][k] for k, best in enumerate(parts)]
    together, groups = pooled(taken), np.concatenate([fold.groups for fold in taken])
    ends = score_interval(together, groups)
    return _selection(naive, parts, sign * together.score(), ends, merits_by_fold(ordered), orders, sign)


def _one_row_a_fold(folds: Folds) -> Tally:
    return pooled(folds).by_group(np.repeat(np.arange(len(folds)), [len(fold.tally) for fold in folds]))


def worth_by_fold(
    scores: Sequence[float],
    ends: Sequence[tuple[float, float]],
    by_fold: np.ndarray,
    orders: Orders = (),
    sign: int = 1,
) -> Selection:
    """As `worth_of_best`, of scores that are known by fold alone: (T,), with their intervals (T, 2), and (T, K), NaN
    where a fold has none.

    The winner's score and its interval, made worse by what the mean over folds loses where the choice is cross-fitted.
    """
    merits = sign * np.asarray(scores, float)
    each = np.where(np.isnan(by_fold), merits[:, None], sign * by_fold)
    parts = (each.sum(1, keepdims=True) - each).argmax(0)
    winner = int(np.argmax(merits))
    loss = float(each[winner].mean() - each[parts, np.arange(len(parts))].mean())
    low, high = (end - sign * loss for end in ends[winner])
    return _selection(merits, parts, float(merits[winner]) - loss, (low, high), each, orders, sign)


def _selection(
    naive: np.ndarray,
    parts: np.ndarray,
    merit: float,
    ends: tuple[float, float],
    each: np.ndarray,
    orders: Orders,
    sign: int,
) -> Selection:
    """Less the luck of who survived, and with the interval of the optimism: that of a difference between two
    candidates on the same folds. naive: merits (T,) of all; merit: of the parts together; each: merits (T, K).

    Both have a residual of their own on each fold, and Student's t the freedom with which its variance is known. So it
    says something where the same one wins without every fold: the difference is then 0, and the winner's luck is not.
    """
    variance, freedom = residual_variance(each)
    half = float(student.ppf(PERCENTILES[1] / 100, freedom) * np.sqrt(2 * variance / each.shape[1]))
    taken = parts, np.arange(len(parts))
    luck = survivors_luck(each, orders)[taken]
    merit -= float(luck.mean())
    optimism = float(naive.max()) - merit
    return Selection(
        candidates=len(naive),
        winner=int(naive.argmax()),
        parts=tuple(parts.tolist()),
        naive=float(sign * naive.max()),
        score=float(sign * merit),
        low=float(ends[0] - sign * luck.mean()),
        high=float(ends[1] - sign * luck.mean()),
        by_fold=tuple((sign * (each[taken] - luck)).tolist()),
        optimism_low=optimism - half,
        optimism_high=optimism + half,
        sign=sign,
    )
