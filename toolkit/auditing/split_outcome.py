"""What a split is, and what there is to say of it: how even its folds are, which classes they lack, what leaks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse

from toolkit.auditing.leaks import Divided, Pair
from toolkit.auditing.mimicry import Mimicry
from toolkit.auditing.orphans import Orphans
from toolkit.commands import command
from toolkit.competition import Competition
from toolkit.data.balance import HELD_OUT
from toolkit.data.cleaning import UNSCORED
from toolkit.data.folds import (
    ALWAYS,
    AUTO,
    GROUPS,
    LEFT_OUT,
    PLAIN,
    folds_hash,
    newcomers,
    obeyed_in,
    relabels,
    trained_on,
)
from toolkit.data.targets import names_of
from toolkit.outcome import Outcome, Table, Warned, are, counted
from toolkit.store import Workspace
from toolkit.task import Classification, Grades, Numbers

FOLDS = 5  # where nobody says how many
SHOWN, LARGEST = 100, 20  # classes that are all shown, and how many of more


@dataclass(frozen=True, eq=False, repr=False)
class Split(Outcome):
    """What each fold holds. contents: int64 (N, K), sparse or not, as `describe` returns them; names: of the samples;
    whole: int64 (N,), equal for samples that are kept together; orphans: of the folds that were there before. pairs:
    the most alike pictures across each fold's boundary; divided: how many pairs of one origin are, None where no audit
    was made. asked: of SPLITS; mimicry: of the test by folds, None where `unknown` says why nothing is known of
    it. suggested: int64 (n,), rows that are relabelled because predictions suggested it. lost: what to say where the
    cleaning list's end is gone. fewer: are there but as many
    folds as groups fill, since nobody said how many?
    """

    competition: Competition
    workspace: Workspace
    table: pd.DataFrame
    contents: np.ndarray | csr_array
    names: np.ndarray
    whole: np.ndarray
    orphans: Orphans | None
    suggestions: int
    pairs: tuple[Pair, ...]
    divided: Divided | None
    asked: str
    mimicry: Mimicry | None
    unknown: str
    suggested: np.ndarray
    lost: str
    fewer: bool = False

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
    def plain(self) -> bool:
        """May relatives that the audit found lie in different folds?"""
        return bool(self.table.attrs["split"] == PLAIN)

    @property
    def reason(self) -> str:
        """What is known of which folds mimic the test, or why nothing is."""
        return self.mimicry.words if self.mimicry else self.unknown

    @property
    def leaks(self) -> int | None:
        """How many pairs of one origin are divided, in any way; None where no audit was made."""
        return None if self.divided is None else self.divided.total

    @property
    def relabelled(self) -> int:
        return int(self.table["label"].notna().sum())

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        return [("compete train", f"trains the first recipe, {next(iter(self.competition.recipes))}")]

    def as_json(self) -> dict[str, Any]:
        return {
            "folds": self.folds,
            "samples": [self.count(k) for k in range(self.folds)],
            "left_out": self.count(LEFT_OUT),
            "held_out": self.count(HELD_OUT),
            "scored_alone": self.scored_alone,
            "relabelled": self.relabelled,
            "suggested_by_predictions": len(self.suggested),
            "obeyed_by_fold": obeyed_in(self.table).sum(0).tolist(),
            "uneven": max(self._uneven(counts) for _, counts, _ in self._rows()),
            "split": PLAIN if self.plain else GROUPS,
            "reason": self.reason,
            "hash": folds_hash(self.table),
            "leaks": self.leaks,
        }

    def told(self) -> Sequence[str | Warned | Table]:
        return [
            *self._made(),
            *self._missing(),
            self._sizes(),
            *self._held_out(),
            self._choice(),
            *self._changed(),
            *self._leaks(),
        ]

    def _changed(self) -> Iterator[str | Warned]:
        if self.relabelled:
            yield f"{are(self.relabelled, 'sample')} trained on under another label, and scored on the file's"
        if len(self.suggested):
            yield self._suggested()
        if self.scored_alone:
            yield (
                f"dropped samples that are validated and scored all the same: {self.scored_alone:,}; the test set may "
                f"hold the like, and where it can't, write {UNSCORED!r} as the value of their line"
            )

    def _suggested(self) -> str | Warned:
        count = f"predictions suggested {len(self.suggested):,} of these labels"
        if "label_in" not in self.table:
            return Warned(
                f"{count}, and they knew the samples that are scored, so expect less than the CV score: for judges "
                "that don't there are too few groups, or no audit has left its evidence here"
            )
        own = np.isin(relabels(self.table)[:, 0], self.suggested)
        times, folds = obeyed_in(self.table)[own].sum(1), self.folds - 1
        return (
            f"{count}: each is obeyed in the training of those folds whose own judge, having seen neither fold nor "
            f"sample, is sure of it; {(times == folds).sum():,} in all, {(times == 0).sum():,} in none. To have "
            "one obeyed in all, look at the picture and give its line a reason of your own"
        )

    def _made(self) -> Iterator[str | Warned]:
        if self.lost:
            yield Warned(self.lost)
        if self.orphans is not None and self.orphans.words:
            yield Warned(
                f"the folds are made anew; what is on the old ones ({self.orphans.words}) stays on disk but joins no "
                f"blend with new ones; {self.orphans.back}"
            )
        if self.fewer:
            number = self.table.loc[self.fold != LEFT_OUT, "group"].nunique()
            yield f"{self.folds} folds, not {FOLDS}: each takes a whole group, and there are {number}"
        repeats = self.table.attrs["repeats"]
        names = ["fold", *(f"fold_{repeat}" for repeat in range(1, repeats))]
        splits = len({tuple(pd.factorize(self.table[name])[0]) for name in names})  # whatever their folds' numbers
        if splits < repeats:
            yield Warned(f"the {repeats} splits are only {splits} different ones: the groups are too few for more")
        if new := int(newcomers(self.table).sum()):
            unknown = getattr(self.competition.task, "unknown", None)
            yield (
                f"{counted(new, 'sample')} of classes that one group alone holds: where they are validated no network "
                f"has seen them, so that they are {unknown!r} there; all other folds are trained on them"
            )
        if self.suggestions:
            have = "has" if self.suggestions == 1 else "have"
            text = f"{counted(self.suggestions, 'suggestion')} {have} no effect; remove the ? to accept a line"
            yield f"{self.workspace.cleaning}: {text}"

    def _choice(self) -> str | Warned:
        asked = "" if self.asked == AUTO else f", as asked by split={self.asked}"
        if not self.plain:
            return f"groups stay whole{asked}: {self.reason}"
        text = f"relatives that the audit found may lie in different folds{asked}: {self.reason}"
        fine = self.mimicry is not None and self.mimicry.verdict == PLAIN
        return text if fine else Warned(f"{text}; the CV score may be too good")

    def _missing(self) -> Iterator[Warned]:
        """Why classes are missing from folds, if they are."""
        task = self.competition.task
        if issparse(self.contents) or self.contents.shape[1] > SHOWN:
            yield from self._many_missing()
            return
        for i, name in enumerate(() if isinstance(task, Numbers) else task.classes):
            holds = self.contents[:, i] > 0
            if holds.any() and newcomers(self.table)[holds].all():
                continue
            if holds.any() and (self.fold[holds] == ALWAYS).all():
                yield Warned(
                    f"class {name!r} lies in one group alone: every fold is trained on it, none scored on it"
                    f"{self._if_wrong()}"
                )
                continue
            without = [str(k) for k in range(self.folds) if not holds[self.fold == k].any()]
            if not without:
                continue
            if (self.fold[holds] == LEFT_OUT).all():
                yield Warned(f"class {name!r} has no sample left, so that nothing can learn it")
                continue
            groups = len(np.unique(self.whole[holds & (self.fold != LEFT_OUT)]))
            noun = "pictures" if self.plain else "groups"
            where = f"class {name!r} is missing from fold {', '.join(without)}"
            if groups < self.folds:
                yield Warned(f"{where}: only {groups} {noun} hold it, and none is divided")
            else:
                yield Warned(f"{where}, though {groups} {noun} hold it: they also hold what other folds need")

    def _if_wrong(self) -> str:
        """What to do if the audit's relatives are none."""
        if self.plain or self.leaks is None:
            return ""
        divided = command(self.competition, self.workspace, "folds", "--split", "plain")
        return f"; if audit.html shows as copies what are none, `{divided}` divides them"

    def _many_missing(self) -> Iterator[Warned]:
        """The same of so many classes that each can't have its sentence."""
        counts = np.array([self.contents[self.fold == k].sum(0) for k in [*range(self.folds), ALWAYS]])
        inside, always = counts[:-1], counts[-1]
        lonely = int(((always > 0) & (inside.sum(0) == 0)).sum())
        if lonely:
            yield Warned(
                f"in one group alone, so that all folds are trained on it and none scored: {counted(lonely, 'class')}"
            )
        known = self.contents[~newcomers(self.table)].sum(0) > 0
        lacking = (inside == 0).any(0) & (inside.sum(0) > 0) & known
        if lacking.any():
            yield Warned(
                f"missing from some fold, as too few {'pictures' if self.plain else 'groups'} hold them: "
                f"{int(lacking.sum()):,} of {len(lacking):,} classes"
            )

    def _sizes(self) -> Table:
        held, left = self.count(HELD_OUT), self.count(LEFT_OUT)
        groups = self.table.loc[self.fold >= 0, "group"].nunique()
        kind = "plain folds" if self.plain else "folds"
        left_out = f"{counted(left, 'sample')} left out"
        title = f"{self.competition.name}: {self.folds} {kind}, {counted(groups, 'group')}, {left_out}"
        columns = ["", *(f"fold {k}" for k in range(self.folds)), *(["holdout"] if held else []), "imbalance"]
        rows = [[name, *texts, f"{self._uneven(counts):.1%}"] for name, counts, texts in self._rows()]
        number = len(names_of(self.competition.task))
        title += f"; the {LARGEST} largest of {number:,} classes" if number > SHOWN else ""
        return Table(title + (f", {held:,} held out" if held else ""), columns, rows)

    def _held_out(self) -> Iterator[str]:
        held, groups = self.count(HELD_OUT), self.table.loc[self.fold == HELD_OUT, "group"].nunique()
        if held:
            yield (
                f"held out: {counted(held, 'sample')} in {counted(groups, 'group')}; nothing is trained on them or "
                "chosen by them, and what is handed in is scored on them (`--holdout 0` holds out none)"
            )

    def _rows(self) -> Iterator[tuple[str, np.ndarray, list[str]]]:
        """What is counted, in each fold and the holdout, and how it is written."""
        parts = [*range(self.folds), *([HELD_OUT] if self.count(HELD_OUT) else [])]
        counts = np.array([self.contents[self.fold == k].sum(0) for k in parts])  # (parts, columns)
        samples, task = np.array([self.count(k) for k in parts]), self.competition.task
        classes = names_of(task)
        # the last columns of masks are pixels; what is not one of several classes is a share of the samples
        sizes = counts[:, -len(classes) :] if task.masks else counts[:, : len(classes)]
        one = task.masks or isinstance(task, Classification | Grades)
        whole = sizes.sum(1, keepdims=True) if one else samples[:, None]
        shares = sizes / np.maximum(whole, 1)
        yield "samples", samples, [f"{n:,}" for n in samples]
        shown = np.arange(len(classes))
        if len(classes) > SHOWN:
            shown = np.argsort(-sizes[: self.folds].sum(0), kind="stable")[:LARGEST]
        for i, name in ((at, classes[at]) for at in shown):
            yield name, sizes[:, i], [f"{share:.2%}" for share in shares[:, i]]
            if task.masks:
                yield "  images", counts[:, i], [f"{n:,}" for n in counts[:, i]]

    def _uneven(self, counts: np.ndarray) -> float:
        """The largest deviation of a fold's count from the mean of the folds, relative."""
        mean = counts[: self.folds].mean()
        return float(abs(counts[: self.folds] / mean - 1).max()) if mean else 0.0

    def _leaks(self) -> Iterator[str | Warned | Table]:
        if self.divided is None:
            yield "no leak report: the audit has left no evidence here; run `compete audit` first"
            return
        columns = ["", "scored", "trained on", "cosine", "same source"]
        rows = [
            [
                pair.part,
                f"{self.names[pair.validated]}",
                f"{self.names[pair.trained_on]}",
                f"{pair.cosine:.2f}",
                "yes" if pair.leak else "no",
            ]
            for pair in self.pairs
        ]
        yield Table("Most similar train/validation pairs", columns, rows)
        yield f"pictures of these pairs: {self.workspace.leaks}"
        for number, how, score in (
            (self.divided.inside, "on two sides of a fold", "CV"),
            (self.divided.always, "with one validated and the other trained on by every fold", "CV"),
            (self.divided.held_out, "with one held out and the other trained on", "held-out"),
        ):
            pairs = counted(number, "pair")
            if number and self.plain:
                yield f"{how}, as in plain folds they may be: {pairs} of one origin"
            elif number:
                yield Warned(
                    f"{pairs} of one origin {how}: the {score} score will be too good; put their `group` lines back "
                    f"into {self.workspace.cleaning}"
                )
