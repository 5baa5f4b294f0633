"""What stands on the audit's page: summary, class balance, galleries of what was found, train against test."""

import time
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

import toolkit
from toolkit.auditing.cleaning_proposal import groups_found, too_many_to_drop
from toolkit.auditing.findings import Findings, kept_properties
from toolkit.auditing.galleries import Galleries
from toolkit.auditing.mimicry import Mimicry
from toolkit.auditing.table_columns import ColumnFindings
from toolkit.auditing.train_vs_test import Shift
from toolkit.competition import SAY_SYMMETRIES, Competition
from toolkit.data.dataset import Dataset
from toolkit.data.targets import class_counts, holds, names_of
from toolkit.outcome import counted, fact
from toolkit.pages.html import Block, Page, Table, render
from toolkit.store import Workspace, read_manifest
from toolkit.task import MISSING, UNKNOWN, Classification, Heads, Labels, Numbers

ASK_SYMMETRIES = (
    f"has a mirrored image the same target, or is it text, a digit, an angle, left or right? {SAY_SYMMETRIES}"
)
MANY, SHOWN = 100, 15  # classes: of more, so many of the commonest and as many of the rarest have a row


def audit_page(
    competition: Competition,
    workspace: Workspace,
    dataset: Dataset,
    whole: np.ndarray,
    findings: Findings,
    proposal: pd.DataFrame,
    shift: Shift | None,
    relatives: pd.DataFrame | None,
    mimicry: Mimicry | None,
    singles: Dataset,
    columns: ColumnFindings | None = None,
) -> str:
    """The HTML of the whole audit.

    dataset: as pictures, singles: see `Galleries`. whole: group of each sample, the competition's own included.
    relatives: of test images, and what follows for the folds, where that is known. columns: what lies beside the
    images.
    """
    keep = ~np.isin(dataset.ids, proposal.loc[proposal["action"] == "drop", "index"])
    group = groups_found(dataset, findings)
    facts = [
        fact(len(dataset.images), "training sample"),
        (f"{len(dataset.ids) - keep.sum():,}", "to drop"),
        fact(len(np.unique(whole[keep])), "group", "of one origin"),
        fact(int((proposal["action"] == "relabel?").sum()), "label", "to look at"),
        fact(len(dataset.test_images), "test image"),
    ]
    if shift is not None:
        facts.append((f"{shift.auc:.2f}", "AUC of train against test"))
    if mimicry is not None:
        facts.append(fact(mimicry.related, "test image", "with a relative in training"))
    pictures = Galleries(competition, workspace, dataset, findings, proposal, singles)
    sections: list[Block] = [
        *pictures.examples(keep),
        class_table(competition, dataset, keep),
        *([columns.table] if columns else []),
        *_class_properties(competition, workspace, dataset, keep),
        *pictures.intruders(),
        *pictures.copies(group, keep),
        *pictures.seams(),
        *pictures.labels(),
        *pictures.outliers(),
    ]
    if shift is not None:
        sections += [_shift(shift), pictures.unlike_training(shift)]
    if relatives is not None and mimicry:
        sections += [_relatives(mimicry), *pictures.relatives(relatives)]
    todo = [*_todo(proposal, shift, findings), *([_sentence(mimicry.words)] if mimicry else [])]
    todo += [_sentence(words) for words in (columns.words if columns else ())]
    if competition.symmetries is None:
        todo.append(_sentence(ASK_SYMMETRIES))
    links = [("report.html", "the report")] if workspace.report.exists() else []
    raw = (read_manifest(workspace.data) or {}).get("raw", "")
    written = f"written {time.strftime('%Y-%m-%d %H:%M')} by version {toolkit.__version__}"
    subtitle = written + (f"; files of {raw}" if raw else "")
    return render(Page(f"{workspace.name}: audit", facts, todo, sections, subtitle, tuple(links)))


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _todo(proposal: pd.DataFrame, shift: Shift | None, findings: Findings) -> list[str]:
    count = proposal["action"].value_counts()
    sentences = []
    if count.get("drop", 0):
        verb = "is" if count["drop"] == 1 else "are"
        sentences.append(f"{counted(count['drop'], 'sample')} {verb} left out: intruders and contradictions.")
    if question := too_many_to_drop(proposal):
        sentences.append(f"{question}.")
    if count.get("group", 0):
        sentences.append(
            f"{counted(count['group'], 'sample')} with relatives: each group stays on one side of every split, or the "
            "local score is too good to be true."
        )
    asked = sum(n for name, n in count.items() if str(name).endswith("?"))
    if asked:
        verb = "waits" if asked == 1 else "wait"
        sentences.append(
            f"{counted(asked, 'suggestion')} {verb} for you: remove the question mark in cleaning.csv to accept one."
        )
    sentences += [_sentence(words) for words in findings.limits]
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


def _class_properties(
    competition: Competition, workspace: Workspace, dataset: Dataset, keep: np.ndarray
) -> list[Table]:
    """Nothing where all images hold the same classes."""
    described, table = kept_properties(dataset.images, workspace.evidence / "properties.parquet")
    targets, names = dataset.targets[described], names_of(competition.task)
    columns: Iterable[tuple[str, np.ndarray]]
    if targets.ndim == 1:  # a class an image: a column for each could be larger than memory
        columns = ((names[at], targets == at) for at in _shown(class_counts(dataset.targets, competition.task)))
    else:
        held = holds(targets, competition.task)
        if (held == held[:1]).all():
            return []
        columns = zip(names, held.T, strict=True)
    kept = keep[described]
    rows = [[name, *(f"{value:.1f}" for value in table[has & kept].mean())] for name, has in columns]
    note = "Means over the images of a class, or that hold it. A class that differs in light is easily learnt by it."
    if len(described) < len(dataset.images):
        note += f" Of {len(described):,} drawn images."
    return [Table("Pictures by class", ("class", *table.columns), rows, note)]


def _shift(shift: Shift) -> Table:
    rows = [
        [str(line.property), f"{line.train:.2f}", f"{line.test:.2f}", f"{line.auc:.2f}"]
        for line in shift.by_property.itertuples(index=False)
    ]
    note = (
        f"A classifier that sees these properties tells test from training images with an AUC of {shift.auc:.2f} "
        "(up to 0.5: not at all, 1: always). Below, medians, and the AUC of each property alone."
    )
    return Table("Train against test", ("property", "train", "test", "AUC alone"), rows, note)


def _relatives(mimicry: Mimicry) -> Table:
    counts = {
        "exact copy": mimicry.exact,
        "copy": mimicry.copies,
        "neighbouring tile": mimicry.neighbours,
        "none": mimicry.tests - mimicry.related,
    }
    rows = [[name, f"{count:,}", f"{count / mimicry.tests:.1%}"] for name, count in counts.items()]
    note = f"{_sentence(mimicry.words)} An image is counted by its surest relative."
    return Table("Test images by their relatives in training", ("relative", "test images", "share"), rows, note)
