"""What the leaderboard said, drawn over the local scores that stand beside it."""

from collections.abc import Mapping, Sequence
from functools import partial

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from toolkit.pages.charts import chart, new_figure
from toolkit.pages.html import Chart
from toolkit.reporting.forecast import LOCAL, Forecast, PastSubmission, fit_to


def leaderboard(past: Sequence[PastSubmission], name: str, made: Forecast, local: float | None) -> Figure:
    """What the leaderboard said over one local score: 1:1, its own fit and interval, the forecast from all of them."""
    known = [one for one in past if name in one.local and one.public is not None]
    figure, axes = new_figure(3.4, 4.4)
    x = np.array([one.local[name] for one in known])
    y = np.array([one.public for one in known], float)
    private = [(one.local[name], one.private) for one in known if one.private is not None]
    ends = [*x, *y, *([local] if local is not None else [])]
    low, high = min(ends), max(ends)
    room = 0.08 * max(high - low, 0.02)
    low, high = low - room, high + room
    ink = matplotlib.rcParams["text.color"]
    axes.plot([low, high], [low, high], color=ink, linewidth=0.8, linestyle=":", label="1:1")
    fitted = fit_to(past, name)
    if fitted is not None:
        reach = np.linspace(min([*x, local or x.min()]) - room, max([*x, local or x.max()]) + room, 40)
        ranges = [fitted.at(float(at)) for at in reach]
        axes.plot(reach, [one.mean for one in ranges], color="C0", linewidth=1.3, label="fit")
        axes.fill_between(
            reach, [one.low for one in ranges], [one.high for one in ranges], color="C0", alpha=0.15, linewidth=0
        )
    axes.plot(x, y, "o", color="C0", label="public")
    if private:
        axes.plot(*zip(*private, strict=True), "o", color="C0", markerfacecolor="none", label="private")
    if name in made.by and made.range is not None and local is not None:
        below, above = made.range.mean - made.range.low, made.range.high - made.range.mean
        axes.errorbar(
            [local], [made.range.mean], yerr=[[below], [above]], fmt="D", color="C1", capsize=3, label="next"
        )
    axes.set_xlabel(f"{name} score here")
    axes.set_ylabel("leaderboard")
    axes.grid(True)
    axes.legend(frameon=False, fontsize=8)
    return figure


def forecast_charts(past: Sequence[PastSubmission], made: Forecast, local: Mapping[str, float]) -> list[Chart]:
    """One drawing for each local score that a leaderboard score stands beside."""
    names = [name for name in reversed(LOCAL) if any(name in one.local and one.public is not None for one in past)]
    return [chart("", partial(leaderboard, past, name, made, local.get(name))) for name in names]
