"""Runs, epochs, trials, predictions and submissions as pandas tables, a line each."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from toolkit.data.targets import in_words
from toolkit.decisions.decide import as_targets
from toolkit.errors import UserError
from toolkit.probabilities import probabilities
from toolkit.task import Classification, Grades, Numbers, Task
from toolkit.top_k import TopK

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from toolkit.predictions import Predictions
    from toolkit.runs import Run

SCORES = ("clean", "stress", "matched")
EPOCH = ("loss", "validation_loss", "score", "lr", "seconds")
MOST = 100  # outputs that get a column each


class History(list[list[dict[str, Any]]]):
    """The epochs of each fold: loss, validation_loss, score, lr, seconds."""

    def to_pandas(self) -> pd.DataFrame:
        """A line an epoch of each fold: fold and epoch (from 1 on) int64, loss, validation_loss, score, lr and seconds
        float64; NaN in validation_loss and score where no samples were looked at.
        """
        lines = [
            {"fold": fold, "epoch": number, **{name: line.get(name) for name in EPOCH}}
            for fold, epochs in enumerate(self)
            for number, line in enumerate(epochs, start=1)
        ]
        table = pd.DataFrame(lines, columns=["fold", "epoch", *EPOCH])
        return table.astype({"fold": np.int64, "epoch": np.int64, **dict.fromkeys(EPOCH, np.float64)})


def runs_table(runs: Sequence["Run"]) -> pd.DataFrame:
    """As `Runs.to_pandas` has them."""
    lines = []
    for run in runs:
        lengths, metrics = list(map(len, run.history)), run.metrics
        line: dict[str, Any] = {"run": run.name}
        for kind in SCORES:
            found = metrics.get(kind) or {}
            for end, name in (("", "score"), ("_low", "low"), ("_high", "high")):
                line[kind + end] = found.get(name, np.nan)
        line |= {"epochs": min(lengths, default=0), "seconds": run.seconds, "complete": run.complete}
        lines.append(line | {"folder": str(run.folder)})
    columns = ["run", *(kind + end for kind in SCORES for end in ("", "_low", "_high"))]
    table = pd.DataFrame(lines, columns=[*columns, "epochs", "seconds", "complete", "folder"])
    fields = pd.DataFrame([_flat(run.recipe_fields) for run in runs], dtype=object)
    differ = [name for name in fields if name != "name" and fields[name].map(repr).nunique() > 1]
    return table.join(fields[differ].infer_objects())


def _flat(fields: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """`optimizer.lr` and so on."""
    made: dict[str, Any] = {}
    for name, value in fields.items():
        made |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {before + name: value}
    return made


def trials_table(trials: Sequence["FrozenTrial"], objectives: Sequence[str]) -> pd.DataFrame:
    """As `Search.to_pandas` has them."""
    lines = []
    for trial in trials:
        attributes, took = trial.user_attrs, trial.duration
        line = {"trial": trial.number, "state": trial.state.name.lower(), "run": attributes.get("run", "")}
        line |= {"folds": attributes.get("folds", 0), "seconds": took.total_seconds() if took else np.nan}
        last = max(trial.intermediate_values, default=None)
        line["last"] = np.nan if last is None else trial.intermediate_values[last]
        line |= dict(zip(objectives, trial.values or [np.nan] * len(objectives), strict=True))
        lines.append({**line, "why": attributes.get("note") or attributes.get("error") or "", **trial.params})
    return pd.DataFrame(lines, columns=None if lines else ["trial", "state", "run", "folds", "seconds", *objectives])


def lines_table(lines: Sequence[Mapping[str, str]], columns: Sequence[str], numbers: Sequence[str]) -> pd.DataFrame:
    """Text as it stands in a CSV; numbers float64, NaN where there is none."""
    table = pd.DataFrame(list(lines), columns=None if lines else list(columns))
    for name in numbers:
        table[name] = pd.to_numeric(table[name]).astype(np.float64)
    return table


def predictions_table(made: "Predictions") -> pd.DataFrame:
    """As `Predictions.to_pandas` has them."""
    labelled, competition = made.labelled, made.labelled.competition
    task, rows = competition.task, np.flatnonzero(labelled.inside)
    if task.masks:
        raise UserError("masks are no table: `oof` has them as an array, and `mistakes()` which are worst")
    values, truth = probabilities(made.oof[rows]), labelled.truth[rows]
    known = {"row": rows, "index": labelled.ids[rows], "name": labelled.names[rows], "fold": labelled.fold[rows]}
    table = pd.DataFrame(known)
    if task.exclusive:
        unknown = task.unknown if isinstance(task, Classification) else None
        names = np.array([*task.classes, unknown or ""], dtype=object)  # UNKNOWN is the last one
        labels = competition.decode(values)
        table["truth"], table["predicted"] = names[truth], names[labels]
        place = labels[:, None].astype(np.int64)
        sure = values.at(place) if isinstance(values, TopK) else np.take_along_axis(values, place, 1)
        table["probability"] = np.where(labels < 0, np.nan, sure[:, 0])
    elif isinstance(task, Numbers):
        return table.join(pd.DataFrame(truth, columns=[f"truth {name}" for name in task.targets])).join(
            pd.DataFrame(values, columns=list(task.targets))
        )
    else:
        table["truth"] = [in_words(one, task) for one in truth]
        table["predicted"] = [in_words(one, task) for one in as_targets(task, values, competition.scored)]
    if isinstance(values, TopK) or task.channels > MOST:
        return table
    return table.join(pd.DataFrame(values, columns=_channels(task)))


def _channels(task: Task) -> list[str]:
    """What each channel's value is the probability of."""
    return [f"at least {name}" for name in task.classes[1:]] if isinstance(task, Grades) else list(task.classes)
