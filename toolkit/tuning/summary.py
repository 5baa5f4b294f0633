"""What a search gives back: its best trials, what decided, the winner, and what choosing it is worth."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from optuna.study import Study
from optuna.trial import FrozenTrial

from toolkit.data.labelled import Labelled
from toolkit.frames import trials_table
from toolkit.outcome import Outcome, Table, Warned, counted, duration, number
from toolkit.recipe import Recipe
from toolkit.runs import Run
from toolkit.scoring.selection import Selection, worth_by_fold, worth_of_best
from toolkit.store import write_json
from toolkit.tuning.board import name, scores, short, state, varying
from toolkit.tuning.finals import Final
from toolkit.tuning.plots import draw, importances
from toolkit.tuning.settings import SearchSettings
from toolkit.tuning.study import NOTE, begun_trials, place_of
from toolkit.tuning.trial_runs import TrialContext
from toolkit.tuning.trials import fold_order

Told = str | Warned | Table
# objectives as people read them
SCORES = {"clean": "CV score", "stress": "stress score", "test-matched": "test-like score", "seconds": "seconds"}


@dataclass(frozen=True, repr=False)
class Search(Outcome):
    """A study's end. trials: how many were begun, finished, pruned, failed; best: the finals, the winner first;
    ranked: trials, finished ones before pruned ones and the best first, and what they are worth; choice: what choosing
    the best trial by the first objective is worth, None where fewer than two have all folds; before: trials of other
    searches that its first recipe was chosen among, of which no score knows; left: finished runs that are not put
    together; seconds: in all, and those not spent on training.
    """

    labelled: Labelled
    settings: SearchSettings
    study: Study
    trials: dict[str, int]
    best: tuple[Final, ...]
    ranked: tuple[FrozenTrial, ...]
    worth: tuple[float, ...]
    choice: Selection | None
    before: int
    importances: dict[str, float]
    pictures: tuple[Path, ...]
    left: int
    seconds: float
    overhead_seconds: float

    @property
    def run(self) -> Run | None:
        """The winner's."""
        return self.best[0].runs[0] if self.best else None

    @property
    def recipe(self) -> Recipe | None:
        """The winner."""
        return self.run.recipe if self.run else None

    @property
    def score(self) -> float | None:
        """What the winner's recipe is worth by the first objective: the choice cross-fitted, or the score of a trial
        that was chosen among none; None where it isn't known."""
        if self.choice is not None:
            return self.choice.score
        alone = self.trials["begun"] == 1 and not self.before
        return self.best[0].values[0] if self.best and alone else None

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        if self.recipe is None:
            return []
        longer = f"schedule.epochs={2 * self.recipe.schedule.epochs}"
        path = self.labelled.workspace.best_recipe
        return [
            ("compete ensemble", "blends all that the search has finished"),
            (f"compete train … --recipe {path} {longer}", "trains the winner for twice as long"),
        ]

    def to_pandas(self) -> pd.DataFrame:
        """A line a trial in the order they began: trial int64, state (complete, pruned, fail), run and why text, folds
        int64, seconds float64, last (what was last reported of it) and a column an objective float64, NaN where it has
        none; then what was searched, such as `optimizer.lr`.
        """
        trials = begun_trials(self.study.get_trials(deepcopy=False))
        return trials_table(trials, [one.name for one in self.settings.objectives])

    def as_json(self) -> dict[str, Any]:
        choice, path = self.choice, self.labelled.workspace.best_recipe
        low, high = (choice.low, choice.high) if choice else (None, None)
        values: dict[str, Any] = {
            "study": self.study.study_name,
            "trials": self.trials,
            "before": self.before,
            "score": self.score,
            "low": low,
            "high": high,
            "naive": choice.naive if choice else self.best[0].values[0] if self.best else None,
            "crossfitted": choice and choice.score,
            "optimism": choice and choice.optimism,
            "optimism_low": choice and choice.optimism_low,
            "optimism_high": choice and choice.optimism_high,
            "recipe": str(path) if self.best else None,
        }
        if self.best:
            fresh = list(self.best[0].values[1:])
            values |= {"seeds": len(self.best[0].values), "fresh": fresh, "run": str(self.best[0].runs[0].folder)}
        return values | {"seconds": self.seconds, "overhead_seconds": self.overhead_seconds}

    def told(self) -> list[Told]:
        told: list[Told] = []
        if self.ranked:
            told.append(self._trials())
        if self.importances:
            shares = [[name, f"{share:.0%}"] for name, share in self.importances.items() if share >= 0.005]
            told.append(Table("Parameter importance", ["parameter", "share"], shares))
        if self.pictures:
            told.append(f"{self.labelled.workspace.search}: {', '.join(path.name for path in self.pictures)}")
        if self.left:
            told.append(
                f"not put together for lack of time: {counted(self.left, 'finished run')}, which no blend takes yet"
            )
        count, took = self.trials, duration(self.seconds)
        ended = f"{count['finished']} finished, {count['pruned']} pruned, {count['failed']} failed"
        rest = f"{self.overhead_seconds:.1f} s of them not spent on training"
        return [*told, *self._winner(), f"{counted(count['begun'], 'trial')} ({ended}) in {took}, {rest}"]

    @property
    def _metric(self) -> str:
        return self.labelled.competition.metric.name

    def _trials(self) -> Table:
        """The best ones, by what is shown of them: those that are finished first."""
        rows = []
        for trial, worth in list(zip(self.ranked, self.worth, strict=True))[:10]:
            ended = "" if trial.values else f", {state(trial, why=False, folds=self.labelled.folds)}"
            shown = scores(trial) if trial.values else f"about {number(worth)}"
            rows.append([name(trial), f"{shown}{ended}", short(trial, varying(self.ranked))])
        kinds = " and ".join(SCORES[one.name] for one in self.settings.objectives)
        title = f"Best trials by {kinds} ({self._metric})"
        return Table(title, ["trial", "score", "recipe"], rows, text=True)

    def _winner(self) -> list[Told]:
        path = self.labelled.workspace.best_recipe
        if not self.best:
            text = "no trial was finished on all folds, so there is no winner; go on with the same command"
            return [Warned(text), *([Warned(f"{path} is an earlier search's")] if path.exists() else [])]
        columns = ["", f"{self._metric}, as chosen", "with fresh seeds", "mean"]
        rows = [[f"t{final.place}", *_values(final)] for final in self.best]
        told: list[Told] = [Table("Finalists, trained on all folds and with other seeds", columns, rows)]
        run, objective = self.best[0].runs[0], SCORES[self.settings.objectives[0].name]
        winner = f"winner: {run.name}{run.beside}"
        if self.choice is not None:
            one = self.choice
            told.append(
                f"best {objective} of {one.candidates} whole trials {number(one.naive)}; chosen on the other folds "
                f"{number(one.score)}, so the selection bias is {one.words}"
            )
            winner += f"; expect {number(one.score)} ({number(one.low)} to {number(one.high)})"
        elif self.score is not None:
            winner += f"; nothing was chosen, so expect its score, {number(self.score)}"
        elif self.trials["begun"] > 1:
            told.append(
                "no other trial has all folds, so what choosing it is worth is not known: expect less than its score"
            )
        if self.before:
            text = f"its first recipe was chosen among {counted(self.before, 'trial')} of an earlier search"
            told.append(Warned(f"{text}; no score out of fold accounts for that, so expect less"))
        return [*told, winner]


