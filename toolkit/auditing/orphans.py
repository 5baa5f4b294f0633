"""Runs and blends that a new split would leave behind: told before it is made, with the way back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.commands import command
from toolkit.competition import Competition
from toolkit.data.cleaning import cleaning_hash
from toolkit.errors import NotAgreedError
from toolkit.outcome import counted
from toolkit.store import Workspace, read_manifest


@dataclass(frozen=True)
class Orphans:
    """How many finished runs and blends are on the folds that are there; made_from: what these were made from."""

    competition: Competition
    workspace: Workspace
    runs: int
    blends: int
    made_from: Mapping[Any, Any]

    @property
    def words(self) -> str:
        """`3 runs and 1 blend`."""
        parts = [counted(number, noun) for number, noun in ((self.runs, "run"), (self.blends, "blend")) if number]
        return " and ".join(parts)

    @property
    def way_back(self) -> str:
        """The command that makes the folds that are there; the cleaning list and the data have to be as they were."""
        known = self.made_from
        words = ["--folds", f"{known['folds']}", "--split", known["split"], "--holdout", _share(known["holdout"])]
        for name, usual in (("repeats", 1), ("seed", 0)):
            words += [f"--{name}", f"{known[name]}"] * (known[name] != usual)
        return command(self.competition, self.workspace, "folds", *words, "--again")

    @property
    def same_list(self) -> bool:
        """Is the cleaning list as it was when they were made?"""
        return bool(self.made_from.get("cleaning") == cleaning_hash(self.workspace))

    @property
    def back(self) -> str:
        """How what is told is undone, as a clause."""
        before = "" if self.same_list else f"with {self.workspace.cleaning.name} as it was, "
        return f"{before}`{self.way_back}` takes it back"

    def ask(self, again: bool) -> None:
        """NotAgreedError where there are any, unless they may be left behind."""
        if self.words and not again:
            verb = "is" if self.runs + self.blends == 1 else "are"
            keep = "leave the options out to see the folds that are there"
            if not self.same_list:
                keep = f"put {self.workspace.cleaning} back as it was to keep them"
            raise NotAgreedError(
                f"{self.words} {verb} on the folds that are there and would join no blend with runs on new ones; add "
                f"--again to make new folds all the same ({self.back}), or {keep}"
            )


def _share(holdout: float | str) -> str:
    return holdout if isinstance(holdout, str) else f"{holdout:g}"


def orphans_of(competition: Competition, workspace: Workspace, made_from: Mapping[Any, Any], folds: str) -> Orphans:
    """made_from: attributes of the table that is there; folds: its hash."""
    here = made_from.get("data"), folds
    runs = [read_manifest(run) or {} for run in sorted(workspace.train.glob("[!.]*/"))]
    blends = [read_manifest(blend) or {} for blend in sorted(workspace.ensemble.glob("[!.]*/"))]
    of_blends = [list(blend.get("runs", {}).values()) for blend in blends]
    return Orphans(
        competition,
        workspace,
        sum((run.get("data"), run.get("folds")) == here for run in runs),
        sum(bool(parts) and all((one["data"], one["folds"]) == here for one in parts) for parts in of_blends),
        made_from,
    )
