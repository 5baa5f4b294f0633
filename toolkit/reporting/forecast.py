"""What the leaderboard will say, learnt from what it said of past submissions.

The model, for each local score x (clean, stress, matched) by itself:

    leaderboard = x + shift + (slope - 1) (x - mean of x) + noise,    noise ~ N(0, s)

with the priors shift ~ N(0, 0.5), slope ~ N(1, 0.3), s ~ half-Cauchy(0.02): with three or four submissions the slope
stays near 1, and only many of them, far apart, move it. Given s the posterior is normal (Bayesian linear regression,
Gelman et al., "Bayesian Data Analysis", 2013, chapter 14); s is summed out on a grid, which makes the prediction
wide-tailed like Student's t. Which local score is the best forecaster is decided by leave-one-out errors.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr
from scipy.stats import permutation_test

from toolkit.errors import UserError

LOCAL = ("matched", "stress", "clean")  # local scores in the ledger; of equally good forecasters the first is taken
NEEDED = 3  # submissions with a leaderboard score, for a forecast
SHIFT, SLOPE, NOISE = 0.5, 0.3, 0.02  # the priors' widths
GRID = np.geomspace(1e-4, 1.0, 160)  # of s; below 1e-4 leaderboards round
FLIPS = 4096  # of signs, in a permutation test: all there are for up to twelve submissions


@dataclass(frozen=True)
class PastSubmission:
    """A line of the ledger in numbers; `local` holds the local scores it has, `blend` the shares of its runs."""

    name: str
    local: Mapping[str, float]
    public: float | None = None
    private: float | None = None
    blend: Mapping[str, float] | None = None


def from_ledger(lines: Sequence[Mapping[str, str]]) -> list[PastSubmission]:
    """The ledger's lines in numbers, the newest of each submission; UserError where one is none."""
    found: dict[str, PastSubmission] = {}
    for line in lines:
        name = line["submission"].rpartition("/")[2].rpartition(".")[0]
        local = {score: value for score in LOCAL if (value := _number(line, score, name)) is not None}
        public, private = _number(line, "public", name), _number(line, "private", name)
        found[name] = PastSubmission(name, local, public, private, _shares(line["blend"]))
    return list(found.values())


