"""A search in the report: what it found, the score over each parameter, and the winner's command."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.outcome import counted, duration, number
from toolkit.pages.charts import chart, new_figure
from toolkit.pages.html import Advice, Bar, Bars, Block, Chart, Lines, Row, Section, Series, Words
from toolkit.recipe import read_recipe, to_dict
from toolkit.reporting.commands import compete
from toolkit.reporting.run_table import differences
from toolkit.runs import Run
from toolkit.store import read_json

ENOUGH = 5  # finished trials, below which nothing is drawn
PARAMETERS = 6  # that are drawn, the learning rate and then the important ones first
FEWEST = 3  # trials that have a parameter which is drawn
RATE = "optimizer.lr"
WIDE = 50.0  # largest over smallest value, from which on an axis is logarithmic
SIZE = (2.1, 3.3)  # inches: height and width of a chart of one parameter


@dataclass(frozen=True)
class Tried:
    """A trial: what it tried, the score it has by then, and whether it has all folds."""

    number: int
    params: Mapping[str, Any]
    score: float
    finished: bool

    @property
    def called(self) -> str:
        return f"trial {self.number}" if self.finished else f"trial {self.number} (pruned)"


def search_section(labelled: Labelled) -> Section:
    """One sentence where there is no search, or too little of one."""
    path = labelled.workspace.search_summary
    command = compete(labelled, "search", "--budget", "1h")
    if not path.exists():
        return Section("Search", [], f"No search yet: `{command}`.")
    summary = read_json(path)
    trials = _trials(labelled, summary)
    whole = sum(one.finished for one in trials)
    note = _counts(summary) + _stale(labelled, summary)
    if whole < ENOUGH:
        found = f"{counted(whole, 'finished trial')} of the {ENOUGH} that charts need; the same command goes on."
        return Section("Search", _winner(labelled, summary), f"{note} {found}")
    sign = labelled.competition.metric.sign
    names = _parameters(trials, summary.get("importances") or {})
    metric = labelled.competition.metric.name
    drawn: list[Chart] = [chart(name, partial(_over, name, trials, metric)) for name in names]
    blocks: list[Block] = [
        Words([_worth(summary)]),
        *_winner(labelled, summary),
        Row([_best_so_far(trials, metric, sign)]),
    ]
    if summary.get("importances"):
        shares: dict[str, float] = summary["importances"]
        ordered = sorted(shares.items(), key=lambda one: -one[1])
        important = [Bar(name, share, f"{share:.0%}") for name, share in ordered]
        blocks.append(Bars("Parameter importance", important, "Share of what sets the best apart."))
    return Section("Search", [*blocks, Row(drawn, "Score against each parameter; hollow: pruned")], note)


def _counts(summary: Mapping[str, Any]) -> str:
    trials = summary.get("trials") or {}
    begun = counted(int(trials.get("begun", 0)), "trial")
    ended = ", ".join(f"{trials[word]} {word}" for word in ("finished", "pruned", "failed") if trials.get(word))
    took = f" in {duration(summary['seconds'])}" if summary.get("seconds") else ""
    return f"{begun}{f' ({ended})' if ended else ''}{took}."


def _stale(labelled: Labelled, summary: Mapping[str, Any]) -> str:
    winner = Run(Path(summary["run"]), labelled) if summary.get("run") else None
    stale = winner is not None and winner.finished and not winner.is_current
    return " It was made on other data or folds than the present ones." if stale else ""


def _worth(summary: Mapping[str, Any]) -> str:
    """What the winner is worth, and how much of its score is the choice."""
    score, naive, before = summary.get("score"), summary.get("naive"), summary.get("before")
    more = ""
    if before:
        more = (
            f" The first recipe was chosen among {counted(int(before), 'trial')} of an earlier search, which no score "
            "accounts for: expect less."
        )
    if score is None:
        return f"What choosing the best is worth is not known: fewer than two trials have all folds.{more}"
    ends = ""
    if summary.get("low") is not None:
        ends = f" (95 %: {number(summary['low'], digits=3)} to {number(summary['high'], digits=3)})"
    text = f"Expect {number(score)}{ends} of the winner"
    if naive is not None and summary.get("optimism") is not None:
        text += f"; as chosen it has {number(naive)}, of which {number(summary['optimism'])} is selection bias"
    return f"{text}.{more}"


def _winner(labelled: Labelled, summary: Mapping[str, Any]) -> list[Block]:
    """The recipe in words, as it differs from the one it began from, and the command that trains it."""
    path = labelled.workspace.best_recipe
    if not summary.get("recipe") or not path.exists():
        return []
    try:
        recipe = read_recipe(path)
    except UserError:
        return []
    recipes = labelled.competition.recipes
    near = {name: differences(to_dict(recipe), to_dict(one)) for name, one in recipes.items()}
    name = min(near, key=lambda one: near[one].count("="))
    text = f"The winner is {name} with {near[name]}" if near[name] else f"The winner is {name} as it is"
    command = compete(labelled, "train", "--recipe", str(path))
    return [Advice([(f"{text}; train it, longer or with other seeds:", command)], "The winning recipe")]


def _trials(labelled: Labelled, summary: Mapping[str, Any]) -> list[Tried]:
    """Those that have a score, in their order; none where the study lies elsewhere or can't be read."""
    folder = labelled.workspace.search
    where = next(
        (kind for kind, file in (("sqlite", "study.db"), ("journal", "study.log")) if (folder / file).exists()), ""
    )
    if not where or not summary.get("study"):
        return []
    import optuna

    from toolkit.tuning.storage import open_storage

    try:
        study = optuna.load_study(study_name=summary["study"], storage=open_storage(where, folder))
        trials = study.get_trials(deepcopy=False)
    except (KeyError, UserError):
        return []
    found = []
    for trial in trials:
        last = max(trial.intermediate_values, default=None)
        score = trial.values[0] if trial.values else None if last is None else trial.intermediate_values[last]
        if score is not None and trial.state.name in ("COMPLETE", "PRUNED"):
            found.append(Tried(trial.number, trial.params, float(score), trial.state.name == "COMPLETE"))
    return found


