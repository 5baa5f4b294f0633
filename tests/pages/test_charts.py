"""A drawing is made for light screens and for dark ones."""

from toolkit.pages.charts import chart, new_figure


def test_drawings_are_made_for_both_grounds() -> None:
    drawn = chart("", lambda: new_figure(1.0)[0])
    assert drawn.dark is not None and drawn.dark != drawn.light and 400 < drawn.width < 600
