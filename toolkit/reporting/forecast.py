"""What the leaderboard will say, learnt from what it said of past submissions.

The model, for each local score x (clean, stress, matched) by itself:

    leaderboard = x + shift + (slope - 1) (x - mean of x) + noise,    noise ~ N(0, s)

with the priors shift ~ N(0, 0.5), slope ~ N(1, 0.5), s ~ half-Cauchy(0.04): with three or four submissions the slope
stays near 1, and only many of them, far apart, move it. That is for scores from 0 to 1; others are measured in the
`Span.unit` of their metric. Given s the posterior is normal (Bayesian linear regression,
Gelman et al., "Bayesian Data Analysis", 2013, chapter 14); s is summed out on a grid, which makes the prediction
wide-tailed like Student's t. Which local score the leaderboard follows isn't known: the forecast is a mixture over
them, weighted by how probable each made every submission's score when it was left out.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from toolkit.errors import UserError
from toolkit.metrics.metric import Metric
from toolkit.outcome import number

LOCAL = ("matched", "stress", "clean")  # local scores in the ledger; of equally good forecasters the first is taken
CALLED = {"clean": "CV", "matched": "test-like", "stress": "stress"}  # as people read them
NEEDED = 3  # submissions with a leaderboard score, for a forecast
SHIFT, SLOPE, NOISE = 0.5, 0.5, 0.04  # the priors' widths; benchmarks/honesty/forecast.py says what they hold
GRID = np.geomspace(1e-4, 1.0, 160)  # of s; below 1e-4 leaderboards round
DRAWS = 1000  # of the submissions' shares in the weights
TRIED = 100  # newest submissions, each of which is forecast from the others: a hundredth of a second each
FLIPS = 4096  # of signs, in a permutation test: all there are for up to twelve submissions


@dataclass(frozen=True)
class Span:
    """Between which a metric's scores lie; sign: -1 where the lower one is the better one."""

    low: float = 0.0
    high: float = 1.0
    sign: int = 1

    @classmethod
    def of(cls, metric: Metric) -> "Span":
        return cls(metric.low, metric.high, metric.sign)

    def unit(self, board: np.ndarray) -> float:
        """What counts as far: the whole span, and where it has no end, what these scores are away from the other one,
        or from 0.
        """
        if np.isfinite([self.low, self.high]).all():
            return self.high - self.low
        end = self.low if np.isfinite(self.low) else self.high if np.isfinite(self.high) else 0.0
        return float(np.median(np.abs(board - end))) or 1.0


SHARES = Span()


@dataclass(frozen=True)
class PastSubmission:
    """A line of the ledger in numbers. span: of the metric that they are in.

    local: the local scores that can be held against the present ones; none where it was made `elsewhere`, which says
    on what. blend: the shares of its runs.
    """

    name: str
    local: Mapping[str, float]
    public: float | None = None
    private: float | None = None
    blend: Mapping[str, float] | None = None
    elsewhere: str = ""
    span: Span = SHARES


def from_ledger(
    lines: Sequence[Mapping[str, str]], folds: str, data: str, metric: str, span: Span = SHARES
) -> list[PastSubmission]:
    """The ledger's lines in numbers, the newest of each submission; UserError where one is none.

    folds, data: hashes of what the present scores are measured on, the cleaning list in that of the folds; metric: its
    name, of which `span` is.
    """
    found: dict[str, PastSubmission] = {}
    for line in lines:
        name = line["submission"].rpartition("/")[2].rpartition(".")[0]
        local = {score: value for score in LOCAL if (value := _number(line, score, name)) is not None}
        board = "public" if line["public"] else "practice"
        public, private = _number(line, board, name), _number(line, "private", name)
        elsewhere = ""
        if not (line.get("folds") and line.get("data")):
            elsewhere = "on folds or data that the ledger doesn't name"
        elif line["data"] != data:
            elsewhere = "on other data"
        elif line["folds"] != folds:
            elsewhere = "on other folds or with another cleaning list"
        elif (line.get("metric") or metric) != metric:
            elsewhere = "with scores by another metric"
        elif line.get("known"):
            elsewhere = "with known answers, which no local score knows of"
        kept = {} if elsewhere else local
        found[name] = PastSubmission(name, kept, public, private, _shares(line["blend"]), elsewhere, span)
    return list(found.values())


