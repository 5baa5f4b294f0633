"""What the report is made from: all that a workspace and the ledger know of a competition."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from toolkit.blending.blend_folder import Blend, chosen_blend, further_scores
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.progress import SILENT, Progress
from toolkit.reporting.forecast import LOCAL, Forecast, PastSubmission, Span, forecast, from_ledger
from toolkit.runs import Run, all_runs, without_handicap
from toolkit.scoring.selection import FoldTally, Selection, by_group, worth_of_best
from toolkit.submission.holdout import holdout_score
from toolkit.submission.ledger import Ledger, Line
from toolkit.unseen_choices import UnseenChoice, unseen_choices


@dataclass(frozen=True)
class Material:
    """runs: on the present data and folds, the best first (those with a handicap last), at least one; others: how many
    are on other ones. blend: the chosen one, if its runs are among these. lines: of the ledger, oldest first; past:
    the same in numbers. holdout: the blend's score on the held-out samples, if there are any; unscored: why it has
    none nevertheless.
    """

    labelled: Labelled
    runs: list[Run]
    others: int
    blend: Blend | None
    lines: list[Line]
    past: list[PastSubmission]
    ledger: Ledger
    holdout: Mapping[str, Any] | None = None
    unscored: str = ""

    @property
    def best(self) -> Run:
        return self.runs[0]

    @property
    def metric(self) -> str:
        return self.labelled.competition.metric.name

    @cached_property
    def choice(self) -> Selection | None:
        """What choosing the best run is worth; None where there is a blend, or a single run."""
        if self.blend is not None or len(self.candidates) < 2:
            return None
        return worth_of_best([_folds(run) for run in self.candidates])

    @cached_property
    def candidates(self) -> list[Run]:
        """Runs that might be handed in."""
        return without_handicap(self.runs)

    @cached_property
    def unseen(self) -> list[UnseenChoice]:
        """Choices among a search's trials of which these scores know nothing."""
        return self.blend.unseen if self.blend else unseen_choices(self.candidates)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Of what would be handed in: the chosen blend, else the best run, each fold's chosen on the others."""
        if self.choice is None:
            return (self.blend or self.best).metrics
        one, names = self.choice, [run.name for run in self.candidates]
        shown = ("score", "low", "high", "by_fold", "naive", "optimism", "optimism_low", "optimism_high", "candidates")
        clean = {name: getattr(one, name) for name in shown}
        clean["groups"] = len(np.unique(self.labelled.group[self.labelled.inside]))
        decided = [asdict(self.candidates[best].fold_decisions[k]) for k, best in enumerate(one.parts)]
        folds = [
            {"runs": {name: float(name == names[best]) for name in names}, "decisions": how}
            for best, how in zip(one.parts, decided, strict=True)
        ]
        return {"clean": clean, **further_scores(self.labelled, {"runs": dict.fromkeys(names), "folds": folds})}

    @property
    def name(self) -> str:
        return f"blend {self.blend.name}" if self.blend else self.best.name

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Between which the intervals of all runs' CV scores lie."""
        clean = [run.metrics["clean"] for run in self.runs]
        return min(one["low"] for one in clean), max(one["high"] for one in clean)

    @cached_property
    def local(self) -> Mapping[str, float]:
        """The scores of what would be handed in."""
        return {name: self.metrics[name]["score"] for name in LOCAL if self.metrics.get(name)}

    @cached_property
    def forecast(self) -> Forecast:
        return forecast(self.past, self.local)


def _folds(run: Run) -> list[FoldTally]:
    labelled, found = run.labelled, run.tally()
    fold, group = labelled.fold[labelled.inside], labelled.group[labelled.inside]
    return [by_group(k, group[fold == k], found[fold == k]) for k in range(labelled.folds)]


def gather(labelled: Labelled, ledger: Ledger, device: str = "auto", progress: Progress = SILENT) -> Material:
    """Read everything, and score the blend on the held-out samples if that isn't done yet.

    UserError where there is no finished run on the present data and folds.
    """
    workspace, finished = labelled.workspace, all_runs(labelled)
    runs = sorted((run for run in finished if run.is_current), key=lambda run: (run.handicapped, -run.merit))
    others = len(finished) - len(runs)
    if not runs:
        note = f" ({others} are on other data or folds)" if others else ""
        raise UserError(f"{workspace.train} has no finished run to report on{note}; run `compete train` first")
    blend = chosen_blend(labelled)
    if blend is not None and not blend.used <= {run.name for run in runs}:
        blend = None
    if blend is not None:
        blend.check_runs()
    lines, holdout, unscored = ledger.lines, None, ""
    try:
        holdout = None if blend is None else holdout_score(blend, device, progress)
    except UserError as error:
        unscored = str(error)
    metric = labelled.competition.metric
    past = from_ledger(lines, labelled.folds_hash, labelled.data_hash, metric.name, Span.of(metric))
    return Material(labelled, runs, others, blend, lines, past, ledger, holdout, unscored)
