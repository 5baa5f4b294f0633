"""A budget that is spent: parts that are kept, gone on with, skipped, and begun anew for other wishes."""

import re
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.planning.budgets import RECIPES, Measured, epochs, names, opened, plan, spend
from tests.tiny import FIRST, Heard, competition, looking, prepare, train
from toolkit import Labelled, Recipe, UserError, override
from toolkit.networks.speed import UNMEASURED, Settings
from toolkit.planning import pace, spending
from toolkit.planning.choice import MARGIN
from toolkit.planning.ending import closing_seconds
from toolkit.planning.planned import Planned, Spent
from toolkit.scoring.stress import SHARE
from toolkit.store import write_json
from toolkit.training.cross_validation import run_of

pytestmark = pytest.mark.usefixtures("one_thread")
STEPS = 3 * (48 // 8)  # of the first recipe in an epoch of all folds
FEW = {"recipe": 9, "seed": 1, "longer": 1, "larger": 0, "taught": 0}


def test_one_that_is_asked_for_alone_is_all_that_is_trained(labelled: Labelled, measured: Measured) -> None:
    asked = measured({"first": 0.01})
    assert names(spend(labelled, RECIPES[:1], alone=True)) == asked == ["first"]
    assert epochs(labelled) == {"first": 4} and plan(labelled)["over"]


def test_what_is_left_goes_to_further_parts_until_nothing_fits(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.planning.choice.MOST", FEW)
    left = (100 - closing_seconds(100)) * MARGIN
    measured({"first": left / STEPS / 8.9, "second": left / STEPS})  # the second has half the steps
    heard = Heard()
    trained = names(spend(labelled, budget=100.0, progress=heard))
    assert trained[0] == "first" and len(trained) > 1
    assert "first: 3 folds of 4 epochs, " in str(heard) and "nothing that is worth its time fits" in str(heard)


def test_the_first_gets_the_epochs_that_fit_others_only_if_enough_do(labelled: Labelled, measured: Measured) -> None:
    left = 600 - closing_seconds(600)
    # three epochs and a bit of the first, so that it isn't enough; one epoch of the second, which has half the steps
    asked = measured({"first": left * MARGIN / STEPS / 3.5, "second": left * MARGIN / STEPS * 2 / 1.5})
    opening = opened(labelled)
    part = opening._next()
    assert part is not None and part.recipe.name == "first" and part.recipe.schedule.epochs == 3
    assert asked == ["first", "second"]


def test_a_first_recipe_that_doesnt_fit_at_all_gives_way_however_long_measuring_took(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "MEASURING", 0.0)
    measured({"first": 1000.0, "second": 10.0})
    part = opened(labelled)._next()
    assert part is not None and part.recipe.name == "second"


def test_few_epochs_are_told_before_anything_is_trained(
    labelled: Labelled, measured: Measured, tmp_path: Path
) -> None:
    left, recipe = (600 - closing_seconds(600)) * MARGIN, override(FIRST, ["schedule.epochs=40"])
    for fits, told in ((40, ""), (12, ""), (8, "first gets 8 of its 40 epochs"), (0, "first gets 0 of its 40 epochs")):
        measured({"first": left / STEPS / (fits + 0.5)})
        found = opened(labelled, (recipe,)).few_epochs()
        assert found.startswith(told) and bool(found) == bool(told)
    train(tmp_path, "schedule.epochs=1", stress="none")
    assert not opened(labelled, (recipe,)).few_epochs(), "runs lie on these folds"


def test_one_epoch_is_not_called_several(labelled: Labelled, measured: Measured) -> None:
    heard = Heard()
    measured({"first": 600 / STEPS / 2})
    spend(labelled, (FIRST,), alone=True, progress=heard)
    assert "first: 3 folds of 1 epoch, " in str(heard)


def test_of_what_has_a_teacher_no_first_fold_is_looked_at(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured({"first": 0.01})
    monkeypatch.setattr(spending, "first_pace", lambda *given: pytest.fail("it has no teacher yet"))
    taught = override(FIRST, ["pseudo.rounds=1", "schedule.epochs=1"])
    opening = opened(replace(labelled, competition=looking), (taught,), alone=True)
    part = opening._next()
    assert part is not None and opening._settled(part).fixed


def test_epochs_are_chosen_anew_by_the_first_folds_speed_for_all_folds(labelled: Labelled, measured: Measured) -> None:
    long = override(FIRST, ["schedule.epochs=40"])
    left = (600 - closing_seconds(600)) * MARGIN
    heard = Heard()
    measured({"first": left / STEPS / 6.5}, pace=0.25)
    (run,) = spend(labelled, (long,), alone=True, progress=heard)
    assert "epochs in all folds, not 6, as an epoch takes 0.25 of what was expected" in str(heard)
    assert run.recipe.schedule.epochs in (25, 26) and {len(fold) for fold in run.history} == {
        run.recipe.schedule.epochs
    }
    assert len(list(labelled.workspace.train.glob("first*"))) == 1


def test_epochs_are_not_begun_anew_for_as_many_as_before(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first fold's look took so long that what it would gain is lost with what was trained."""
    heard, left = Heard(), (600 - closing_seconds(600)) * MARGIN
    measured({"first": left / STEPS / 4.2})
    opening = opened(labelled, (override(FIRST, ["schedule.epochs=40"]),), alone=True, progress=heard)

    clock = [time.monotonic()]

    def looked(*given: Any) -> float:
        clock[0] += 120.0
        return 0.8

    monkeypatch.setattr(spending, "first_pace", looked)
    monkeypatch.setattr(spending, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    part = opening._next()
    assert part is not None and opening._settled(part).recipe.schedule.epochs == 4
    assert "epochs in all folds, not" not in str(heard)


def test_a_further_part_for_which_the_machine_became_too_busy_is_skipped(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured({"first": 1.0, "second": 4.0})
    monkeypatch.setattr("toolkit.planning.choice.MOST", FEW)
    paces = iter([1.0] + [100.0] * 100)
    monkeypatch.setattr(spending, "first_pace", lambda *given: next(paces))
    heard = Heard()
    assert names(spend(labelled, progress=heard)) == ["first"]
    assert "skipped second: the machine has become so busy" in str(heard)


def test_the_pace_is_that_of_epochs_after_the_first_and_the_fold_goes_on_from_them(
    labelled: Labelled, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = override(FIRST, ["schedule.epochs=10"])
    opening = opened(labelled, (recipe,), alone=True)
    cost = opening._measured(recipe)[1]
    found = pace.first_pace(labelled, recipe, cost, "none")
    run = run_of(labelled, recipe)
    assert found > 0 and run.fold(0).state.exists() and not run.fold(0).finished
    with_state = run.fold(0).state.stat().st_mtime_ns
    pace.forget_run(labelled, recipe)
    assert with_state and not run.folder.exists()
    few = override(FIRST, ["schedule.epochs=2"])
    assert pace.first_pace(labelled, few, cost, "none") == 1.0 and not run_of(labelled, few).folder.exists()


def test_the_whole_suite_is_planned_for_where_it_is_asked_for(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 0.01})
    one = (override(FIRST, ["schedule.epochs=1"]),)
    (run,) = spend(labelled, one, stress="full", alone=True)
    assert run.metrics["stress"]["share"] == 1 and plan(labelled)["parts"][0]["reserved"] > 0


@pytest.mark.parametrize(
    ("recipes", "more"),
    [
        (RECIPES[:1], {"budget": 540.0}),
        (RECIPES[:1], {"stress": "auto"}),
        (RECIPES[1:], {}),
        ((override(FIRST, ["optimizer.lr=1e-2"]),), {}),
        ((override(FIRST, ["seed=1"]),), {}),
    ],
)
def test_the_plan_is_made_anew_for_other_wishes(
    recipes: tuple[Recipe, ...], more: dict[str, Any], labelled: Labelled, measured: Measured
) -> None:
    measured({"first": 20, "second": 1000})
    spend(labelled, RECIPES[:1], alone=True)
    asked = measured({"first": 0.01, "second": 0.01})
    opened(labelled, recipes, alone=True, **more)._next()
    assert asked == [recipes[0].name]


def test_the_plan_is_made_anew_for_another_split(labelled: Labelled, measured: Measured, tmp_path: Path) -> None:
    measured({"first": 20, "second": 1000})
    spend(labelled, RECIPES[:1], alone=True)
    asked = measured({"first": 20, "second": 1000})
    opened(prepare(tmp_path, folds=2).labelled(), RECIPES[:1], alone=True)._next()
    assert asked == ["first"]


def test_a_later_recipe_that_fails_is_skipped(labelled: Labelled, measured: Measured) -> None:
    recipes = (FIRST, override(FIRST, ["name=wild", "optimizer.lr=1e30", "seed=3"]))
    heard = Heard()
    measured({"first": 0.01, "wild": 0.01})
    first = names(spend(labelled, recipes, progress=heard, alone=True))
    assert "skipped wild: the loss is no longer a number" in str(heard) and plan(labelled)["skipped"] == ["wild"]
    assert "wild" not in first and names(spend(labelled, recipes, alone=True)) == first


def test_a_later_recipe_against_the_rules_is_skipped_the_first_an_error(
    labelled: Labelled, measured: Measured
) -> None:
    breaking = override(FIRST, ["name=breaking", "model.pretrained=true"])
    strict = replace(labelled, competition=replace(competition, rules=replace(competition.rules, pretrained=False)))
    heard = Heard()
    measured({"first": 0.01})
    opening = opened(strict, (FIRST, breaking), progress=heard)
    assert opening._cost(FIRST) is not None and opening._cost(breaking) is None
    opening.skips.tell()
    assert "skipped breaking: recipe breaking asks for pretrained weights" in str(heard)
    with pytest.raises(UserError, match="which this competition forbids"):
        spend(strict, (breaking, FIRST))


def test_what_is_fastest_is_found_out_only_where_that_pays(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    raced: list[Recipe] = []

    def fastest(competition: Any, recipe: Recipe, *rest: Any) -> Settings:
        if recipe.precision == "auto":
            raced.append(recipe)
        return UNMEASURED

    monkeypatch.setattr("toolkit.training.cross_validation.fastest", fastest)
    any_precision = (override(FIRST, ["precision=auto", "schedule.epochs=1"]),)
    measured({"first": 2.5})
    (run,) = spend(labelled, any_precision, alone=True)
    assert run.recipe.precision == "float32" and not raced, (
        "thirty steps of 2.5 s are more than a tenth of ten minutes"
    )
    measured({"first": 0.01})
    (run,) = spend(labelled, any_precision, budget=599.0, alone=True)
    assert run.recipe.precision == "auto" and raced


def test_the_speed_of_a_recipe_that_differs_in_its_loss_alone_isnt_measured_again(
    labelled: Labelled, measured: Measured
) -> None:
    asked = measured({"first": 1.0, "second": 1.0})
    smooth = override(FIRST, ["name=smooth", "loss.label_smoothing=0.1", "precision=auto"])
    opening = opened(labelled, (FIRST, smooth, RECIPES[1]))
    costs = [opening._cost(recipe) for recipe in (FIRST, smooth, RECIPES[1])]
    half = override(FIRST, ["name=half", "model.input_scale=0.5"])
    assert costs[0] is not None and opening._cost(half) == costs[0].of_pixels(0.25)
    assert asked == ["first", "second"] and costs[0] == costs[1] != costs[2]
    assert [one.precision for one in opening.recipes[:2]] == ["float32", "float32"]


@pytest.mark.parametrize(
    "other", [{"parts": [{"kind": "recipe"}]}, {"costs": {"first": {"hours": 1}}}, {"costs": {"first": 3}}]
)
def test_a_plan_of_another_version_is_refused_in_a_sentence(
    other: dict[str, Any], labelled: Labelled, measured: Measured
) -> None:
    measured({"first": 0.01})
    spend(labelled, RECIPES[:1], alone=True)
    write_json(labelled.workspace.plan, plan(labelled) | other)
    with pytest.raises(UserError, match=r"plan\.json holds no plan that this version can read; remove it"):
        opened(labelled, RECIPES[:1], alone=True)


def test_a_recipe_that_need_not_be_measured_may_lead_however_long_measuring_took(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spending, "MEASURING", 0.0)
    left = (600 - closing_seconds(600)) * MARGIN
    asked = measured({"first": left / STEPS / 1.5})
    half = override(FIRST, ["name=half", "model.input_scale=0.5"])
    part = opened(labelled, (FIRST, RECIPES[1], half))._next()
    assert part is not None and part.recipe.name == "half" and part.recipe.schedule.epochs == 4 and asked == ["first"]


def test_pseudo_labels_only_where_test_images_may_be_learnt_from(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 0.01, "second": 0.01})
    assert not opened(labelled)._known().tests
    assert opened(replace(labelled, competition=looking))._known().tests
    assert not opened(replace(labelled, competition=looking), RECIPES[:1], alone=True)._known().tests


def test_a_plan_is_shown_without_any_training(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 1.0, "second": 2.0})
    shown: Planned = opened(labelled).forecast()
    assert not labelled.workspace.train.exists()
    first, *rest = shown.parts
    assert first.recipe.name == "first" and rest and not shown.unknown
    text = str(shown.told()[0])
    assert "first" in text and "more epochs" in text and "promises most" in text
    assert sum(part["seconds"] for part in shown.as_json()["parts"]) <= shown.left <= 600


def test_a_plan_of_what_is_done_says_so_and_not_that_the_budget_is_too_short(
    labelled: Labelled, measured: Measured
) -> None:
    measured({"first": 0.01})
    spend(labelled, RECIPES[:1], alone=True)
    asked = measured({})
    shown = opened(labelled, RECIPES[:1], alone=True).forecast()
    assert (shown.parts, shown.done, asked) == ([], ["first"], [])
    assert "done already" in str(shown.told()[0]) and "nothing more is trained" in str(shown.told()[1])


def test_the_plan_is_made_anew_for_other_data_or_pretrained_weights(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured({"first": 0.01})
    spend(labelled, RECIPES[:1], alone=True)
    asked = measured({"first": 0.01})
    opened(replace(labelled, data_hash="another"), RECIPES[:1], alone=True)._next()
    assert asked == ["first"]
    monkeypatch.setattr(spending, "files_of", lambda *given: {"net.safetensors": "123"})
    opened(labelled, RECIPES[:1], alone=True)._next()
    assert asked == ["first", "first"]


def test_what_was_trained_before_is_not_removed_where_its_epochs_dont_fit(
    labelled: Labelled, measured: Measured
) -> None:
    long = override(FIRST, ["schedule.epochs=40"])
    left = (600 - closing_seconds(600)) * MARGIN
    measured({"first": left / STEPS / 6.5}, pace=0.25)
    begun = run_of(labelled, override(long, ["schedule.epochs=6"])).folder
    begun.mkdir(parents=True)
    (run,) = spend(labelled, (long,), alone=True)
    assert run.recipe.schedule.epochs > 6 and begun.exists()


def test_views_are_tried_where_there_is_time_for_them(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 0.01})
    done: Spent = opened(labelled, (FIRST,), alone=True).spend()
    assert done.views == ["trained"] and plan(labelled)["views"] == ["trained"]
    late = opened(labelled, (FIRST,), alone=True)
    late.kept.views, late.budget = None, 1.0
    assert late._finished(done.runs).views == ["none"]


def test_code_that_is_tried_before_it_is_handed_in_takes_its_time(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 600 / STEPS / 2})
    with pytest.raises(UserError, match="0 s are left of it for training"):
        spend(labelled, (FIRST,), more=600)


def test_a_budget_too_short_for_one_epoch_says_what_it_takes_and_what_would_do(
    labelled: Labelled, measured: Measured
) -> None:
    measured({"first": 100.0})
    said = r"budget of 10 min 00 s is too short: .* one epoch of first on 3 folds takes .* give (\d+) min (\d+) s"
    with pytest.raises(UserError, match=said) as refused:
        spend(labelled, (FIRST,), alone=True)
    minutes, seconds = map(int, re.findall(r"give (\d+) min (\d+) s", str(refused.value))[0])
    with pytest.raises(UserError, match="too short"):
        spend(labelled, (FIRST,), budget=0.95 * (60 * minutes + seconds), alone=True)
    # what it printed is rounded, and seconds go by
    spend(labelled, (FIRST,), budget=60 * minutes + seconds + 5.0, alone=True)
    assert epochs(labelled) == {"first": 1}


def test_the_stress_score_takes_its_share(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 1.0})
    plain, stressed = (opened(labelled, stress=how)._measured(FIRST)[1].epoch for how in ("none", "auto"))
    assert stressed == pytest.approx((1 + SHARE) * plain)
