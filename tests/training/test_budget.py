"""The plan: how many epochs of which recipes fit the budget; it is kept, and made anew for other recipes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import FIRST, Heard, competition, prepare
from toolkit import Competition, Recipe, UserError, override
from toolkit.scoring.stress import SHARE
from toolkit.store import Workspace, read_json
from toolkit.training.budget import CLOSING, MARGIN, train_within
from toolkit.training.loop import FoldJob

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 3 * (48 // 8)  # of the first recipe in an epoch of all folds
SECOND = competition.recipes["second"]
Measured = Callable[[dict[str, float]], list[str]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Let a training step of a recipe seem to take so many seconds; the recipes that were measured."""

    def install(seconds: dict[str, float]) -> list[str]:
        asked: list[str] = []

        def measure_speed(job: FoldJob) -> tuple[float, float]:
            asked.append(job.recipe.name)
            return seconds[job.recipe.name], 0.0

        monkeypatch.setattr("toolkit.training.budget.measure_speed", measure_speed)
        return asked

    return install


def trained(
    root: Path,
    recipes: Sequence[Recipe] = (FIRST, SECOND),
    *,
    of: Competition = competition,
    folds: int = 3,
    budget: float = 600.0,
    **more: Any,
) -> list[str]:
    """The recipes of the runs that were trained, on the CPU, without stress scores unless asked for."""
    labelled = prepare(root, folds, of=of).labelled()
    how: dict[str, Any] = {"device": "cpu", "stress": "none", **more}
    return [run.recipe.name for run in train_within(labelled, recipes, budget, time.time(), **how)]


def plan(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_json(Workspace(root, "tiny-practice").plan)
    return found


def epochs(root: Path) -> dict[str, int]:
    return {recipe["name"]: recipe["schedule"]["epochs"] for recipe in plan(root)["recipes"]}


def test_recipes_that_fit_are_trained_whole(tmp_path: Path, measured: Measured) -> None:
    asked = measured({"first": 0.01, "second": 0.01})
    assert trained(tmp_path) == ["first", "second"] == asked
    assert epochs(tmp_path) == {"first": 4, "second": 4}


def test_the_first_recipe_gets_the_epochs_that_fit_and_others_only_if_most_do(
    tmp_path: Path, measured: Measured
) -> None:
    left = MARGIN * (600 - CLOSING) / (1 + SHARE)  # the stress scores fit in too
    # three epochs and a bit of the first; one epoch of the second, which has half the steps
    measured({"first": left / STEPS / 3.5, "second": left / STEPS * 2 / 1.5})
    assert trained(tmp_path, stress="auto") == ["first"]
    assert epochs(tmp_path) == {"first": 3} and plan(tmp_path)["skipped"] == ["second"]


def test_a_budget_that_is_too_short_for_one_epoch_is_an_error(tmp_path: Path, measured: Measured) -> None:
    measured({"first": 100})
    with pytest.raises(UserError, match=r"the budget of 10 min 00 s is too short: .* one epoch of first on 3 folds"):
        trained(tmp_path)


def test_the_plan_is_kept_for_the_same_call(tmp_path: Path, measured: Measured) -> None:
    measured({"first": 20, "second": 100})
    first = trained(tmp_path)
    asked = measured({})
    assert trained(tmp_path) == first and asked == []


def test_the_whole_suite_is_planned_for_where_it_is_asked_for(tmp_path: Path, measured: Measured) -> None:
    measured({"first": 0.01})
    trained(tmp_path, [override(FIRST, ["schedule.epochs=1"])], stress="full")
    (folder,) = Workspace(tmp_path, "tiny-practice").train.iterdir()
    assert read_json(folder / "metrics.json")["stress"]["share"] == 1 and plan(tmp_path)["reserved"]["first"] > 0


@pytest.mark.parametrize(
    "more",
    [
        {"budget": 540.0},
        {"recipes": [replace(FIRST, seed=1)]},
        {"recipes": [override(FIRST, ["optimizer.lr=1e-4"])]},
        {"recipes": [SECOND]},
        {"folds": 2},
        {"stress": "auto"},
    ],
)
def test_the_plan_is_made_anew_for_another_call(more: dict[str, Any], tmp_path: Path, measured: Measured) -> None:
    measured({"first": 20, "second": 20})
    trained(tmp_path, [FIRST])
    asked = measured({"first": 0.01, "second": 0.01})
    ran = trained(tmp_path, **{"recipes": [FIRST], **more})
    assert asked == ran == [recipe["name"] for recipe in plan(tmp_path)["recipes"]]


def test_a_later_recipe_that_fails_costs_nothing(tmp_path: Path, measured: Measured) -> None:
    wild = override(FIRST, ["name=wild", "optimizer.lr=1e30", "seed=3"])
    measured({"first": 0.01, "wild": 0.01})
    told = Heard()
    assert trained(tmp_path, [FIRST, wild], progress=told) == ["first"]
    assert any(line.startswith("skipped wild: the loss is no longer a number") for line in told.lines)
    assert plan(tmp_path)["skipped"] == ["wild"]
    assert trained(tmp_path, [FIRST, wild]) == ["first"]


def test_a_later_recipe_that_breaks_the_rules_is_skipped_and_the_first_is_an_error(
    tmp_path: Path, measured: Measured
) -> None:
    breaking = override(FIRST, ["name=breaking", "model.pretrained=true"])
    strict = replace(competition, rules=replace(competition.rules, pretrained=False))
    measured({"first": 0.01})
    told = Heard()
    assert trained(tmp_path, [FIRST, breaking], of=strict, progress=told) == ["first"]
    assert any(line.startswith("skipped breaking: recipe breaking asks for pretrained") for line in told.lines)
    with pytest.raises(UserError, match="which this competition forbids"):
        trained(tmp_path, [breaking, FIRST], of=strict)
