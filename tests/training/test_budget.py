"""The plan: how many epochs of which recipes fit the budget; it is kept, and made anew for other recipes."""

import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tiny import FIRST, Heard, competition, looking, make_job, prepare
from toolkit import Labelled, Recipe, Run, UserError, override
from toolkit.networks.speed import UNMEASURED, Settings
from toolkit.scoring.stress import SHARE
from toolkit.store import read_json
from toolkit.training.budget import (
    Cost,
    Speed,
    closing_seconds,
    measure_speed,
    run_cost,
    train_within,
    training_cost,
    trial_epochs,
)
from toolkit.training.cross_validation import prepare as prepare_jobs
from toolkit.training.jobs import FoldJob

pytestmark = pytest.mark.usefixtures("one_thread")
RECIPES = tuple(competition.recipes.values())
HEAD = 1 / 64  # seconds that a step of a head alone seems to take
STEPS = 3 * (48 // 8)  # of the first recipe in an epoch of all folds
Measured = Callable[[dict[str, float]], list[str]]


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> Measured:
    """Let a training step of a recipe seem to take so many seconds; the recipes that were measured."""

    def install(seconds: dict[str, float]) -> list[str]:
        asked: list[str] = []

        def measure_speed(job: FoldJob) -> Speed:
            asked.append(job.recipe.name)
            return Speed(seconds[job.recipe.name], 0.0, HEAD if job.recipe.schedule.freeze else None)

        monkeypatch.setattr("toolkit.training.budget.measure_speed", measure_speed)
        monkeypatch.setattr(
            "toolkit.training.budget.quietest", lambda measure, within=0: measure()
        )  # whatever else runs here
        return asked

    return install


@pytest.fixture
def labelled(tmp_path: Path) -> Labelled:
    return prepare(tmp_path).labelled()


def within(labelled: Labelled, recipes: tuple[Recipe, ...] = RECIPES, budget: float = 600.0, **more: Any) -> list[Run]:
    return train_within(labelled, recipes, budget, time.monotonic(), **more)


def plan(labelled: Labelled) -> dict[str, Any]:
    result: dict[str, Any] = read_json(labelled.workspace.plan)
    return result


def epochs(labelled: Labelled) -> dict[str, int]:
    return {recipe["name"]: recipe["schedule"]["epochs"] for recipe in plan(labelled)["recipes"]}


def names(runs: list[Run]) -> list[str]:
    return [run.recipe.name for run in runs]


def test_speed_is_measured_without_leaving_a_trace(tmp_path: Path) -> None:
    job = make_job(tmp_path)
    speed = measure_speed(job)
    assert speed.step > 0 and speed.image > 0 and speed.head is None and not job.folder.exists()


def test_of_a_head_alone_no_step_of_the_network_is_measured(tmp_path: Path) -> None:
    folder = tmp_path / "features"
    speed = measure_speed(make_job(tmp_path, "schedule.freeze=1", features=folder))
    assert speed.step == 0 and speed.image > 0 and speed.head is not None and speed.head > 0
    half = measure_speed(make_job(tmp_path, "schedule.freeze=0.5", features=folder))
    assert half.step > 0 and half.head is not None and half.head > 0
    assert measure_speed(make_job(tmp_path, "schedule.freeze=1")).head is None, "features aren't kept"
    assert not folder.exists()


def test_a_training_costs_its_steps_and_the_samples_that_are_looked_at_and_predicted(labelled: Labelled) -> None:
    _, jobs = prepare_jobs(labelled, FIRST)
    assert training_cost(jobs, Speed(10, 0), 0) == Cost(epoch=STEPS * 10, once=0)
    looked_at = 72 + 3 * 48  # and the images that statistics are gathered from
    assert training_cost(jobs, Speed(0, 1), 18) == Cost(epoch=looked_at, once=72 + 3 * 18 + looked_at)
    assert Cost(epoch=10, once=5, scores=6).epochs_within(40) == 2
    _, jobs = prepare_jobs(labelled, override(FIRST, ["schedule.freeze=1"]))
    alone = training_cost(jobs, Speed(0, 1, head=2), 18)
    assert alone == Cost(epoch=STEPS * 2, once=18, freeze=1, head=STEPS * 2), "test images are asked for once"


@given(st.floats(0, 1), st.floats(0, 300), st.sampled_from([0.0, 7.0]), st.sampled_from([0.01, 1.0, 6.0]))
def test_as_many_epochs_as_fit_and_no_more(freeze: float, seconds: float, once: float, head: float) -> None:
    cost = Cost(epoch=5.0, once=once, freeze=freeze, head=head)
    epochs = cost.epochs_within(seconds)
    assert epochs == 0 or cost.of(epochs) <= seconds
    assert cost.of(epochs + 1) > seconds


def test_what_comes_with_a_training_costs_its_time_too(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 1.0})

    def cost(*assignments: str, stress: str = "none") -> Cost:
        return run_cost(labelled, override(FIRST, assignments), stress, "cpu")

    assert cost().epoch == STEPS and cost(stress="auto").epoch == STEPS * (1 + SHARE)
    half = cost("schedule.freeze=0.5")
    steps = [half.of(epochs) / STEPS for epochs in (1, 2, 3, 4)]
    assert steps == [1, 1 + HEAD, 1 + 2 * HEAD, 2 + 2 * HEAD], "on features made once"
    assert cost("schedule.freeze=1").of(100) == STEPS * 100 * HEAD
    assert cost().scores == 0 < cost(stress="full").scores
    taught = run_cost(replace(labelled, competition=looking), override(FIRST, ["pseudo.rounds=2"]), "none", "cpu")
    assert taught.epoch == STEPS * (1 + 2 / 0.5), "taught networks see more images"


