"""Two runs on the same samples: is the difference of their scores real?"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from toolkit.competition import Competition
from toolkit.predictions import Predictions
from toolkit.runs import Run, best_run, current_runs
from toolkit.scoring.bootstrap import interval, resample

SURE = 0.95  # from this probability on a difference is called one
DRAWS = 2000


@dataclass(frozen=True)
class Comparison:
    """difference: score of the first less that of the second, with its 95 % interval; probability: that the first is
    the better one. It is about these trained networks: another seed may differ more.
    """

    difference: float
    low: float
    high: float
    probability: float

    @property
    def words(self) -> str:
        if self.probability >= SURE:
            return f"better with probability {self.probability:.3f}"
        if self.probability <= 1 - SURE:
            return f"worse with probability {1 - self.probability:.3f}"
        return "not distinguishable"

    def __str__(self) -> str:
        return f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f}), {self.words}"


def compare(competition: Competition, first: np.ndarray, second: np.ndarray, groups: np.ndarray) -> Comparison:
    """The difference of two scores from per-sample confusion matrices (N, C, C) of the same samples.

    A paired bootstrap (Efron and Tibshirani 1993) over groups (N,): samples of one origin are drawn together, and the
    same for both.
    """
    both = np.stack([first, second], axis=1)
    scores = competition.score(resample(both, groups, draws=DRAWS))
    observed = competition.score(both.sum(0))
    return compare_draws(float(observed[0] - observed[1]), scores[:, 0] - scores[:, 1])


def compare_draws(difference: float, draws: np.ndarray) -> Comparison:
    """From an observed difference and resampled ones (draws,); a draw without difference counts half."""
    probability = float(np.mean(draws > 0) + np.mean(draws == 0) / 2)
    return Comparison(difference, *interval(draws), probability)


def compare_runs(runs: Iterable[Predictions], other: Predictions) -> list[Comparison]:
    """The clean score of each run, or blend, against that of another on the same data and folds."""
    inside, group = other.labelled.inside, other.labelled.group
    theirs = other.confusions()[inside]
    own = (run.confusions()[inside] for run in runs)
    return [compare(other.labelled.competition, one, theirs, group[inside]) for one in own]


def compare_with_best(run: Run) -> str:
    """The clean score of a run against that of the best other one on the same data and folds, in words."""
    others = [other for other in current_runs(run.labelled) if other != run]
    best = best_run(others)
    if best is None:
        return f"{run.name}: the first run, so there is none to compare it with"
    (found,) = compare_runs([run], best)
    chosen = f", the best of {len(others)} on these very samples" if len(others) > 1 else ""
    return f"{run.name} against {best.name}{chosen}: {found}"
