"""Which part is next, and what a whole budget is spent on: nothing is trained here."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import Augment, Model, Recipe, Schedule
from toolkit.planning.choice import ENOUGH, MARGIN, WORTHWHILE, after, candidates, lead, next_part, plan, promise
from toolkit.planning.parts import Ended, Known, Part, larger, longer, seed_of, taught
from toolkit.training.budget import Cost

MINUTE, HOUR = 60.0, 3600.0
RECIPES = tuple(
    Recipe(name=name, model=Model(name=name), augment=Augment(), schedule=Schedule(epochs=60))
    for name in ("small", "heavy", "other", "fourth")
)
CPU = {"small": 20.0, "heavy": 60.0, "other": 30.0, "fourth": 40.0}  # seconds for an epoch of all folds


def known(left: float, speed: float = 1.0, **more: Any) -> Known:
    costs = {name: Cost(epoch=seconds / speed, once=seconds / speed, updates=30) for name, seconds in CPU.items()}
    return Known(RECIPES, costs, left, resizes=frozenset({"small"}), **more)


def kinds(parts: list[Part]) -> list[str]:
    return [part.kind for part in parts]


def done(part: Part, gain: float | None = None, merit: float = 0.5) -> Ended:
    return Ended(part, part.seconds, merit, gain, 0.1 if gain is not None else None)


def test_minutes_hours_and_a_night_on_a_gpu_are_spent_in_different_ways() -> None:
    minutes, hours = plan(known(5 * MINUTE)), plan(known(3 * HOUR))
    assert kinds(minutes) == ["recipe"] and minutes[0].recipe.schedule.epochs == 12
    assert hours[0].recipe.schedule.epochs == 60 and {"recipe", "longer"} <= set(kinds(hours[1:]))
    night = plan(known(12 * HOUR, speed=20.0, tests=True, space=True))
    assert {"recipe", "longer", "larger", "taught", "seed", "search"} == set(kinds(night))
    names = [part.recipe.name for part in night if part.kind == "recipe"]
    assert names == [recipe.name for recipe in RECIPES]
    assert len(minutes) < len(hours) < len(night)


@given(st.floats(0, 10 * HOUR), st.sampled_from([0.1, 1.0, 30.0]), st.booleans())
def test_a_plan_fits_into_its_time_and_holds_nothing_twice(left: float, speed: float, tests: bool) -> None:
    parts = plan(known(left, speed, tests=tests, space=True))
    assert sum(part.seconds for part in parts) <= left
    names = [(part.name, part.kind) for part in parts]
    assert len(set(names)) == len(names)
    for part in parts:
        assert part.recipe.schedule.epochs <= part.wanted or part.kind == "search"


def test_a_recipe_that_takes_too_long_isnt_the_first_in_a_short_time() -> None:
    heavy_first = replace(known(5 * MINUTE), recipes=(RECIPES[1], RECIPES[0]))
    part = lead(heavy_first)
    assert part is not None and part.recipe.name == "small" and "heavy would get fewer than 120 updates" in part.why
    longer_time = replace(heavy_first, left=CPU["heavy"] * (ENOUGH / 30 + 1.5) / MARGIN)
    part = lead(longer_time)
    assert part is not None and part.recipe.name == "heavy"


def test_one_epoch_of_many_updates_is_enough() -> None:
    now = replace(known(3 * MINUTE), recipes=(RECIPES[1], RECIPES[0]))
    costs = {name: replace(cost, updates=200) for name, cost in now.costs.items()}
    part = lead(replace(now, costs=costs))
    assert part is not None and part.recipe.name == "heavy" and part.recipe.schedule.epochs == 1


def test_where_none_gets_enough_the_one_with_most_epochs_is_the_first() -> None:
    part = lead(known(1.5 * MINUTE))
    assert part is not None and part.recipe.name == "small" and part.recipe.schedule.epochs == 3
    assert lead(known(10.0)) is None and next_part(known(10.0)) is None


def test_a_recipe_with_few_epochs_of_its_own_is_enough_with_these() -> None:
    quick = replace(RECIPES[1], schedule=Schedule(epochs=2))
    part = lead(replace(known(8 * MINUTE), recipes=(quick, RECIPES[0])))
    assert part is not None and part.recipe.name == "heavy" and part.recipe.schedule.epochs == 2


def test_the_kind_that_gained_is_gone_on_with_and_the_one_that_didnt_is_not() -> None:
    now = known(10 * HOUR)
    first = lead(now)
    assert first is not None
    begun = replace(now, ended=(done(first),))
    second = next_part(begun)
    assert second is not None and second.kind == "longer" and "promises" in second.why
    then = after(begun, second)
    helped = replace(then, ended=(*begun.ended, done(second, gain=3.0, merit=0.6)))
    disappointed = replace(then, ended=(*begun.ended, done(second, gain=-2.0)))
    third = next_part(helped)
    assert third is not None and third.kind == "longer" and "+3.00 standard errors" in third.why
    assert promise(disappointed, "longer") < 0.02 < promise(begun, "longer") < promise(helped, "longer")
    other = next_part(disappointed)
    assert other is not None and other.kind != "longer"


def test_what_ends_in_nothing_ends_the_plan() -> None:
    now = known(100 * HOUR)
    first = lead(now)
    assert first is not None
    ended = [done(first)]
    while (part := next_part(replace(now, ended=tuple(ended)))) is not None:
        now = after(replace(now, ended=tuple(ended)), part)
        ended.append(done(part, gain=-2.0, merit=0.0))
    assert len(ended) < 8


def test_a_further_part_takes_a_share_of_its_epochs_or_of_the_first_ones_time() -> None:
    now = known(30 * MINUTE)
    first = lead(now)
    assert first is not None and first.recipe.schedule.epochs == 60
    left = WORTHWHILE * first.seconds
    assert next_part(replace(now, ended=(done(first),), left=1.2 * left)) is not None
    assert next_part(replace(now, ended=(done(first),), left=0.8 * left)) is None


def test_a_recipe_gets_more_than_its_epochs_rather_than_leave_time_that_nothing_fits_into() -> None:
    now, whole = known(30 * MINUTE), RECIPES[0].schedule.epochs * CPU["small"]
    part = lead(replace(now, left=1.2 * whole))
    assert part is not None and 63 < part.recipe.schedule.epochs <= 1.2 * 60
    assert part.seconds <= MARGIN * 1.2 * whole and part.wanted == part.recipe.schedule.epochs
    asked = lead(replace(now, left=1.2 * whole, alone=True))
    assert asked is not None and asked.recipe.schedule.epochs == 60
    enough = lead(replace(now, left=1.8 * whole))
    assert enough is not None and enough.recipe.schedule.epochs == 60, "another part has room"


def test_nothing_but_the_recipe_where_one_was_asked_for() -> None:
    now = replace(known(10 * HOUR, alone=True, tests=True, space=True), recipes=RECIPES[:1])
    assert kinds(plan(now)) == ["recipe"]


def test_what_cant_be_had_isnt_asked_for_again() -> None:
    now = known(10 * HOUR, skipped=frozenset({"heavy", "other"}))
    names = {part.recipe.name for part in plan(now) if part.kind == "recipe"}
    assert names == {"small", "fourth"}
    assert "larger" not in kinds(plan(replace(now, resizes=frozenset())))
    assert "taught" not in kinds(plan(now)) and "search" not in kinds(plan(now))


def test_seeds_are_of_a_recipe_without_teacher_and_a_search_that_failed_isnt_begun_again() -> None:
    now = known(30 * HOUR, speed=20.0, tests=True, space=True)
    first = lead(now)
    assert first is not None
    begun = replace(now, ended=(done(first),))
    pupil = Part("taught", taught(first.recipe), 100.0, wanted=60)
    after_it = replace(after(begun, pupil), ended=(*begun.ended, done(pupil, merit=0.9)))
    made = {part.kind: part.recipe for part in candidates(after_it)}
    assert made["seed"].pseudo.rounds == made["longer"].pseudo.rounds == made["larger"].pseudo.rounds == 0
    assert made["taught"].pseudo.rounds == 2 and "search" in made
    assert "search" not in {part.kind for part in candidates(replace(after_it, skipped=frozenset({"search"})))}


def test_pseudo_labels_and_seeds_get_all_epochs_of_what_they_are_made_from_or_none() -> None:
    now = known(30 * HOUR, tests=True)
    first = lead(now)
    assert first is not None
    begun = replace(now, ended=(done(first),))
    made = {part.kind: part for part in candidates(begun)}
    for kind in ("taught", "seed"):
        assert made[kind].recipe.schedule.epochs == first.recipe.schedule.epochs
        fewer = replace(begun, left=0.9 * made[kind].seconds)
        assert kind not in {part.kind for part in candidates(fewer)}


def test_recipes_made_from_the_best_say_so_in_their_names() -> None:
    first = RECIPES[0]
    seeded = seed_of(first, 1)
    assert (seeded.name, seeded.seed) == ("small-seed1", 1)
    assert seed_of(seeded, 2).name == "small-seed3"
    assert longer(first, 0).name == "small-120epochs" and longer(longer(first, 0), 0).name == "small-240epochs"
    assert longer(first, 300).schedule.epochs == 300
    assert larger(first).model.input_scale == 1.5 and larger(larger(first)).name == "small-x2_25"
    assert taught(taught(seeded)).name == "small-seed1-taught2" and taught(taught(seeded)).pseudo.rounds == 2


@pytest.mark.parametrize(("made", "times"), [(larger, 2.25), (taught, 2.0)])
def test_what_is_made_from_a_recipe_costs_accordingly(made: Any, times: float) -> None:
    now = known(HOUR)
    assert now.cost(made(RECIPES[0]), RECIPES[0]).epoch == pytest.approx(times * CPU["small"])
    assert now.cost(seed_of(RECIPES[0], 1), RECIPES[0]) == now.costs["small"]
