"""What a person decides of an audit's proposals: suggestions in `cleaning.csv` are accepted or refused.

Each is called by its sample, a name or a row of the raw file, or by the kind of finding, such as `unlike the rest`.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.auditing.orphans import orphans_of
from toolkit.auditing.written_list import forget_refused
from toolkit.competition import Competition
from toolkit.data.cleaning import cleaning_hash, lines_by_action, read_cleaning
from toolkit.data.data_folder import data_hash, open_dataset
from toolkit.data.folds import folds_hash, stored_folds
from toolkit.data.image_sets import first_images
from toolkit.data.labelled import open_labelled
from toolkit.data.naming import Naming
from toolkit.errors import UserError, listed
from toolkit.outcome import Outcome, Warned, counted
from toolkit.runs import current_runs
from toolkit.store import Workspace, atomic, write_text

SHOWN = 10  # samples in one sentence
NEAR = 0.6  # how alike a word and a name must be for one to be meant by the other


@dataclass(frozen=True, eq=False, repr=False)
class Review(Outcome):
    """What was changed. accepted, refused: lines as they were, with the columns of a cleaning list and `sample`, what
    it is called; stale: are there folds that were made from the former list? orphaned: names of the runs on these;
    asked: is anything on the folds that are there, whatever list they were made from?
    """

    workspace: Workspace
    accepted: pd.DataFrame
    refused: pd.DataFrame
    stale: bool
    orphaned: Sequence[str]
    asked: bool

    @property
    def former(self) -> Path:
        """The list as it was."""
        return former(self.workspace)

    @property
    def obeyed_differs(self) -> bool:
        """Is anything else obeyed now than before?"""
        return bool(len(self.accepted)) or not self.refused["action"].str.endswith("?").all()

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        folds = "compete folds --again" if self.asked else "compete folds"
        return ((folds, "makes the folds by the changed list"),) if self.obeyed_differs else ()

    def as_json(self) -> dict[str, Any]:
        parts = {"accepted": self.accepted, "refused": self.refused}
        lines = {name: part[["sample", "action"]].to_dict("records") for name, part in parts.items()}
        return {**lines, "cleaning": str(self.workspace.cleaning), "orphaned_runs": list(self.orphaned)}

    def told(self) -> Sequence[str | Warned]:
        said: list[str | Warned] = []
        for verb, part in (("accepted", self.accepted), ("refused", self.refused)):
            if len(part):
                lines = (part["sample"] + " (" + part["action"].str.removesuffix("?") + ")").tolist()
                said.append(f"{verb} {counted(len(part), 'line')}: {listed(lines, most=SHOWN)}")
        said.append(f"{self.workspace.cleaning} is changed; the list as it was is {self.former.name} beside it")
        if self.stale:
            said.append(Warned(self._stale()))
        return said

    def _stale(self) -> str:
        text = "the present folds were made from the former list and have to be made again"
        if self.orphaned:
            runs = counted(len(self.orphaned), "run")
            text += f"; then {runs} on them ({listed(list(self.orphaned), most=3)}) can't be blended with new ones"
        return f"{text}. To keep them, move {self.former.name} back to {self.workspace.cleaning.name}"


def former(workspace: Workspace) -> Path:
    """Where the cleaning list is kept as it was before the last change."""
    return workspace.cleaning.with_name(f"{workspace.cleaning.name}.1")


def review(competition: Competition, workspace: Workspace, accept: Sequence[str], refuse: Sequence[str]) -> Review:
    """Take the question mark from suggestions that are accepted, and lines that are refused out of the list.

    accept, refuse: samples or kinds of findings. What is refused are suggestions or, where there are none so
    called, lines that are obeyed. UserError, and nothing is changed, where a word means nothing in the list.
    """
    if not workspace.cleaning.exists():
        raise UserError(f"there is no {workspace.cleaning} yet; run `compete audit` first")
    dataset = first_images(open_dataset(workspace.data))
    naming = Naming(np.asarray(dataset.ids), dataset.called)
    table = read_cleaning(workspace, naming.ids, competition.task)
    called = pd.Series(naming.names, index=naming.ids)
    table = table.assign(sample=called.reindex(table["index"]).to_numpy())
    taken, gone = (_meant(table, naming, words, keep) for words, keep in ((accept, True), (refuse, False)))
    if both := sorted(taken & gone):
        raise UserError(f"{table['sample'].iloc[both[0]]} is both accepted and refused; keep it in one of the two")
    made = Review(workspace, table.iloc[sorted(taken)], table.iloc[sorted(gone)], False, (), False)
    stale = made.obeyed_differs and _folds_fit(workspace)
    orphaned = [run.name for run in current_runs(open_labelled(competition, workspace))] if stale else []
    asked = made.obeyed_differs and _asked(competition, workspace)
    _write(workspace, taken, gone)
    forget_refused(workspace, made.refused)
    return replace(made, stale=stale, orphaned=orphaned, asked=asked)


def still_waiting(workspace: Workspace, proposal: pd.DataFrame) -> np.ndarray:
    """Ids, int64 (n,), of samples with a suggestion in this proposal that also waits in the list on disk; where that
    can't be read, of all.
    """
    asked = proposal.loc[proposal["action"].str.endswith("?"), ["index", "action"]]
    try:
        lines = lines_by_action(workspace)
    except UserError:
        return np.unique(asked["index"].to_numpy(np.int64))
    waits = [(str(index), action) in lines for index, action in asked.itertuples(index=False, name=None)]
    return np.unique(asked.loc[waits, "index"].to_numpy(np.int64))


def _folds_fit(workspace: Workspace) -> bool:
    """Are there folds of the present data and list?"""
    folds = stored_folds(workspace)
    if folds is None:
        return False
    return bool(folds.attrs["data"] == data_hash(workspace.data)) and folds.attrs["cleaning"] == cleaning_hash(
        workspace
    )


def _asked(competition: Competition, workspace: Workspace) -> bool:
    """Will `folds` ask before it makes others?"""
    folds = stored_folds(workspace)
    return folds is not None and bool(orphans_of(competition, workspace, folds.attrs, folds_hash(folds)).words)


def _meant(table: pd.DataFrame, naming: Naming, words: Sequence[str], accept: bool) -> set[int]:
    """Places in the list, from 0, of the lines that these words mean."""
    suggested = table["action"].str.endswith("?").to_numpy()
    found: set[int] = set()
    for word in words:
        at = _lines_of(table, naming, word)
        asked = at[suggested[at]]
        if accept and not len(asked):
            obeyed = ", ".join(sorted(set(table["action"].iloc[at])))
            raise UserError(
                f"{word!r} needs no accepting: the list already has it as {obeyed}, without a question mark"
            )
        found |= set((asked if len(asked) else at).tolist())
    return found


def _lines_of(table: pd.DataFrame, naming: Naming, word: str) -> np.ndarray:
    """Places, int64 (n,), of the lines on a kind of finding or a sample; UserError where there is none."""
    kinds = table["reason"].map(lambda reason: reason.partition(":")[0].strip())
    at = np.flatnonzero(kinds.map(str.casefold) == word.strip().casefold())
    if len(at):
        return at
    try:
        index = int(naming.ids[naming.row_or_id(word)])
    except UserError as error:
        raise UserError(_unknown(word, sorted(set(kinds)), table, str(error))) from None
    at = np.flatnonzero(table["index"] == index)
    if not len(at):
        raise UserError(f"the cleaning list says nothing about {word!r}; it has {_kinds(kinds)}")
    return at


def _kinds(kinds: pd.Series) -> str:
    """Kinds of findings and how many lines each has, in a sentence."""
    counts = kinds.value_counts()
    return listed([f"{name!r} ({n:,})" for name, n in counts.items()]) or "no line"


def _unknown(word: str, kinds: Sequence[str], table: pd.DataFrame, why: str) -> str:
    """One sentence on a word that is neither a kind nor a sample, with those that are near."""
    if " are called " in why:  # several samples: which can be said
        return why
    names = [str(name) for name in table["sample"]]
    near = get_close_matches(word, [*kinds, *dict.fromkeys(names)], 3, NEAR)
    there = f"kinds are {listed(list(kinds))}" if kinds else "it has no line"
    meant = f"did you mean {listed([repr(name) for name in near])}?" if near else there
    return f"{word!r} is neither a sample nor a kind of finding in the cleaning list; {meant}"


def _write(workspace: Workspace, taken: set[int], gone: set[int]) -> None:
    """The list anew, as a person wrote it but for those lines; the former one is kept."""
    before = workspace.cleaning.read_bytes()
    text = io.StringIO(before.decode("utf-8-sig"), newline="")
    head, *lines = [fields for fields in csv.reader(text, strict=True) if fields]
    action = [name.strip() for name in head].index("action")
    for at in taken:
        lines[at][action] = lines[at][action].strip().removesuffix("?")
    made = io.StringIO()
    kept = [line for at, line in enumerate(lines) if at not in gone]
    csv.writer(made, lineterminator="\n").writerows([head, *kept])
    with atomic(former(workspace)) as partial:
        partial.write_bytes(before)
    write_text(workspace.cleaning, made.getvalue())