def _parameters(trials: Sequence[Tried], importances: Mapping[str, float]) -> list[str]:
    """Those that several values were tried of: the learning rate, then by importance."""
    tried: dict[str, list[Any]] = {}
    for one in trials:
        for name, value in one.params.items():
            tried.setdefault(name, []).append(value)
    names = [name for name, values in tried.items() if len(values) >= FEWEST and len(set(values)) > 1]
    names.sort(key=lambda name: (not name.startswith(RATE), -importances.get(name, 0.0), -len(set(tried[name]))))
    return names[:PARAMETERS]


def _over(name: str, trials: Sequence[Tried], metric: str) -> Figure:
    """Scores over the values of one parameter; pruned trials hollow."""
    figure, axes = new_figure(*SIZE)
    known = [one for one in trials if name in one.params]
    texts = any(isinstance(one.params[name], str) for one in known)
    labels = sorted({str(one.params[name]) for one in known}) if texts else []
    values = [labels.index(str(one.params[name])) if texts else float(one.params[name]) for one in known]
    for finished in (False, True):
        at = [place for place, one in enumerate(known) if one.finished == finished]
        face = "C0" if finished else "none"
        xs, ys = [values[place] for place in at], [known[place].score for place in at]
        axes.plot(xs, ys, "o", color="C0", markerfacecolor=face, markersize=5, alpha=0.85)
    if texts:
        axes.set_xticks(range(len(labels)), labels, rotation=20 if len(labels) > 2 else 0, fontsize=7)
        axes.set_xlim(-0.5, len(labels) - 0.5)
    elif min(values) > 0 and max(values) / min(values) >= WIDE:
        axes.set_xscale("log")
    axes.set_ylabel(metric)
    axes.grid(True)
    axes.tick_params(labelsize=7, colors=matplotlib.rcParams["text.color"])
    return figure


def _best_so_far(trials: Sequence[Tried], metric: str, sign: int) -> Lines:
    """Trials as they came, and the best of the finished ones until then."""
    finished = [one for one in trials if one.finished]
    best = (np.maximum if sign > 0 else np.minimum).accumulate([one.score for one in finished])
    points = [
        Series(one.called, [one.number], [one.score], "finished" if one.finished else "pruned") for one in trials
    ]
    series = [Series("best so far", [one.number for one in finished], best.tolist()), *points]
    return Lines("Best so far", "trial", metric, series)
