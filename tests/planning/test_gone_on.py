"""A budget over several calls: a killed one is gone on with, what it spent counts, and a look changes nothing."""

import time
from dataclasses import replace
from typing import Any

import pytest

from tests.planning.budgets import RECIPES, Measured, epochs, opened, spend
from tests.tiny import FIRST, competition
from toolkit import Labelled, Run, UserError, override
from toolkit.planning import spending
from toolkit.planning.ending import closing_seconds
from toolkit.planning.parts import Part

pytestmark = pytest.mark.usefixtures("one_thread")


def test_a_killed_call_goes_on_with_the_same_parts_and_a_finished_one_is_finished(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured({"first": 20, "second": 100})
    monkeypatch.setattr(spending, "train", lambda *given, **more: pytest.fail("killed"))
    with pytest.raises(pytest.fail.Exception, match="killed"):
        spend(labelled)
    chosen = epochs(labelled)
    monkeypatch.undo()
    asked = measured({"second": 100})
    first = spend(labelled)
    assert epochs(labelled) == chosen | epochs(labelled) and "first" not in asked
    asked = measured({})
    assert spend(labelled) == first and asked == []


def test_seconds_of_a_killed_call_count(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 0.01, "second": 0.01})
    now = opened(labelled)
    part = now._next()
    assert part is not None
    now.kept.elapsed = lambda: 500.0
    now.kept.put(part)
    again = opened(labelled)
    assert again._left == pytest.approx(now._left - 500, abs=5)


def test_a_run_that_was_there_costs_nothing_of_a_new_budget(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured({"first": 0.01})
    (run,) = spend(labelled, RECIPES[:1], alone=True)
    monkeypatch.setattr(Run, "seconds", 1e4)
    opening = opened(labelled, RECIPES[:1], budget=700.0, alone=True)
    assert opening.spend().runs == [run] and opening._left > 600


def test_the_deadline_of_a_part_that_is_gone_on_with_knows_what_earlier_calls_spent(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured({"first": 0.01})
    now = opened(labelled, RECIPES[:1], alone=True)
    part = now._next()
    assert part is not None
    now.kept.elapsed = lambda: 400.0
    now.kept.put(part)
    given: dict[str, float] = {}

    def trained(*of: Any, deadline: float, **more: Any) -> Run:
        given["left"] = deadline - time.monotonic()
        raise UserError("enough")

    monkeypatch.setattr(spending, "train", trained)
    with pytest.raises(UserError, match="enough"):
        spend(labelled, RECIPES[:1], alone=True)
    assert given["left"] == pytest.approx(600 - closing_seconds(600) - 400, abs=10)


def test_a_search_gets_what_was_promised_less_what_killed_calls_spent_on_it(
    labelled: Labelled, measured: Measured, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured({"first": 0.01})
    opening = opened(labelled, budget=7200.0)
    given: list[tuple[float | None, float]] = []

    def searched(of: Labelled, settings: Any, progress: Any, clock: Any) -> None:
        given.append((settings.budget, time.monotonic() - clock.started))
        raise UserError("enough")

    monkeypatch.setattr(spending, "search", searched)
    part = Part("search", RECIPES[0], 3600.0, begun=opening._elapsed)
    for spent in (0.0, 1200.0):
        opening.before = spent
        with pytest.raises(UserError, match="enough"):
            opening._carry_out(part, {})
    assert [budget for budget, _ in given] == [3600.0, 3600.0]
    assert [spent for _, spent in given] == pytest.approx([0, 1200], abs=5)


def test_looking_at_a_plan_changes_none(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 0.01, "second": 0.01})
    spend(labelled, RECIPES[:1], alone=True)
    before = labelled.workspace.plan.read_bytes()
    breaking = override(FIRST, ["name=breaking", "model.pretrained=true"])
    strict = replace(competition, rules=replace(competition.rules, pretrained=False))
    opened(replace(labelled, competition=strict), (FIRST, breaking), budget=500.0).forecast()
    assert labelled.workspace.plan.read_bytes() == before


def test_how_many_recipes_there_was_time_to_try_makes_no_other_plan(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 20, "second": 1000})
    spend(labelled, RECIPES[:1], wanted=RECIPES, alone=True)
    asked = measured({"first": 20, "second": 1000})
    opened(labelled, RECIPES, wanted=RECIPES, alone=True)._next()
    assert "first" not in asked, "it was measured by the first call"


def test_a_recipe_keeps_the_precision_it_was_measured_in(labelled: Labelled, measured: Measured) -> None:
    measured({"first": 2.5})
    any_precision = (override(FIRST, ["precision=auto"]),)
    opening = opened(labelled, any_precision)
    assert opening._cost(any_precision[0]) is not None and opening.recipes[0].precision == "float32"
    opening.kept.store()
    assert opened(labelled, any_precision).recipes[0].precision == "float32"
