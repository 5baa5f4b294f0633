"""A drawing is made for light screens and for dark ones."""

from toolkit.pages.charts import chart, heat


def test_drawings_are_made_for_both_grounds() -> None:
    drawn = chart("", lambda: heat({"a": [0.5, None], "b": [0.1, 0.2]}, {"a": "one", "b": "two"}, 0.9))
    assert drawn.dark is not None and drawn.dark != drawn.light and 400 < drawn.width < 600