def _number(line: Mapping[str, Any], column: str, name: str) -> float | None:
    text = line.get(column, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise UserError(
            f"the ledger's line of {name} has {text!r} in its column {column}, expected a number; mend it in an editor"
        ) from None


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for part in text.split():
        run, _, share = part.rpartition("=")
        if run and not run.startswith("--"):
            shares[run] = float(share)
    return shares


@dataclass(frozen=True)
class Range:
    """A predicted score: mean, standard deviation, 95 % interval."""

    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Fit:
    """The posterior given each s of the grid: its weight (S,), means (S, 2) and covariances (S, 2, 2) of shift and
    slope - 1; `centre` is the mean of the local scores.
    """

    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    centre: float

    @property
    def slope(self) -> float:
        return 1 + float(self.weight @ self.mean[:, 1])

    def at(self, local: float) -> Range:
        """What the leaderboard says of a submission with this local score."""
        row = np.array([1.0, local - self.centre])
        means = local + self.mean @ row
        sds = np.sqrt(GRID**2 + np.einsum("i,sij,j", row, self.covariance, row))
        mean = float(self.weight @ means)
        sd = float(np.sqrt(self.weight @ (sds**2 + (means - mean) ** 2)))

        def quantile(share: float) -> float:
            reach = 20 * float(sds.max()) + float(np.ptp(means))
            return float(
                brentq(lambda y: float(self.weight @ ndtr((y - means) / sds)) - share, mean - reach, mean + reach)
            )

        return Range(mean, sd, quantile(0.025), quantile(0.975))


def fit(local: np.ndarray, board: np.ndarray) -> Fit:
    """The model fitted to local scores (n,) and what the leaderboard said (n,), n >= 1."""
    centre = float(local.mean())
    rows = np.stack([np.ones(len(local)), local - centre], axis=1)
    rest = board - local
    prior = np.diag([SHIFT**-2, SLOPE**-2])
    precision = rows.T @ rows / GRID[:, None, None] ** 2 + prior
    covariance = np.linalg.inv(precision)
    mean = np.einsum("sij,j->si", covariance, rows.T @ rest) / GRID[:, None] ** 2
    missed = ((rest - mean @ rows.T) ** 2).sum(1) / GRID**2 + np.einsum("si,ij,sj->s", mean, prior, mean)
    likelihood = -len(local) * np.log(GRID) - (np.linalg.slogdet(precision)[1] + missed) / 2
    log = likelihood + np.log(GRID) - np.log1p((GRID / NOISE) ** 2)  # half-Cauchy, on a logarithmic grid
    weight = np.exp(log - log.max())
    return Fit(weight / weight.sum(), mean, covariance, centre)


def left_out(local: np.ndarray, board: np.ndarray) -> list[Range]:
    """The forecast of each submission from all others."""
    keep = ~np.eye(len(local), dtype=bool)
    return [fit(local[at], board[at]).at(float(x)) for at, x in zip(keep, local, strict=True)]


@dataclass(frozen=True)
class Forecasters:
    """Local scores by their leave-one-out errors on the submissions that have all of them, best first."""

    errors: Mapping[str, np.ndarray]  # absolute, (n,)
    words: str

    @property
    def best(self) -> str:
        return next(iter(self.errors))


def forecasters(past: Sequence[PastSubmission]) -> Forecasters | None:
    """None where no local score has three submissions that the public leaderboard scored."""
    known = [one for one in past if one.public is not None]
    names = [name for name in LOCAL if sum(name in one.local for one in known) >= NEEDED]
    while names:
        common = [one for one in known if all(name in one.local for name in names)]
        if len(common) >= NEEDED:
            break
        names.remove(min(names, key=lambda name: sum(name in one.local for one in known)))
    if not names:
        return None
    board = np.array([one.public for one in common], float)
    errors = {}
    for name in names:
        local = np.array([one.local[name] for one in common])
        errors[name] = abs(np.array([ranged.mean for ranged in left_out(local, board)]) - board)
    errors = dict(sorted(errors.items(), key=lambda item: float(np.median(item[1]))))
    return Forecasters(errors, _comparison(errors, len(common)))


def _comparison(errors: dict[str, np.ndarray], number: int) -> str:
    (best, least), *others = errors.items()
    words = f"the {best} score was the best forecaster: half of its errors are below {np.median(least):.4f}"
    if not others:
        tried = f"Over {number} submissions the {best} score alone could be tried"
        return f"{tried}: half of its errors are below {np.median(least):.4f}."
    rest = ", ".join(f"{name} {np.median(values):.4f}" for name, values in others)
    alike = [name for name, values in others if permutation_p_value(values - least) >= 0.05 / len(others)]
    closing = f"not distinguishable from {' and '.join(alike)}" if alike else "a difference beyond chance"
    return f"Over {number} submissions, each forecast from the others, {words} ({rest}); {closing}."


def permutation_p_value(differences: np.ndarray) -> float:
    """Two-sided p-value that paired differences (n,) have mean 0, by exchanging their signs (Fisher 1935).

    Three pairs can't go below 0.25, five not below 0.06.
    """
    found = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=FLIPS, rng=0)
    return float(found.pvalue)


@dataclass(frozen=True)
class Forecast:
    """`by`: the local score it follows from; None, with `words` that say why, where there is no forecast."""

    words: str
    by: str | None = None
    range: Range | None = None


def forecast(past: Sequence[PastSubmission], local: Mapping[str, float]) -> Forecast:
    """What the public leaderboard will say of a submission with these local scores."""
    chosen = forecasters(past)
    have = sum(one.public is not None for one in past)
    if chosen is None:
        reason = "none is" if not have else "only one is" if have == 1 else f"{have} are"
        if have >= NEEDED:
            reason = f"{have} are, but fewer have local scores beside them"
        return Forecast(
            f"There is no forecast yet: it needs {NEEDED} submissions whose leaderboard score is recorded, {reason}; "
            "`submit --score` writes one down."
        )
    by = next((name for name in chosen.errors if name in local), None)
    if by is None:
        return Forecast(f"There is no forecast: this blend has no {' or '.join(chosen.errors)} score.")
    beside, board = pairs(past, by)
    ranged = fit(beside, board).at(local[by])
    return Forecast(
        f"The leaderboard will likely say {ranged.mean:.3f} ({ranged.low:.3f} to {ranged.high:.3f}), judged by the "
        f"{by} scores of {len(board)} submissions.",
        by,
        ranged,
    )


def pairs(past: Sequence[PastSubmission], name: str) -> tuple[np.ndarray, np.ndarray]:
    """One local score (n,), and what the public leaderboard said (n,) of the submissions that have it."""
    known = [(one.local[name], one.public) for one in past if name in one.local and one.public is not None]
    local, board = np.array(known, float).reshape(-1, 2).T
    return local, board


def fit_to(past: Sequence[PastSubmission], name: str) -> Fit | None:
    """The model for one local score; None with fewer than three submissions."""
    local, board = pairs(past, name)
    return fit(local, board) if len(local) >= NEEDED else None
