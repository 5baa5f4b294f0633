"""Tables of classes: how often each occurs, and how its pictures differ in light and sharpness."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from toolkit.auditing.findings import kept_properties
from toolkit.competition import Competition
from toolkit.data.dataset import Dataset
from toolkit.data.targets import class_counts, holds, names_of
from toolkit.pages.html import Table
from toolkit.store import Workspace
from toolkit.task import MISSING, UNKNOWN, Classification, Heads, Labels, Numbers

MANY, SHOWN = 100, 15  # classes: of more, so many of the commonest and as many of the rarest have a row
COLUMNS = 5  # properties by which classes differ most, as many as fit a page
MANY_ROWS = 20  # of a table, beyond which the others are folded
DIFFERS = 0.3  # standard deviations between a class and all pictures, below which a property isn't shown


def class_table(competition: Competition, dataset: Dataset, keep: np.ndarray) -> Table:
    """Images of each class, or pixels and the images that hold any, of the rows to keep; of numbers their spread."""
    targets, task = dataset.targets[keep], competition.task
    if isinstance(task, Numbers):
        return _number_table(task, targets)
    if isinstance(task, Labels | Heads):
        return _label_table(task, targets)
    counts = class_counts(targets, task)
    shares = [f"{n / max(counts.sum(), 1):.2%}" for n in counts]
    if task.masks:
        within = holds(targets, task).sum(0)
        columns = zip(task.classes, counts, shares, within, strict=True)
        rows = [[name, f"{n:,}", share, f"{w:,}"] for name, n, share, w in columns]
        return Table("Classes", ("class", "pixels", "share", "images with it"), rows)
    rows = [[task.classes[at], f"{counts[at]:,}", shares[at]] for at in _shown(counts)]
    if isinstance(task, Classification) and task.unknown is not None:
        rows.append([task.unknown, f"{(targets == UNKNOWN).sum():,}", "none of the known"])
    return Table("Classes", ("class", "images", "share"), rows, _left_out(counts))


def _left_out(counts: np.ndarray) -> str:
    """What a table of MANY classes doesn't show; nothing where it shows all."""
    if len(counts) <= MANY:
        return ""
    return (
        f"The commonest and the rarest of {len(counts):,} classes, which have {np.median(counts):,.0f} images in "
        f"the median, {int((counts == 1).sum()):,} of them one image and {int((counts == 0).sum()):,} none."
    )


def _shown(counts: np.ndarray) -> Sequence[int]:
    """Classes that have a row in a table: all in their order, or of MANY the commonest and the rarest."""
    if len(counts) <= MANY:
        return range(len(counts))
    order = np.argsort(-counts, kind="stable")
    return [*order[:SHOWN].tolist(), *order[-SHOWN:].tolist()]


def _label_table(task: Labels | Heads, targets: np.ndarray) -> Table:
    """Images of each label, or of each class of each head, and for how many it is not known."""
    sizes = [1] * len(task.labels) if isinstance(task, Labels) else [len(classes) for _, classes in task.heads]
    missing = np.repeat((targets == MISSING).sum(0), sizes)
    counts = class_counts(targets, task)
    rows = [
        [task.classes[at], f"{n:,}", f"{n / max(len(targets) - lacking, 1):.2%}", f"{lacking:,}"]
        for at, n, lacking in ((at, counts[at], missing[at]) for at in _shown(counts))
    ]
    title, name = ("Labels", "label") if isinstance(task, Labels) else ("Classes", "class")
    return Table(title, (name, "images", "share of the known", "not known"), rows, _left_out(counts))


def _number_table(task: Numbers, targets: np.ndarray) -> Table:
    rows = []
    for name, column in zip(task.targets, targets.T, strict=True):
        known = column[~np.isnan(column)]
        figures = (known.mean(), known.std(), known.min(), np.median(known), known.max()) if len(known) else ()
        rows.append([name, f"{len(known):,}", *(f"{figure:.4g}" for figure in figures or ["-"] * 5)])
    columns = ("number", "images", "mean", "standard deviation", "least", "median", "most")
    return Table("Numbers", columns, rows)


def properties_by_class(
    competition: Competition, workspace: Workspace, dataset: Dataset, keep: np.ndarray
) -> list[Table]:
    """Means of the properties that differ most between classes; nothing where all images hold the same classes, or
    where these don't differ. keep: bool (N,), those not dropped.
    """
    described, table = kept_properties(dataset.images, workspace.evidence / "properties.parquet")
    kept = keep[described]
    classes = [(name, has & kept) for name, has in _classes(competition, dataset, described)]
    classes = [(name, has) for name, has in classes if has.any()]
    if len(classes) < 2 or all((has == classes[0][1]).all() for _, has in classes):
        return []
    means = pd.DataFrame([table[has].mean() for _, has in classes])
    apart = (means - table[kept].mean()) / table[kept].std().replace(0, np.inf)
    most = apart.abs().max().sort_values(ascending=False)
    shown = most[most >= DIFFERS].index[:COLUMNS]
    if not len(shown):
        return []
    rows = [
        [name, *(f"{means[each].iloc[at]:.1f} ({apart[each].iloc[at]:+.1f})" for each in shown)]
        for at, (name, _) in enumerate(classes)
    ]
    note = (
        "Means over the images of a class, or that hold it; in brackets how far that is from the mean of all images, "
        "in standard deviations of these. If a class is brighter or darker, the model may learn the light instead of "
        f"the object. Shown: the properties by which classes differ most, of {len(table.columns)}."
    )
    if len(described) < len(dataset.images):
        note += f" Of {len(described):,} drawn images."
    return [Table("", ("class", *shown), rows, note, folded=MANY_ROWS)]


def _classes(competition: Competition, dataset: Dataset, described: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
    """Names of classes, and which of these rows hold each, bool (n,)."""
    targets, names = dataset.targets[described], names_of(competition.task)
    if targets.ndim == 1:  # a class an image: a column for each could be larger than memory
        return ((names[at], targets == at) for at in _shown(class_counts(dataset.targets, competition.task)))
    return zip(names, holds(targets, competition.task).T, strict=True)
