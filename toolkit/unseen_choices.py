"""Choices among a search's trials of which the scores of a pool of runs know nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from toolkit.outcome import counted
from toolkit.recipe import Chosen
from toolkit.runs import Run, of_study


@dataclass(frozen=True)
class UnseenChoice:
    """A choice that made a pool of runs, and that nothing fitted on the pool can see. runs: those of the search."""

    chosen: Chosen
    runs: tuple[Run, ...]
    sentence: str

    def cell(self, shares: Mapping[str, float]) -> str:
        """In a few words; shares: of runs by name."""
        used = [run.name for run in self.runs if shares.get(run.name)]
        names = used[0] if len(used) == 1 else f"{len(used)} runs"
        return f"{names}: {counted(self.chosen.trials, 'trial')} of {self.chosen.study}"


def unseen_choices(pool: Sequence[Run]) -> list[UnseenChoice]:
    """Of each search that runs of the pool come from, if its choice is in no score that is cross-fitted over the pool.

    It is in such a score where all its trials that have all folds are there, and nothing else of the search: a recipe
    that was trained anew, with other fields or elsewhere, had been chosen before.
    """
    found = []
    for study in dict.fromkeys(run.chosen.study for run in pool if run.chosen):
        mine = tuple(run for run in pool if run.chosen and run.chosen.study == study)
        there = {run.alike for run in mine if run.searched}
        tried = [run for run, _ in of_study(mine[0].labelled, study) if run.searched]
        ended = {run.alike for run in tried if all(fold.complete for fold in run.folds)}
        chosen = mine[0].chosen
        assert chosen is not None
        anew = [run.name for run in mine if not run.searched]
        if anew:
            names = anew[0] if len(anew) == 1 else f"{len(anew)} runs"
            sentence = (
                f"{names}: trained from a recipe that was chosen among {counted(chosen.trials, 'trial')} of {study}"
            )
        elif ended - there:
            sentence = f"{len(there)} of {len(there | ended)} trials of {study} were picked before these scores"
        else:
            continue
        found.append(UnseenChoice(chosen, mine, f"{sentence}; no score out of fold accounts for that, so expect less"))
    return found
