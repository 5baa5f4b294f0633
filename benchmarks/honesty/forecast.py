"""How often the forecast's interval holds the leaderboard's score.

    python -m benchmarks.honesty.forecast

Submissions of a quality, three local scores that each err about it, and a leaderboard that follows one of them, nobody
knows which, with a slope of 0, 0.4, 1 or 2 and noise of 0.02. Held against it: the 95 % interval for the next
submission, as it was made before (by the local score of the least median leave-one-out error alone, with narrower
priors) and as it is printed.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.honesty.measured import Measured
from toolkit.reporting.forecast import LOCAL, PastSubmission, Range, fit, forecast, left_out

SLOPES = (0.0, 0.4, 1.0, 2.0)
REPEATS = 250  # of each slope
SPREAD, ERROR, NOISE = 0.05, 0.03, 0.02  # of qualities, of a local score about them, of the leaderboard
BEFORE: dict[str, Any] = {"slope": 0.3, "noise": 0.02}  # widths of the priors


def draw(rng: np.random.Generator, number: int, slope: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Local scores (number, 3) and what the leaderboard says of them (number,)."""
    quality = rng.normal(0.75, SPREAD, number)
    local = quality[:, None] + rng.normal(0, ERROR, (number, 3)) + (-0.02, 0.0, 0.1)
    followed = local[:, rng.integers(3)]
    shift = rng.normal(-0.1, 0.1)
    board = followed + shift + (slope - 1) * (followed - followed.mean()) + rng.normal(0, noise, number)
    return local, np.clip(board, 0, 1)


def printed(local: np.ndarray, board: np.ndarray) -> Range:
    """For the last of `local` (n + 1, 3), from what the leaderboard said of the others (n,)."""
    scores = [dict(zip(LOCAL, map(float, row), strict=True)) for row in local]
    past = [
        PastSubmission(str(at), row, float(said)) for at, (row, said) in enumerate(zip(scores, board, strict=False))
    ]
    made = forecast(past, scores[-1]).range
    assert made is not None
    return made


def printed_before(local: np.ndarray, board: np.ndarray) -> Range:
    """As `printed`, of the local score that is chosen alone."""

    def error(column: np.ndarray) -> float:
        means = [float(one.weight @ one.mean) for one in left_out(column[:-1], board, **BEFORE)]
        return float(np.median(abs(np.array(means) - board)))

    chosen = min(local.T, key=error)
    return fit(chosen[:-1], board, **BEFORE).predict(float(chosen[-1])).range((-np.inf, np.inf))


def hold(number: int, slopes: Sequence[float], noise: float, repeats: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the way before and the present one: did the interval hold, bool (2, n), and how wide was it, (2, n)."""
    held: list[tuple[bool, ...]] = []
    widths: list[tuple[float, ...]] = []
    for slope in slopes:
        rng = np.random.default_rng([number, round(1000 * slope), round(1000 * noise)])
        for _ in range(repeats):
            local, board = draw(rng, number + 1, slope, noise)
            made = [way(local, board[:-1]) for way in (printed_before, printed)]
            held.append(tuple(one.low <= board[-1] <= one.high for one in made))
            widths.append(tuple(one.high - one.low for one in made))
    return np.array(held).T, np.array(widths).T


def measure(repeats: int | None = None) -> list[Measured]:
    """repeats: of each slope."""
    found = []
    for number in (3, 5):
        held, widths = hold(number, SLOPES, NOISE, repeats or REPEATS)
        (old, new), (wide_before, wide) = held.mean(1), widths.mean(1)
        old_error, new_error = np.sqrt(held.var(1) / held.shape[1])
        what = f"forecast from {number} submissions: interval holds (mean width {wide_before:.3f}, now {wide:.3f})"
        key, errors = f"forecast_{number}", (float(old_error), float(new_error))
        found.append(Measured(key, what, float(old), errors[0], float(new), errors[1], "at least .92"))
    return found


if __name__ == "__main__":
    for one in measure():
        print(
            f"{one.key}: {one.old:.3f} ± {one.old_error:.3f} before, {one.new:.3f} ± {one.new_error:.3f}; {one.what}"
        )
