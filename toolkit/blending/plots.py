"""Pictures of a blend: who has which weight, how alike the runs are, what each addition gains and repairs."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from toolkit.blending.pool import Pool
from toolkit.blending.solution import Solution, mix
from toolkit.blending.valued import Valued, ValuedTop
from toolkit.metrics.confusion import confusion_by_sample
from toolkit.pages.pictures import BLUE, VERMILION

SHOWN = 30  # seed groups, the heaviest ones
COMPARED = 2**22  # values of each
REPAIRED = 60  # samples in the picture of repairs
INK, RIGHT, WRONG = BLUE, "#dfe8ef", VERMILION


def draw(pool: Pool, solution: Solution, name: str, folder: Path) -> None:
    """`weights.png`, with several seed groups `correlation.png` and `gain.png`, and where labels are right or wrong by
    arg max `repairs.png` too, into `folder`.
    """
    shares = solution.shares
    order = np.argsort(-shares, kind="stable")[:SHOWN]
    names = [_short(pool, int(m)) for m in order]
    with matplotlib.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figures = {"weights": _weights(shares[order], names, name)}
        if len(pool.seed_groups) > 1:
            whole = isinstance(pool.fitted, Valued)
            scores, right = (_scores_after_each if whole else _right_after_each)(pool, shares, order)
            added = [names[0], *(f"+ {one}" for one in names[1 : len(scores)])]
            figures["correlation"] = _correlation(pool, order, names)
            figures["gain"] = _gain(pool, scores, added)
            if not whole:
                figures["repairs"] = _repairs(pool, right, added)
        for file, figure in figures.items():
            figure.savefig(folder / f"{file}.png", dpi=110, bbox_inches="tight")


def _short(pool: Pool, seed_group: int) -> str:
    members = pool.seed_groups[seed_group].members
    return members[0].name + (f" (+{len(members) - 1} seeds)" if len(members) > 1 else "")


def _weights(weights: np.ndarray, names: Sequence[str], name: str) -> Figure:
    figure = Figure(figsize=(8, 1.2 + 0.28 * len(names)), layout="constrained")
    axes = figure.subplots()
    axes.barh(names, weights, color=INK)
    axes.invert_yaxis()
    axes.set_xlabel("share of the blend")
    axes.set_title(f"{name}: weights" if len(names) < SHOWN else f"{name}: the {SHOWN} largest weights", loc="left")
    for row, value in enumerate(weights):
        axes.text(value, row, f" {value:.3f}", va="center")
    axes.margins(x=0.12)
    return figure


def _correlation(pool: Pool, order: np.ndarray, names: Sequence[str]) -> Figure:
    """Of the out-of-fold probabilities of the true class, or of all that is predicted: the lower, the more one run can
    repair of the other.
    """
    own, what = _compared(pool)
    own = own[:, order]
    with np.errstate(invalid="ignore"):
        alike = np.corrcoef(own, rowvar=False)
    figure = Figure(figsize=(4.5 + 0.42 * len(names), 2.8 + 0.36 * len(names)), layout="constrained")
    axes = figure.subplots()
    low = float(np.floor(np.nanmin(alike) * 10) / 10)
    picture = axes.imshow(alike, cmap="viridis", vmin=low, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right")
    axes.set_yticks(range(len(names)), names)
    figure.suptitle(f"Correlation of {what}", x=0.02, ha="left")
    if len(names) <= 12:
        for (row, column), value in np.ndenumerate(alike):
            colour = "white" if value < (low + 1) / 2 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=colour, fontsize=8)
    figure.colorbar(picture, ax=axes, shrink=0.8)
    return figure


def _compared(pool: Pool) -> tuple[np.ndarray, str]:
    """What seed groups are held against each other by, (n, M), and its name."""
    if pool.labelled.competition.task.exclusive and len(pool.values) and pool.truth.ndim == 1:
        position = np.where(pool.truth < 0, -1, pool.position[pool.truth])
        known = position >= 0
        return pool.values[known, position[known]], "the true class's probability"
    assert isinstance(pool.fitted, Valued)
    values = pool.fitted.values
    if isinstance(pool.fitted, ValuedTop):
        at = np.flatnonzero(pool.fitted.place >= 0)
        return values[:, at, pool.fitted.place[at]].T, "the true class's probability"
    rows = np.arange(len(values[0]))[:: max(1, values[0].size // COMPARED)]
    flat = values[:, rows].astype(np.float32).reshape(len(values), len(rows), values.shape[2], -1)
    # each channel about its own mean: how often a label is given isn't what runs differ in
    return (flat - flat.mean((1, 3), keepdims=True)).reshape(len(values), -1).T, "what is predicted"


def _scores_after_each(pool: Pool, weights: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `_right_after_each` for any task and metric; nothing is right or wrong."""
    assert isinstance(pool.fitted, Valued)
    scores, sign = [], pool.labelled.competition.metric.sign
    for number in range(1, int((weights[order] > 0).sum()) + 1):
        part = np.zeros_like(weights)
        part[order[:number]] = weights[order[:number]]
        scores.append(sign * pool.fitted.merit(part, pool.folds))
    return np.array(scores), np.empty(0)


