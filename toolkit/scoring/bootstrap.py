"""How sure a score is: resampling of groups, and leaving them out one by one."""

import math

import numpy as np

PERCENTILES = (2.5, 97.5)  # of what is shown as low and high


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of resampled scores (draws,)."""
    low, high = np.percentile(draws, PERCENTILES)
    return float(low), float(high)


def jackknife_variance(without: np.ndarray) -> float:
    """A statistic's variance from its values (n,) without each group in turn (Miller 1974).

    It errs on the safe side (Efron & Stein 1981).
    """
    return float((len(without) - 1) / len(without) * ((without - without.mean()) ** 2).sum())


def resample(confusions: np.ndarray, groups: np.ndarray, seed: int = 0, draws: int = 1000) -> np.ndarray:
    """Sums of confusion matrices (N, ..., C, C) in random draws of the groups, float64 (draws, ..., C, C).

    The bootstrap (Efron 1979) over groups (N,), integers that samples of one origin share, not over samples: the
    `interval` of the draws' scores is what is shown as a score's low and high.

    One seed and the same groups make the same draws, so that what two runs give in them can be compared.
    """
    _, inverse = np.unique(groups, return_inverse=True)
    totals = np.zeros((inverse.max() + 1, math.prod(confusions.shape[1:])))
    np.add.at(totals, inverse, confusions.reshape(len(confusions), -1))
    rng = np.random.default_rng(seed)
    made = []
    for start in range(0, draws, 100):  # 100 draws at a time bound the memory: groups can be many
        size = min(100, draws - start)
        times = rng.multinomial(len(totals), np.full(len(totals), 1 / len(totals)), size=size)
        made.append(times @ totals)
    return np.concatenate(made).reshape(draws, *confusions.shape[1:])
