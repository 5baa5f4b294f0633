"""The leaderboard is drawn over every local score that it can be held against."""

from dataclasses import replace

from toolkit.reporting.forecast import PastSubmission, forecast
from toolkit.reporting.forecast_charts import forecast_charts, leaderboard


def test_a_leaderboard_is_drawn_for_each_local_score_beside_it() -> None:
    known = [PastSubmission(f"s{at}", {"clean": 0.5 + at / 10, "stress": 0.4}, 0.5 + at / 20, 0.4) for at in range(3)]
    known.append(replace(known[0], name="new", public=None))
    local = {"clean": 0.75}
    made = forecast(known, local)
    assert made.by == ("clean",) and made.range is not None
    for name, drawn in (("clean", 1), ("stress", 0)):  # the forecast, at the score that it follows from
        (axes,) = leaderboard(known, name, made, local.get(name)).axes
        assert len(axes.containers) == drawn
    assert len(forecast_charts(known, forecast(known, local), local)) == 2
    assert forecast_charts([known[-1]], forecast([known[-1]], local), local) == []
