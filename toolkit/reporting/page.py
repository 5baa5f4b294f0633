"""What stands on a competition's report: from the artefacts in its workspace to one HTML page."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import toolkit
from toolkit.competition import Competition
from toolkit.data.cleaning import read_cleaning
from toolkit.data.dataset import Dataset, open_dataset, relabel
from toolkit.data.folds import read_folds, relabels
from toolkit.errors import UserError
from toolkit.pages.charts import bars, by_class, chart, confusion, curves, heat
from toolkit.pages.html import Block, Chart, Gallery, Page, Row, Section, Table, Tiles, Words, render
from toolkit.reporting.forecast_charts import forecast_charts
from toolkit.reporting.leaderboard import (
    LOCAL,
    Forecast,
    Scored,
    advise,
    forecast,
    forecasters,
    from_ledger,
    public_noise,
)
from toolkit.reporting.runs import (
    COMPARED,
    Run,
    better_elsewhere,
    compared,
    differences,
    legend,
    read_runs,
    worst,
    worst_pictures,
)
from toolkit.scoring.comparison import run_confusions
from toolkit.scoring.corruptions import suite
from toolkit.store import Workspace, chosen_blend, read_json, read_manifest
from toolkit.submission import ledger
from toolkit.task import Segmentation

SHOWN = 18  # worst predictions; of masks, which are four pictures each, two thirds
RUNS = 60  # in the table
OF_CLASS = {"mean IoU": "IoU", "accuracy": "recall", "macro F1": "F1"}  # what a metric says of one class
WEAK = 5  # corruptions that are named
TRAINED_BY = {  # fields of a recipe that make training images like those of a family of corruptions
    "noise": "augment.degrade",
    "blur": "augment.degrade",
    "resolution": "augment.degrade",
    "light": "augment.colour",
    "colour": "augment.colour",
    "geometry": "augment.rotate",
    "occlusion": "augment.erase",
    "mixture": "augment.augmix",
}


@dataclass(frozen=True)
class Found:
    """What the report is made from. targets: relabelled, as they are scored; blend: its folder and metrics."""

    competition: Competition
    workspace: Workspace
    dataset: Dataset
    targets: np.ndarray
    table: pd.DataFrame
    runs: list[Run]
    others: int
    blend: tuple[Path, dict[str, Any]] | None
    scored: list[Scored]
    lines: list[ledger.Line]

    @property
    def best(self) -> Run:
        return self.runs[0]

    @property
    def metrics(self) -> dict[str, Any]:
        """Of what would be handed in: the chosen blend, else the best run."""
        return self.blend[1] if self.blend else self.best.metrics

    @property
    def name(self) -> str:
        return f"blend {self.blend[0].name}" if self.blend else self.best.name


def gather(competition: Competition, workspace: Workspace, book: Path) -> Found:
    """Read everything; book: the ledger. UserError where there are no finished runs on the present data and folds."""
    dataset, table = open_dataset(workspace.data), read_folds(workspace)
    runs, others = read_runs(workspace, table)
    if not runs:
        note = f" ({others} are on other data or folds)" if others else ""
        raise UserError(
            f"{workspace.train} has no finished run to report on{note}; run `python -m toolkit.train` first"
        )
    targets = relabel(dataset.targets, relabels(table))
    lines = [line for line in ledger.read(book) if line["competition"] == workspace.name]
    scored = from_ledger(lines, workspace.name)
    return Found(competition, workspace, dataset, targets, table, runs, others, _blend(workspace, runs), scored, lines)


def _blend(workspace: Workspace, runs: Sequence[Run]) -> tuple[Path, dict[str, Any]] | None:
    folder = chosen_blend(workspace)
    manifest = read_manifest(folder)
    if manifest is None or not set(manifest["runs"]) <= {run.name for run in runs}:
        return None
    return folder, read_json(folder / "metrics.json")


def report_page(found: Found) -> str:
    """The HTML of the whole report."""
    competition, workspace = found.competition, found.workspace
    local = {name: found.metrics[name]["score"] for name in LOCAL if found.metrics.get(name)}
    said = forecast(found.scored, local)
    matrices = run_confusions(competition, found.targets, found.best.folder)
    sections = [
        _number(found, said),
        _runs(found, matrices),
        _classes(found, matrices),
        _stress(found),
        _training(found),
        _wrong(found),
        _search(workspace.folder / "search"),
        _of_blend(found),
        _submissions(found, said, local),
    ]
    links = [("audit.html", "the audit")] if workspace.page.exists() else []
    return render(Page(f"{workspace.name}: report", _facts(found), [], sections, _subtitle(found), tuple(links)))


def _subtitle(found: Found) -> str:
    trained = read_json(found.best.folder / "manifest.json")
    versions = ", ".join(f"{name} {number}" for name, number in trained["versions"].items() if number)
    return (
        f"{found.competition.metric.name}; written {time.strftime('%Y-%m-%d %H:%M')} by version {toolkit.__version__} "
        f"with Python {platform.python_version()} and matplotlib {version('matplotlib')}; the best run was trained "
        f"{trained['finished'][:10]} with Python {trained['python']}, {versions}"
    )


def _facts(found: Found) -> list[tuple[str, str]]:
    fold = found.table["fold"].to_numpy()
    inside = fold >= 0
    actions = read_cleaning(found.workspace, found.dataset.ids, found.competition.task)["action"]
    facts = [
        (f"{int(inside.sum()):,}", "samples in the folds"),
        (f"{int((actions == 'drop').sum()):,}", "dropped by the cleaning list"),
        (f"{found.table.loc[inside, 'group'].nunique():,}", "groups of one origin"),
        (f"{int(fold.max()) + 1}", "folds"),
        (f"{len(found.competition.scored)}", "classes that are scored"),
        (f"{len(found.dataset.test_images):,}", "test images at hand"),
        (f"{len(found.runs):,}", "runs"),
    ]
    relabelled = int(found.table["label"].notna().sum())
    return [*facts, *([(f"{relabelled:,}", "relabelled")] if relabelled else [])]


def _interval(score: Mapping[str, Any] | None) -> str:
    if not score:
        return "-"
    ends = f" ({score['low']:.3f} to {score['high']:.3f})" if score.get("low") is not None else ""
    return f"{score['score']:.4f}{ends}"


def _two_lines(score: Mapping[str, Any] | None) -> str:
    return f"{score['score']:.4f}\n{score['low']:.3f} to {score['high']:.3f}" if score else "-"


def _number(found: Found, said: Forecast) -> Section:
    meaning = {
        "clean": "out-of-fold images as they are",
        "stress": "the same under the suite of corruptions",
        "matched": "the same, corrupted as the test images are",
    }
    tiles = [
        (f"{score['score']:.4f}", f"{name}, {score['low']:.3f} to {score['high']:.3f}: {text}")
        for name, text in meaning.items()
        if (score := found.metrics.get(name))
    ]
    if said.range is not None:
        tiles.append((f"{said.range.mean:.3f}", f"leaderboard, likely; {said.range.low:.3f} to {said.range.high:.3f}"))
    missing = [name for name in meaning if not found.metrics.get(name)]
    of = f"the {found.name}" if found.blend else f"the best run, {found.best.name}; there is no blend of them yet"
    note = f"{found.competition.metric.name} of {of}. With 95 % intervals."
    if missing:
        note += f" Not measured: {' and '.join(missing)}."
    words = [*better_elsewhere(found.runs, found.metrics), said.words]
    if said.range is None:
        words.append(
            "Until then: the leaderboard of a test set like the training images is near the clean score, that of a "
            "corrupted one nearer the stress score."
        )
    return Section("What to expect", [Tiles(tiles), Words(words, strong=said.range is not None)], note)


def _runs(found: Found, matrices: np.ndarray) -> Section:
    judged = compared(found.competition, found.targets, found.table, found.runs, matrices)
    has = [name for name in ("stress", "matched") if any(run.metrics.get(name) for run in found.runs)]
    rows = []
    for run in found.runs[:RUNS]:
        row = [run.name, f"{len(run.histories)} x {run.epochs}", f"{run.minutes:.1f}"]
        row += [_two_lines(run.metrics.get(name)) for name in ("clean", *has)]
        if judged:
            row += _held_against(judged.get(run.name), run is found.best)
        rows.append([*row, differences(run.recipe, found.best.recipe)])
    columns = ["run", "epochs", "minutes", "clean", *has]
    columns += ["to the best", "is it real?"] if judged else []
    note = "Best clean score first; beside it what differs in its recipe."
    if judged:
        note += " A difference to the best one is real with the probability below the words."
    if found.others:
        note += f" {found.others} more runs are on other data or folds, and can't be compared."
    if len(found.runs) > RUNS:
        note += f" {len(found.runs) - RUNS} more are in train/."
    if judged and len(found.runs) > COMPARED:
        note += f" The {COMPARED} best are held against the first."
    return Section("Runs", [Table("", (*columns, "differs in"), rows, note, 0, (0, len(columns)))])


def _held_against(one: Any, best: bool) -> list[str]:
    """Cells for a `Comparison` of a run with the best one; None: not made."""
    if one is None:
        return ["the best" if best else "-", ""]
    sure = one.probability if one.difference > 0 else 1 - one.probability
    words = one.words.partition(" with")[0]
    return [f"{one.difference:+.4f}\n{one.low:+.3f} to {one.high:+.3f}", f"{words}\n{sure:.3f}"]


def _classes(found: Found, matrices: np.ndarray) -> Section:
    competition, clean = found.competition, found.best.metrics["clean"]
    total = matrices[found.table["fold"].to_numpy() >= 0].sum(0)
    scored = list(competition.scored)
    label = OF_CLASS.get(competition.metric.name, "score")
    intervals = clean.get("by_class_interval")
    names = [competition.task.classes[at] for at in scored]
    charts = [
        chart(f"{label} by class", lambda: by_class(clean["by_class"], intervals, label)),
        chart("Truth and prediction", lambda: confusion(total[np.ix_(scored, scored)], names)),
    ]
    weakest = min(clean["by_class"], key=lambda name: clean["by_class"][name])
    row = competition.task.classes.index(weakest)
    mistaken = {competition.task.classes[at]: total[row, at] for at in scored if at != row}
    taken = max(mistaken, key=lambda name: int(mistaken[name]))
    note = f"Of the best run, {found.best.name}. Weakest: {weakest}, {label} {clean['by_class'][weakest]:.3f}"
    if mistaken[taken]:
        note += f"; {mistaken[taken] / total[row].sum():.0%} of it is taken for {taken}"
    return Section("Classes", [Row(charts)], note + ".")


def _stress(found: Found) -> Section:
    stress = found.best.metrics.get("stress")
    if not stress:
        return Section("Stress", [], "No stress score was measured for the best run: train without `--stress none`.")
    clean = found.best.metrics["clean"]["score"]
    members = suite(found.competition.task.image_shape[2])
    families = {member.name: member.family for member in members}
    scores = {name: score for name, score in stress["by_corruption"].items() if score is not None}
    weak = sorted(scores, key=lambda name: scores[name])[:WEAK]
    said = ", ".join(f"{name.replace('_', ' ')} {scores[name]:.3f}" for name in weak)
    sentences = [
        f"Of {found.best.name}: {clean:.3f} on images as they are, {stress['score']:.3f} under the suite, from "
        f"{stress['triples']:,} corrupted images ({stress['share']:.1%} of all).",
        f"Weakest under {said}.",
    ]
    of_family = {name: score for name, score in stress["by_family"].items() if score is not None}
    worst_family = min(of_family, key=lambda name: of_family[name])
    field = TRAINED_BY.get(worst_family)
    if field:
        group, _, leaf = field.partition(".")
        value = found.best.recipe.get(group, {}).get(leaf)
        sentences.append(
            f"The weakest family is {worst_family}; {field}, which makes training images of that kind, is {value:g} "
            "in this recipe."
        )
    rows = [
        [name, f"{score:.4f}", f"{score - clean:+.4f}"]
        for name, score in sorted(of_family.items(), key=lambda item: item[1])
    ]
    table = Table("Families", ("family", "score", "to clean"), rows)
    cells = {name: stress["cells"][name] for name in families if name in stress["cells"]}
    return Section(
        "Stress",
        [
            Words(sentences),
            Row([chart("Corruption and severity", lambda: heat(cells, families, clean)), table]),
        ],
    )


def _training(found: Found) -> Section:
    run = found.best
    blocks: list[Block] = []
    if any(run.histories):
        charts = [
            chart("Training loss", lambda: curves(run.histories, "loss", "loss")),
            chart("Watched score", lambda: curves(run.histories, "score", found.competition.metric.name)),
        ]
        blocks.append(Row(charts))
    picture = run.folder / "augmented.png"
    if picture.exists():
        note = "The first batch as the network sees it."
        if isinstance(found.competition.task, Segmentation):
            note += " White: pixels of a mask that came from outside the picture."
        blocks.append(Chart("Augmented images", picture.read_bytes(), None, note))
    note = f"Of {run.name}. The score is watched on a few validation images for the eye: nothing is chosen by it."
    return Section("Training", blocks, note)


def _wrong(found: Found) -> Section:
    masks = isinstance(found.competition.task, Segmentation)
    fold = found.table["fold"].to_numpy()
    wrongs = worst(found.competition, found.targets, fold, found.best, SHOWN * 2 // 3 if masks else SHOWN)
    if not wrongs:
        return Section("Confident and wrong", [], "The best run is right about everything out of fold.")
    figures = worst_pictures(found.competition, found.dataset, found.targets, found.best, wrongs)
    shows = (
        "Each: the image, the truth, the prediction, and in red where they differ and are scored. " if masks else ""
    )
    advice = (
        f"Out of fold, by {found.best.name}. {shows}A wrong label in the file looks like this too: if it is one, "
        "drop or relabel it in cleaning.csv."
    )
    return Section("Confident and wrong", [Gallery("", advice, figures, legend=legend(found.competition))])


def _search(folder: Path) -> Section:
    summary = read_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    pictures = sorted(folder.glob("*.png"))
    if not summary and not pictures:
        return Section("Search", [], "No search was made: the recipes are hand-made.")
    blocks: list[Block] = []
    plain = {name: value for name, value in summary.items() if isinstance(value, str | int | float)}
    if plain:
        rows = [
            [name.replace("_", " "), f"{value:.4g}" if isinstance(value, float) else str(value)]
            for name, value in plain.items()
        ]
        blocks.append(Table("", ("search", ""), rows))
    importances = summary.get("importances")
    if importances:
        draw = chart("What decides the score", lambda: bars(importances, "share in what sets the best trials apart"))
        blocks.append(Row([draw]))
    blocks += [Chart(path.stem.replace("_", " "), path.read_bytes()) for path in pictures]
    return Section("Search", blocks)


def _of_blend(found: Found) -> Section:
    if found.blend is None:
        return Section("Blend", [], "There is no blend of the present runs yet: run `python -m toolkit.ensemble`.")
    folder, metrics = found.blend
    shares = read_json(folder / "blend.json")["runs"]
    words = [
        f"{folder.name}: {found.competition.metric.name} {_interval(metrics['clean'])}, cross-fitted, the choice of "
        f"the way included; in sample {metrics['naive']:.4f}, {metrics['optimism']:+.4f} of optimism."
    ]
    if len(shares) > 1:
        words.append(
            f"The best single run, chosen alike: {metrics['single']:.4f}; the gain of {metrics['gain']:+.4f} "
            f"is real with probability {metrics['gain_is_real']:.2f}."
        )
    ways = sorted(metrics["blenders"], key=lambda one: -one["score"])
    rows = [[one["name"], f"{one['score']:.4f}", f"{one['naive']:.4f}", _standing(one, folder.name)] for one in ways]
    chosen = next((at for at, one in enumerate(ways) if one["name"] == folder.name), None)
    table = Table("Ways of blending", ("way", "cross-fitted", "in sample", ""), rows, "", chosen, (0, 3))
    names = ("weights", "correlation", "gain", "repairs")
    drawn = {
        name: Chart("", path.read_bytes(), alt=name) for name in names if (path := folder / f"{name}.png").exists()
    }
    wide = [drawn.pop("repairs")] if "repairs" in drawn else []
    ways_table = [table] if len(rows) > 1 else []
    return Section("Blend", [Words(words), Row(list(drawn.values())), *wide, *ways_table])


def _standing(one: Mapping[str, Any], chosen: str) -> str:
    if not one["eligible"]:
        return "the server can't do it"
    return "chosen" if one["name"] == chosen else "within noise of the best" if one["within"] else ""


def _submissions(found: Found, said: Forecast, local: Mapping[str, float]) -> Section:
    if not found.lines:
        return Section("Submissions", [], "Nothing was built yet: run `python -m toolkit.submit`.")
    has = [name for name in ("stress", "matched") if any(line[name] for line in found.lines)]
    rows = []
    for line in reversed(found.lines):
        row = [ledger.identity(line), line["time"][:16].replace("T", " "), line["clean"] or "-"]
        row += [line[name] or "-" for name in has]
        rows.append([*row, line["public"] or "-", line["private"] or "-"])
    columns = ("submission", "built", "clean", *has, "public", "private")
    blocks: list[Block] = [Table("", columns, rows, "Newest first.")]
    charts = forecast_charts(found.scored, said, local)
    if charts:
        blocks.append(Row(charts))
    chosen = forecasters(found.scored)
    clean = found.metrics["clean"]
    samples = int((found.table["fold"] >= 0).sum())
    share = found.competition.rules.public_share
    noise = public_noise(clean["high"] - clean["low"], samples, len(found.dataset.test_images), share)
    advice = advise(found.scored, noise)
    sentences = [said.words, *([chosen.words] if chosen else []), advice.words]
    blocks.append(Words([*sentences, *(f"{pick.name} {pick.reason}" for pick in advice.picks)]))
    return Section("Submissions", blocks)
