"""What the best run says out of fold, as its kind of output asks for: curves, calibration, residuals, confusions."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from toolkit.answers import values_of
from toolkit.decisions.decide import Decisions
from toolkit.metrics.confusion import confusion_matrix
from toolkit.outcome import number
from toolkit.pages.charts import chart
from toolkit.pages.diagrams import against, by_grade, calibration, residuals, shares
from toolkit.pages.html import Block, Chart, Lines, Matrix, Row, Section, Series, Table
from toolkit.probabilities import chunks, decidable, probabilities, read
from toolkit.reporting.best_run import GALLERY
from toolkit.reporting.curves import precision_recall, reliability, roc
from toolkit.reporting.decision_table import decision_table
from toolkit.runs import Run
from toolkit.scoring.out_of_fold import SHOWN, WORST
from toolkit.task import IGNORED, UNKNOWN, Classification, Grades, Heads, Numbers
from toolkit.top_k import TopK

PIXELS = 200_000  # of masks that curves are drawn from
LARGE = 12  # classes whose confusion fits on a screen
MOST = 6  # lines that are told apart
CHANCE = Series("by chance", (0, 1), (0, 1), dashed=True, colour="var(--faint)")
FIRST = 3  # heads and numbers that are drawn, the others are in the table


def outputs_section(run: Run) -> Section | None:
    """None where classes and their confusion say it all."""
    competition = run.labelled.competition
    task, needs = competition.task, competition.metric.needs
    if task.exclusive and needs == "labels":
        return None
    decisions = run.fold_decisions
    if isinstance(task, Numbers):
        title, blocks = "Numbers", _numbers(run, task)
    elif isinstance(task, Grades):
        title, blocks = "Grades", _grades(run, task, decisions)
    elif isinstance(task, Heads):
        title, blocks = "Heads", _heads(run, task)
    else:
        many = isinstance(task, Classification) and len(task.classes) > SHOWN
        title, blocks = ("Classes" if task.exclusive else "Labels"), (_likeliest if many else _labels)(run)
        blocks += _places(run, decisions) if needs == "lists" else []
    decided = decision_table(task, decisions)
    note = f"Of the best run, {run.name}{run.beside}, out of fold."
    return Section(title, [*blocks, *([decided] if decided else [])], note)


def seen(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """Targets (n, ...) and values (n, channels) of the samples in the folds, or of a part of their pixels.

    Of pixels the targets are as `values_of` has them, (n, channels), without those that are ignored.
    """
    labelled, task = run.labelled, run.labelled.competition.task
    rows = np.flatnonzero(labelled.inside)
    if not task.masks:
        return np.asarray(labelled.truth[rows]), probabilities(read(run.oof, rows))
    each = max(1, PIXELS // max(len(rows), 1))
    rng, truths, values = np.random.default_rng(0), [], []
    for row in rows:
        mask, said = labelled.truth[row : row + 1], probabilities(read(run.oof, slice(row, row + 1)))
        at = rng.permutation(mask[0].size)[:each]
        at = at[mask.reshape(-1)[at] != IGNORED]
        truths.append(values_of(task, mask).reshape(task.channels, -1)[:, at].T)
        values.append(said.reshape(task.channels, -1)[:, at].T)
    return np.concatenate(truths), np.concatenate(values)


def _likeliest(run: Run) -> list[Block]:
    """Of more classes than can be shown: how sure the likeliest one is, and the worst ones by the metric."""
    labelled, stored, clean = run.labelled, run.oof, run.metrics["clean"]
    rows, said, right = np.flatnonzero(labelled.inside), [], []
    for at in chunks(len(rows)):
        part = decidable(read(stored, rows[at]))
        place = labelled.competition.decode(part)[:, None].astype(np.int64)
        said.append((part.at(place) if isinstance(part, TopK) else np.take_along_axis(part, place, 1))[:, 0])
        right.append(place[:, 0] == labelled.truth[rows[at]])
    sure = reliability(np.concatenate(right).astype(np.float32), np.concatenate(said))
    note = f"Of the likeliest class; on average {sure.error:.3f} off."
    blocks: list[Block] = [
        Row([chart("Calibration", lambda: calibration(sure.said, sure.came, sure.counts), note)]),
    ]
    if clean.get("by_class"):
        worst = [[name, *_of_class(run, name)] for name in clean["by_class"]]
        title = f"The {len(worst)} worst of {clean['classes']:,} classes"
        blocks.append(Table(title, ("class", labelled.competition.metric.name), worst))
    return blocks


def _labels(run: Run) -> list[Block]:
    """Of labels, overlapping masks and classes each against the rest: curves, calibration and a table."""
    task = run.labelled.competition.task
    truth, said = seen(run)
    values, wanted = said, truth if task.masks else values_of(task, truth)
    if isinstance(task, Classification) and task.unknown is not None:
        wanted = np.where((truth == UNKNOWN)[:, None], 0, wanted)
    names = task.classes
    if task.exclusive and len(names) == 2:  # one probability says the other
        wanted, values, names = wanted[:, 1:], values[:, 1:], names[1:]
    known = ~np.isnan(wanted)
    found = {}
    for at, name in enumerate(names):
        kept = known[:, at]
        found[name] = (roc(wanted[kept, at], values[kept, at]), precision_recall(wanted[kept, at], values[kept, at]))
    both = {name: (one, other) for name, (one, other) in found.items() if one is not None and other is not None}
    drawn = sorted(both, key=lambda name: both[name][0].area)[:MOST]
    rates = [Series(f"{name}, {both[name][0].area:.3f}", both[name][0].x, both[name][0].y) for name in drawn]
    precisions = [Series(f"{name}, {both[name][1].area:.3f}", both[name][1].x, both[name][1].y) for name in drawn]
    sure = reliability(wanted[known], values[known])
    less = f" The {MOST} hardest of {len(names)}." if len(both) > MOST else ""
    charts: list[Block] = []
    if drawn:
        charts += [
            Lines("ROC", "false positives", "true positives", [*rates, CHANCE], f"With the area.{less}"),
            Lines("Precision and recall", "recall", "precision", precisions, "With the average precision."),
        ]
    if task.exclusive and not task.masks and len(task.classes) <= LARGE:
        shown = truth >= 0
        total = confusion_matrix(truth[shown], run.labelled.competition.decode(said[shown]), len(task.classes))
        charts.append(Matrix("Confusion matrix", task.classes, total, GALLERY))
    note = f"All labels together; on average {sure.error:.3f} off."
    charts.append(chart("Calibration", lambda: calibration(sure.said, sure.came, sure.counts), note))
    rows = []
    hardest = sorted(both, key=lambda name: both[name][0].area)[:WORST] if len(names) > SHOWN else names
    for at, name in ((at, name) for at, name in enumerate(names) if name in hardest):
        kept, (one, other) = known[:, at], found[name]
        rows.append(
            [
                name,
                f"{int(kept.sum()):,}",
                f"{wanted[kept, at].mean():.1%}" if kept.any() else "-",
                *_of_class(run, name),
                "-" if one is None else f"{one.area:.3f}",
                "-" if other is None else f"{other.area:.3f}",
            ]
        )
    unit = "pixels looked at" if task.masks else "known"
    columns = ("label", unit, "of these yes", *_metric_column(run), "AUC", "average precision")
    return [Row(charts), Table(f"The {WORST} hardest" if len(names) > SHOWN else "", columns, rows)]


def _metric_column(run: Run) -> tuple[str, ...]:
    return (run.labelled.competition.metric.name,) if run.metrics["clean"].get("by_class") else ()


def _of_class(run: Run, name: str) -> list[str]:
    """The metric of a class or target with its interval, where the metric has one."""
    clean: Mapping[str, Any] = run.metrics["clean"]
    by_class = clean.get("by_class") or {}
    if not by_class:
        return []
    value, ends = by_class.get(name), (clean.get("by_class_interval") or {}).get(name)
    if value is None:
        return ["-"]
    return [number(value) + (f"\n{number(ends[0])} to {number(ends[1])}" if ends else "")]


def _numbers(run: Run, task: Numbers) -> list[Block]:
    truth, values = seen(run)
    blocks: list[Block] = []
    rows = []
    for at, name in enumerate(task.targets):
        kept = ~np.isnan(truth[:, at])
        wanted, said = truth[kept, at].astype(np.float64), values[kept, at].astype(np.float64)
        off, spread = said - wanted, float(wanted.var()) if len(wanted) else 0.0
        if at < FIRST:
            drawn = [
                chart(name, partial(against, wanted, said, name)),
                chart(f"{name}: residuals", partial(residuals, off, name)),
            ]
            blocks.append(Row(drawn))
        if not len(wanted):
            rows.append([name, "0", *["-"] * (4 + len(_metric_column(run)))])
            continue
        square = float((off**2).mean())
        rows.append(
            [
                name,
                f"{len(wanted):,}",
                *_of_class(run, name),
                number(square**0.5),
                number(float(np.abs(off).mean())),
                f"{off.mean():+.4g}",
                f"{1 - square / spread:.3f}" if spread else "-",
            ]
        )
    columns = ("number", "known", *_metric_column(run), "RMSE", "MAE", "bias", "R2")
    once = [at for at, name in enumerate(columns) if name not in columns[:at]]  # the metric may be one of them
    columns, rows = tuple(columns[at] for at in once), [[row[at] for at in once] for row in rows]
    return [*blocks, Table("", columns, rows, "Bias: the mean of predicted less truth.")]


def _grades(run: Run, task: Grades, decisions: Sequence[Decisions]) -> list[Block]:
    labelled = run.labelled
    truth, values = seen(run)
    expected = values.sum(1)
    cuts = [one.cuts for one in decisions if one.cuts is not None]
    middle: np.ndarray = np.mean(cuts, axis=0) if cuts else np.arange(len(task.grades) - 1) + 0.5
    given = np.empty(len(truth), np.int64)
    fold = labelled.fold[labelled.inside]
    for k, one in enumerate(decisions):
        edges = middle if one.cuts is None else np.asarray(one.cuts)
        given[fold == k] = np.searchsorted(edges, expected[fold == k], side="right")
    total = confusion_matrix(truth, given, len(task.grades))
    by_truth = [expected[truth == grade] for grade in range(len(task.grades))]
    charts: list[Block] = [
        Matrix("Confusion matrix", task.grades, total),
        chart("Expected grades", lambda: by_grade(by_truth, task.grades, middle.tolist())),
    ]
    counts = total.sum(1)
    rows = [
        [
            name,
            f"{counts[at]:,}",
            f"{counts[at] / max(len(truth), 1):.1%}",
            f"{total[:, at].sum() / max(len(truth), 1):.1%}",
            f"{total[at, at] / counts[at]:.1%}" if counts[at] else "-",
            f"{total[at, max(at - 1, 0) : at + 2].sum() / counts[at]:.1%}" if counts[at] else "-",
        ]
        for at, name in enumerate(task.grades)
    ]
    return [Row(charts), Table("", ("grade", "images", "share", "given", "right", "at most one off"), rows)]


def _heads(run: Run, task: Heads) -> list[Block]:
    truth, values = seen(run)
    charts: list[Block] = []
    rows = []
    for head, ((name, classes), span) in enumerate(zip(task.heads, task.spans, strict=True)):
        kept = truth[:, head] >= 0
        total = confusion_matrix(truth[kept, head], values[kept, span].argmax(1), len(classes))
        if head < FIRST and len(classes) <= LARGE:
            charts.append(Matrix(name, classes, total))
        counts = total.sum(1)
        recalls = np.diagonal(total)[counts > 0] / counts[counts > 0]
        weakest = classes[int(np.flatnonzero(counts > 0)[recalls.argmin()])] if len(recalls) else "-"
        rows.append(
            [
                name,
                f"{len(classes)}",
                f"{int(kept.sum()):,}",
                f"{np.trace(total) / max(total.sum(), 1):.1%}",
                f"{recalls.mean():.1%}" if len(recalls) else "-",
                f"{weakest} {recalls.min():.1%}" if len(recalls) else "-",
            ]
        )
    columns = ("head", "classes", "known", "right", "mean recall", "weakest class")
    return [*([Row(charts)] if charts else []), Table("", columns, rows, text=(0, 5))]


def _places(run: Run, decisions: Sequence[Decisions]) -> list[Block]:
    """Where in the lists the right class stands."""
    competition, labelled = run.labelled.competition, run.labelled
    rows, fold, stored = np.flatnonzero(labelled.inside), labelled.fold[labelled.inside], run.oof
    truth, places = np.asarray(labelled.truth[rows]), []
    own = [np.flatnonzero(fold == k) for k in range(len(decisions))]
    for decided, part in zip(decisions, own, strict=True):
        for at in chunks(len(part)):
            places.append(competition.decide(decidable(read(stored, rows[part[at]])), decided))
    lists = np.concatenate(places)
    right = lists[np.argsort(np.concatenate(own))] == truth[:, None]
    length = right.shape[1]
    places = np.where(right.any(1), right.argmax(1), length)
    found = np.bincount(places, minlength=length + 1) / len(places)
    names = [*(f"place {at + 1}" for at in range(length)), "not listed"]
    charts: list[Chart | Table] = [
        chart("The right one", lambda: shares(found.tolist(), names, "share of the images")),
    ]
    if (truth == UNKNOWN).any():
        counted = []
        for name, which in (("known", truth != UNKNOWN), ("unknown", truth == UNKNOWN)):
            first, listed = (places[which] == 0).mean(), (places[which] < length).mean()
            counted.append([name, f"{int(which.sum()):,}", f"{first:.1%}", f"{listed:.1%}"])
        charts.append(Table("Known and unknown", ("", "images", "first", "listed"), counted))
    return [Row(charts)]
