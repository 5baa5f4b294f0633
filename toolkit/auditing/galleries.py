"""The audit's pictures: what the classes look like, and what was found, with the files that are shown."""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.class_pictures import examples, shown_classes
from toolkit.auditing.cleaning_proposal import DOUBTFUL_MASK, OUTLYING
from toolkit.auditing.explain import laid_on, mask_legend, of_images, panel
from toolkit.auditing.findings import Findings
from toolkit.auditing.panels import beside, fitted, joined
from toolkit.auditing.relatives import COPY, EXACT
from toolkit.auditing.train_vs_test import Shift
from toolkit.commands import command
from toolkit.competition import Competition
from toolkit.data.cleaning import CONTRADICTORY, DOUBTFUL_LABEL, REPEATED_MASK, REPEATED_PICTURE, UNLIKE
from toolkit.data.dataset import Dataset
from toolkit.data.groups import REPEATS, shared
from toolkit.data.naming import with_addresses
from toolkit.data.targets import class_counts, in_words
from toolkit.outcome import counted
from toolkit.pages.html import Figure, Gallery
from toolkit.pages.pictures import short
from toolkit.store import Workspace
from toolkit.task import Classification, Grades, Numbers

SHOWN = 18  # findings of a kind with pictures
DECIDED = 48  # of a kind that a person decides
MEMBERS = 6  # of a group
TIMES = "\u00d7"
FIRST = 12  # suggestions of a kind that are seen at first


