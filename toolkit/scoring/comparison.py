"""Runs on the same samples: are the differences of their scores real, as many as are compared?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.metrics.tally import Counts, Tally
from toolkit.outcome import number
from toolkit.predictions import Predictions
from toolkit.runs import Run, current_runs, without_handicap
from toolkit.scoring.bootstrap import ENOUGH, jackknife_variance, score_draws, without_groups

SURE = 0.95  # from this probability on a difference is called one
DRAWS = 2000
LONG, FEWEST = 2e8, 400  # weighted samples of a metric without counts, about a minute; draws at least
LEAST = 1e-12  # error of a difference: where it is none at all, rounding alone would make it real
COMPARED = 20  # runs that are compared at once, the best ones: seconds for large masks


@dataclass(frozen=True)
class Comparison:
    """difference: score of the first less that of the second, with its 95 % interval; sure: the probability with which
    no difference among all that were compared with it would be as clear, were all runs equally good. It is about
    these trained networks: another seed may differ more. sign: -1 where the lower score is the better one.
    """

    difference: float
    low: float
    high: float
    sure: float
    sign: int = 1

    @property
    def words(self) -> str:
        """One of `better`, `worse` and `not distinguishable`."""
        if self.sure < SURE:
            return "not distinguishable"
        return "better" if self.sign * self.difference > 0 else "worse"

    def __str__(self) -> str:
        how = "" if self.sure < SURE else f" with probability {self.sure:.3f}"
        difference, low, high = (number(one, "+") for one in (self.difference, self.low, self.high))
        return f"{difference} ({low} to {high}), {self.words}{how}"


def compare(tallies: Sequence[Tally], other: Tally, groups: np.ndarray, draws: int = DRAWS) -> list[Comparison]:
    """Each one's score against the other's, from tallies of the same n samples.

    A paired bootstrap (Efron & Tibshirani 1993) over groups (n,): samples of one origin are drawn together, and the
    same for all. The best of many is the best by luck too, so a difference has to be clearer than the clearest of any
    two in 95 % of the draws, each draw taken about what was observed (the max-T of Westfall & Young 1993 over all
    pairs, which makes up for choosing the other as the best of them). Of reports on equal runs at most 5 % then
    call any worse. Few groups are allowed for by Student's t. Draws in which one has no score are left out; where too
    many have none nothing is distinguishable.
    """
    from scipy.stats import norm
    from scipy.stats import t as student

    totals = [one.by_group(groups) for one in (*tallies, other)]
    if not isinstance(other, Counts):
        draws = int(np.clip(LONG / (len(other) * len(totals)), FEWEST, draws))
    scores, metric, freedom = [one.score() for one in totals], other.metric, len(totals[0]) - 1
    differences = [score - scores[-1] for score in scores[:-1]]
    every = score_draws(totals, draws=draws)
    told = every[:, ~np.isnan(every).any(0)]
    if not freedom or told.shape[1] < ENOUGH * draws:
        wide = metric.high - metric.low
        return [Comparison(one, one - wide, one + wide, 0.0, metric.sign) for one in differences]
    without = [without_groups(one) for one in totals]
    drawn, clearest = told - told.mean(1, keepdims=True), np.zeros(told.shape[1])
    for at, one in enumerate(drawn):
        for before in drawn[:at]:
            apart = one - before
            clearest = np.maximum(clearest, np.abs(apart) / max(apart.std(), LEAST))
    limit = float(np.quantile(clearest, SURE))
    reach, found = float(student.isf(norm.sf(limit), freedom)), []
    for difference, left, one in zip(differences, without, drawn, strict=False):
        error = max(float((one - drawn[-1]).std()), jackknife_variance(left - without[-1]) ** 0.5)
        beyond = abs(difference) / max(error, LEAST)
        sure, wide = float(np.mean(clearest < norm.isf(student.sf(beyond, freedom)))), reach * error
        found.append(Comparison(difference, difference - wide, difference + wide, sure, metric.sign))
    return found


def compare_runs(runs: Sequence[Predictions], other: Predictions) -> list[Comparison]:
    """The clean score of each run, or blend, against that of another on the same data and folds, all at once."""
    labelled = other.labelled
    return compare([run.tally() for run in runs], other.tally(), labelled.group[labelled.inside])


def compare_with_best(run: Run) -> str:
    """The clean score of a run against that of the best other one on the same data and folds, in words.

    Empty where there is no other.
    """
    rivals = without_handicap([other for other in current_runs(run.labelled) if other != run])
    others = sorted(rivals, key=lambda one: -one.merit)[:COMPARED]
    if not others:
        return ""
    best = others[0]
    found = compare_runs([run, *others[1:]], best)[0]
    among = f", among {len(others) + 1} runs" if len(others) > 1 else ""
    return f"{run.name} against {best.name}: {found}{among}"
