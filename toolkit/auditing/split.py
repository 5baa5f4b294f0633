"""The split: made from data, groups and cleaning list, and held against what the audit knows of relatives."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.leaks import Pair, closest_pairs, divided_links, picture_of_pairs
from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT
from toolkit.data.cleaning import cleaning_hash, read_cleaning
from toolkit.data.dataset import data_hash, open_dataset, relabel
from toolkit.data.folds import LEFT_OUT, describe, folds_hash, make_folds, relabels, stored_folds
from toolkit.data.groups import with_equal_pictures
from toolkit.outcome import Outcome, Table, Warned
from toolkit.pages.pictures import write_png
from toolkit.store import Workspace, atomic
from toolkit.task import Segmentation


@dataclass(frozen=True, repr=False)
class Split(Outcome):
    """What each fold holds. contents: int64 (N, K), as `describe` returns them; ids: of the raw file; anew: runs on
    other folds lie in the workspace. pairs: the most alike pictures across each fold's boundary; leaks: how many
    pairs of one origin are divided, None where no audit was made.
    """

    competition: Competition
    workspace: Workspace
    table: pd.DataFrame
    contents: np.ndarray
    ids: np.ndarray
    anew: bool
    suggestions: int
    pairs: tuple[Pair, ...]
    leaks: int | None

    @property
    def number(self) -> int:
        return int(self.table["fold"].max()) + 1

    def count(self, fold: int) -> int:
        return int((self.table["fold"] == fold).sum())

    @property
    def relabelled(self) -> int:
        return int(self.table["label"].notna().sum())

    def as_json(self) -> dict[str, Any]:
        return {
            "folds": self.number,
            "samples": [self.count(k) for k in range(self.number)],
            "left_out": self.count(LEFT_OUT),
            "held_out": self.count(HELD_OUT),
            "relabelled": self.relabelled,
            "uneven": max(uneven for _, uneven in self._rows()[0]),
            "hash": folds_hash(self.table),
            "leaks": self.leaks,
        }

    def told(self) -> Sequence[str | Warned | Table]:
        told: list[str | Warned | Table] = []
        if self.anew:
            text = "the folds are made anew; runs on the old ones stay on disk but join no blend with new ones"
            told.append(Warned(text))
        told += self._repetition()
        if self.suggestions:
            text = f"{self.suggestions:,} suggestions are not obeyed; take away a ? to obey that line"
            told.append(f"{self.workspace.cleaning}: {text}")
        rows, missing = self._rows()
        held, left = self.count(HELD_OUT), self.count(LEFT_OUT)
        groups = self.table.loc[self.table["fold"] >= 0, "group"].nunique()
        title = f"{self.competition.name}: {self.number} folds, {groups:,} groups, {left:,} samples left out"
        columns = ["", *(f"fold {k}" for k in range(self.number)), *(["holdout"] if held else []), "uneven by"]
        table = Table(title + (f", {held:,} held out" if held else ""), columns, [row for row, _ in rows])
        told += [*missing, table]
        if self.relabelled:
            told.append(f"{self.relabelled:,} samples have another label than in the file")
        return [*told, *self._leaks()]

    def _rows(self) -> tuple[list[tuple[list[str], float]], list[Warned]]:
        """Lines of the table with by how much folds are uneven, and what is missing from a fold."""
        fold, number = self.table["fold"].to_numpy(), self.number
        parts = [*range(number), *([HELD_OUT] if self.count(HELD_OUT) else [])]
        counts = np.array([self.contents[fold == k].sum(0) for k in parts])  # (parts, columns)
        samples = np.array([self.count(k) for k in parts])
        classes = self.competition.task.classes
        rows, missing = [_row("samples", samples, [f"{n:,}" for n in samples], number)], []
        for i, name in enumerate(classes):
            sizes = counts[:, i - len(classes)]  # of the last columns: labels, or pixels
            shares = [f"{share:.2%}" for share in sizes / np.maximum(counts[:, -len(classes) :].sum(1), 1)]
            rows.append(_row(name, sizes, shares, number))
            if isinstance(self.competition.task, Segmentation):
                rows.append(_row("  images", counts[:, i], [f"{n:,}" for n in counts[:, i]], number))
            missing += self._missing(name, counts[:number, i], self.contents[:, i] > 0)
        return rows, missing

    def _missing(self, name: str, counts: np.ndarray, holds: np.ndarray) -> list[Warned]:
        """Why a class is missing from a fold, if it is; holds: bool (N,), samples that hold it."""
        without = [str(k) for k, count in enumerate(counts) if count == 0]
        if not without:
            return []
        groups = self.table.loc[holds & (self.table["fold"] != LEFT_OUT).to_numpy(), "group"].nunique()
        where = f"class {name!r} is missing from fold {', '.join(without)}"
        if groups < len(counts):
            return [Warned(f"{where}: only {groups} groups hold it, and a group is never divided")]
        return [Warned(f"{where}, though {groups} groups hold it: they also hold what other folds need")]

    def _repetition(self) -> list[Warned]:
        repeats = self.table.attrs["repeats"]
        names = ["fold", *(f"fold_{repeat}" for repeat in range(1, repeats))]
        splits = {tuple(pd.factorize(self.table[name])[0]) for name in names}  # whatever the numbers of their folds
        if len(splits) == repeats:
            return []
        text = f"the {repeats} splits are only {len(splits)} different ones: the groups are too few for more"
        return [Warned(text)]

    def _leaks(self) -> list[str | Warned | Table]:
        if self.leaks is None:
            return ["no leak report: the audit has left no evidence here; run `python -m toolkit.audit` first"]
        rows = [
            [
                f"fold {pair.fold}",
                f"{self.ids[pair.validated]}",
                f"{self.ids[pair.trained_on]}",
                f"{pair.cosine:.2f}",
                "one origin" if pair.leak else "different",
            ]
            for pair in self.pairs
        ]
        columns = ["validated", "row", "trained on", "cosine", "verified as"]
        told: list[str | Warned | Table] = [Table("most alike across the boundary", columns, rows)]
        told.append(f"{self.workspace.leaks}: these pairs")
        if self.leaks:
            text = (
                f"{self.leaks:,} pairs of one origin lie on two sides of a fold: the local score will be too good; "
                f"put their `group` lines back into {self.workspace.cleaning}"
            )
            told.append(Warned(text))
        return told


def split(
    competition: Competition,
    workspace: Workspace,
    folds: int = 5,
    repeats: int = 1,
    holdout: float = 0.0,
    seed: int = 0,
) -> Split:
    """Make the table unless it was made from the same data, cleaning and options."""
    dataset = open_dataset(workspace.data)
    cleaning = read_cleaning(workspace, dataset.ids, competition.task)
    inputs = {
        "data": data_hash(workspace.data),
        "cleaning": cleaning_hash(workspace),
        "folds": folds,
        "seed": seed,
        "repeats": repeats,
        "holdout": holdout,
    }
    table = known = stored_folds(workspace)
    if table is None or table.attrs != inputs:
        groups = with_equal_pictures(dataset.groups, dataset.images)
        table = make_folds(dataset.targets, dataset.ids, groups, competition.task, cleaning, inputs)
        with atomic(workspace.folds) as partial:
            table.to_parquet(partial, index=False)
    anew = known is not None and workspace.train.exists() and folds_hash(known) != folds_hash(table)
    contents = describe(relabel(dataset.targets, relabels(table)), competition.task)
    suggestions = int(cleaning["action"].str.endswith("?").sum())
    fold = table["fold"].to_numpy()
    pairs = closest_pairs(dataset, fold, workspace.evidence)
    leaks = None
    if pairs:
        write_png(workspace.leaks, picture_of_pairs(dataset, pairs))
        divided = divided_links(fold, workspace.evidence)[["left", "right"]].to_numpy().tolist()
        divided += [[pair.validated, pair.trained_on] for pair in pairs if pair.leak]
        leaks = len({(min(pair), max(pair)) for pair in divided})
    return Split(competition, workspace, table, contents, dataset.ids, anew, suggestions, tuple(pairs), leaks)


def _row(name: str, counts: np.ndarray, texts: list[str], number: int) -> tuple[list[str], float]:
    """The line of the table, and the largest deviation of a fold's count from the mean of the folds, relative."""
    mean = counts[:number].mean()
    uneven = float(abs(counts[:number] / mean - 1).max()) if mean else 0.0
    return [name, *texts, f"{uneven:.1%}"], uneven
