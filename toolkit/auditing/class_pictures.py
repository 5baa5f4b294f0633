"""What the classes look like: how often each occurs, and some of its pictures, whatever kind the targets are of."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator

from toolkit.auditing.parts import drawn
from toolkit.data.targets import class_counts, describe, holds
from toolkit.outcome import counted
from toolkit.pages.charts import chart, new_figure
from toolkit.pages.html import Chart
from toolkit.task import UNKNOWN, Classification, Heads, Labels, Numbers, Task

EXAMPLES = 8  # of each class
CLASSES = 12  # that are shown; of more, a third are the largest, a third the smallest, the rest a sample
BARS = 40  # classes of which each has a bar; of more a curve is drawn
MASKS = 3_000  # drawn, in which examples of classes are looked for
NUMBERS = 4  # of which histograms are drawn


def shown_classes(counts: np.ndarray) -> list[int]:
    """Classes to show, of their counts (C,): all that have any in their order; of many the largest, the smallest and
    a sample, by size.
    """
    there = np.flatnonzero(counts)
    if len(there) <= CLASSES:
        return [int(at) for at in there]
    order = there[np.argsort(-counts[there], kind="stable")]
    third = CLASSES // 3
    between = np.linspace(third, len(order) - third - 1, CLASSES - 2 * third).astype(int)
    return [int(at) for at in np.concatenate([order[:third], order[between], order[-third:]])]


def examples(targets: np.ndarray, task: Task, rows: np.ndarray) -> Iterator[tuple[str, int, np.ndarray]]:
    """Names of classes, how many of the rows hold each, and EXAMPLES of these, int64 (n,); of numbers, rows from the
    least to the most. rows: int64, those to choose from.
    """
    if isinstance(task, Numbers):
        for name, column in zip(task.targets, targets[rows].T, strict=True):
            known = rows[~np.isnan(column)]
            order = known[np.argsort(targets[known, task.targets.index(name)], kind="stable")]
            places = np.linspace(0, len(order) - 1, min(EXAMPLES, len(order))).astype(int)
            yield name, len(known), order[places]
        return
    rng = np.random.default_rng(0)
    if targets.ndim == 1:
        for at in shown_classes(np.bincount(targets[rows][targets[rows] >= 0], minlength=len(task.classes))):
            held = rows[targets[rows] == at]
            yield task.classes[at], len(held), rng.permutation(held)[:EXAMPLES]
        if isinstance(task, Classification) and task.unknown is not None and (targets[rows] == UNKNOWN).any():
            held = rows[targets[rows] == UNKNOWN]
            yield task.unknown, len(held), rng.permutation(held)[:EXAMPLES]
        return
    if task.masks:
        yield from _of_masks(targets, task, rows[drawn(len(rows), MASKS)], rng)
        return
    held_by = holds(targets[rows], task)
    for at in shown_classes(held_by.sum(0)):
        held = rows[held_by[:, at]]
        yield task.classes[at], len(held), rng.permutation(held)[:EXAMPLES]


def _of_masks(
    targets: np.ndarray, task: Task, rows: np.ndarray, rng: np.random.Generator
) -> Iterator[tuple[str, int, np.ndarray]]:
    """Pictures in which a class takes more room than in most that hold it; none twice where there are others."""
    pixels = describe(targets[rows], task)[:, len(task.classes) :]
    used: set[int] = set()
    found = {}
    for at in np.argsort((pixels > 0).sum(0), kind="stable").tolist():  # what few hold chooses first
        held = np.flatnonzero(pixels[:, at])
        large = held[pixels[held, at] >= np.median(pixels[held, at])] if len(held) else held
        order = rng.permutation(large)
        some = sorted(order.tolist(), key=lambda place: int(rows[place]) in used)[:EXAMPLES]
        used |= set(rows[some].tolist())
        if len(some):
            found[at] = (task.classes[at], len(held), rows[some])
    yield from (found[at] for at in sorted(found))


def balance_charts(targets: np.ndarray, task: Task, keep: np.ndarray) -> list[Chart]:
    """How often each class occurs, or how numbers spread; keep: bool (N,), those that are not dropped."""
    if isinstance(task, Numbers):
        return [
            _histogram(name, column[keep]) for name, column in zip(task.targets[:NUMBERS], targets.T, strict=False)
        ]
    counts = class_counts(targets[keep], task)
    lost = class_counts(targets[~keep], task) if not keep.all() else np.zeros_like(counts)
    what = "pixels" if task.masks else "images"
    if len(counts) > BARS:
        held = counts[counts > 0]
        note = f"{len(held):,} of {len(counts):,} classes have {what}."
        return [chart(f"{what.capitalize()} of each class", lambda: _curve(held, what), note)]
    names = task.classes
    whole = int(keep.sum()) if isinstance(task, Labels | Heads) else int(counts.sum())
    note = _dropped(int((~keep).sum()))
    return [chart(f"Share of the {what}", lambda: _bars(names, counts, lost, max(whole, 1), what), note)]


def _dropped(number: int) -> str:
    return f"Pale: in the {counted(number, 'dropped sample')}." if number else ""


def _bars(names: Sequence[str], counts: np.ndarray, lost: np.ndarray, whole: int, what: str) -> Drawing:
    """Shares of the whole."""
    figure, axes = new_figure(0.7 + 0.27 * len(names))
    places = range(len(names))
    axes.barh(places, counts / whole, height=0.66, alpha=0.8)
    axes.barh(places, lost / whole, left=counts / whole, height=0.66, alpha=0.3, color="C0")
    for place, (count, more) in enumerate(zip(counts.tolist(), lost.tolist(), strict=True)):
        dropped = f", {more:,} dropped" if more else ""
        axes.text((count + more) / whole, place, f" {count / whole:.1%} ({count:,}{dropped})", va="center", fontsize=8)
    axes.set_yticks(places, list(names))
    axes.invert_yaxis()
    axes.set_xlim(0, 1.55 * float((counts + lost).max(initial=1)) / whole)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.set_xlabel(f"share of the {what} that are kept")
    return figure


def _curve(counts: np.ndarray, what: str) -> Drawing:
    figure, axes = new_figure(2.4)
    axes.plot(np.arange(1, len(counts) + 1), np.sort(counts)[::-1], linewidth=1.6)
    axes.set_yscale("symlog", linthresh=10)
    axes.set_xlabel("classes, the largest first")
    axes.set_ylabel(what)
    axes.grid(True)
    return figure


def _histogram(name: str, column: np.ndarray) -> Chart:
    known = column[~np.isnan(column)]
    distinct = len(np.unique(known))

    def draw() -> Drawing:
        figure, axes = new_figure(2.2)
        axes.hist(known, bins=min(40, max(distinct, 1)), alpha=0.8)
        axes.set_xlabel(name)
        axes.set_ylabel("images")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        return figure

    lacking = len(column) - len(known)
    return chart(name, draw, f"{counted(lacking, 'image')} without a value are not shown." if lacking else "")