@dataclass(frozen=True, eq=False)
class Galleries:
    """Each is a list of galleries, empty where there is nothing to show. dataset: as pictures; where samples are sets
    of images, the first of each, and singles are all of them, else the same. waiting: ids, int64 (n,), of samples
    about which a suggestion of the list on disk waits for a person.
    """

    competition: Competition
    workspace: Workspace
    dataset: Dataset
    findings: Findings
    proposal: pd.DataFrame
    singles: Dataset
    waiting: np.ndarray

    def examples(self, keep: np.ndarray) -> list[Gallery]:
        """Some of each class; keep: bool (N,), those not dropped."""
        task, figures, classes = self.competition.task, [], 0
        for name, count, rows in examples(self.dataset.targets, task, np.flatnonzero(keep)):
            classes += 1
            tag = f"{name} ({count:,})"
            for row in rows.tolist():
                words = name if task.masks else in_words(self.dataset.targets[row], task)
                figures.append(self._figure(row, words, tags=(tag,)))
        noun = "pictures of each number, from the least to the most" if isinstance(task, Numbers) else "of each class"
        advice = f"Some {noun}" + ("." if isinstance(task, Numbers) else ", drawn at random.")
        if more := self._classes_that_are_not_shown(keep):
            advice += f" Shown are the largest classes, the smallest and a sample of the others; {more:,} are not."
        alike = 8 if classes <= 4 else 4 if classes <= 8 else 3
        return [Gallery("", advice, figures, legend=mask_legend(self.competition, self.dataset), alike=alike)]

    def _classes_that_are_not_shown(self, keep: np.ndarray) -> int:
        if isinstance(self.competition.task, Numbers) or self.competition.task.masks:
            return 0
        counts = class_counts(self.dataset.targets[keep], self.competition.task)
        return int((counts > 0).sum()) - len(shown_classes(counts))

    def decisions(self) -> list[Gallery]:
        """Suggestions that a person accepts or refuses."""
        parts = (self._doubtful(), self._outliers(), self._contradictory())
        figures = [figure for part in parts for figure in part]
        if not figures:
            return []
        listed = self._asked(DOUBTFUL_LABEL, DOUBTFUL_MASK, UNLIKE, CONTRADICTORY)
        accept, refuse = (
            command(self.competition, self.workspace, "audit", option) for option in ("--accept", "--refuse")
        )
        kinds = {figure.tags[0] for figure in figures}
        advice = (
            "Tick pictures: the commands that accept or refuse what is suggested about them appear below, to copy. A "
            f"kind is decided whole by its name: `{accept} {shlex.quote(min(kinds))}`. {self._judged(kinds)}"
        )
        more = max(0, listed["index"].nunique() - sum(len(figure.files) for figure in figures))
        return [Gallery("", advice, figures, more, alike=FIRST, command=f"{accept}\n{refuse}")]

    def _judged(self, kinds: set[str]) -> str:
        """By what these kinds were found."""
        said = []
        if UNLIKE in kinds:
            typical = np.nanquantile(self.findings.outlyingness, 0.95)
            said.append(
                "Distance to the most similar pictures, in robust standard deviations: 95 % of the pictures are below "
                f"{typical:.1f}, from {OUTLYING:.0f} on they are suggested. Drop what doesn't belong; rare but real "
                "pictures are worth keeping."
            )
        if kinds & {DOUBTFUL_LABEL, DOUBTFUL_MASK}:
            said.append(f"Labels were compared with {self.findings.label_errors.judge}.")
        return " ".join(said)

    def _asked(self, *kinds: str) -> pd.DataFrame:
        """Suggestions of these kinds, the surest first."""
        lines = self.proposal[self.proposal["reason"].str.startswith(kinds)]
        return lines[lines["action"].str.endswith("?")].sort_values("confidence", ascending=False, kind="stable")

    def _doubtful(self) -> Iterator[Figure]:
        """Doubtful labels and masks; beside a label's picture one of the class that is suggested."""
        columns = ["index", "value", "reason", "confidence"]
        asked = self._asked(DOUBTFUL_LABEL, DOUBTFUL_MASK)[columns].head(DECIDED)
        for index, value, reason, sure in asked.itertuples(index=False, name=None):
            row, (kind, _, why) = self._row_of[int(index)], str(reason).partition(": ")
            like, given = self._example(str(value), row), in_words(self.dataset.targets[row], self.competition.task)
            title = f"{given} → {value}?" if value else why
            caption = _sure(sure) + (f"; {why}" if value and "copies" in why else "")
            if like is None:
                yield self._decision(self._figure(row, caption, title, (kind,)), [row])
                continue
            picture = fitted(self.dataset.images[row])
            layers = ((f"a sure {value}", fitted(self.dataset.images[like])),)
            files = self._files([row])
            figure = Figure(caption, picture, files, layers, (kind,), title, f"labelled {given}")
            yield self._decision(figure, [row])

    def _outliers(self) -> Iterator[Figure]:
        asked = self._asked(UNLIKE)
        rows = np.array([self._row_of[int(index)] for index in asked["index"]], np.int64)
        far = self.findings.outlyingness
        for row in rows[np.argsort(-far[rows], kind="stable")][:DECIDED].tolist():
            words = in_words(self.dataset.targets[row], self.competition.task)
            yield self._decision(self._figure(row, f"distance {far[row]:.0f}", words, (UNLIKE,)), [row])

    def _contradictory(self) -> Iterator[Figure]:
        """Equal pictures whose targets differ, where that is a suggestion."""
        asked = set(self._asked(CONTRADICTORY)["index"].tolist())
        for rows in self.findings.same:
            if len(rows) <= REPEATS and set(self.dataset.ids[rows].tolist()) <= asked:
                words = "; ".join(in_words(self.dataset.targets[row], self.competition.task) for row in rows.tolist())
                figure = self._figure(int(rows[0]), f"one picture, {words}", "", (CONTRADICTORY,))
                yield self._decision(figure._replace(files=self._files(rows)), rows.tolist())

    def intruders(self) -> list[Gallery]:
        figures = []
        for rows in self.findings.same:
            if len(rows) > REPEATS:
                figures.append(
                    self._figure(int(rows[0]), "one picture", f"{TIMES} {len(rows):,}", (REPEATED_PICTURE,))
                )
        for rows in self.findings.masks:
            some = rows[:MEMBERS]
            (name, picture), *others = (self._panel(row) for row in some.tolist())
            caption, title = f"one mask under {len(rows):,} pictures", f"{TIMES} {len(rows):,}"
            figures.append(Figure(caption, picture, self._files(some), others, (REPEATED_MASK,), title, name))
        advice = (
            "Pictures or masks that repeat more often than chance. Where cleaning.csv says `drop` they are left out; "
            "to keep them, refuse the proposal: "
            f"`{command(self.competition, self.workspace, 'audit', '--refuse', figures[0].tags[0])}`."
            if figures
            else ""
        )
        return _gallery("Repeated pictures and masks", advice, figures[:SHOWN], len(figures))

    def copies(self, group: np.ndarray, keep: np.ndarray) -> list[Gallery]:
        """group: int64 (N,), of what was found."""
        copied = self.findings.links[self.findings.links["kind"] == "copy"]
        touched = np.zeros(len(group), bool)
        touched[copied[["left", "right"]].to_numpy(np.int64).ravel()] = True
        for rows in self.findings.same:
            touched[rows] |= keep[rows]
        found = [rows[keep[rows]] for rows in shared(group) if touched[rows].any() and keep[rows].any()]
        found.sort(key=len, reverse=True)
        linked = [rows for rows in found if _among(copied, rows).any()]
        equal = [rows for rows in found if not _among(copied, rows).any()]
        advice = (
            "Copies of one picture stay together in one fold. Shown are the surest two of each group, the second laid "
            "on the first, and what then differs, which is dark where they are the same; look for pairs that show "
            "different things, and refuse their lines."
        )
        figures = [self._linked(rows, copied[_among(copied, rows)]) for rows in linked[:SHOWN]]
        same = [self._equal(rows) for rows in equal[:SHOWN]]
        exact = "Pictures that are the same to the last bit, under one target; they stay together in one fold."
        return [
            *_gallery("Copies", advice, figures, len(linked)),
            *_gallery("Exact copies", exact, same, len(equal)),
        ]

    def _linked(self, rows: np.ndarray, links: pd.DataFrame) -> Figure:
        """A group of one origin, by its surest link."""
        (link,) = self._links(links.sort_values("similarity").tail(1))
        left, right, moved, apart = (fitted(picture) for picture in laid_on(self.singles, link))
        name, other = (short(str(self.singles.called[at])) for at in (link.left, link.right))
        caption = f"{link.keypoints} keypoints agree, similarity {link.similarity:.2f}"
        title, files = f"{counted(len(rows), 'picture')} of one origin", self._files(rows[:MEMBERS])
        return Figure(
            caption, left, files, ((other, right), ("laid on it", moved), ("difference", apart)), (), title, name
        )

    def _equal(self, rows: np.ndarray) -> Figure:
        """A picture that is there several times."""
        words = in_words(self.dataset.targets[rows[0]], self.competition.task)
        return self._figure(int(rows[0]), words, f"{TIMES} {len(rows)}")._replace(files=self._files(rows[:MEMBERS]))

    def seams(self) -> list[Gallery]:
        links = self.findings.links
        seams = _spread(links[links["kind"] != "copy"].sort_values("similarity", ascending=False))
        pairs = seams[["left", "right"]].to_numpy(np.int64)
        figures = []
        for link, rows in zip(self._links(seams), pairs, strict=True):
            left, right = (fitted(self.singles.images[at]) for at in (link.left, link.right))
            axis = 1 if link.kind == "right" else 0
            layers = (("joined", joined(left, right, axis)),)
            caption = f"similarity {link.similarity:.2f}"
            figures.append(
                Figure(caption, beside([left, right], axis), self._files(rows), layers, (), "", "side by side")
            )
        advice = (
            "Tiles cut from one larger picture, from the surest to the least sure, each pair with a gap and joined. "
            "They stay together in one fold; about one in fifty of these links may be chance."
        )
        return _gallery("Neighbouring tiles", advice, figures, int((links["kind"] != "copy").sum()))

    def unlike_training(self, shift: Shift) -> Gallery:
        order = shift.rows[np.argsort(-shift.probabilities)[:SHOWN]].tolist()
        surest = np.sort(shift.probabilities)[::-1]
        figures = [
            Figure(
                f"{_sure(sure)} to be a test image",
                fitted(self.dataset.test_images[row]),
                title=self._test_name(row),
            )
            for row, sure in zip(order, surest.tolist(), strict=False)
        ]
        advice = "The test images most unlike the training images: make sure the augmentation covers these."
        return Gallery("Most unlike training", advice, figures)

    def relatives(self, relatives: pd.DataFrame) -> list[Gallery]:
        each = relatives.sort_values("similarity", ascending=False, kind="stable").drop_duplicates("test")
        figures = [self._pair(line) for line in _spread(each).itertuples(index=False)]
        advice = (
            "Test images beside what was found of them among the training images, from the surest to the least sure."
        )
        return _gallery("Test images with a relative in training", advice, figures, len(each), "relatives.parquet")

    def _links(self, links: pd.DataFrame) -> Iterator[Any]:
        """Lines of links by the rows of their images, in `singles`."""
        return of_images(links).itertuples(index=False)

    @cached_property
    def _row_of(self) -> dict[int, int]:
        return {int(index): row for row, index in enumerate(self.dataset.ids)}

    @cached_property
    def _waiting(self) -> set[int]:
        return set(self.waiting.tolist())

    def _decision(self, figure: Figure, rows: list[int]) -> Figure:
        """A figure that can be ticked, unless what is suggested about its rows was decided already."""
        waiting = [row for row in rows if int(self.dataset.ids[row]) in self._waiting]
        if not waiting:
            return figure._replace(caption=f"{figure.caption} (decided)")
        return figure._replace(choice=shlex.join(str(self.dataset.called[row]) for row in waiting))

    def _files(self, rows: Iterable[int]) -> tuple[tuple[str, str], ...]:
        return with_addresses(self.dataset.called[np.asarray(rows)], self.workspace)

    def _figure(self, row: int, caption: str, title: str = "", tags: Sequence[str] = ()) -> Figure:
        """A row's picture and its file; a mask as a layer."""
        picture = fitted(self.dataset.images[row])
        layers: tuple[tuple[str, np.ndarray], ...] = ()
        if self.competition.task.masks:
            layers = (("mask", fitted(panel(self.competition, self.dataset, row)[1])),)
        return Figure(caption, picture, self._files([row]), layers, tags, title)

    def _panel(self, row: int) -> tuple[str, np.ndarray]:
        """What a row is called, and its picture under its mask, as layers are."""
        return short(str(self.dataset.called[row])), fitted(panel(self.competition, self.dataset, row)[1])

    def _example(self, name: str, but: int) -> int | None:
        """The row of a sample of that class whose label is in the least doubt."""
        task, errors = self.competition.task, self.findings.label_errors
        if not isinstance(task, Classification | Grades) or name not in task.classes:
            return None
        rows = np.flatnonzero((self.dataset.targets == task.classes.index(name)) & ~np.isnan(errors.quality))
        rows = rows[rows != but]
        return int(rows[np.argmax(errors.quality[rows])]) if len(rows) else None

    def _test_name(self, row: int) -> str:
        ids, places = self.dataset.test_ids, self.dataset.test_places
        if places is None:
            return f"test image {row if ids is None else ids[row]}"
        picture, top, left, *_ = places[row].tolist()
        where = f" ({top}, {left})" if len(places) != len(np.unique(places[:, 0])) else ""
        return f"test image {picture if ids is None else ids[picture]}{where}"

    def _pair(self, line: Any) -> Figure:
        """A test image and its relative: tiles laid side by side, others with the label or mask that is known."""
        test, train = fitted(self.dataset.test_images[line.test]), fitted(self.dataset.images[line.train])
        name, called = self._test_name(line.test), self.dataset.called[line.train]
        if line.kind in (EXACT, COPY):
            how = "is" if line.kind == EXACT else "is a copy of"
            words, known = panel(self.competition, self.dataset, line.train)
            caption = f"{name} {how} {called}: similarity {line.similarity:.2f}"
            layers = ((f"training: {words}", fitted(known)),)
            return Figure(caption, test, (), layers, (), "", name)
        first, second = (train, test) if line.kind in ("right", "bottom") else (test, train)
        axis = 1 if line.kind in ("left", "right") else 0
        layers = (("joined", joined(first, second, axis)),)
        caption = f"{name} continues {called} on its {line.kind}"
        return Figure(caption, beside([first, second], axis), (), layers, (), "", "side by side")


def _among(links: pd.DataFrame, rows: np.ndarray) -> np.ndarray:
    """Which links, bool (n,), are between these rows."""
    return np.isin(links["left"], rows) & np.isin(links["right"], rows)


def _sure(share: float) -> str:
    return f"{share:.1%} sure" if share < 0.9995 else "more than 99.9% sure"


def _spread(table: pd.DataFrame) -> pd.DataFrame:
    """SHOWN lines of a table, from its first to its last."""
    return table.iloc[np.linspace(0, len(table) - 1, min(SHOWN, len(table))).astype(int)]


def _gallery(
    title: str, advice: str, figures: list[Figure], found: int, listed: str = "cleaning.csv"
) -> list[Gallery]:
    return [Gallery(title, advice, figures, max(0, found - SHOWN), listed)] if figures else []
