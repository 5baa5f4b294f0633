"""Which two submissions to keep for the private leaderboard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from toolkit.outcome import number
from toolkit.reporting.forecast import CALLED, GRID, LOCAL, NEEDED, PastSubmission, forecasters

COMMON = 0.5  # correlation of two scores under resampled images; assumed


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


def advise(past: Sequence[PastSubmission], noise: float) -> Advice:
    """The two submissions to keep: of the best expected private score, and the best beside it.

    noise: as of `public_noise`; COMMON of it moves all submissions alike and changes no order. The rest shrinks what
    the leaderboard said towards what it says of such local scores (Efron and Morris 1975): all the way where scores
    scatter about the fit no more than that noise makes them. The second pick makes the expected better of the two
    highest (Clark, "The Greatest of a Finite Set of Random Variables", 1961), so it has to be good and to err
    elsewhere: two blends correlate by the share of runs that they have in common.
    """
    chosen = forecasters(past)
    if chosen is None:
        have = sum(one.public is not None for one in past)
        return Advice(f"Advice on the two final submissions needs {NEEDED} recorded leaderboard scores (have {have}).")
    sign = past[0].span.sign
    private = {one.name: one.private for one in past if one.private is not None}
    if private:
        best, value = max(private.items(), key=lambda item: sign * item[1])
        return Advice(f"The private leaderboard is known: {best} is the best there, {number(value)}.")
    known = [one for one in past if one.public is not None and chosen.used(one.local)]
    board = np.array([one.public for one in known], float)
    fitted = np.array([chosen.at(one.local).mean for one in known])
    own = noise * np.sqrt(1 - COMMON)
    trust = sum(
        share * float(chosen.fits[name].weight @ _reliable(own, chosen.fits[name].unit))
        for name, share in chosen.weights.items()
    )
    expected = trust * board + (1 - trust) * fitted  # trust: in the public score
    sd = np.full(len(known), np.sqrt(trust) * own)
    merit = sign * expected
    first = int(merit.argmax())
    better = np.array([_better(merit, sd, first, at, _shared(known[first], one)) for at, one in enumerate(known)])
    better[first] = -np.inf
    second = int(better.argmax())
    tops = [CALLED[name] for name in LOCAL if _is_top(known, second, name)]
    best_by = f", and has the best {' and '.join(tops)} score" if tops else ""
    reasons = (
        f"has the best expected private score, {short(expected[first])}: leaderboard {short(board[first])}, "
        f"expected from its local scores {short(fitted[first])}.",
        f"is expected at {short(expected[second])} and shares {_shared(known[first], known[second]):.0%} of the first "
        f"one's runs{best_by}: the better of the two is "
        f"expected at {short(sign * better[second])}.",
    )
    picks = tuple(
        Pick(known[at].name, float(expected[at]), float(sd[at]), reason)
        for at, reason in zip((first, second), reasons, strict=True)
    )
    words = f"Keep {picks[0].name} and {picks[1].name} for the private leaderboard."
    most = (sign * board).max()
    higher = [one for one in past if one.elsewhere and one.public is not None and sign * one.public > most]
    if higher:
        names = ", ".join(f"{one.name} ({number(one.public)})" for one in higher if one.public is not None)
        where = "Higher" if sign > 0 else "Lower"
        words += f" {where} there, but not judged here, as their local scores can't be held against these: {names}."
    return Advice(words, picks)


def short(score: float) -> str:
    return number(score, digits=3)


def _reliable(own: float, unit: float) -> np.ndarray:
    """How much of what the leaderboard said is no noise, for each s of the grid."""
    return np.asarray(np.maximum(0, 1 - (own / (GRID * unit)) ** 2))


def _better(expected: np.ndarray, sd: np.ndarray, first: int, second: int, correlation: float) -> float:
    apart = float(np.sqrt(max(sd[first] ** 2 + sd[second] ** 2 - 2 * correlation * sd[first] * sd[second], 1e-18)))
    lead = float(expected[first] - expected[second]) / apart
    density = float(np.exp(-(lead**2) / 2) / np.sqrt(2 * np.pi))
    return float(expected[first] * ndtr(lead) + expected[second] * ndtr(-lead) + apart * density)


def _shared(one: PastSubmission, other: PastSubmission) -> float:
    mine, theirs = one.blend or {}, other.blend or {}
    return sum(min(share, theirs.get(run, 0.0)) for run, share in mine.items())


def _is_top(known: Sequence[PastSubmission], at: int, name: str) -> bool:
    values = [one.span.sign * one.local.get(name, np.nan) for one in known]
    return bool(np.isfinite(values[at]) and values[at] == np.nanmax(values))