def test_a_trial_gets_the_epochs_that_fit(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 1.0})
    assert [trial_epochs(labelled, FIRST, seconds)[0] for seconds in (0, STEPS - 1, 3.5 * STEPS)] == [0, 0, 3]


def test_recipes_that_fit_are_trained_whole(labelled: Labelled, measured: Measured) -> None:
    asked = measured({"first": 0.01, "second": 0.01})
    assert names(within(labelled)) == asked == ["first", "second"]
    assert epochs(labelled) == {"first": 4, "second": 4}


def test_the_first_gets_the_epochs_that_fit_others_only_if_most_do(labelled: Labelled, measured: Measured) -> None:
    left = (600 - closing_seconds(600)) / (1 + SHARE)  # the stress scores fit in too
    # three epochs and a bit of the first; one epoch of the second, which has half the steps
    measured({"first": left * 0.9 / STEPS / 3.5, "second": left * 0.9 / STEPS * 2 / 1.5})
    heard = Heard()
    assert names(within(labelled, progress=heard)) == ["first"]
    assert "first: 3 folds of 3 epochs, " in str(heard)
    assert epochs(labelled) == {"first": 3} and plan(labelled)["skipped"] == ["second"]


def test_one_epoch_is_not_called_several(labelled: Labelled, measured: Measured) -> None:
    heard = Heard()
    measured({"first": 600 / STEPS / 2})
    within(labelled, (FIRST,), progress=heard)
    assert "first: 3 folds of 1 epoch, " in str(heard)


def test_the_plan_is_kept_for_the_same_call(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 20, "second": 100})
    first = within(labelled)
    asked = measured({})
    assert within(labelled) == first and asked == []


def test_the_whole_suite_is_planned_for_where_it_is_asked_for(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 0.01})
    (run,) = within(labelled, (override(FIRST, ["schedule.epochs=1"]),), stress="full")
    assert run.metrics["stress"]["share"] == 1 and plan(labelled)["reserved"]["first"] > 0


