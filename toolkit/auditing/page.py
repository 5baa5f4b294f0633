"""What stands on the audit's page: the classes, what to decide, what was found, a map, train against test."""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

import toolkit
from toolkit.auditing.class_pictures import balance_charts
from toolkit.auditing.class_tables import class_table, properties_by_class
from toolkit.auditing.cleaning_proposal import groups_found, too_many_to_drop
from toolkit.auditing.findings import Findings
from toolkit.auditing.galleries import Galleries
from toolkit.auditing.mimicry import Mimicry
from toolkit.auditing.picture_dots import dots
from toolkit.auditing.picture_map import PictureMap
from toolkit.auditing.review import still_waiting
from toolkit.auditing.table_columns import ColumnFindings
from toolkit.auditing.train_vs_test import Shift
from toolkit.commands import command
from toolkit.competition import SAY_SYMMETRIES, Competition
from toolkit.data.dataset import Dataset
from toolkit.outcome import are, counted, fact
from toolkit.pages.html import Block, Folded, Page, Row, Section, Table, render
from toolkit.store import Workspace, read_manifest
from toolkit.task import Numbers

ASK_SYMMETRIES = (
    f"has a mirrored image the same target, or is it text, a digit, an angle, left or right? {SAY_SYMMETRIES}"
)
FEW = 12  # rows of a table that stands beside the bars
SHIFTED = 0.7  # AUC of train against test from which it is warned of


@dataclass(frozen=True, eq=False)
class Found:
    """All that an audit knows for its page. dataset: as pictures, singles: see `Galleries`; whole: int64 (N,), group
    of each sample, the competition's own included; relatives: of test images, and what follows for the folds, where
    that is known; columns: what lies beside the images; plane: where pictures lie on the map; runs: on the folds.
    """

    competition: Competition
    workspace: Workspace
    dataset: Dataset
    singles: Dataset
    whole: np.ndarray
    findings: Findings
    proposal: pd.DataFrame
    shift: Shift | None = None
    relatives: pd.DataFrame | None = None
    mimicry: Mimicry | None = None
    columns: ColumnFindings | None = None
    plane: PictureMap | None = None
    runs: int = 0

    @property
    def keep(self) -> np.ndarray:
        """bool (N,): samples that are not dropped."""
        return ~np.isin(self.dataset.ids, self.proposal.loc[self.proposal["action"] == "drop", "index"])

    @property
    def practice(self) -> bool:
        return self.workspace.name != self.competition.name


def audit_page(found: Found) -> str:
    """The HTML of the whole audit."""
    waiting = still_waiting(found.workspace, found.proposal)
    pictures = Galleries(
        found.competition,
        found.workspace,
        found.dataset,
        found.findings,
        found.proposal,
        found.singles,
        waiting,
    )
    what = "numbers" if isinstance(found.competition.task, Numbers) else "classes"
    sections = [
        Section(f"What the {what} look like", _classes(found, pictures)),
        Section("For you to decide", pictures.decisions(), _after_accepting(found)),
        Section("Repeated pictures, copies and neighbours", _relations(found, pictures)),
        Section("Map of all pictures", _map(found)),
        Section("Light and sharpness by class", _properties(found)),
        Section("Training against test images", _tests(found, pictures)),
    ]
    links = [("report.html", "the report")] if found.workspace.report.exists() else []
    shown = [section for section in sections if section.blocks]
    title = f"{found.workspace.name}: audit"
    return render(
        Page(title, _facts(found, len(waiting)), _todo(found, len(waiting)), shown, _written(found), tuple(links))
    )


def _facts(found: Found, waiting: int) -> list[tuple[str, str]]:
    dataset, keep = found.dataset, found.keep
    facts = [
        fact(len(dataset.images), "training sample"),
        (f"{len(dataset.ids) - keep.sum():,}", "dropped"),
        fact(len(np.unique(found.whole[keep])), "group", "of one origin"),
        fact(waiting, "sample", "to decide on"),
        fact(len(dataset.test_images), "test image"),
    ]
    if found.shift is not None:
        facts.append((f"{found.shift.auc:.2f}", "AUC of train against test"))
    if found.mimicry is not None:
        facts.append(fact(found.mimicry.related, "test image", "with a relative in training"))
    return facts


