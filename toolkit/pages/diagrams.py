"""Drawings of what networks say: calibration, residuals, places in lists."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from toolkit.pages.charts import new_figure

SIDE = 3.4  # inches of a square diagram
DOTS = 4_000  # drawn at most
COLOURS = 6  # that are told apart


def calibration(said: np.ndarray, came: np.ndarray, counts: np.ndarray) -> Figure:
    """How often what was said so surely came true; dots as large as they are often said."""
    figure, axes = new_figure(SIDE)
    _diagonal(axes, 0, 1)
    axes.plot(said, came, linewidth=1.2)
    axes.scatter(said, came, s=12 + 160 * counts / max(counts.max(initial=1), 1), alpha=0.6)
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("probability said")
    axes.set_ylabel("share that was so")
    axes.grid(True)
    return figure


def against(truth: np.ndarray, said: np.ndarray, name: str) -> Figure:
    """Numbers said over the true ones, both (n,)."""
    figure, axes = new_figure(SIDE)
    at = _some(len(truth))
    axes.scatter(truth[at], said[at], s=9, alpha=0.45, linewidths=0)
    if len(truth):
        _diagonal(axes, float(min(truth.min(), said.min())), float(max(truth.max(), said.max())))
    axes.set_xlabel(f"{name}, truth")
    axes.set_ylabel("predicted")
    axes.grid(True)
    return figure


def residuals(differences: np.ndarray, name: str) -> Figure:
    """How often predictions (n,) are how far off."""
    figure, axes = new_figure(SIDE)
    axes.hist(differences, bins=min(40, max(5, len(differences) // 8)), alpha=0.75)
    axes.axvline(0, color=matplotlib.rcParams["text.color"], linewidth=1)
    axes.set_xlabel(f"{name}: predicted less truth")
    axes.set_ylabel("images")
    return figure


def by_grade(expected: Sequence[np.ndarray], names: Sequence[str], cuts: Sequence[float]) -> Figure:
    """Expected grades of the images of each grade, and the cuts between the grades that are given."""
    figure, axes = new_figure(0.9 + 0.36 * len(names))
    for place, values in enumerate(expected):
        shown = values[_some(len(values))]
        jitter = np.random.default_rng(place).uniform(-0.28, 0.28, len(shown))
        axes.scatter(shown, place + jitter, s=7, alpha=0.45, linewidths=0, color=f"C{place % COLOURS}")
    for cut in cuts:
        axes.axvline(cut, color=matplotlib.rcParams["text.color"], linewidth=1, linestyle=":")
    axes.set_yticks(range(len(names)), list(names))
    axes.invert_yaxis()
    axes.set_xlabel("expected grade; dotted: the cuts")
    axes.set_ylabel("truth")
    return figure


def shares(values: Sequence[float], names: Sequence[str], label: str) -> Figure:
    """Shares of the whole, in their own order."""
    figure, axes = new_figure(0.7 + 0.27 * len(names))
    axes.barh(range(len(names)), list(values), height=0.62, alpha=0.75)
    for place, value in enumerate(values):
        axes.text(value, place, f" {value:.1%}", va="center")
    axes.set_yticks(range(len(names)), list(names))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.14)
    axes.set_xlabel(label)
    return figure


def _some(count: int) -> np.ndarray:
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, DOTS)).astype(int))[:count]


def _diagonal(axes: Axes, low: float, high: float) -> None:
    ink = matplotlib.rcParams["text.color"]
    axes.plot([low, high], [low, high], color=ink, linewidth=0.8, linestyle="--", alpha=0.6)
