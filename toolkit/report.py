"""verb: everything that is known about a competition's runs, on one page.

    python -m toolkit.report competitions/mars

Leaves `report.html`, which needs nothing beside it: scores and what the leaderboard will likely say, runs against the
best one, classes, corruptions, training, the worst predictions, search, blend and submissions.
"""

import argparse
from typing import TYPE_CHECKING, Any

from toolkit import console
from toolkit.store import Workspace, write_text

if TYPE_CHECKING:
    from toolkit.competition import Competition


def report(competition: "Competition", workspace: Workspace, options: argparse.Namespace) -> dict[str, Any]:
    """Write the page; where it lies, and the numbers at its top."""
    from toolkit.reporting.page import gather, report_page

    found = gather(competition, workspace, options.submissions / "ledger.csv")
    write_text(workspace.report, report_page(found))
    runs = "one run" if len(found.runs) == 1 else f"{len(found.runs)} runs"
    console.say(f"{workspace.report}: all that is known of {runs}, on one page")
    scores = {name: found.metrics.get(name) for name in ("clean", "stress", "matched")}
    return {"report": str(workspace.report), "of": found.name, "runs": len(found.runs)} | scores


if __name__ == "__main__":
    console.main(console.parser("report", "Write everything that is known on one page."), report)
