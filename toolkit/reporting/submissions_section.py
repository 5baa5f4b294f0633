"""Submissions in the report: what the ledger knows, the leaderboard against local scores, and which two to keep."""

from toolkit.commands import with_submissions
from toolkit.outcome import number
from toolkit.pages.html import Block, Section, Table, Words
from toolkit.reporting.advice import recorded
from toolkit.reporting.commands import compete, is_practice
from toolkit.reporting.final_picks import advise, public_noise
from toolkit.reporting.first_screen import day
from toolkit.reporting.forecast import forecasters
from toolkit.reporting.forecast_charts import forecast_lines
from toolkit.reporting.inputs import Material
from toolkit.reporting.run_table import SCORES
from toolkit.submission.ledger import Line, identity


def submissions_section(material: Material) -> Section:
    """The ledger's lines, newest first, the leaderboard over the local scores, and which two to keep."""
    lines, labelled = material.lines, material.labelled
    if not lines:
        build = with_submissions(compete(labelled, "submit"), material.ledger.folder)
        return Section("Submissions", [], f"No submissions yet: `{build}`.")
    blocks: list[Block] = [_table(material)]
    blocks += forecast_lines(material.past, material.forecast, material.local)
    chosen = forecasters(material.past)
    clean, share = material.metrics["clean"], labelled.competition.rules.public_share
    samples, tests = int(labelled.inside.sum()), len(labelled.test_images)
    advice = advise(material.past, public_noise(clean["high"] - clean["low"], samples, tests, share))
    sentences = [material.forecast.words, *([chosen.words] if chosen else []), advice.words]
    picks = [f"{pick.name} {pick.reason}" for pick in advice.picks]
    return Section("Submissions", [*blocks, Words([*sentences, *picks])])


def _table(material: Material) -> Table:
    lines = material.lines
    has = [name for name in ("matched", "stress", "holdout") if any(line[name] for line in lines)]
    private = any(line["private"] for line in lines)
    board = "practice" if is_practice(material.labelled) else "public"
    columns = ("submission", "built", SCORES["clean"], *(SCORES[name] for name in has), board, *["private"] * private)
    rows = [[identity(line), day(line), *_scores(line, has, private)] for line in reversed(lines)]
    return Table("", columns, rows, "Newest first.")


def _scores(line: Line, has: list[str], private: bool) -> list[str]:
    found = [line["clean"], *(line[name] for name in has)]
    said = recorded(line)
    cells = [number(float(text)) if text else "-" for text in found]
    cells.append("-" if said is None else number(said))
    return [*cells, *([number(float(line["private"])) if line["private"] else "-"] * private)]