def _right_after_each(pool: Pool, weights: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (A,) and which fitted items are right, bool (A, n), with the first 1, 2, … seed groups by weight."""
    scores, right = [], []
    for number in range(1, int((weights[order] > 0).sum()) + 1):
        part = np.zeros_like(weights)
        part[order[:number]] = weights[order[:number]]
        labels = np.array(pool.scored, np.uint8)[mix(Solution(part), pool.values).argmax(1)]
        confusion = confusion_by_sample(pool.truth, labels, pool.classes).sum(0)
        scores.append(float(pool.labelled.competition.score(confusion)))
        right.append(labels == pool.truth)
    return np.array(scores), np.array(right)


def _gain(pool: Pool, scores: np.ndarray, added: Sequence[str]) -> Figure:
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(scores, marker="o", color=INK)
    axes.set_ylabel(f"{pool.labelled.competition.metric.name}, in sample")
    axes.set_xticks(range(len(added)), added, rotation=40, ha="right")
    axes.set_title("What each addition gains", loc="left")
    axes.margins(x=0.05, y=0.1)
    return figure


def _repairs(pool: Pool, right: np.ndarray, added: Sequence[str]) -> Figure:
    """Items that change between right and wrong as seed groups come in, and how many each repairs and breaks."""
    repaired = [0, *((~right[:-1] & right[1:]).sum(1))]
    broken = [0, *((right[:-1] & ~right[1:]).sum(1))]
    changing = np.flatnonzero(right.any(0) & ~right.all(0))
    changing = changing[np.linspace(0, len(changing) - 1, min(REPAIRED, len(changing))).astype(int)]
    changing = changing[np.argsort(-right[:, changing].sum(0), kind="stable")]
    figure = Figure(figsize=(12, 1.8 + 0.3 * len(right)), layout="constrained")
    left, other = figure.subplots(1, 2, width_ratios=(3, 2))
    shown = right[:, changing] if len(changing) else np.ones((len(right), 1), np.bool_)
    colours = matplotlib.colors.ListedColormap([WRONG, RIGHT])
    left.imshow(shown, aspect="auto", cmap=colours, vmin=0, vmax=1, interpolation="nearest")
    left.set_yticks(range(len(right)), added)
    left.set_xticks([])
    kind, rows_of = ("pixels", "") if pool.labelled.masks else ("samples", "rows of ")
    left.set_xlabel(f"{rows_of}{len(changing)} of the {kind} that change (red: wrong)")
    if kind == "samples":
        rows_of_items = np.concatenate([pool.labelled.rows(k) for k in pool.folds])
        left.set_xticks(range(len(changing)), rows_of_items[changing], rotation=90, fontsize=6)
    left.set_title("What each addition repairs", loc="left")
    rows = np.arange(len(right))
    other.barh(rows, repaired, color=INK, label="repaired")
    other.barh(rows, [-value for value in broken], color=WRONG, label="broken")
    other.set_ylim(len(right) - 0.5, -0.5)
    other.set_yticks([])
    other.axvline(0, color="black", linewidth=0.6)
    other.set_xlabel(f"{kind} of {right.shape[1]:,} looked at")
    other.legend(loc="upper right", frameon=False)
    return figure
