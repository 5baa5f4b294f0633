"""What the leaderboard said, drawn over the local scores that stand beside it."""

from collections.abc import Mapping, Sequence

import numpy as np

from toolkit.pages.html import Lines, Series
from toolkit.reporting.forecast import LOCAL, Forecast, PastSubmission, fit_to
from toolkit.reporting.run_table import SCORES

FITTED = 20  # points of a fitted line
EXACT = "as the local score"  # the line on which the two are equal


def forecast_lines(past: Sequence[PastSubmission], made: Forecast, local: Mapping[str, float]) -> list[Lines]:
    """One drawing of all local scores that a leaderboard score stands beside, both axes over the same scores."""
    names = [name for name in reversed(LOCAL) if _known(past, name)]
    if not names:
        return []
    series = [one for name in names for one in _of(past, name, made, local)]
    ends = [value for one in series for value in (*one.xs, *one.ys)]
    low, high = min(ends), max(ends)
    exact = Series(EXACT, [low, high], [low, high], dashed=True)
    note = "Dots: submissions, whose names come on pointing at them; lines: the fit of the forecast."
    return [Lines("Leaderboard against local scores", "local score", "leaderboard", [*series, exact], note)]


def _known(past: Sequence[PastSubmission], name: str) -> list[PastSubmission]:
    return [one for one in past if name in one.local and one.public is not None]


def _of(past: Sequence[PastSubmission], name: str, made: Forecast, local: Mapping[str, float]) -> list[Series]:
    """Submissions, each by its name, the fitted line where there is one, and what comes next where it isn't scored."""
    known, group = _known(past, name), SCORES[name]
    found = [Series(one.name, [one.local[name]], [float(one.public or 0.0)], group) for one in known]
    found += [
        Series(f"{one.name}, private", [one.local[name]], [one.private], group)
        for one in known
        if one.private is not None
    ]
    fitted, xs = fit_to(past, name), [one.local[name] for one in known]
    if fitted is not None and max(xs) > min(xs):
        reach = np.linspace(min(xs), max(xs), FITTED)
        found.append(Series(f"{group}, fit", reach.tolist(), [fitted.at(float(at)).mean for at in reach], group))
    mine = local.get(name)
    if name in made.by and made.range is not None and mine is not None and not np.isclose(mine, xs, atol=1e-5).any():
        low, mean, high = made.range.low, made.range.mean, made.range.high
        found.append(Series("the chosen one, forecast", [mine, mine, mine], [low, mean, high], "forecast"))
    return found
