"""Budgets of the tiny competition: opened, spent, and what their plans hold."""

import time
from collections.abc import Callable
from typing import Any

from tests.tiny import competition
from toolkit import Labelled, Recipe, Run
from toolkit.planning.spending import Spending
from toolkit.store import read_json

RECIPES = tuple(competition.recipes.values())
Measured = Callable[..., list[str]]


def opened(labelled: Labelled, recipes: tuple[Recipe, ...] = RECIPES, budget: float = 600.0, **more: Any) -> Spending:
    return Spending(labelled, recipes, budget, time.monotonic(), **({"stress": "none"} | more))


def spend(labelled: Labelled, *given: Any, **more: Any) -> list[Run]:
    return opened(labelled, *given, **more).spend().runs


def plan(labelled: Labelled) -> dict[str, Any]:
    result: dict[str, Any] = read_json(labelled.workspace.plan)
    return result


def epochs(labelled: Labelled) -> dict[str, int]:
    recipes = [part["recipe"] for part in plan(labelled)["parts"]]
    return {recipe["name"]: recipe["schedule"]["epochs"] for recipe in recipes}


def names(runs: list[Run]) -> list[str]:
    return [run.recipe.name for run in runs]
