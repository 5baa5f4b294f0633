"""Ticks are round and within the axes; lines and dots lie where their numbers say."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.pages.html import Dots, Grouping, Lines, Series
from toolkit.pages.pictures import HUES
from toolkit.pages.svg import HEIGHT, MAP, NEUTRAL, SPRITE, WIDTH, draw_dots, draw_lines, round_ticks, tick_texts


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_round_and_within_the_axis(low: float, span: float) -> None:
    ticks = round_ticks(low, low + span)
    margin = 1e-6 * max(span, abs(low), 1e-6)
    assert len(ticks) <= 7 and all(low - margin <= tick <= low + span + margin for tick in ticks)
    steps = np.diff(ticks)
    assert len(ticks) < 2 or np.allclose(steps, steps[0], rtol=1e-3, atol=1e-9 * abs(low))


@pytest.mark.parametrize(
    ("low", "high", "whole", "texts"),
    [
        (1, 3, True, ["1", "2", "3"]),
        (1, 60, True, ["10", "20", "30", "40", "50", "60"]),
        (0.0, 1.0, False, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        (0.512, 0.534, False, ["0.515", "0.520", "0.525", "0.530"]),
        (0, 48_000, False, ["0", "10,000", "20,000", "30,000", "40,000"]),
        (5, 5, True, ["5"]),
    ],
)
def test_ticks_have_the_decimals_that_tell_them_apart(low: float, high: float, whole: bool, texts: list[str]) -> None:
    assert tick_texts(round_ticks(low, high, whole)) == texts


def test_lines_of_a_group_share_a_colour_and_a_key_and_gaps_are_left_out() -> None:
    series = [
        Series("fold 0", [1, 2, 3], [0.1, math.nan, 0.3], "small"),
        Series("fold 1", [1, 2], [0.2, 0.3], "small", dashed=True),
        Series("other", [3], [0.5], colour="red"),
    ]
    made = draw_lines(Lines("", "epoch", "score", series))
    ((paths, keys),) = made.layers
    assert [path.group for path in paths] == [0, 0, 1] and [key.name for key in keys] == ["small", "other"]
    assert [path.dashed for path in paths] == [False, True, False] and keys[1].colour == "red"
    assert made.data["series"][0] == {"name": "fold 0", "group": 0, "x": [1, 3], "y": [0.1, 0.3]}
    assert [tick.text for tick in made.across] == ["1", "2", "3"], "epochs are whole"
    assert all(0 <= tick.place <= WIDTH for tick in made.across) and all(0 <= tick.place <= HEIGHT for tick in made.up)
    assert made.up[0].place > made.up[-1].place, "more is higher"


@pytest.mark.parametrize("series", [[], [Series("none", [], [])], [Series("nan", [1.0], [math.nan])]])
def test_axes_without_a_number_are_drawn(series: list[Series]) -> None:
    assert draw_lines(Lines("", "x", "y", series)).across


@pytest.mark.parametrize("count", [0, 1, 3])
def test_one_line_or_dot_or_none_is_drawn_within_the_map(count: int) -> None:
    points = np.array([[0.0, 0.0], [1.0, 2.0], [np.nan, 1.0]])[:count]
    made = draw_dots(Dots("", points, ["a", "b", "c"][:count], [Grouping("class", ["x"], [0] * count)]))
    assert len(made.data["x"]) == count
    assert all(0 <= x <= MAP[0] and 0 <= y <= MAP[1] for x, y in zip(made.data["x"], made.data["y"], strict=True))


def test_dots_in_one_line_span_the_map() -> None:
    places = [[0.0, 7.0], [5.0, 7.0], [10.0, 7.0]]
    made = draw_dots(Dots("", np.array(places), ["a", "b", "c"], [Grouping("", ["x"], [0, 0, 0])]))
    assert made.data["x"] == [14, 500, 986] and made.data["y"] == [320, 320, 320]


def test_dots_have_the_colours_of_classes_and_those_of_none_lie_below() -> None:
    by = [Grouping("class", ["a", "b"], [1, -1, 1]), Grouping("fold", ["0"], [0, 0, 0], ["#123456"])]
    made = draw_dots(Dots("", np.eye(3)[:, :2], ["p", "q", "r"], by))
    first, second = made.layers
    assert [path.colour for path in first.paths] == [NEUTRAL, HUES[1]] and second.paths[0].colour == "#123456"
    assert [(key.name, key.number) for key in first.keys] == [("a", 0), ("b", 2)]
    assert first.paths[1].drawn.count("M") == 2 and made.data["by"][0]["of"] == [1, -1, 1]


def test_thumbnails_of_any_number_fit_into_one_picture() -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (5_000, 8, 16, 1), np.uint8)
    dots = Dots("", rng.random((5_000, 2)), [""] * 5_000, [Grouping("", [""], [0] * 5_000)], pictures)
    made = draw_dots(dots)
    side, columns = made.data["side"], made.data["columns"]
    assert made.sprite is not None and made.sprite.shape[1] == side * columns
    assert made.sprite.shape[0] * made.sprite.shape[1] < 1.1 * SPRITE
    last = made.sprite[-side:, (4_999 % columns) * side :][:, :side]
    assert last[side // 2].any() and not last[0].any(), "wide ones keep their shape"