def _written(found: Found) -> str:
    """Which data, when and by what."""
    raw = (read_manifest(found.workspace.data) or {}).get("raw", "")
    data = "synthetic practice data" if found.practice else "the organisers' data"
    where = f" in {raw}" if raw else ""
    return f"{data}{where}; written {time.strftime('%Y-%m-%d %H:%M')} by version {toolkit.__version__}"


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _todo(found: Found, waiting: int) -> list[str]:
    count, shift = found.proposal["action"].value_counts(), found.shift
    sentences = []
    if count.get("drop", 0):
        sentences.append(f"{are(count['drop'], 'sample')} left out, as repeated or contradictory.")
    if question := too_many_to_drop(found.proposal):
        sentences.append(f"{question}.")
    if count.get("group", 0):
        sentences.append(
            f"{counted(count['group'], 'sample')} with relatives: each group stays on one side of every split, or the "
            "CV score is too good to be true."
        )
    if waiting:
        verb = "has a suggestion that waits" if waiting == 1 else "have suggestions that wait"
        sentences.append(f"{counted(waiting, 'sample')} {verb} for you: accept or refuse them below.")
    sentences += [_sentence(words) for words in found.findings.limits]
    if shift is not None and shift.auc > SHIFTED:
        sentences.append("The test images differ from the training images: don't rely on the CV score alone.")
    elif shift is not None:
        sentences.append("The test images look much like the training images.")
    sentences += [_sentence(found.mimicry.words)] if found.mimicry else []
    sentences += [_sentence(words) for words in (found.columns.words if found.columns else ())]
    if found.competition.symmetries is None:
        sentences.append(_sentence(ASK_SYMMETRIES))
    return sentences or ["Nothing needs your attention."]


def _classes(found: Found, pictures: Galleries) -> list[Block]:
    keep = found.keep
    charts = balance_charts(found.dataset.targets, found.competition.task, keep)
    table = class_table(found.competition, found.dataset, keep)
    beside = [Folded("Table: beside the images", [found.columns.table])] if found.columns else []
    few = len(table.rows) <= FEW and not isinstance(found.competition.task, Numbers)
    balance = [Row([*charts, table])] if few else [Row(charts), Folded(f"Table: {table.title.lower()}", [table])]
    return [*balance, *beside, *pictures.examples(keep)]


def _after_accepting(found: Found) -> str:
    """What accepting makes necessary, said before it is done."""
    words = ("--again",) if found.runs else ()
    again = f"`{command(found.competition, found.workspace, 'folds', *words)}`"
    if not found.runs:
        return f"Once you have accepted something, make the folds by the changed list: {again}."
    return (
        f"Whatever is accepted changes the folds, which {again} then makes again: {counted(found.runs, 'run')} on the "
        "present folds can't be blended with new ones, and would have to be trained again. The list as it was is kept "
        "as cleaning.csv.1."
    )


def _relations(found: Found, pictures: Galleries) -> list[Block]:
    group = groups_found(found.dataset, found.findings, ~found.keep)
    return [*pictures.intruders(), *pictures.copies(group, found.keep), *pictures.seams()]


def _map(found: Found) -> list[Block]:
    if found.plane is None:
        return []
    return [dots(found.competition, found.workspace, found.dataset, found.proposal, found.plane)]


def _properties(found: Found) -> list[Block]:
    return [*properties_by_class(found.competition, found.workspace, found.dataset, found.keep)]


def _tests(found: Found, pictures: Galleries) -> list[Block]:
    blocks: list[Block] = []
    if found.shift is not None:
        blocks += [_shift(found.shift), pictures.unlike_training(found.shift)]
    if found.relatives is not None and found.mimicry:
        blocks += [_relatives(found.mimicry), *pictures.relatives(found.relatives)]
    return blocks


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
