"""A world to race searches in, fitted on a table of real runs: what a recipe scores, costs and predicts there.

What in it is real and what is drawn is said in `benchmarks.search`.
"""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.search_table import Table
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.recipe import override
from toolkit.scoring.selection import FoldTally
from toolkit.search_space import Fixed, OutsideError, parameters

TREES = 100
ANYWHERE, ROUNDS = 3000, 10  # random recipes, and rounds of evolution from their best, to find the forest's optimum
Params = dict[str, Any]


@dataclass(frozen=True)
class Drawn:
    """A simulated trial: on each fold its predictions, seconds and learning curve."""

    folds: list[FoldTally]
    seconds: np.ndarray
    curves: list[dict[float, float]]


class Random:
    """A trial that suggests at random: what `like` has, where there is one, and now and then something else."""

    def __init__(self, rng: np.random.Generator, like: Params | None = None, change: float = 0.2) -> None:
        self.rng, self.like, self.change = rng, like or {}, change
        self.made: Params = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        if step is not None:
            drawn = low + step * int(self.rng.integers(round((high - low) / step) + 1))
        elif log:
            drawn = float(np.exp(self.rng.uniform(math.log(low), math.log(high))))
        else:
            drawn = float(self.rng.uniform(low, high))
        return self._keep(name, drawn)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._keep(name, choices[int(self.rng.integers(len(choices)))])

    def _keep(self, name: str, drawn: Any) -> Any:
        self.made[name] = self.like[name] if name in self.like and self.rng.random() > self.change else drawn
        return self.made[name]


