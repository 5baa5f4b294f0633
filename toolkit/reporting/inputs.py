"""What the report is made from: all that a workspace and the ledger know of a competition."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from toolkit.blending.blend_folder import Blend, chosen_blend
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.reporting.forecast import LOCAL, Forecast, PastSubmission, forecast, from_ledger
from toolkit.runs import Run, all_runs
from toolkit.submission.ledger import Ledger, Line


@dataclass(frozen=True)
class Material:
    """runs: on the present data and folds, the best first, at least one; others: how many are on other ones. blend:
    the chosen one, if its runs are among these. lines: of the ledger, oldest first; past: the same in numbers.
    """

    labelled: Labelled
    runs: list[Run]
    others: int
    blend: Blend | None
    lines: list[Line]
    past: list[PastSubmission]

    @property
    def best(self) -> Run:
        return self.runs[0]

    @property
    def metric(self) -> str:
        return self.labelled.competition.metric.name

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Of what would be handed in: the chosen blend, else the best run."""
        return (self.blend or self.best).metrics

    @property
    def name(self) -> str:
        return f"blend {self.blend.name}" if self.blend else self.best.name

    @cached_property
    def local(self) -> Mapping[str, float]:
        """The scores of what would be handed in."""
        return {name: self.metrics[name]["score"] for name in LOCAL if self.metrics.get(name)}

    @cached_property
    def forecast(self) -> Forecast:
        return forecast(self.past, self.local)


def gather(labelled: Labelled, ledger: Ledger) -> Material:
    """Read everything; UserError where there is no finished run on the present data and folds."""
    workspace, finished = labelled.workspace, all_runs(labelled)
    runs = sorted((run for run in finished if run.is_current), key=lambda run: -run.score)
    others = len(finished) - len(runs)
    if not runs:
        note = f" ({others} are on other data or folds)" if others else ""
        raise UserError(
            f"{workspace.train} has no finished run to report on{note}; run `python -m toolkit.train` first"
        )
    blend = chosen_blend(labelled)
    if blend is not None and not set((blend.manifest or {})["runs"]) <= {run.name for run in runs}:
        blend = None
    lines = ledger.lines
    return Material(labelled, runs, others, blend, lines, from_ledger(lines, labelled.folds_hash, labelled.data_hash))