def left_aside(past: Sequence[PastSubmission]) -> str:
    """How many scored submissions the forecast can't use, and why; empty where it can use all."""
    aside = [one for one in past if one.elsewhere and one.public is not None]
    if not aside:
        return ""
    reasons = [f"{count} made {reason}" for reason, count in Counter(one.elsewhere for one in aside).items()]
    return f"Left out, as their local scores can't be held against the present ones: {', '.join(reasons)}."


def _number(line: Mapping[str, Any], column: str, name: str) -> float | None:
    text = line.get(column, "")
    try:
        return float(text) if text else None
    except ValueError:
        raise UserError(
            f"the ledger's line of {name} has {text!r} in its column {column}, expected a number; fix it in an editor"
        ) from None


def _shares(text: str) -> dict[str, float]:
    shares = {}
    for part in text.split():
        run, _, share = part.rpartition("=")
        if run and not run.startswith("--"):
            try:
                shares[run] = float(share)
            except ValueError:
                raise UserError(f"a line of the ledger has {part!r} in its column blend, expected RUN=SHARE") from None
    return shares


@dataclass(frozen=True)
class Range:
    """A predicted score: mean and 95 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Normals:
    """A mixture of normal distributions: weights (S,) of sum 1, means (S,), standard deviations (S,)."""

    weight: np.ndarray
    mean: np.ndarray
    sd: np.ndarray

    def log_density(self, value: float) -> float:
        from scipy.special import logsumexp  # not before: who only reads of runs waits for no scipy

        z = (value - self.mean) / self.sd
        with np.errstate(divide="ignore"):  # a weight of 0
            parts = np.log(self.weight) - z**2 / 2 - np.log(self.sd)
        return float(logsumexp(parts) - np.log(2 * np.pi) / 2)

    def quantile(self, share: float) -> float:
        from scipy.optimize import brentq
        from scipy.special import ndtr

        mean, reach = float(self.weight @ self.mean), 20 * float(self.sd.max()) + float(np.ptp(self.mean))

        def beyond(value: float) -> float:
            return float(self.weight @ ndtr((value - self.mean) / self.sd)) - share

        return float(brentq(beyond, mean - reach, mean + reach))

    def range(self, bounds: tuple[float, float]) -> Range:
        """Cut off at the least and the highest score there can be."""
        values = (float(self.weight @ self.mean), self.quantile(0.025), self.quantile(0.975))
        return Range(*(float(np.clip(value, *bounds)) for value in values))


@dataclass(frozen=True)
class Fit:
    """The posterior given each s of the grid: its weight (S,), means (S, 2) and covariances (S, 2, 2) of shift and
    slope - 1, in units of `unit`; `centre` is the mean of the local scores in them, `bounds` are those of the
    leaderboard's scores.
    """

    weight: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    centre: float
    bounds: tuple[float, float]
    unit: float = 1.0

    @property
    def slope(self) -> float:
        return 1 + float(self.weight @ self.mean[:, 1])

    def predict(self, local: float) -> Normals:
        row = np.array([1.0, local / self.unit - self.centre])
        sds = np.sqrt(GRID**2 + np.einsum("i,sij,j", row, self.covariance, row))
        return Normals(self.weight, local + self.unit * (self.mean @ row), self.unit * sds)

    def at(self, local: float) -> Range:
        """What the leaderboard says of a submission with this local score."""
        return self.predict(local).range(self.bounds)


def fit(local: np.ndarray, board: np.ndarray, slope: float = SLOPE, noise: float = NOISE, span: Span = SHARES) -> Fit:
    """The model fitted to local scores (n,) and what the leaderboard said (n,), n >= 1; slope, noise: their priors."""
    # a leaderboard that shows its scores on another scale is not cut off
    from scipy.special import softmax

    bounds, unit = (min(span.low, float(board.min())), max(span.high, float(board.max()))), span.unit(board)
    local, board = local / unit, board / unit
    centre = float(local.mean())
    rows = np.stack([np.ones(len(local)), local - centre], axis=1)
    rest = board - local
    prior = np.diag([SHIFT**-2, slope**-2])
    precision = rows.T @ rows / GRID[:, None, None] ** 2 + prior
    covariance = np.linalg.inv(precision)
    mean = np.einsum("sij,j->si", covariance, rows.T @ rest) / GRID[:, None] ** 2
    missed = ((rest - mean @ rows.T) ** 2).sum(1) / GRID**2 + np.einsum("si,ij,sj->s", mean, prior, mean)
    likelihood = -len(local) * np.log(GRID) - (np.linalg.slogdet(precision)[1] + missed) / 2
    log = likelihood + np.log(GRID) - np.log1p((GRID / noise) ** 2)  # half-Cauchy, on a logarithmic grid
    return Fit(softmax(log), mean, covariance, centre, bounds, unit)


def left_out(
    local: np.ndarray, board: np.ndarray, slope: float = SLOPE, noise: float = NOISE, span: Span = SHARES
) -> list[Normals]:
    """The forecast of each submission from all others; slope, noise: as of `fit`."""
    return list(_left_out(tuple(local.tolist()), tuple(board.tolist()), slope, noise, span))


@lru_cache(maxsize=16)  # a report asks several times
def _left_out(
    xs: tuple[float, ...], ys: tuple[float, ...], slope: float, noise: float, span: Span
) -> tuple[Normals, ...]:
    local, board = np.array(xs), np.array(ys)
    keep = ~np.eye(len(local), dtype=bool)
    fits = [fit(local[at], board[at], slope, noise, span) for at in keep]
    return tuple(one.predict(float(x)) for one, x in zip(fits, local, strict=True))


def weights(densities: np.ndarray) -> np.ndarray:
    """How much each of J forecasters counts, (J,) of sum 1, by the logarithmic densities (n, J) that it gave to n
    submissions, each forecast from the others.

    Pseudo-BMA+ (Yao et al., "Using Stacking to Average Bayesian Predictive Distributions", 2018): which submissions
    there are is chance as well, so the weights are a mean over random shares of them, and with few stay near equal.
    """
    from scipy.special import softmax

    shares = np.random.default_rng(0).dirichlet(np.ones(len(densities)), DRAWS)
    return np.asarray(softmax(len(densities) * shares @ densities, axis=1).mean(0))


@dataclass(frozen=True)
class Forecasters:
    """The local scores that forecast the leaderboard: how much each counts, and its model. words: how they compare."""

    weights: Mapping[str, float]
    fits: Mapping[str, Fit]
    words: str

    def used(self, local: Mapping[str, float]) -> dict[str, float]:
        """What each of these local scores counts, the most first; empty where none is known."""
        found = {name: weight for name, weight in self.weights.items() if name in local}
        return {name: weight / sum(found.values()) for name, weight in found.items()}

    def at(self, local: Mapping[str, float]) -> Range:
        """What the leaderboard says of a submission with these local scores, at least one of which is `used`."""
        used = self.used(local)
        parts = [(share, self.fits[name].predict(local[name])) for name, share in used.items()]
        mixture = Normals(
            np.concatenate([share * part.weight for share, part in parts]),
            np.concatenate([part.mean for _, part in parts]),
            np.concatenate([part.sd for _, part in parts]),
        )
        bounds = [self.fits[name].bounds for name in used]
        return mixture.range((min(low for low, _ in bounds), max(high for _, high in bounds)))


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
    common = common[-TRIED:]
    board, span = np.array([one.public for one in common], float), common[0].span
    errors, densities = {}, []
    for name in names:
        made = left_out(np.array([one.local[name] for one in common]), board, span=span)
        errors[name] = abs(np.array([one.weight @ one.mean for one in made]) - board)
        densities.append([one.log_density(value) for one, value in zip(made, board, strict=True)])
    counts = dict(zip(names, map(float, weights(np.array(densities).T)), strict=True))
    counts = dict(sorted(counts.items(), key=lambda item: -item[1]))
    errors = dict(sorted(errors.items(), key=lambda item: float(np.median(item[1]))))
    fits = {name: fit(*pairs(past, name), span=span) for name in counts}
    return Forecasters(counts, fits, _comparison(errors, len(common)))


def _comparison(errors: dict[str, np.ndarray], count: int) -> str:
    (best, least), *others = errors.items()
    words = f"the {CALLED[best]} score was the best forecaster, with a median error of {number(np.median(least))}"
    if not others:
        tried = f"Over {count} submissions the {CALLED[best]} score alone could be tried"
        return f"{tried}: its median error is {number(np.median(least))}."
    rest = ", ".join(f"{CALLED[name]} {number(np.median(values))}" for name, values in others)
    alike = [CALLED[name] for name, values in others if permutation_p_value(values - least) >= 0.05 / len(others)]
    closing = f"not distinguishable from {' and '.join(alike)}" if alike else "a difference beyond chance"
    return f"Over {count} submissions, each forecast from the others, {words} ({rest}); {closing}."


def permutation_p_value(differences: np.ndarray) -> float:
    """Two-sided p-value that paired differences (n,) have mean 0, by exchanging their signs (Fisher 1935).

    Three pairs can't go below 0.25, five not below 0.06.
    """
    from scipy.stats import permutation_test

    found = permutation_test((differences,), np.mean, permutation_type="samples", n_resamples=FLIPS, rng=0)
    return float(found.pvalue)


@dataclass(frozen=True)
class Forecast:
    """`by`: the local scores it follows from; none, with `words` that say why, where there is no forecast."""

    words: str
    by: tuple[str, ...] = ()
    range: Range | None = None


def forecast(past: Sequence[PastSubmission], local: Mapping[str, float]) -> Forecast:
    """What the public leaderboard will say of a submission with these local scores."""
    made = _forecast(past, local)
    return replace(made, words=f"{made.words} {left_aside(past)}".strip())


def _forecast(past: Sequence[PastSubmission], local: Mapping[str, float]) -> Forecast:
    chosen = forecasters(past)
    known = [one for one in past if one.public is not None and not one.elsewhere]
    if chosen is None:
        have = len(known)
        reason = f"{have} so far" if have < NEEDED else f"{have} are, but fewer have local scores beside them"
        return Forecast(
            f"No forecast yet: record {NEEDED} leaderboard scores with `submit --score` ({reason}). Until then expect "
            "a score near CV if the test set looks like the training set, nearer the stress score if it is degraded."
        )
    used = chosen.used(local)
    if not used:
        return Forecast(
            f"There is no forecast: this blend has no {' or '.join(CALLED[name] for name in chosen.weights)} score."
        )
    ranged = chosen.at(local)
    count = sum(any(name in one.local for name in used) for one in known)
    mean, low, high = (number(one, digits=3) for one in (ranged.mean, ranged.low, ranged.high))
    words = f"The leaderboard will likely say {mean} ({low} to {high}), judged by the "
    if len(used) == 1:
        words += f"{CALLED[next(iter(used))]} scores of {count} submissions."
    else:
        shares = [f"{CALLED[name]} ({share:.0%})" for name, share in used.items()]
        words += f"{', '.join(shares[:-1])} and {shares[-1]} scores of {count} submissions"
        words += ", each as far as it forecasts one of them from the others."
    return Forecast(words, tuple(used), ranged)


def pairs(past: Sequence[PastSubmission], name: str) -> tuple[np.ndarray, np.ndarray]:
    """One local score (n,), and what the public leaderboard said (n,) of the submissions that have it."""
    known = [(one.local[name], one.public) for one in past if name in one.local and one.public is not None]
    local, board = np.array(known, float).reshape(-1, 2).T
    return local, board


def fit_to(past: Sequence[PastSubmission], name: str) -> Fit | None:
    """The model for one local score; None with fewer than three submissions."""
    local, board = pairs(past, name)
    return fit(local, board, span=past[0].span) if len(local) >= NEEDED else None