@pytest.mark.parametrize(
    ("recipes", "more"),
    [
        (RECIPES, {"budget": 540.0}),
        (RECIPES, {"stress": "none"}),
        (RECIPES[1:], {}),
        ((override(FIRST, ["optimizer.lr=1e-2"]), RECIPES[1]), {}),
        ((override(FIRST, ["seed=1"]), RECIPES[1]), {}),
    ],
)
def test_the_plan_is_made_anew_for_other_wishes(
    recipes: tuple[Recipe, ...], more: dict[str, Any], labelled: Labelled, measured: Measured
) -> None:
    measured({"first": 20, "second": 1000})
    within(labelled)
    asked = measured({"first": 0.01, "second": 0.01})
    within(labelled, recipes, **more)
    assert asked[0] == recipes[0].name


def test_the_plan_is_made_anew_for_another_split(labelled: Labelled, measured: Measured, tmp_path: Path) -> None:
    measured({"first": 20, "second": 1000})
    within(labelled)
    asked = measured({"first": 20, "second": 1000})
    within(prepare(tmp_path, folds=2).labelled())
    assert asked == ["first", "second"]


def test_a_later_recipe_that_fails_is_skipped(labelled: Labelled, measured: Measured) -> None:
    recipes = (FIRST, override(FIRST, ["name=wild", "optimizer.lr=1e30", "seed=3"]))
    heard = Heard()
    measured({"first": 0.01, "wild": 0.01})
    assert names(within(labelled, recipes, progress=heard)) == ["first"]
    assert "skipped wild: the loss is no longer a number" in str(heard) and plan(labelled)["skipped"] == ["wild"]
    assert names(within(labelled, recipes)) == ["first"]


def test_a_later_recipe_against_the_rules_is_skipped_the_first_an_error(
    labelled: Labelled, measured: Measured
) -> None:
    breaking = override(FIRST, ["name=breaking", "model.pretrained=true"])
    strict = replace(labelled, competition=replace(competition, rules=replace(competition.rules, pretrained=False)))
    heard = Heard()
    measured({"first": 0.01})
    within(strict, (FIRST, breaking), progress=heard)
    assert "skipped breaking: recipe breaking asks for pretrained weights" in str(heard)
    with pytest.raises(UserError, match="which this competition forbids"):
        within(strict, (breaking, FIRST))


def test_what_is_fastest_is_found_out_only_where_that_pays(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced: list[Recipe] = []

    def fastest(competition: Any, recipe: Recipe, *rest: Any) -> Settings:
        if recipe.precision == "auto":
            raced.append(recipe)
        return UNMEASURED

    monkeypatch.setattr("toolkit.training.cross_validation.fastest", fastest)
    any_precision = override(FIRST, ["precision=auto", "schedule.epochs=1"])
    measured({"first": 2.5})
    (run,) = within(labelled, (any_precision,))
    assert run.recipe.precision == "float32" and not raced, (
        "thirty steps of 2.5 s are more than a tenth of ten minutes"
    )
    measured({"first": 0.01})
    (run,) = within(labelled, (any_precision,), budget=599)
    assert run.recipe.precision == "auto" and raced


def test_code_that_is_tried_before_it_is_handed_in_takes_its_time(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 600 / STEPS / 2})
    with pytest.raises(UserError, match="0 s are left of it for training"):
        within(labelled, (FIRST,), more=600)


def test_a_budget_too_short_for_one_epoch_says_what_it_takes_and_what_would_do(
    labelled: Labelled, measured: Measured
) -> None:
    measured({"first": 100.0})
    said = r"budget of 10 min 00 s is too short: .* one epoch of first on 3 folds takes .* give (\d+) min (\d+) s"
    with pytest.raises(UserError, match=said) as refused:
        within(labelled)
    minutes, seconds = map(int, re.findall(r"give (\d+) min (\d+) s", str(refused.value))[0])
    with pytest.raises(UserError, match="too short"):
        within(labelled, budget=0.95 * (60 * minutes + seconds))
    within(labelled, (FIRST,), budget=60 * minutes + seconds + 5.0)  # what it printed is rounded, and seconds go by
    assert epochs(labelled) == {"first": 1}
