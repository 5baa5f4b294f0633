"""Drawings of a page, each made twice: for light screens and for dark ones."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
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


def heat(cells: Mapping[str, Sequence[float | None]], families: Mapping[str, str], clean: float) -> Figure:
    """Scores by corruption and severity, families divided by lines; families: that of each corruption."""
    names = list(cells)
    values = np.array([[np.nan if score is None else score for score in cells[name]] for name in names])
    figure, axes = new_figure(0.8 + 0.215 * len(names))
    top = max(clean, float(np.nanmax(values, initial=0.0)), 1e-6)
    axes.imshow(values, cmap="viridis", vmin=0, vmax=top, aspect="auto")
    for (row, column), score in np.ndenumerate(values):
        if np.isfinite(score):
            colour = "white" if score < 0.65 * top else "#1a1a1a"
            axes.text(column, row, f"{score:.2f}", ha="center", va="center", color=colour, fontsize=7.5)
    for row in range(1, len(names)):
        if families[names[row]] != families[names[row - 1]]:
            axes.axhline(row - 0.5, color="white", linewidth=2)
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_xticks(range(values.shape[1]), [str(severity) for severity in range(1, values.shape[1] + 1)])
    axes.set_xlabel("severity")
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0)
    return figure