class Surrogate:
    """Scores and costs of any recipe in the competition's space, from those of the table's runs."""

    def __init__(self, table: Table, competition: Competition) -> None:
        from sklearn.ensemble import RandomForestRegressor

        self.table, self.competition = table, competition
        known = [run for run, recipe in enumerate(table.parameters) if recipe is not None]
        if len(known) < 8 or len(table.complete) < 3:
            raise UserError(
                f"the table has {len(known)} runs of the search space, {len(table.complete)} runs with all folds; "
                "a race needs 8 and 3"
            )
        recipes = [recipe for recipe in table.parameters if recipe is not None]
        rng = np.random.default_rng(0)
        anywhere = [self.random_recipe(rng) for _ in range(ANYWHERE)]
        self.columns = _columns([*recipes, *anywhere])
        self.scores = np.where(table.trained, competition.score(table.confusions.sum(2)), np.nan)
        whole = self.scores[table.complete]
        self.fold_effect = whole.mean(0) - whole.mean()
        means = np.nanmean(self.scores - self.fold_effect, 1)[known]
        rest = whole - whole.mean(0) - whole.mean(1, keepdims=True) + whole.mean()
        self.residuals = rest.ravel() * math.sqrt(rest.size / ((rest.shape[0] - 1) * (rest.shape[1] - 1)))
        seconds = np.log(np.nanmean(np.where(table.trained, table.seconds, np.nan), 1))[known]
        goals = np.stack([means, seconds], 1)
        self.centre, self.spread = goals.mean(0), goals.std(0) + 1e-12
        self.forest = RandomForestRegressor(TREES, max_features=0.5, oob_score=True, random_state=0)
        self.forest.fit(self.encode(recipes), (goals - self.centre) / self.spread)
        predicted = self.forest.oob_prediction_[:, 0] * self.spread[0] + self.centre[0]
        self.explained = float(1 - ((predicted - means) ** 2).mean() / means.var())
        predicted = self.predict(anywhere)
        self.blind, self.usual_seconds = float(predicted[:, 0].mean()), float(predicted[:, 1].mean())
        self.optimum = self._best([*recipes, *anywhere], rng)

    def random_recipe(self, rng: np.random.Generator, like: Params | None = None) -> Params:
        trial = Random(rng, like)
        self.suggest(trial)
        return trial.made

    def suggest(self, trial: Any) -> None:
        assert self.competition.suggest is not None
        self.competition.suggest(Fixed(trial, self.table.given))

    def hand_made(self) -> list[Params]:
        """What a search tries first, as far as the space makes it."""
        assert self.competition.suggest is not None
        found = []
        for recipe in self.competition.first_trials or self.competition.recipes.values():
            with contextlib.suppress(OutsideError):
                recipe = override(recipe, self.table.given)
                found.append(parameters(self.competition.suggest, recipe, self.table.given))
        return [recipe for at, recipe in enumerate(found) if recipe not in found[:at]]

    def _best(self, recipes: list[Params], rng: np.random.Generator) -> float:
        """The best score that evolution finds."""
        for _ in range(ROUNDS):
            predicted = self.predict(recipes)[:, 0]
            recipes = [recipes[at] for at in np.argsort(-predicted)[:50]]
            recipes += [self.random_recipe(rng, one) for one in recipes for _ in range(6)]
        return float(self.predict(recipes)[:, 0].max())

    def encode(self, recipes: Sequence[Params]) -> np.ndarray:
        """A column a number and a column a choice, float32; -1 for what a recipe doesn't have."""
        made = np.full((len(recipes), len(self.columns)), -1, np.float32)
        for row, recipe in enumerate(recipes):
            for name, value in recipe.items():
                if (name, value) in self.columns:
                    made[row, self.columns[name, value]] = 1
                elif name in self.columns:
                    made[row, self.columns[name]] = value
        return made

    def predict(self, recipes: Sequence[Params]) -> np.ndarray:
        """True score and seconds a fold, (n, 2)."""
        encoded = self.encode(recipes)
        # each tree by itself: scikit-learn's own way costs milliseconds a call
        predicted = np.mean([tree.tree_.predict(encoded)[:, :, 0] for tree in self.forest.estimators_], axis=0)
        score, seconds = (predicted * self.spread + self.centre).T
        return np.stack([score, np.exp(seconds)], 1)

    def draw(self, recipe: Params, rng: np.random.Generator) -> Drawn:
        mean, seconds = self.predict([recipe])[0]
        folds, curves = [], []
        for k, effect in enumerate(self.fold_effect):
            target = float(np.clip(mean + effect + rng.choice(self.residuals), 0, 1))
            made = self.competition.tally_of({"counts": self._mixture(k, target, rng)})
            folds.append(FoldTally(k, np.arange(self.table.confusions.shape[2]), made))
            curves.append(self._curve(k, target))
        return Drawn(folds, np.full(len(folds), seconds), curves)

    def _mixture(self, k: int, target: float, rng: np.random.Generator) -> np.ndarray:
        """Confusions (B, C, C) that score `target`, from the runs next to it, perfect and always wrong ones."""
        has = np.flatnonzero(self.table.trained[:, k])
        here = self.scores[has, k]
        truth = self.table.confusions[has[0], k].sum(-1)
        perfect = truth[..., None] * np.eye(truth.shape[-1], dtype=np.int64)
        below, above = has[here <= target], has[here > target]
        low = (
            self.table.confusions[below[self.scores[below, k].argmax()], k] if len(below) else np.roll(perfect, 1, -1)
        )
        high = self.table.confusions[above[self.scores[above, k].argmin()], k] if len(above) else perfect
        order = rng.permutation(len(low))
        replaced = np.concatenate([np.zeros((1, *low.shape[1:])), (high - low)[order].cumsum(0)]) + low.sum(0)
        scores = self.competition.score(replaced)
        at = min(int(np.argmax(scores > target)) or len(low), len(low))
        step = scores[at] - scores[at - 1]
        mixed = low.astype(float)
        mixed[order[: at - 1]] = high[order[: at - 1]]
        share = (
            np.clip((target - scores[at - 1]) / step, 0, 1) if step else 1.0
        )  # of the last block, to meet the target
        mixed[order[at - 1]] += share * (high - low)[order[at - 1]]
        return mixed

    def _curve(self, k: int, target: float) -> dict[float, float]:
        runs = [run for run in np.flatnonzero(self.table.trained[:, k]) if self.table.curves[run][k]]
        if not runs:
            return {1.0: target}
        curve = self.table.curves[min(runs, key=lambda run: abs(self.scores[run, k] - target))][k]
        return {share: score * target / max(curve[max(curve)], 1e-9) for share, score in curve.items()}


def _columns(recipes: Sequence[Params]) -> dict[Any, int]:
    """Where a number stands, by its name, and a choice, by name and value."""
    found: dict[Any, int] = {}
    for recipe in recipes:
        for name, value in recipe.items():
            found.setdefault(name if isinstance(value, float) else (name, value), len(found))
    return found
