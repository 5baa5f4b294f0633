"""The best run of a report: its classes, and which are mistaken for each other."""

from collections import Counter

import numpy as np

from toolkit.outcome import number
from toolkit.pages.html import Bar, Bars, Block, Matrix, Row, Section, Table
from toolkit.probabilities import chunks, decidable
from toolkit.reporting.weaknesses import OF_CLASS
from toolkit.runs import Run
from toolkit.scoring.out_of_fold import SHOWN

MISTAKEN = 20  # pairs of classes that are shown where classes are many
GALLERY = "mistakes"  # which a cell of the matrix filters


def classes_section(run: Run) -> Section:
    """Scores by class and, of one of several classes, the confusion matrix."""
    competition, clean = run.labelled.competition, run.metrics["clean"]
    label = OF_CLASS.get(competition.metric.name, "score")
    known = {name: score for name, score in clean["by_class"].items() if score is not None}
    drawn: list[Block] = []
    few = len(competition.scored) <= SHOWN
    never = _never_validated(run) if few and competition.task.exclusive else []
    known = {name: score for name, score in known.items() if name not in never}
    if known:
        intervals = clean.get("by_class_interval")
        title = f"{label} by class" if few else f"{label} of the {len(known)} worst of {clean['classes']:,} classes"
        drawn.append(_bars(title, known, intervals or {}))
    if competition.task.exclusive:
        drawn.append(confusion_matrix(run) if few else _mistaken(run))
    note = f"Of the best run, {run.name}{run.beside}.{_weakest(run, known, label)}"
    if never:
        note += f" Without a score, as no fold validates one of them: {', '.join(never)}."
    return Section("Classes", [Row(drawn)] if drawn else [], note)


def _never_validated(run: Run) -> list[str]:
    """Classes that are scored and lie in no fold; a metric may call them 0."""
    competition = run.labelled.competition
    counts = run.confusion().sum(1)
    return [competition.task.classes[at] for at in competition.scored if not counts[at]]


def _bars(title: str, known: dict[str, float], intervals: dict[str, list[float] | None]) -> Bars:
    bars = []
    for name, value in known.items():
        ends = intervals.get(name)
        bars.append(Bar(name, value, number(value, digits=3), (ends[0], ends[1]) if ends else None))
    most = 1.0 if all(0 <= value <= 1 for value in known.values()) else None
    return Bars(title, bars, "With 95 % intervals." if intervals else "", most)


def confusion_matrix(run: Run) -> Matrix:
    """Out of fold, of the classes that are scored."""
    competition = run.labelled.competition
    scored, unit = list(competition.scored), "pixels" if run.labelled.masks else "images"
    names = [competition.task.classes[at] for at in scored]
    counts = run.confusion()[np.ix_(scored, scored)]
    return Matrix("Confusion matrix", names, counts, GALLERY, counted=unit)


def _weakest(run: Run, known: dict[str, float], label: str) -> str:
    """The worst class, its interval, and what it is confused with."""
    if not known:
        return ""
    competition, clean = run.labelled.competition, run.metrics["clean"]
    name = min(known, key=lambda one: competition.metric.sign * known[one])
    ends = (clean.get("by_class_interval") or {}).get(name)
    text = f" Weakest: {name}, {label} {number(known[name], digits=3)}"
    if ends:
        text += f" ({number(ends[0], digits=3)} to {number(ends[1], digits=3)})"
    if not competition.task.exclusive or "classes" in clean:
        return f"{text}."
    total, row = run.confusion(), competition.task.classes.index(name)
    mistaken = {at: total[row, at] for at in competition.scored if at != row}
    taken = max(mistaken, key=lambda at: int(mistaken[at]), default=row)
    if taken != row and mistaken[taken]:
        other = competition.task.classes[taken]
        text += f"; {mistaken[taken] / total[row].sum():.0%} of it is confused with {other}"
    return f"{text}."


def _mistaken(run: Run) -> Table:
    """Which classes are mistaken for which, of too many for a picture of all."""
    labelled, stored = run.labelled, run.oof
    competition, rows = labelled.competition, np.flatnonzero(labelled.inside)
    names, confused, of_class = competition.task.classes, Counter[int](), np.zeros(len(competition.task.classes), int)
    for at in chunks(len(rows), labelled.truth.shape[1:]):
        truth, said = labelled.truth[rows[at]], competition.decode(decidable(stored[rows[at]]))
        known = (truth >= 0) & (truth < len(names))  # not what is left out of masks, or is of none
        pairs, counts = np.unique(truth[known].astype(int) * len(names) + said[known], return_counts=True)
        confused.update(dict(zip(pairs.tolist(), counts.tolist(), strict=True)))
        of_class += np.bincount(truth[known], minlength=len(names))
    wrong = [(divmod(pair, len(names)), number) for pair, number in confused.items()]
    wrong = sorted((one for one in wrong if one[0][0] != one[0][1]), key=lambda one: (-one[1], one[0]))
    shown = [
        [names[truth], names[said], f"{number:,}", f"{number / of_class[truth]:.0%}"]
        for (truth, said), number in wrong[:MISTAKEN]
    ]
    what = "pixels" if competition.task.masks else "images"
    return Table("Most often confused", ("truth", "predicted", what, "of the class"), shown, text=(0, 1))
