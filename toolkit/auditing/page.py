"""What stands on the audit's page: summary, class balance, galleries of what was found, train against test."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.cleaning_proposal import DOUBTFUL_MASK, groups_found
from toolkit.auditing.explain import link_panels, panel
from toolkit.auditing.findings import REPEATS, Findings, kept_properties
from toolkit.auditing.mimicry import Mimicry
from toolkit.auditing.relatives import COPY, EXACT
from toolkit.auditing.train_vs_test import Shift
from toolkit.competition import SAY_SYMMETRIES, Competition
from toolkit.data.cleaning import DOUBTFUL_LABEL, UNLIKE
from toolkit.data.dataset import Dataset
from toolkit.data.targets import class_counts, holds, names_of
from toolkit.pages.html import Gallery, Page, Table, render
from toolkit.pages.pictures import enlarged, strip
from toolkit.task import MISSING, UNKNOWN, Classification, Heads, Labels, Numbers

ASK_SYMMETRIES = (
    f"has a mirrored image the same target, or is it text, a digit, an angle, left or right? {SAY_SYMMETRIES}"
)
SHOWN = 18  # findings of a kind with pictures
MEMBERS = 6  # of a group


def audit_page(
    competition: Competition,
    dataset: Dataset,
    whole: np.ndarray,
    findings: Findings,
    proposal: pd.DataFrame,
    shift: Shift | None,
    evidence: Path,
    relatives: pd.DataFrame | None,
    mimicry: Mimicry | None,
) -> str:
    """The HTML of the whole audit.

    dataset: as pictures. whole: group of each sample, the competition's own included. relatives: of test images, and
    what follows for the folds, where that is known.
    """
    dropped = set(proposal.loc[proposal["action"] == "drop", "index"])
    keep = np.array([int(name) not in dropped for name in dataset.ids])
    group = groups_found(dataset, findings)
    facts = [
        (f"{len(dataset.images):,}", "training samples"),
        (f"{len(dataset.ids) - keep.sum():,}", "to drop"),
        (f"{len(np.unique(whole[keep])):,}", "groups of one origin"),
        (f"{int((proposal['action'] == 'relabel?').sum()):,}", "labels to look at"),
        (f"{len(dataset.test_images):,}", "test images"),
    ]
    if shift is not None:
        facts.append((f"{shift.auc:.2f}", "AUC of train against test"))
    if mimicry is not None:
        facts.append((f"{mimicry.related:,}", "test images with a relative in training"))
    sections = [
        class_table(competition, dataset, keep),
        _class_properties(competition, dataset, keep, evidence),
        *_intruders(competition, dataset, findings),
        *_copies(competition, dataset, findings, group, keep),
        *_seams(dataset, findings),
        *_labels(competition, dataset, proposal, findings),
        *_outliers(competition, dataset, proposal, findings),
        *(_shift(competition, dataset, shift) if shift is not None else []),
        *(_relatives(competition, dataset, relatives, mimicry) if relatives is not None and mimicry else []),
    ]
    todo = [*_todo(proposal, shift), *([_sentence(mimicry.words)] if mimicry else [])]
    if competition.symmetries is None:
        todo.append(_sentence(ASK_SYMMETRIES))
    return render(Page(f"Audit of {competition.name}", facts, todo, list(sections)))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _todo(proposal: pd.DataFrame, shift: Shift | None) -> list[str]:
    count = proposal["action"].value_counts()
    sentences = []
    if count.get("drop", 0):
        sentences.append(f"{count['drop']:,} samples are left out of the folds: intruders and contradictions.")
    if count.get("group", 0):
        sentences.append(
            f"{count['group']:,} samples have relatives; each group stays on one side of every split, or the local "
            "score is too good to be true."
        )
    asked = sum(n for name, n in count.items() if str(name).endswith("?"))
    if asked:
        sentences.append(
            f"{asked:,} suggestions wait for you: remove the question mark in cleaning.csv to accept one."
        )
    if shift is not None and shift.auc > 0.7:
        sentences.append("The test images differ from the training images: trust no clean score alone.")
    elif shift is not None:
        sentences.append("The test images look much like the training images.")
    return sentences or ["Nothing was found that needs a hand."]


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
    rows = [[name, f"{n:,}", share] for name, n, share in zip(task.classes, counts, shares, strict=True)]
    if isinstance(task, Classification) and task.unknown is not None:
        rows.append([task.unknown, f"{(targets == UNKNOWN).sum():,}", "none of the known"])
    return Table("Classes", ("class", "images", "share"), rows)


def _label_table(task: Labels | Heads, targets: np.ndarray) -> Table:
    """Images of each label, or of each class of each head, and for how many it is not known."""
    sizes = [1] * len(task.labels) if isinstance(task, Labels) else [len(classes) for _, classes in task.heads]
    missing = np.repeat((targets == MISSING).sum(0), sizes)
    counts = class_counts(targets, task)
    rows = [
        [name, f"{n:,}", f"{n / max(len(targets) - lacking, 1):.2%}", f"{lacking:,}"]
        for name, n, lacking in zip(task.classes, counts, missing, strict=True)
    ]
    title, name = ("Labels", "label") if isinstance(task, Labels) else ("Classes", "class")
    return Table(title, (name, "images", "share of the known", "not known"), rows)


def _number_table(task: Numbers, targets: np.ndarray) -> Table:
    rows = []
    for name, column in zip(task.targets, targets.T, strict=True):
        known = column[~np.isnan(column)]
        figures = (known.mean(), known.std(), known.min(), np.median(known), known.max()) if len(known) else ()
        rows.append([name, f"{len(known):,}", *(f"{figure:.4g}" for figure in figures or ["-"] * 5)])
    columns = ("number", "images", "mean", "standard deviation", "least", "median", "most")
    return Table("Numbers", columns, rows)


def _class_properties(competition: Competition, dataset: Dataset, keep: np.ndarray, evidence: Path) -> Table:
    table = kept_properties(dataset.images, evidence / "properties.parquet")
    rows = []
    held = holds(dataset.targets, competition.task)
    for name, has in zip(names_of(competition.task), held.T, strict=True):
        rows.append([name, *(f"{value:.1f}" for value in table[has & keep].mean())])
    note = "Means over the images of a class, or that hold it. A class that differs in light is easily learnt by it."
    return Table("Pictures by class", ("class", *table.columns), rows, note)


def _members(competition: Competition, dataset: Dataset, rows: np.ndarray) -> np.ndarray:
    """Pictures of some rows of a group side by side."""
    return strip([panel(competition, dataset, row) for row in rows[:MEMBERS]])


def _intruders(competition: Competition, dataset: Dataset, findings: Findings) -> list[Gallery]:
    many = [(rows, f"one picture {len(rows)} times") for rows in findings.same if len(rows) > REPEATS]
    many += [(rows, f"one mask under {len(rows)} pictures") for rows in findings.masks]
    if not many:
        return []
    figures = [(text, _members(competition, dataset, rows)) for rows, text in many[:SHOWN]]
    advice = "Pictures or masks that repeat more often than chance. They are dropped; delete their lines to keep them."
    return [Gallery("Intruders", advice, figures, max(0, len(many) - SHOWN))]


def _copies(
    competition: Competition, dataset: Dataset, findings: Findings, group: np.ndarray, keep: np.ndarray
) -> list[Gallery]:
    copied = findings.links[findings.links["kind"] == "copy"]
    touched = {int(row) for row in copied[["left", "right"]].to_numpy().ravel()}
    touched |= {int(row) for rows in findings.same for row in rows if keep[row]}
    names = sorted({int(group[row]) for row in touched}, key=lambda name: -int((group == name).sum()))
    figures = []
    for name in names[:SHOWN]:
        rows = np.flatnonzero((group == name) & keep)
        if len(rows):
            figures.append((f"{len(rows)} pictures of one origin", _members(competition, dataset, rows)))
    if not figures:
        return []
    advice = "Copies of one picture. They stay together in one fold; look for groups that show different things."
    return [Gallery("Copies", advice, figures, max(0, len(names) - SHOWN))]


def _seams(dataset: Dataset, findings: Findings) -> list[Gallery]:
    seams = findings.links[findings.links["kind"] != "copy"].sort_values("similarity", ascending=False)
    if seams.empty:
        return []
    spread = seams.iloc[np.linspace(0, len(seams) - 1, min(SHOWN, len(seams))).astype(int)]
    figures = [
        (" continues in ".join(name for name, _ in panels[:2]), enlarged(panels[-1][1]))
        for panels in (link_panels(dataset, link) for link in spread.itertuples(index=False))
    ]
    advice = (
        "Tiles cut from one larger picture, from the surest to the least sure. They stay together in one fold; "
        "about one in fifty of these links may be chance."
    )
    return [Gallery("Neighbouring tiles", advice, figures, max(0, len(seams) - SHOWN))]


def _alone(picture: np.ndarray) -> np.ndarray:
    return strip([("", picture)])


def _labels(competition: Competition, dataset: Dataset, proposal: pd.DataFrame, findings: Findings) -> list[Gallery]:
    asked = proposal[proposal["reason"].str.startswith((DOUBTFUL_LABEL, DOUBTFUL_MASK))]
    asked = asked.sort_values("confidence", ascending=False)
    if asked.empty:
        return []
    row_of = {int(name): row for row, name in enumerate(dataset.ids)}
    figures = [
        (f"{name}: {reason}", _alone(panel(competition, dataset, row_of[int(name)])[1]))
        for name, reason in asked.head(SHOWN)[["index", "reason"]].itertuples(index=False)
    ]
    advice = f"Labels held against {findings.label_errors.judge}. Accept a line by removing its question mark."
    return [Gallery("Suspicious labels", advice, figures, max(0, len(asked) - SHOWN))]


def _outliers(competition: Competition, dataset: Dataset, proposal: pd.DataFrame, findings: Findings) -> list[Gallery]:
    asked = proposal[proposal["reason"].str.startswith(UNLIKE)]
    if asked.empty:
        return []
    rows = np.flatnonzero(np.isin(dataset.ids, asked["index"]))
    rows = rows[np.argsort(-findings.outlyingness[rows])]
    figures = [
        (f"{panel(competition, dataset, row)[0]}: {findings.outlyingness[row]:.1f}", _alone(dataset.images[row]))
        for row in rows[:SHOWN]
    ]
    advice = "Pictures far from all others. Drop those that do not belong; rare but real ones are worth keeping."
    return [Gallery("Unlike the rest", advice, figures, max(0, len(rows) - SHOWN))]


def _shift(competition: Competition, dataset: Dataset, shift: Shift) -> list[Table | Gallery]:
    rows = [
        [str(line.property), f"{line.train:.2f}", f"{line.test:.2f}", f"{line.auc:.2f}"]
        for line in shift.by_property.itertuples(index=False)
    ]
    note = (
        f"A classifier that sees these properties tells test from training images with an AUC of {shift.auc:.2f} "
        "(up to 0.5: not at all, 1: always). Below, medians, and the AUC of each property alone."
    )
    order = np.argsort(-shift.probabilities)[:SHOWN]
    figures = [(f"test image {row}", _alone(dataset.test_images[row])) for row in order]
    advice = "The test images most unlike the training images: let the augmentation reach them."
    table = Table("Train against test", ("property", "train", "test", "AUC alone"), rows, note)
    return [table, Gallery("Most unlike training", advice, figures)]


def _relatives(
    competition: Competition, dataset: Dataset, relatives: pd.DataFrame, mimicry: Mimicry
) -> list[Table | Gallery]:
    counts = {
        "exact copy": mimicry.exact,
        "copy": mimicry.copies,
        "neighbouring tile": mimicry.neighbours,
        "none": mimicry.tests - mimicry.related,
    }
    rows = [[name, f"{count:,}", f"{count / mimicry.tests:.1%}"] for name, count in counts.items()]
    note = f"{_sentence(mimicry.words)} An image is counted by its surest relative."
    table = Table("Test images by their relatives in training", ("relative", "test images", "share"), rows, note)
    each = relatives.sort_values("similarity", ascending=False, kind="stable").drop_duplicates("test")
    if each.empty:
        return [table]
    spread = each.iloc[np.linspace(0, len(each) - 1, min(SHOWN, len(each))).astype(int)]
    figures = [_pair(competition, dataset, line) for line in spread.itertuples(index=False)]
    advice = "Test images beside what was found of them among the training images, from the surest to the least sure."
    return [table, Gallery("Test images with a relative in training", advice, figures, max(0, len(each) - SHOWN))]


def _pair(competition: Competition, dataset: Dataset, line: Any) -> tuple[str, np.ndarray]:
    """A test image and its relative: tiles laid side by side, others with the label or mask that is known."""
    test, train = dataset.test_images[line.test], dataset.images[line.train]
    name = f"test image {line.test}"
    if line.kind in (EXACT, COPY):
        how = "is" if line.kind == EXACT else "is a copy of"
        caption = f"{name} {how} {dataset.ids[line.train]}: similarity {line.similarity:.2f}"
        return caption, strip([panel(competition, dataset, line.train), (name, test)])
    pictures = [train, test] if line.kind in ("right", "bottom") else [test, train]
    joined = np.concatenate(pictures, axis=1 if line.kind in ("left", "right") else 0)
    return f"{name} continues {dataset.ids[line.train]} on its {line.kind}", enlarged(joined)
