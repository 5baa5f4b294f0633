"""The report: all that is known of a competition's runs, on one HTML page that needs nothing beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from toolkit.data.labelled import Labelled
from toolkit.outcome import Outcome, counted
from toolkit.pages.html import Page, render
from toolkit.progress import SILENT, Progress
from toolkit.reporting.best_run import classes_section
from toolkit.reporting.blend_section import blend_section
from toolkit.reporting.details import details
from toolkit.reporting.first_screen import cards, first_blocks, subtitle
from toolkit.reporting.inputs import Material, gather
from toolkit.reporting.mistakes import mistakes_section
from toolkit.reporting.outputs import outputs_section
from toolkit.reporting.run_table import runs_section
from toolkit.reporting.search_section import search_section
from toolkit.reporting.stress_section import stress_section
from toolkit.reporting.submissions_section import submissions_section
from toolkit.reporting.training_section import folds_section, training_section
from toolkit.runs import SCORES
from toolkit.store import write_text
from toolkit.submission.ledger import Ledger


@dataclass(frozen=True, repr=False)
class Report(Outcome):
    """Where the page lies, and the numbers at its top: the scores `of` what would be handed in, and the choices, in
    sentences, of which they know nothing."""

    path: Path
    of: str
    runs: int
    scores: Mapping[str, Mapping[str, Any] | None]  # clean, stress, matched, holdout
    unseen: Sequence[str] = ()

    def told(self) -> list[str]:
        return [f"report written: {self.path} ({counted(self.runs, 'run')})"]

    def as_json(self) -> dict[str, Any]:
        return {
            "report": str(self.path),
            "of": self.of,
            "runs": self.runs,
            **self.scores,
            "unseen_choices": list(self.unseen),
        }

    def _repr_html_(self) -> str:
        path = escape(str(self.path))
        return f'<p>report written: <a href="{path}" target="_blank">{path}</a> ({counted(self.runs, "run")})</p>'


def write_report(labelled: Labelled, ledger: Ledger, device: str = "auto", progress: Progress = SILENT) -> Report:
    """Write the workspace's report; UserError where there is no finished run on the present data and folds."""
    with progress.phase("report", costs={"reading the runs": 1.0, "drawing the page": 3.0}):
        with progress.phase("reading the runs"):
            material = gather(labelled, ledger, device, progress)
        with progress.phase("drawing the page"):
            write_text(labelled.workspace.report, report_page(material))
    scores = {name: material.metrics.get(name) for name in SCORES} | {"holdout": material.holdout}
    unseen = [one.sentence for one in material.unseen]
    return Report(labelled.workspace.report, material.name, len(material.runs), scores, unseen)


def report_page(material: Material) -> str:
    """The HTML of the whole report."""
    workspace, best = material.labelled.workspace, material.best
    sections = [
        *first_blocks(material),
        runs_section(material),
        outputs_section(best) or classes_section(best),
        mistakes_section(best),
        stress_section(best),
        training_section(material.candidates),
        folds_section(material.candidates),
        search_section(material.labelled),
        blend_section(material),
        submissions_section(material),
        details(material),
    ]
    links = [("audit.html", "audit")] if workspace.page.exists() else []
    title = f"{material.labelled.competition.name} · {material.metric}"
    return render(Page(title, cards(material), [], sections, subtitle(material), tuple(links), marked=0))
