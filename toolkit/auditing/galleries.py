"""The audit's pictures: what the classes look like, and what was found, with the files that are shown."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.cleaning_proposal import DOUBTFUL_MASK
from toolkit.auditing.explain import link_panels, of_images, panel
from toolkit.auditing.findings import REPEATS, Findings
from toolkit.auditing.relatives import COPY, EXACT
from toolkit.auditing.train_vs_test import Shift
from toolkit.competition import Competition
from toolkit.data.cleaning import DOUBTFUL_LABEL, UNLIKE
from toolkit.data.dataset import Dataset
from toolkit.data.groups import shared
from toolkit.data.naming import with_addresses
from toolkit.data.targets import in_words
from toolkit.outcome import counted
from toolkit.pages.html import Figure, Gallery
from toolkit.pages.pictures import enlarged, short, side_by_side, strip
from toolkit.store import Workspace
from toolkit.task import Classification, Grades, Labels

SHOWN = 18  # findings of a kind with pictures
MEMBERS = 6  # of a group
CLASSES, EXAMPLES = 12, 8  # that are shown, and of each


@dataclass(frozen=True, eq=False)
class Galleries:
    """Each is a list of galleries, empty where there is nothing to show. dataset: as pictures; where samples are sets
    of images, the first of each, and singles are all of them, else the same.
    """

    competition: Competition
    workspace: Workspace
    dataset: Dataset
    findings: Findings
    proposal: pd.DataFrame
    singles: Dataset

    def examples(self, keep: np.ndarray) -> list[Gallery]:
        """Some of each class, or of all where samples hold several; keep: bool (N,), those not dropped."""
        task, targets, rows = self.competition.task, self.dataset.targets, np.flatnonzero(keep)
        rng = np.random.default_rng(0)
        if not isinstance(task, Classification | Grades | Labels):
            some = np.sort(rng.permutation(rows)[: CLASSES + MEMBERS])
            figures = [Figure("" if task.masks else in_words(targets[row], task), *self._one(row)) for row in some]
            return [Gallery("Examples", "Some samples as they are loaded.", figures)]
        figures = []
        shown = np.linspace(0, len(task.classes) - 1, min(CLASSES, len(task.classes))).astype(int)
        for at in shown.tolist():
            given = targets[rows] == at if targets.ndim == 1 else targets[rows, at] == 1
            some = rng.permutation(rows[given])[:EXAMPLES]
            if len(some):
                pictures = strip([("", self.dataset.images[row]) for row in some])
                figures.append(Figure(task.classes[at], pictures))
        more = len(task.classes) - len(shown)
        advice = "Samples of each class, drawn at random." + (f" {more:,} classes are not shown." if more else "")
        return [Gallery("What the classes look like", advice, figures)]

    def intruders(self) -> list[Gallery]:
        many = [(rows, f"one picture {len(rows):,} times") for rows in self.findings.same if len(rows) > REPEATS]
        many = [(rows[:1], text) for rows, text in many]
        many += [(rows, f"one mask under {len(rows):,} pictures") for rows in self.findings.masks]
        figures = [self._members(rows, text) for rows, text in many[:SHOWN]]
        advice = (
            "Pictures or masks that repeat more often than chance. Where cleaning.csv says `drop` they are left out; "
            "delete their lines to keep them."
        )
        return _gallery("Intruders", advice, figures, len(many))

    def copies(self, group: np.ndarray, keep: np.ndarray) -> list[Gallery]:
        """group: int64 (N,), of what was found."""
        copied = self.findings.links[self.findings.links["kind"] == "copy"]
        touched = np.zeros(len(group), bool)
        touched[copied[["left", "right"]].to_numpy(np.int64).ravel()] = True
        for rows in self.findings.same:
            touched[rows] |= keep[rows]
        found = [rows[keep[rows]] for rows in shared(group) if touched[rows].any() and keep[rows].any()]
        found.sort(key=len, reverse=True)
        figures = [self._members(rows, f"{counted(len(rows), 'picture')} of one origin") for rows in found[:SHOWN]]
        advice = "Copies of one picture. They stay together in one fold; look for groups that show different things."
        return _gallery("Copies", advice, figures, len(found))

    def seams(self) -> list[Gallery]:
        links = self.findings.links
        seams = links[links["kind"] != "copy"].sort_values("similarity", ascending=False)
        figures = [
            Figure("one continues in the other", enlarged(link_panels(self.singles, link)[-1][1]), self._files(rows))
            for link, rows in zip(
                of_images(_spread(seams)).itertuples(index=False),
                _spread(seams)[["left", "right"]].to_numpy(np.int64),
                strict=True,
            )
        ]
        advice = (
            "Tiles cut from one larger picture, from the surest to the least sure. They stay together in one fold; "
            "about one in fifty of these links may be chance."
        )
        return _gallery("Neighbouring tiles", advice, figures, len(seams))

    def labels(self) -> list[Gallery]:
        asked = self.proposal[self.proposal["reason"].str.startswith((DOUBTFUL_LABEL, DOUBTFUL_MASK))]
        asked = asked.sort_values("confidence", ascending=False)
        figures = []
        columns = asked.head(SHOWN)[["index", "value", "reason", "confidence"]]
        for index, value, reason, sure in columns.itertuples(index=False, name=None):
            row = self._row_of[int(index)]
            picture = panel(self.competition, self.dataset, row)[1]
            like = self._example(str(value), row)
            shown = enlarged(picture) if like is None else strip([("", picture), (f"{value}, for one", like)])
            figures.append(Figure(f"{reason} ({sure:.0%} sure)", shown, self._files([row])))
        advice = (
            f"Labels held against {self.findings.label_errors.judge}. Accept a line by removing its question mark."
        )
        return _gallery("Suspicious labels", advice, figures, len(asked))

    def outliers(self) -> list[Gallery]:
        asked = self.proposal[self.proposal["reason"].str.startswith(UNLIKE)]
        rows = np.array([self._row_of[int(index)] for index in asked["index"]], np.int64)
        rows = rows[np.argsort(-self.findings.outlyingness[rows], kind="stable")]
        figures = [Figure(f"distance {self.findings.outlyingness[row]:.1f}", *self._one(row)) for row in rows[:SHOWN]]
        advice = (
            "Pictures far from all others: farther from their nearest than is usual, in robust standard deviations "
            "(of most pictures less than 3). Drop those that do not belong; rare but real ones are worth keeping."
        )
        return _gallery("Unlike the rest", advice, figures, len(rows))

    def unlike_training(self, shift: Shift) -> Gallery:
        order = shift.rows[np.argsort(-shift.probabilities)[:SHOWN]]
        figures = [Figure(self._test_name(row), enlarged(self.dataset.test_images[row])) for row in order.tolist()]
        advice = "The test images most unlike the training images: let the augmentation reach them."
        return Gallery("Most unlike training", advice, figures)

    def relatives(self, relatives: pd.DataFrame) -> list[Gallery]:
        each = relatives.sort_values("similarity", ascending=False, kind="stable").drop_duplicates("test")
        figures = [self._pair(line) for line in _spread(each).itertuples(index=False)]
        advice = (
            "Test images beside what was found of them among the training images, from the surest to the least sure."
        )
        return _gallery("Test images with a relative in training", advice, figures, len(each), "relatives.parquet")

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {int(index): row for row, index in enumerate(self.dataset.ids)}

    def _files(self, rows: Iterable[int]) -> tuple[tuple[str, str], ...]:
        return with_addresses(self.dataset.called[np.asarray(rows)], self.workspace)

    def _one(self, row: int) -> tuple[np.ndarray, tuple[tuple[str, str], ...]]:
        """Picture and file of a row."""
        return enlarged(panel(self.competition, self.dataset, row)[1]), self._files([row])

    def _members(self, rows: np.ndarray, caption: str) -> Figure:
        """Some rows of a group side by side."""
        some = rows[:MEMBERS]
        return Figure(caption, strip([panel(self.competition, self.dataset, row) for row in some]), self._files(some))

    def _example(self, name: str, but: int) -> np.ndarray | None:
        """A sample of that class whose label is in the least doubt."""
        task, errors = self.competition.task, self.findings.label_errors
        if not isinstance(task, Classification | Grades) or name not in task.classes:
            return None
        rows = np.flatnonzero((self.dataset.targets == task.classes.index(name)) & ~np.isnan(errors.quality))
        rows = rows[rows != but]
        return self.dataset.images[rows[np.argmax(errors.quality[rows])]] if len(rows) else None

    def _test_name(self, row: int) -> str:
        ids, places = self.dataset.test_ids, self.dataset.test_places
        if places is None:
            return f"test image {row if ids is None else ids[row]}"
        picture, top, left, *_ = places[row].tolist()
        where = f" ({top}, {left})" if len(places) != len(np.unique(places[:, 0])) else ""
        return f"test image {picture if ids is None else ids[picture]}{where}"

    def _pair(self, line: Any) -> Figure:
        """A test image and its relative: tiles laid side by side, others with the label or mask that is known."""
        test, train = self.dataset.test_images[line.test], self.dataset.images[line.train]
        name, called = self._test_name(line.test), self.dataset.called[line.train]
        if line.kind in (EXACT, COPY):
            how = "is" if line.kind == EXACT else "is a copy of"
            caption = f"{name} {how} {called}: similarity {line.similarity:.2f}"
            return Figure(caption, strip([panel(self.competition, self.dataset, line.train), (short(name), test)]))
        first, second = (train, test) if line.kind in ("right", "bottom") else (test, train)
        joined = side_by_side(first, second, 1 if line.kind in ("left", "right") else 0)
        return Figure(f"{name} continues {called} on its {line.kind}", enlarged(joined))


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """SHOWN lines of a table, from its first to its last."""
    return table.iloc[np.linspace(0, len(table) - 1, min(SHOWN, len(table))).astype(int)]


def _gallery(
    title: str, advice: str, figures: list[Figure], found: int, listed: str = "cleaning.csv"
) -> list[Gallery]:
    return [Gallery(title, advice, figures, max(0, found - SHOWN), listed)] if figures else []
