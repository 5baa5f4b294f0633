"""The leaderboard is drawn over every local score that it can be held against, in one chart."""

from dataclasses import replace

from toolkit.pages.html import Lines
from toolkit.reporting.forecast import PastSubmission, forecast
from toolkit.reporting.forecast_charts import EXACT, forecast_lines


def test_all_local_scores_with_a_leaderboard_score_share_a_chart() -> None:
    known = [PastSubmission(f"s{at}", {"clean": 0.5 + at / 10, "stress": 0.4}, 0.5 + at / 20, 0.4) for at in range(3)]
    known.append(replace(known[0], name="new", public=None))
    local = {"clean": 0.75}
    made = forecast(known, local)
    (lines,) = forecast_lines(known, made, local)
    assert isinstance(lines, Lines)
    groups = [one.group for one in lines.series]
    assert groups.count("CV") == 7 and groups.count("stress") == 6, "public, private; a fit where scores differ"
    assert groups.count("forecast") == 1
    assert {one.name for one in lines.series} >= {"s0", "s1", "s2"} and "new" not in {one.name for one in lines.series}
    exact = lines.series[-1]
    assert exact.name == EXACT and exact.xs == exact.ys, "both axes span the same"
    assert not any(
        one.group == "forecast"
        for one in forecast_lines(known, forecast(known, {"clean": 0.6}), {"clean": 0.6})[0].series
    )
    assert forecast_lines([known[-1]], forecast([known[-1]], local), local) == []
