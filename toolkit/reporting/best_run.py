"""The best run of a report: its classes, what corruptions do to it, and how it was trained."""

from typing import Any

import numpy as np

from toolkit.metrics.many_classes import ManyClasses
from toolkit.outcome import number
from toolkit.pages.charts import by_class, chart, confusion, curves, heat
from toolkit.pages.html import Block, Chart, Row, Section, Table, Words
from toolkit.runs import Run
from toolkit.scoring.corruption_suite import suite
from toolkit.scoring.out_of_fold import SHOWN

OF_CLASS = {"mean IoU": "IoU", "accuracy": "recall", "macro F1": "F1"}  # what a metric says of one class
MISTAKEN = 20  # pairs of classes that are shown where classes are many
WEAK = 5  # corruptions that are named
TRAINED_BY = {  # fields of a recipe that make training images like those of a family of corruptions
    "noise": "augment.degrade",
    "blur": "augment.degrade",
    "resolution": "augment.degrade",
    "light": "augment.colour",
    "colour": "augment.colour",
    "geometry": "augment.rotate",
    "occlusion": "augment.erase",
    "mixture": "augment.augmix",
}


def classes_section(run: Run) -> Section:
    """Scores by class and, of one of several classes, which are mistaken for each other."""
    competition, clean = run.labelled.competition, run.metrics["clean"]
    label = OF_CLASS.get(competition.metric.name, "score")
    known = {name: score for name, score in clean["by_class"].items() if score is not None}
    charts: list[Chart | Table] = []
    sentences = [f"Of the best run, {run.name}{run.beside}."]
    few = len(competition.scored) <= SHOWN
    if known:
        intervals = clean.get("by_class_interval")
        title = f"{label} by class" if few else f"{label} of the {len(known)} worst of {clean['classes']:,} classes"
        charts.append(chart(title, lambda: by_class(known, intervals, label)))
    if competition.task.exclusive and not few:
        charts.append(_mistaken(run))
    elif competition.task.exclusive:
        total, scored = run.confusion(), list(competition.scored)
        names = [competition.task.classes[at] for at in scored]
        charts.append(chart("Truth and prediction", lambda: confusion(total[np.ix_(scored, scored)], names)))
    if known:
        weakest = min(known, key=lambda name: competition.metric.sign * known[name])
        text = f"Weakest: {weakest}, {label} {number(known[weakest], digits=3)}"
        if few and competition.task.exclusive and weakest in names:
            row = competition.task.classes.index(weakest)
            mistaken = {competition.task.classes[at]: total[row, at] for at in scored if at != row}
            taken = max(mistaken, key=lambda name: int(mistaken[name]))
            if mistaken[taken]:
                text += f"; {mistaken[taken] / total[row].sum():.0%} of it is taken for {taken}"
        sentences.append(f"{text}.")
    return Section("Classes", [Row(charts)] if charts else [], " ".join(sentences))


def _mistaken(run: Run) -> Table:
    """Which classes are mistaken for which, of too many for a picture of all."""
    tally, names = run.tally(), run.labelled.competition.task.classes
    assert isinstance(tally, ManyClasses)
    wrong = tally.truth != tally.predicted
    pairs, counts = np.unique(np.stack([tally.truth, tally.predicted])[:, wrong], axis=1, return_counts=True)
    of_class = np.bincount(tally.truth, minlength=len(names))
    first = np.argsort(-counts, kind="stable")[:MISTAKEN]
    rows = [
        [names[truth], names[said], f"{number:,}", f"{number / of_class[truth]:.0%}"]
        for (truth, said), number in zip(pairs.T[first].tolist(), counts[first].tolist(), strict=True)
    ]
    return Table("Most often mistaken", ("truth", "said", "images", "of the class"), rows, text=(0, 1))


def stress_section(run: Run) -> Section:
    """The score under corruptions, by kind and severity."""
    metrics = run.metrics
    stress = metrics.get("stress")
    if not stress:
        return Section(
            "Stress", [], f"No stress score was measured for the best run: `train --recipe {run.recipe_path}`."
        )
    clean = (metrics["clean"].get("resized") or metrics["clean"])["score"]  # at the size that stress is scored at
    families = {member.name: member.family for member in suite(run.labelled.competition.rgb)}
    sign = run.labelled.competition.metric.sign
    scores = _known(stress["by_corruption"], sign)
    weak = ", ".join(f"{name.replace('_', ' ')} {number(scores[name], digits=3)}" for name in list(scores)[:WEAK])
    of_family = _known(stress["by_family"], sign)
    as_they_are, under = (number(one, digits=3) for one in (clean, stress["score"]))
    sentences = [
        f"Of {run.name}{run.beside}: {as_they_are} on images as they are, {under} under the suite, from "
        f"{stress['triples']:,} corrupted images ({stress['share']:.1%} of all).",
        f"Weakest under {weak}.",
        *_remedy(run, next(iter(of_family))),
    ]
    rows = [[name, number(score), number(score - clean, "+")] for name, score in of_family.items()]
    table = Table("Families", ("family", "score", "to clean"), rows)
    cells = {name: stress["cells"][name] for name in families if name in stress["cells"]}
    drawing = chart("Corruption and severity", lambda: heat(cells, families, clean))
    return Section("Stress", [Words(sentences), Row([drawing, table])])


def _known(scores: dict[str, float | None], sign: int) -> dict[str, float]:
    """Those that were measured, the worst first."""
    known = {name: score for name, score in scores.items() if score is not None}
    return dict(sorted(known.items(), key=lambda one: sign * one[1]))


def _remedy(run: Run, family: str) -> list[str]:
    """What of the recipe trains on a family of corruptions."""
    field = TRAINED_BY.get(family)
    if field is None:
        return []
    group, _, leaf = field.partition(".")
    value: Any = run.recipe_fields.get(group, {}).get(leaf)
    if value is None:  # of trees, which see no image
        return []
    text = f"The weakest family is {family}; {field}, which makes training images of that kind, is {value:g}"
    return [f"{text} in this recipe."]


def training_section(run: Run) -> Section:
    """Learning curves, and a batch as the network sees it."""
    blocks: list[Block] = []
    history = run.history
    if any(history):
        charts = [
            chart("Training loss", lambda: curves(history, "loss", "loss")),
            chart("Watched score", lambda: curves(history, "score", run.labelled.competition.metric.name)),
        ]
        blocks.append(Row(charts))
    if run.picture.exists():
        note = "The first batch as the network sees it."
        if run.labelled.masks:
            note += " White: pixels of a mask that came from outside the picture."
        blocks.append(Chart("Augmented images", run.picture.read_bytes(), None, note))
    watched, decides = "a part of the training folds, which decides when to stop", ""
    if not run.recipe.schedule.patience:
        watched, decides = "a drawn part of the validation images", "; it decides nothing else"
    note = f"Of {run.name}. The watched score is that on {watched}. A search may give a trial up by it{decides}."
    return Section("Training", blocks, note)
