"""Drawings of a page, each made twice: for light screens and for dark ones."""

import io
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

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


def by_class(scores: Mapping[str, float], intervals: Mapping[str, Sequence[float]] | None, label: str) -> Figure:
    """Scores of classes with, where known, their 95 % intervals."""
    figure, axes = new_figure(0.7 + 0.27 * len(scores))
    places, values = np.arange(len(scores)), np.array(list(scores.values()))
    axes.barh(places, values, height=0.62, alpha=0.75)
    for place, (name, value) in enumerate(scores.items()):
        low, high = (intervals or {}).get(name) or (value, value)
        if high > low:
            axes.plot([low, high], [place, place], color=matplotlib.rcParams["text.color"], linewidth=1.4)
        axes.text(max(value, high), place, f" {value:.3f}", va="center")
    axes.set_yticks(places, list(scores))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.14)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_xlabel(label)
    return figure


def confusion(matrix: np.ndarray, classes: Sequence[str]) -> Figure:
    """Counts (C, C), truth in rows, as shares of their rows."""
    shares = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    figure, axes = new_figure(1.1 + 0.36 * len(shares))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "white" if share > 0.5 else "#1a1a1a"
            axes.text(column, row, f"{share:.0%}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(len(shares)), classes, rotation=40, ha="right")
    axes.set_yticks(range(len(shares)), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("truth")
    return figure


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


def curves(histories: Sequence[Sequence[Mapping[str, Any]]], key: str, label: str) -> Figure:
    """One value of every epoch, a line a fold."""
    figure, axes = new_figure(2.6)
    for fold, epochs in enumerate(histories):
        found = [(number, epoch[key]) for number, epoch in enumerate(epochs, 1) if epoch.get(key) is not None]
        if found:
            axes.plot(*zip(*found, strict=True), marker=".", color=f"C{fold}", label=f"fold {fold}", linewidth=1.3)
    axes.set_xlabel("epoch")
    axes.set_ylabel(label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True)
    axes.legend(frameon=False, fontsize=8)
    return figure


def bars(values: Mapping[str, float], label: str) -> Figure:
    """Named numbers, the largest first."""
    ordered = dict(sorted(values.items(), key=lambda item: -item[1]))
    figure, axes = new_figure(0.7 + 0.25 * len(ordered))
    axes.barh(list(ordered), list(ordered.values()), height=0.62, alpha=0.75)
    axes.invert_yaxis()
    axes.set_xlabel(label)
    return figure
