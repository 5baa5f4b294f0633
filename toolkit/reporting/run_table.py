"""The runs of a report: each with its scores, held against the best one, and what differs in its recipe."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from toolkit import recipe as recipes
from toolkit.outcome import number
from toolkit.pages.html import Section, Table
from toolkit.reporting.inputs import Material
from toolkit.runs import Run
from toolkit.scoring.comparison import COMPARED, Comparison, compare_runs

SHOWN = 60  # runs in the table
AS_USUAL = {
    "images": asdict(recipes.Images()),
    "distil": asdict(recipes.Distil()),
    "sets": asdict(recipes.Sets()),
    "table": asdict(recipes.Table()),
}  # left out where they are
DIFFERENCES = 6  # fields of a recipe that are named


def runs_section(material: Material) -> Section:
    """The table, best clean score first."""
    runs, best = material.runs, material.best
    compared = dict(zip(runs[1:COMPARED], compare_runs(runs[1:COMPARED], best), strict=True))
    has = [name for name in ("stress", "matched") if any(run.metrics.get(name) for run in runs)]
    rows = []
    for run in runs[:SHOWN]:
        history, metrics = run.history, run.metrics
        name = f"{run.name}\n{run.chosen.words}" if run.chosen else run.name
        row = [name, f"{len(history)} x {max(map(len, history))}", f"{run.seconds / 60:.1f}"]
        row += [_two_lines(metrics.get(name)) for name in ("clean", *has)]
        if compared:
            row += _held_against(compared.get(run), run == best)
        rows.append([*row, differences(run.recipe_fields, best.recipe_fields)])
    columns = ["run", "epochs", "minutes", "clean", *has]
    columns += ["to the best", "is it real?"] if compared else []
    note = _note(len(runs), material.others)
    if any(run.handicapped for run in runs):
        note += " Those that were trained without a family of corruptions come last."
    return Section("Runs", [Table("", (*columns, "differs in"), rows, note, 0, (0, len(columns)))])


def _note(runs: int, others: int) -> str:
    note = "Best clean score first; beside it what differs in its recipe."
    if runs > 1:
        note += (
            " A run is called worse where the clearest difference among so many equally good ones would be smaller "
            "with the probability below the words, .95 or more: of reports on equal runs at most 5 % call any worse."
        )
    if others:
        note += f" {others} more runs are on other data or folds, and can't be compared."
    if runs > SHOWN:
        note += f" {runs - SHOWN} more are in train/."
    if runs > COMPARED:
        note += f" The {COMPARED} best are held against the first."
    return note


def _two_lines(score: Mapping[str, Any] | None) -> str:
    if not score:
        return "-"
    low, high = (number(score[end], digits=3) for end in ("low", "high"))
    return f"{number(score['score'])}\n{low} to {high}"


def _held_against(found: Comparison | None, best: bool) -> list[str]:
    """Cells of how a run stands to the best one; None: not compared."""
    if found is None:
        return ["the best" if best else "-", ""]
    low, high = (number(end, "+", 3) for end in (found.low, found.high))
    return [f"{number(found.difference, '+')}\n{low} to {high}", f"{found.words}\n{found.sure:.3f}"]


def differences(recipe: Mapping[str, Any], best: Mapping[str, Any]) -> str:
    """What a recipe has that the best one has not, field by field, also what isn't stored as it is as usual; names
    don't count, nor does what only the best one says.
    """
    mine, theirs = _flat(recipe), _flat(best)
    changed = [name for name in mine if name != "name" and mine[name] != theirs.get(name)]
    listed = [f"{name}={_value(mine[name])}" for name in changed[:DIFFERENCES]]
    if len(changed) > DIFFERENCES:
        listed.append(f"and {len(changed) - DIFFERENCES} more")
    return ", ".join(listed)


def _flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    usual = AS_USUAL if "model" in recipe else {}  # trees have none of these
    for name, value in (usual | dict(recipe)).items():
        if isinstance(value, dict):
            flat |= {f"{name}.{part}": each for part, each in value.items()}
        else:
            flat[name] = value
    return flat


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


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
                f"By the {kind} score {name} is better, the best of {len(scores)}: {number(score['score'])} against "
                f"{number(own['score'])}, with a clean score of {number(by_name[name]['clean']['score'])}. "
                "Trust it if test images are corrupted."
            )
    return sentences
