"""The split: made from data, groups and cleaning list, and held against what the audit knows of relatives."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.leaks import Pair, closest_pairs, count_divided, picture_of_pairs
from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT
from toolkit.data.cleaning import UNSCORED, cleaning_hash, read_cleaning
from toolkit.data.dataset import data_hash, open_dataset, relabel
from toolkit.data.folds import LEFT_OUT, describe, folds_hash, make_folds, relabels, stored_folds, trained_on
from toolkit.data.groups import with_equal_pictures
from toolkit.errors import UserError
from toolkit.outcome import Outcome, Table, Warned
from toolkit.pages.pictures import write_png
from toolkit.store import Workspace, atomic
from toolkit.task import Segmentation


@dataclass(frozen=True, eq=False, repr=False)
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

    @cached_property
    def fold(self) -> np.ndarray:
        return self.table["fold"].to_numpy()

    @property
    def folds(self) -> int:
        return int(self.fold.max()) + 1

    def count(self, fold: int) -> int:
        return int((self.fold == fold).sum())

    @property
    def scored_alone(self) -> int:
        """Samples that are dropped from training, yet in a fold, or held out."""
        return int((~trained_on(self.table) & (self.fold != LEFT_OUT)).sum())

    @property
    def relabelled(self) -> int:
        return int(self.table["label"].notna().sum())

    def as_json(self) -> dict[str, Any]:
        return {
            "folds": self.folds,
            "samples": [self.count(k) for k in range(self.folds)],
            "left_out": self.count(LEFT_OUT),
            "held_out": self.count(HELD_OUT),
            "scored_alone": self.scored_alone,
            "relabelled": self.relabelled,
            "uneven": max(self._uneven(counts) for _, counts, _ in self._rows()),
            "hash": folds_hash(self.table),
            "leaks": self.leaks,
        }

    def told(self) -> Sequence[str | Warned | Table]:
        return [*self._made(), *self._missing(), self._sizes(), *self._changed(), *self._leaks()]

    def _changed(self) -> Iterator[str]:
        if self.relabelled:
            yield f"{self.relabelled:,} samples are trained on under another label; they are scored on the file's"
        if self.scored_alone:
            yield (
                f"dropped samples that are validated and scored all the same: {self.scored_alone:,}; the test set may "
                f"hold the like, and where it can't, write {UNSCORED!r} as the value of their line"
            )

    def _made(self) -> Iterator[str | Warned]:
        if self.anew:
            yield Warned("the folds are made anew; runs on the old ones stay on disk but join no blend with new ones")
        repeats = self.table.attrs["repeats"]
        names = ["fold", *(f"fold_{repeat}" for repeat in range(1, repeats))]
        splits = len({tuple(pd.factorize(self.table[name])[0]) for name in names})  # whatever their folds' numbers
        if splits < repeats:
            yield Warned(f"the {repeats} splits are only {splits} different ones: the groups are too few for more")
        if self.suggestions:
            text = f"{self.suggestions:,} suggestions are not obeyed; take away a ? to obey that line"
            yield f"{self.workspace.cleaning}: {text}"

    def _missing(self) -> Iterator[Warned]:
        """Why classes are missing from folds, if they are."""
        for i, name in enumerate(self.competition.task.classes):
            holds = self.contents[:, i] > 0
            without = [str(k) for k in range(self.folds) if not holds[self.fold == k].any()]
            if not without:
                continue
            groups = self.table.loc[holds & (self.fold != LEFT_OUT), "group"].nunique()
            where = f"class {name!r} is missing from fold {', '.join(without)}"
            if groups < self.folds:
                yield Warned(f"{where}: only {groups} groups hold it, and a group is never divided")
            else:
                yield Warned(f"{where}, though {groups} groups hold it: they also hold what other folds need")

    def _sizes(self) -> Table:
        held, left = self.count(HELD_OUT), self.count(LEFT_OUT)
        groups = self.table.loc[self.fold >= 0, "group"].nunique()
        title = f"{self.competition.name}: {self.folds} folds, {groups:,} groups, {left:,} samples left out"
        columns = ["", *(f"fold {k}" for k in range(self.folds)), *(["holdout"] if held else []), "uneven by"]
        rows = [[name, *texts, f"{self._uneven(counts):.1%}"] for name, counts, texts in self._rows()]
        return Table(title + (f", {held:,} held out" if held else ""), columns, rows)

    def _rows(self) -> Iterator[tuple[str, np.ndarray, list[str]]]:
        """What is counted, in each fold and the holdout, and how it is written."""
        parts = [*range(self.folds), *([HELD_OUT] if self.count(HELD_OUT) else [])]
        counts = np.array([self.contents[self.fold == k].sum(0) for k in parts])  # (parts, columns)
        samples, classes = np.array([self.count(k) for k in parts]), self.competition.task.classes
        sizes = counts[:, -len(classes) :]  # of the last columns: labels, or pixels
        shares = sizes / np.maximum(sizes.sum(1, keepdims=True), 1)
        yield "samples", samples, [f"{n:,}" for n in samples]
        for i, name in enumerate(classes):
            yield name, sizes[:, i], [f"{share:.2%}" for share in shares[:, i]]
            if isinstance(self.competition.task, Segmentation):
                yield "  images", counts[:, i], [f"{n:,}" for n in counts[:, i]]

    def _uneven(self, counts: np.ndarray) -> float:
        """The largest deviation of a fold's count from the mean of the folds, relative."""
        mean = counts[: self.folds].mean()
        return float(abs(counts[: self.folds] / mean - 1).max()) if mean else 0.0

    def _leaks(self) -> Iterator[str | Warned | Table]:
        if self.leaks is None:
            yield "no leak report: the audit has left no evidence here; run `python -m toolkit.audit` first"
            return
        columns = ["validated", "row", "trained on", "cosine", "verified as"]
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
        yield Table("most alike across the boundary", columns, rows)
        yield f"{self.workspace.leaks}: these pairs"
        if self.leaks:
            yield Warned(
                f"{self.leaks:,} pairs of one origin lie on two sides of a fold: the local score will be too good; "
                f"put their `group` lines back into {self.workspace.cleaning}"
            )


def split(
    competition: Competition,
    workspace: Workspace,
    folds: int = 5,
    repeats: int = 1,
    holdout: float = 0.0,
    seed: int = 0,
) -> Split:
    """Make the table unless it was made from the same data, cleaning and options.

    UserError for fewer than 2 folds, no repeat, or a holdout that isn't a share from 0 to 0.9.
    """
    if folds < 2:
        raise UserError(f"there must be at least 2 folds, got {folds}")
    if repeats < 1:
        raise UserError(f"there must be at least 1 split, got {repeats} repeats")
    if not 0 <= holdout < 0.9:
        raise UserError(f"the holdout must be a share from 0 to 0.9, such as 0.1, got {holdout}")
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
    fold, leaks = table["fold"].to_numpy(), None
    pairs = closest_pairs(dataset, fold, workspace.evidence)
    if pairs:
        write_png(workspace.leaks, picture_of_pairs(dataset, pairs))
        leaks = count_divided(fold, pairs, workspace.evidence)
    return Split(competition, workspace, table, contents, dataset.ids, anew, suggestions, tuple(pairs), leaks)
