"""Two runs on the same samples: is the difference of their scores real?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.competition import Competition
from toolkit.metrics import INTERVAL, resample
from toolkit.probabilities import open_probabilities
from toolkit.scoring.out_of_fold import stored_confusions

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
    low, high = np.percentile(draws, INTERVAL)
    probability = float(np.mean(draws > 0) + np.mean(draws == 0) / 2)
    return Comparison(difference, float(low), float(high), probability)


def run_confusions(competition: Competition, targets: np.ndarray, run: Path) -> np.ndarray:
    """Confusion matrices (N, C, C) of what a run's or a blend's folder says out of fold; those of samples in no fold
    mean nothing.
    """
    return stored_confusions(competition, targets, open_probabilities(run / "oof.npy"))


def compare_runs(
    competition: Competition, targets: np.ndarray, folds: pd.DataFrame, runs: Sequence[Path], other: np.ndarray
) -> list[Comparison]:
    """The clean score of each run against that of the confusions (N, C, C) of another."""
    inside = folds["fold"].to_numpy() >= 0
    groups = folds["group"].to_numpy()[inside]
    own = (run_confusions(competition, targets, run)[inside] for run in runs)
    return [compare(competition, one, other[inside], groups) for one in own]
