"""An outcome is told in one way, to a terminal, to a notebook and in a line."""

from typing import Any

from toolkit.outcome import Outcome, Table, Warned, counted, duration, fact, interval, number


class Told(Outcome):
    def told(self) -> list[str | Warned | Table]:
        table = Table("sizes <1>", ["", "number"], [["a&b", "1\n2"], ["all", "3"]], total=True)
        return [table, Warned("<odd>"), "1 < 2"]

    def as_json(self) -> dict[str, Any]:
        return {}


def test_a_notebook_shows_every_part_as_it_is_written() -> None:
    html = Told()._repr_html_()
    assert "<caption>sizes &lt;1&gt;</caption>" in html and "<p><b>&lt;odd&gt;</b></p>\n<p>1 &lt; 2</p>" in html
    assert '<td style="text-align: left">a&amp;b</td><td style="text-align: right">1<br>2</td>' in html
    assert '<th style="text-align: left">all</th>' in html


def test_a_line_says_the_first_of_it() -> None:
    assert repr(Told()) == "<Told: sizes <1>>"


def test_scores_and_times_are_short() -> None:
    assert interval({"score": 0.5, "low": 0.41239, "high": 0.6}) == "0.5000 (0.4124 to 0.6000)"
    few = {"score": 0.5, "low": 0.4, "high": 0.6, "groups": 99}
    assert interval(few) == "0.5000 (0.4000 to 0.6000, 99 groups)"
    assert interval(few | {"groups": 100}) == "0.5000 (0.4000 to 0.6000)"
    assert [duration(s) for s in (0.4, 59.4, 59.6, 3600)] == ["0 s", "59 s", "1 min 00 s", "60 min 00 s"]


def test_scores_of_any_size_have_the_digits_that_count() -> None:
    assert [number(one) for one in (0.88241, 17.8312, 99.99999, 178.312, 1234.567, 1e6)] == [
        *("0.8824", "17.8312", "100.0000", "178.312", "1,234.57", "1,000,000")
    ]
    assert [number(one) for one in (0.0, 0.00023456, -0.5)] == ["0.0000", "0.0002346", "-0.5000"]
    assert [number(one, "+") for one in (0.00023456, -12.5)] == ["+0.0002", "-12.5000"]
    assert number(-1e-9, "+") == "+0.0000" and number(-0.0) == "0.0000"
    assert number(0.66666, digits=3) == "0.667" and number(float("inf")) == "inf"


def test_one_is_not_several() -> None:
    assert [counted(number, "sample") for number in (0, 1, 1000)] == ["0 samples", "1 sample", "1,000 samples"]
    assert counted(2, "class") == "2 classes" and fact(1, "group", "of one origin") == ("1", "group of one origin")
    assert fact(2000, "run") == ("2,000", "runs")
