"""What the leaderboard will say, learnt from what it said; and which two submissions to keep for its private part.

The model, for each local score x (clean, stress, matched) by itself:

    leaderboard = x + shift + (slope - 1) (x - mean of x) + noise,    noise ~ N(0, s)

with the priors shift ~ N(0, 0.5), slope ~ N(1, 0.3), s ~ half-Cauchy(0.02): with three or four submissions the slope
stays near 1, and only many of them, far apart, move it. Given s the posterior is normal (Bayesian linear regression,
Gelman et al., "Bayesian Data Analysis", 2013, chapter 14); s is summed out on a grid, which makes the prediction
wide-tailed like Student's t. Which local score is the best forecaster is decided by leave-one-out errors.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr

from toolkit.errors import UserError

LOCAL = ("matched", "stress", "clean")  # local scores in the ledger; of equally good forecasters the first is taken
NEEDED = 3  # submissions with a leaderboard score, for a forecast
SHIFT, SLOPE, NOISE = 0.5, 0.3, 0.02  # the priors' widths
GRID = np.geomspace(1e-4, 1.0, 160)  # of s; below 1e-4 leaderboards round
EXACT = 12  # submissions up to which all signs are tried
COMMON = 0.5  # correlation of two scores under resampled images; assumed


@dataclass(frozen=True)
class Scored:
    """A line of the ledger in numbers; `local` holds the local scores it has, `blend` the shares of its runs."""

    name: str
    local: Mapping[str, float]
    public: float | None = None
    private: float | None = None
    blend: Mapping[str, float] | None = None


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


def forecasters(scored: Sequence[Scored]) -> Forecasters | None:
    """None where no local score has three submissions that the public leaderboard scored."""
    known = [one for one in scored if one.public is not None]
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
    said = f"the {best} score was the best forecaster: half of its errors are below {np.median(least):.4f}"
    if not others:
        return f"Over {number} submissions the {best} score alone could be tried: half of its errors are below " + (
            f"{np.median(least):.4f}."
        )
    rest = ", ".join(f"{name} {np.median(values):.4f}" for name, values in others)
    alike = [name for name, values in others if sign_test(values - least) >= 0.05 / len(others)]
    closing = f"not distinguishable from {' and '.join(alike)}" if alike else "a difference beyond chance"
    return f"Over {number} submissions, each forecast from the others, {said} ({rest}); {closing}."


def sign_test(differences: np.ndarray) -> float:
    """Two-sided p-value that paired differences (n,) have mean 0: all signs exchanged, or 4096 draws of them (Fisher
    1935). Three pairs can't go below 0.25, five not below 0.06.
    """
    number = len(differences)
    if number <= EXACT:
        signs = np.array(list(itertools.product((-1, 1), repeat=number)))
    else:
        signs = np.random.default_rng(0).choice((-1, 1), size=(4096, number))
        signs[0] = 1
    return float((abs(signs @ differences) >= abs(differences.sum()) - 1e-12).mean())


@dataclass(frozen=True)
class Forecast:
    """`by`: the local score it follows from; None, with `words` that say why, where there is no forecast."""

    words: str
    by: str | None = None
    range: Range | None = None


def forecast(scored: Sequence[Scored], local: Mapping[str, float]) -> Forecast:
    """What the public leaderboard will say of a submission with these local scores."""
    chosen = forecasters(scored)
    have = sum(one.public is not None for one in scored)
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
    pairs = _pairs(scored, by)
    made = fit(*pairs)
    ranged = made.at(local[by])
    return Forecast(
        f"The leaderboard will likely say {ranged.mean:.3f} ({ranged.low:.3f} to {ranged.high:.3f}), judged by the "
        f"{by} scores of {len(pairs[0])} submissions.",
        by,
        ranged,
    )


def _pairs(scored: Sequence[Scored], name: str) -> tuple[np.ndarray, np.ndarray]:
    known = [(one.local[name], one.public) for one in scored if name in one.local and one.public is not None]
    local, board = np.array(known, float).reshape(-1, 2).T
    return local, board


def fit_to(scored: Sequence[Scored], name: str) -> Fit | None:
    """The model for one local score; None with fewer than three submissions."""
    local, board = _pairs(scored, name)
    return fit(local, board) if len(local) >= NEEDED else None


@dataclass(frozen=True)
class Pick:
    name: str
    expected: float  # private score
    sd: float
    reason: str


@dataclass(frozen=True)
class Advice:
    words: str
    picks: tuple[Pick, ...] = ()


def public_noise(interval: float, samples: int, test_images: int, share: float | None) -> float:
    """Standard deviation of a private score about the public one of the same submission, from sampling alone.

    interval: width of the local score's 95 % interval over `samples`; share: of the test images that are public.
    Where share or number are unknown, the public part is taken to be as noisy as the local score.
    """
    local = interval / (2 * 1.96)
    if share is None or not test_images:
        return local
    public, private = share * test_images, (1 - share) * test_images
    return float(local * np.sqrt(samples * (1 / public + 1 / private)))


def advise(scored: Sequence[Scored], noise: float) -> Advice:
    """The two submissions to keep: of the best expected private score, and the best beside it.

    noise: as of `public_noise`; COMMON of it moves all submissions alike and changes no order. The rest shrinks what
    the leaderboard said towards what it says of such local scores (Efron and Morris 1975): all the way where scores
    scatter about the fit no more than that noise makes them. The second pick makes the expected better of the two
    highest (Clark, "The Greatest of a Finite Set of Random Variables", 1961), so it has to be good and to err
    elsewhere: two blends correlate by the share of runs that they have in common.
    """
    chosen = forecasters(scored)
    if chosen is None:
        return Advice(f"Which two to keep can be said once {NEEDED} leaderboard scores are recorded.")
    private = {one.name: one.private for one in scored if one.private is not None}
    if private:
        best, value = max(private.items(), key=lambda item: item[1])
        return Advice(f"The private leaderboard is known: {best} is the best there, {value:.4f}.")
    by = chosen.best
    known = [one for one in scored if one.public is not None and by in one.local]
    local, board = _pairs(known, by)
    made = fit(local, board)
    fitted = np.array([made.at(float(x)).mean for x in local])
    own = noise * np.sqrt(1 - COMMON)
    trust = float(made.weight @ np.maximum(0, 1 - (own / GRID) ** 2))  # in the public score
    expected = trust * board + (1 - trust) * fitted
    sd = np.full(len(known), np.sqrt(trust) * own)
    first = int(expected.argmax())
    better = np.array([_better(expected, sd, first, at, _shared(known[first], one)) for at, one in enumerate(known)])
    better[first] = -np.inf
    second = int(better.argmax())
    tops = [name for name in LOCAL if name != by and _is_top(known, second, name)]
    best_by = f", and has the best {' and '.join(tops)} score" if tops else ""
    reasons = (
        f"has the best expected private score, {expected[first]:.3f}: the leaderboard said {board[first]:.3f}, of its "
        f"{by} score it says {fitted[first]:.3f}.",
        f"is expected at {expected[second]:.3f} and shares {_shared(known[first], known[second]):.0%} of the first "
        f"one's runs{best_by}: the better of the two is "
        f"expected at {better[second]:.3f}.",
    )
    picks = tuple(
        Pick(known[at].name, float(expected[at]), float(sd[at]), reason)
        for at, reason in zip((first, second), reasons, strict=True)
    )
    return Advice(f"Keep {picks[0].name} and {picks[1].name} for the private leaderboard.", picks)


def _better(expected: np.ndarray, sd: np.ndarray, first: int, second: int, correlation: float) -> float:
    apart = float(np.sqrt(max(sd[first] ** 2 + sd[second] ** 2 - 2 * correlation * sd[first] * sd[second], 1e-18)))
    lead = float(expected[first] - expected[second]) / apart
    density = float(np.exp(-(lead**2) / 2) / np.sqrt(2 * np.pi))
    return float(expected[first] * ndtr(lead) + expected[second] * ndtr(-lead) + apart * density)


def _shared(one: Scored, other: Scored) -> float:
    mine, theirs = one.blend or {}, other.blend or {}
    return sum(min(share, theirs.get(run, 0.0)) for run, share in mine.items())


def _is_top(known: Sequence[Scored], at: int, name: str) -> bool:
    values = [one.local.get(name, -np.inf) for one in known]
    return bool(np.isfinite(values[at]) and values[at] == max(values))


def from_ledger(lines: Sequence[Mapping[str, str]], competition: str) -> list[Scored]:
    """The ledger's lines of a competition in numbers, the newest of each submission; UserError where one is none."""
    found: dict[str, Scored] = {}
    for line in lines:
        if line["competition"] != competition:
            continue
        name = line["submission"].rpartition("/")[2].rpartition(".")[0]
        local = {score: value for score in LOCAL if (value := _number(line, score, name)) is not None}
        public, private = _number(line, "public", name), _number(line, "private", name)
        found[name] = Scored(name, local, public, private, _shares(line["blend"]))
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
