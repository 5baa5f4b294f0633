"""The runs of a report: each with its scores, held against the best one, and the settings that differ from its own."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from toolkit import recipe as recipes
from toolkit.outcome import counted, number
from toolkit.pages.html import Brief, Interval, Section, Table
from toolkit.reporting.commands import flat, text_of
from toolkit.reporting.forecast import CALLED
from toolkit.reporting.inputs import Material
from toolkit.runs import Boosted, Run
from toolkit.scoring.comparison import COMPARED, Comparison, compare_runs

MOST, FOLDED = 60, 12  # runs in the table, and of these seen at once
AS_USUAL = {
    "images": asdict(recipes.Images()),
    "distil": asdict(recipes.Distil()),
    "sets": asdict(recipes.Sets()),
    "table": asdict(recipes.Table()),
}  # left out where they are
FIRST = ("optimizer.lr", "model.name", "schedule.epochs", "optimizer.name", "batch_size")  # of what is changed
UNCOUNTED = ("name", "chosen")  # fields that say nothing of a training
DIFFERENCES, BRIEF = 6, 2  # fields of a recipe that are named; in a row of the table, which more make too tall
SCORES = CALLED | {"holdout": "held out"}  # heads of columns


def runs_section(material: Material) -> Section:
    """The table, best CV score first."""
    runs, best = material.runs, material.best
    compared = dict(zip(runs[1:COMPARED], compare_runs(runs[1:COMPARED], best), strict=True))
    has = [name for name in ("matched", "stress") if any(run.metrics.get(name) for run in runs)]
    shown = runs[:MOST]
    rows = [_row(run, material, has, compared) for run in shown]
    columns = ["run", "CV", "95 % interval", *(SCORES[name] for name in has), "epochs", "minutes"]
    columns += ["difference to best", "significant?"] if compared else []
    tags = [_tags(run, material) for run in shown] if len(shown) > 2 else []
    words = (0, len(columns) - 1, len(columns)) if compared else (0, len(columns))
    table = Table("", (*columns, "changed settings"), rows, "", 0, words, tags, FOLDED)
    return Section("Runs", [table], _note(material))


def _row(run: Run, material: Material, has: Sequence[str], compared: Mapping[Run, Comparison]) -> list[str]:
    metrics, best = run.metrics, material.best
    clean = metrics["clean"]
    name = f"{run.name}\n{run.chosen.words}" if run.chosen else run.name
    others = [number(metrics[kind]["score"]) if metrics.get(kind) else "-" for kind in has]
    least, most = material.scale
    bar = Interval(clean["low"], clean["score"], clean["high"], least, most)
    row = [name, number(clean["score"]), bar, *others, epochs_cell(run), f"{run.seconds / 60:.1f}"]
    if compared:
        row += _held_against(compared.get(run), run == best)
    return [*row, changed_settings(run.recipe_fields, best.recipe_fields)]


def _tags(run: Run, material: Material) -> list[str]:
    """Chips that find it."""
    tags = ["search" if run.chosen or run.searched else "hand-made"]
    if material.blend is not None and material.blend.shares.get(run.name):
        tags.append("in the blend")
    return [*tags, *(["cut short"] if was_cut(run) else [])]


def was_cut(run: Run) -> bool:
    """Did a budget end it before its last epoch?"""
    return not run.complete and not isinstance(run, Boosted)


def epochs_cell(run: Run) -> str:
    """Folds and epochs of each."""
    lengths = [len(fold) for fold in run.history]
    least, most = min(lengths, default=0), max(lengths, default=0)
    text = f"{len(lengths)} x {most}" if least == most else f"{least} to {most}"
    return f"{text}\ncut short" if was_cut(run) else text


def _note(material: Material) -> str:
    runs, others = len(material.runs), material.others
    note = "Best CV score first; changed settings are those that differ from the first run's."
    if runs > 1:
        note += (
            " Significant: the clearest difference among so many equally good runs would be smaller with the "
            "probability shown, .95 or more; of reports on equal runs at most 5 % call any worse."
        )
    if others:
        note += f" {counted(others, 'run')} on other data or folds can't be compared and {_are(others)} left out."
    if runs > MOST:
        note += f" {runs - MOST} more are in train/."
    if runs > COMPARED:
        note += f" The {COMPARED} best are compared with the first."
    if any(run.handicapped for run in material.runs):
        note += " Those that were trained without a family of corruptions come last."
    return note


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _held_against(found: Comparison | None, best: bool) -> list[str]:
    """Cells of how a run stands to the best one; None: not compared."""
    if found is None:
        return ["best" if best else "-", "-"]
    low, high = (number(end, "+", 3) for end in (found.low, found.high))
    words = "no" if found.words == "not distinguishable" else f"yes, {found.words}"
    return [f"{number(found.difference, '+')}\n{low} to {high}", f"{words} ({found.sure:.3f})"]


def changed_settings(recipe: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """A cell of a row: the first differences, and all of them where it is opened."""
    short, whole = (differences(recipe, best, most) for most in (BRIEF, None))
    return (Brief(short, whole) if short != whole else whole) or "-"


def differences(recipe: Mapping[str, Any], best: Mapping[str, Any], most: int | None = DIFFERENCES) -> str:
    """What a recipe has that the best one has not, also what isn't stored as it is as usual; names don't count, nor
    does what only the best one says. The learning rate comes first, fields of one group stand together.

    most: fields that are named; None: all.
    """
    mine, theirs = _flat(recipe), _flat(best)
    changed = [name for name in mine if name.partition(".")[0] not in UNCOUNTED and mine[name] != theirs.get(name)]
    changed.sort(key=lambda name: FIRST.index(name) if name in FIRST else len(FIRST))
    groups: dict[str, list[str]] = {}
    for name in changed[:most]:
        groups.setdefault(name.rpartition(".")[0], []).append(name)
    listed = [_together(group, names, mine) for group, names in groups.items()]
    if most is not None and len(changed) > most:
        listed.append(f"and {len(changed) - most} more")
    return "; ".join(listed)


def _together(group: str, names: Sequence[str], values: Mapping[str, Any]) -> str:
    """Fields of one group: `optimizer.lr=0.003`, or `augment: rotate=5, scale=0.1`."""
    if not group or len(names) == 1:
        return ", ".join(f"{name}={_short(values[name])}" for name in names)
    parts = [f"{name.rpartition('.')[2]}={_short(values[name])}" for name in names]
    return f"{group}: {', '.join(parts)}"


def _short(value: Any) -> str:
    """As on the command line, numbers in four digits."""
    if isinstance(value, list | tuple):
        return ",".join(map(_short, value))
    return f"{value:.4g}" if isinstance(value, float) else text_of(value)


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    usual = AS_USUAL if "model" in recipe else {}  # trees have none of these
    return flat(usual | dict(recipe))


def better_elsewhere(runs: Sequence[Run], shown: Mapping[str, Any]) -> list[str]:
    """A sentence for each other score by which a run is better, beyond both intervals, than what is shown first.

    shown: metrics, as of a run or a blend.
    """
    sentences, sign = [], runs[0].labelled.competition.metric.sign if runs else 1
    by_name = {run.name: run.metrics for run in runs}
    for kind in ("stress", "matched"):
        scores = {name: metrics[kind] for name, metrics in by_name.items() if metrics.get(kind)}
        if not scores or not shown.get(kind):
            continue
        name = max(scores, key=lambda name: sign * scores[name]["score"])
        score, own = scores[name], shown[kind]
        if score["low"] > own["high"] if sign > 0 else score["high"] < own["low"]:
            sentences.append(
                f"By the {SCORES[kind]} score {name} is better, the best of {len(scores)}: {number(score['score'])} "
                f"against {number(own['score'])}, with a CV score of {number(by_name[name]['clean']['score'])}. "
                "Trust it if test images are corrupted."
            )
    return sentences
