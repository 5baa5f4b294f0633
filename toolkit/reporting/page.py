"""The report: all that is known of a competition's runs, on one HTML page that needs nothing beside it."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import toolkit
from toolkit.competition import Competition
from toolkit.data.cleaning import read_cleaning
from toolkit.data.labelled import Labelled
from toolkit.outcome import FEW_GROUPS, MENDED, RESIZED, ROUGH_GROUPS, Outcome, counted, duration, fact, number
from toolkit.pages.charts import bars, chart
from toolkit.pages.html import Block, Chart, Page, Row, Section, Table, Tiles, Words, render
from toolkit.pages.pictures import stored_png
from toolkit.progress import SILENT, Progress
from toolkit.reporting.best_run import classes_section, stress_section, training_section
from toolkit.reporting.blend_section import blend_section, ends, short
from toolkit.reporting.final_picks import advise, public_noise
from toolkit.reporting.forecast import forecasters
from toolkit.reporting.forecast_charts import forecast_charts
from toolkit.reporting.inputs import Material, gather
from toolkit.reporting.mistakes import mistakes_section
from toolkit.reporting.outputs import outputs_section
from toolkit.reporting.run_table import better_elsewhere, runs_section
from toolkit.runs import SCORES, Run
from toolkit.store import read_json, write_text
from toolkit.submission.holdout import ordinal, other_looks
from toolkit.submission.ledger import Ledger, identity
from toolkit.task import Task

MEANING = {
    "clean": "out-of-fold images as they are",
    "stress": "the same under the suite of corruptions",
    "matched": "the same, weighted or corrupted so that they look like the test images",
}

SEARCHED = {  # what a search's summary says, in words
    "study": "study",
    "trials": "trials",
    "before": "trials of an earlier search",
    "score": "score to expect",
    "low": "from (95 % interval)",
    "high": "to",
    "naive": "score of the best, as chosen",
    "optimism": "optimism of the choice",
    "optimism_low": "from (95 % interval)",
    "optimism_high": "to",
    "seeds": "seeds of the winner",
    "run": "run",
    "recipe": "recipe",
    "seconds": "time",
    "overhead_seconds": "of it not spent on training",
}


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
        runs = "one run" if self.runs == 1 else f"{self.runs} runs"
        return [f"{self.path}: all that is known of {runs}, on one page"]

    def as_json(self) -> dict[str, Any]:
        return {
            "report": str(self.path),
            "of": self.of,
            "runs": self.runs,
            **self.scores,
            "unseen_choices": list(self.unseen),
        }

    def _repr_html_(self) -> str:
        path, (text,) = escape(str(self.path)), self.told()
        return f'<p><a href="{path}" target="_blank">{path}</a>{escape(text.removeprefix(str(self.path)))}</p>'


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
        _expected(material),
        runs_section(material),
        outputs_section(best) or classes_section(best),
        stress_section(best),
        training_section(best),
        mistakes_section(best),
        _search(material.labelled),
        blend_section(material),
        _submissions(material),
    ]
    links = [("audit.html", "the audit")] if workspace.page.exists() else []
    title = f"{workspace.name}: report"
    return render(Page(title, _facts(material), [], sections, _subtitle(material), tuple(links)))


def _subtitle(material: Material) -> str:
    trained = read_json(material.best.manifest_path, "inputs")
    versions = ", ".join(f"{name} {number}" for name, number in trained["versions"].items() if number)
    return (
        f"{material.metric}; written {time.strftime('%Y-%m-%d %H:%M')} by version {toolkit.__version__} "
        f"with Python {platform.python_version()} and matplotlib {version('matplotlib')}; the best run was trained "
        f"{trained['finished'][:10]} with Python {trained['python']}, {versions}"
    )


def _facts(material: Material) -> list[tuple[str, str]]:
    labelled = material.labelled
    competition, inside = labelled.competition, labelled.inside
    dropped = (read_cleaning(labelled.workspace, labelled.ids, competition.task)["action"] == "drop").sum()
    facts = [
        fact(int(inside.sum()), "sample", "in the folds"),
        (f"{int(dropped):,}", "dropped by the cleaning list"),
        fact(len(np.unique(labelled.group[inside])), "group", "of one origin"),
        fact(labelled.folds, "fold"),
        (f"{len(competition.scored)}", _scored(competition)),
        fact(len(labelled.test_images), "test image", "at hand"),
        fact(len(material.runs), "run"),
    ]
    changed = [
        (len(labelled.relabels), "relabelled for training; scores are on the file's labels"),
        (int((inside & ~labelled.trained).sum()), "of those dropped are still scored"),
    ]
    return [*facts, *((f"{number:,}", text) for number, text in changed if number)]


def _scored(competition: Competition) -> str:
    noun = _noun(competition.task)
    if len(competition.scored) > 1:
        return f"{noun} that are scored"
    return f"{noun.removesuffix('es' if noun == 'classes' else 's')} that is scored"


def _noun(task: Task) -> str:
    kinds = {output.kind for output in task.outputs}
    return kinds.pop() if len(kinds) == 1 else "outputs"


def _expected(material: Material) -> Section:
    """The scores of what would be handed in, and what the leaderboard will say of it."""
    metrics, expected = material.metrics, material.forecast
    beside = "".join(f", {one.chosen.words}" for one in material.unseen)
    tiles = [
        (
            number(score["score"]),
            f"{name}, {ends(score)}: {text}{_without(score)}{beside}",
        )
        for name, text in MEANING.items()
        if (score := metrics.get(name))
    ]
    if mended := metrics["clean"].get("mended"):
        text = f"clean, {MENDED}: {ends(mended)}; no test set is mended"
        tiles.insert(1, (number(mended["score"]), text))
    if small := metrics["clean"].get("resized"):
        tiles.insert(1, (number(small["score"]), f"clean, {RESIZED}: {ends(small)}"))
    held = material.holdout
    if held:
        seen = (
            "no choice on these folds has seen it"
            if held["looks"] == 1
            else f"the {ordinal(held['look'])} blend scored on it"
        )
        tiles.append((number(held["score"]), f"held out, {ends(held)}: {seen}"))
    if expected.range is not None:
        low, high = (short(end) for end in (expected.range.low, expected.range.high))
        tiles.append((short(expected.range.mean), f"leaderboard, likely; {low} to {high}"))
    missing = [name for name in MEANING if not metrics.get(name)]
    note = f"{material.metric} of {_handed_in(material)}. With 95 % intervals."
    groups = metrics["clean"].get("groups", FEW_GROUPS)
    if groups < FEW_GROUPS:
        rough = ", which is so few that the intervals are rough themselves" if groups < ROUGH_GROUPS else ""
        note += f" They rest on {counted(groups, 'group')} of one origin{rough}."
    if missing:
        note += f" Not measured: {' and '.join(missing)}."
    words = [*(f"{one.sentence}." for one in material.unseen), *(other_looks(held) if held else [])]
    words += [*better_elsewhere(material.runs, metrics), expected.words]
    if material.unscored:
        words.append(f"Not scored on the held-out samples: {material.unscored}.")
    if expected.range is None:
        words.append(
            "Until then: the leaderboard of a test set like the training images is near the clean score, that of a "
            "corrupted one nearer the stress score."
        )
    return Section("What to expect", [Tiles(tiles), Words(words, strong=expected.range is not None)], note)


def _handed_in(material: Material) -> str:
    if material.blend:
        return f"the {material.name}"
    if material.choice is None:
        return f"the only run, {material.best.name}; there is no blend yet"
    one = material.choice
    return (
        f"the best of {one.candidates} runs, chosen on the other folds; on all of them it is {material.best.name} "
        f"with {number(one.naive)}, so the choice's optimism is {one.words}. There is no blend of them yet"
    )


def _without(score: Mapping[str, Any]) -> str:
    """What of the blend a score leaves out."""
    return f", without the blend's {' and '.join(score['without'])}" if "without" in score else ""


def _value(name: str, value: str | int | float | Mapping[str, int]) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{count} {what}" for what, count in value.items())
    if not isinstance(value, float):
        return str(value)
    return duration(value) if name.endswith("seconds") else number(value)


def _search(labelled: Labelled) -> Section:
    folder = labelled.workspace.search
    summary = read_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    pictures = sorted(folder.glob("*.png"))
    if not summary and not pictures:
        return Section("Search", [], "No search was made: the recipes are hand-made.")
    blocks: list[Block] = []
    rows = [[words, _value(name, summary[name])] for name, words in SEARCHED.items() if summary.get(name) is not None]
    if rows:
        blocks.append(Table("", ("search", ""), rows))
    importances = summary.get("importances")
    if importances:
        draw = chart("What decides the score", lambda: bars(importances, "share in what sets the best trials apart"))
        blocks.append(Row([draw]))
    blocks += [
        Chart(path.stem.replace("_", " "), stored_png(path, "remove it and run `compete search …` again"))
        for path in pictures
    ]
    winner = Run(Path(summary["run"]), labelled) if summary.get("run") else None
    stale = winner is not None and winner.finished and not winner.is_current
    return Section("Search", blocks, "It was made on other data or folds than the present ones." if stale else "")


def _submissions(material: Material) -> Section:
    """The ledger's lines, the leaderboard over the local scores, and which two to keep."""
    lines, labelled = material.lines, material.labelled
    if not lines:
        return Section("Submissions", [], "Nothing was built yet: run `compete submit`.")
    has = [name for name in ("stress", "matched", "holdout") if any(line[name] for line in lines)]
    columns = ("submission", "built", "clean", *has, "public", "private")
    rows = []
    for line in reversed(lines):
        found = [line[name] for name in ("clean", *has, "public", "private")]
        scores = [number(float(one)) if one else "-" for one in found]
        rows.append([identity(line), line["time"][:16].replace("T", " "), *scores])
    blocks: list[Block] = [Table("", columns, rows, "Newest first.")]
    charts = forecast_charts(material.past, material.forecast, material.local)
    if charts:
        blocks.append(Row(charts))
    chosen = forecasters(material.past)
    clean, share = material.metrics["clean"], labelled.competition.rules.public_share
    samples = int(labelled.inside.sum())
    advice = advise(
        material.past, public_noise(clean["high"] - clean["low"], samples, len(labelled.test_images), share)
    )
    sentences = [material.forecast.words, *([chosen.words] if chosen else []), advice.words]
    blocks.append(Words([*sentences, *(f"{pick.name} {pick.reason}" for pick in advice.picks)]))
    return Section("Submissions", blocks)
