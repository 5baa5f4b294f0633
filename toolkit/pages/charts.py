"""Drawings of a page, each made twice: for light screens and for dark ones."""

import io
from collections.abc import Callable
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolkit.pages.html import Chart
from toolkit.pages.pictures import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION

WIDTH = 5.2  # inches: readable on a telephone too
DPI = 192  # twice the page's pixels
INKED = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "grid.alpha": 0.25}
# ink, and the colours C0 to C5: on a light ground, on a dark one
LIGHT = ("#1a1a1a", (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY))
DARK = ("#e4e6ea", (SKY, VERMILION, GREEN, PURPLE, ORANGE, BLUE))


def chart(title: str, draw: Callable[[], Figure], note: str = "") -> Chart:
    """The drawing for both grounds."""
    made = []
    for ink, colours in (LIGHT, DARK):
        style: Any = dict.fromkeys(INKED, ink) | STYLE | {"axes.prop_cycle": cycler(color=colours)}
        with matplotlib.rc_context(style):
            buffer = io.BytesIO()
            draw().savefig(buffer, dpi=DPI, transparent=True)
            made.append(buffer.getvalue())
    return Chart(title, made[0], made[1], note)


def new_figure(height: float, width: float = WIDTH) -> tuple[Figure, Axes]:
    """A figure of so many inches, and its axes."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Axes = figure.subplots()
    return figure, axes