def _values(final: Final) -> list[str]:
    chosen, *fresh = map(number, final.values)
    return [chosen, " ".join(fresh) or "-", number(final.mean)]


def summarize(context: TrialContext, best: Sequence[Final], left: int) -> Search:
    """Draw the pictures, and leave the summary beside them."""
    study, settings, labelled = context.study, context.settings, context.labelled
    weights = importances(study)
    begun = begun_trials(study.get_trials(deepcopy=False))
    names = list(weights) or sorted({name for trial in begun for name in trial.params})
    metric = f"{settings.objective.partition(',')[0]} {labelled.competition.metric.name}"
    pictures = tuple(draw(study, labelled.workspace.search, names, metric))
    ranking = context.rivals.ranking(study)
    ranked = sorted(ranking, key=lambda pair: not pair[0].values)
    choice = _choice(context, [trial for trial, _ in ranking]) if best else None
    took = time.monotonic() - context.clock.started
    overhead = took - context.clock.training
    found = Search(
        labelled,
        settings,
        study,
        _counts(begun),
        tuple(best),
        tuple(trial for trial, _ in ranked),
        tuple(worth for _, worth in ranked),
        choice,
        context.before,
        weights,
        pictures,
        left,
        took,
        overhead,
    )
    counts = {f"trials {state}": count for state, count in found.trials.items()}
    write_json(labelled.workspace.search_summary, counts | found.as_json() | {"importances": weights})
    return found


def _counts(trials: Sequence[FrozenTrial]) -> dict[str, int]:
    states = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    return {"begun": len(trials)} | {word: sum(t.state.name == name for t in trials) for word, name in states.items()}


def _choice(context: TrialContext, ranked: Sequence[FrozenTrial]) -> Selection | None:
    """What choosing the best is worth, by the trials that have all folds; None for fewer than two."""
    rivals, metric = context.rivals, context.rivals.objectives[0].metric
    if context.folds < 2:
        return None
    if metric == "clean":
        whole = [(trial, folds) for trial in ranked if len(folds := rivals.of(trial, "clean")) == context.folds]
        orders = [_order(context, trial) for trial, _ in whole]
        return worth_of_best([folds for _, folds in whole], orders) if len(whole) > 1 else None
    assert metric is not None
    runs = [(trial, rivals.run(trial)) for trial in ranked]
    scored = [(trial, found) for trial, run in runs if run.finished and (found := run.metrics.get(metric))]
    if len(scored) < 2:
        return None
    scores, orders = [found for _, found in scored], [_order(context, trial) for trial, _ in scored]
    ends = [(one["low"], one["high"]) for one in scores]
    by_fold = np.array([one["by_fold"] for one in scores], float)  # NaN where a fold has none
    return worth_by_fold([one["score"] for one in scores], ends, by_fold, orders, rivals.competition.metric.sign)


def _order(context: TrialContext, trial: FrozenTrial) -> list[int] | None:
    """Its folds as they came; None where nothing asked after each whether it goes on, or it did in spite of that."""
    if trial.state.name != "COMPLETE" or NOTE in trial.user_attrs:
        return None
    return fold_order(context.settings.seed, place_of(trial), context.folds)
