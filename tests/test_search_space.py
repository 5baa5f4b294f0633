"""A space is read forwards into recipes and backwards into parameters; given fields are not searched."""

from dataclasses import replace
from typing import Any

import optuna
import pytest
from optuna.trial import FixedTrial

from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.recipe import override
from toolkit.search_space import Fixed, OutsideError, parameters


def test_recipes_made_by_hand_are_read_backwards_into_the_parameters_that_make_them(competition: Competition) -> None:
    assert competition.suggest is not None
    outside = []
    for made in competition.first_trials:
        try:
            params = parameters(competition.suggest, made)
        except OutsideError:
            outside.append(made)
            continue
        suggested = competition.suggest(FixedTrial(params))
        assert replace(suggested, name=made.name) == made
        competition.rules.check(suggested)
    assert all(made.model.pretrained for made in outside), "only those whose weights are not at hand"
    robust = {made for made in competition.recipes.values() if made.name.endswith("robust")}  # outside the space
    assert set(competition.recipes.values()) - robust <= set(competition.first_trials)


def test_whatever_is_suggested_is_read_backwards_obeys_the_rules_and_can_be_built(competition: Competition) -> None:
    assert competition.suggest is not None
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    built = set()
    for _ in range(40):
        trial = study.ask()
        made = competition.suggest(trial)
        competition.rules.check(made)
        read = parameters(competition.suggest, made)
        assert read.keys() == trial.params.keys()
        assert all(read[name] == pytest.approx(value) for name, value in trial.params.items())
        if made.model.name not in built:
            competition.build_model(made)
            built.add(made.model.name)


@pytest.mark.parametrize("name", ["model.name", "optimizer.lr", "loss.names", "schedule.freeze"])
def test_a_given_field_is_not_searched_and_the_rest_goes_with_it(name: str, competition: Competition) -> None:
    assert competition.suggest is not None
    value = {
        "model.name": "small_unet" if competition.name == "mars" else "resnet18",
        "optimizer.lr": "5e-4",
        "loss.names": "focal",
        "schedule.freeze": "0",
    }[name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(10):
        trial = study.ask()
        made = override(competition.suggest(Fixed(trial, [f"{name}={value}"])), [f"{name}={value}"])
        part: Any = made
        for field in name.split("."):
            part = getattr(part, field)
        assert part == (("focal",) if name == "loss.names" else type(part)(value))
        assert not any(known.partition("@")[0] == name for known in trial.params)
        competition.build_model(made)


def test_a_given_value_outside_the_space_is_an_error_that_says_what_there_is(mars: Competition) -> None:
    assert mars.suggest is not None
    trial = optuna.create_study().ask()
    with pytest.raises(UserError, match=r"model.name=vit is outside the search space, which has small_unet, unet"):
        mars.suggest(Fixed(trial, ["model.name=vit"]))
    with pytest.raises(
        UserError, match=r"loss.names=dice is outside the search space, which has focal, cross_entropy"
    ):
        mars.suggest(Fixed(trial, ["loss.names=dice"]))
    with pytest.raises(UserError, match=r"recipe field optimizer.lr is a number, got 'fast'"):
        mars.suggest(Fixed(trial, ["optimizer.lr=fast"]))


def test_a_recipe_that_the_space_can_not_make_says_why(mars: Competition) -> None:
    assert mars.suggest is not None
    for change, said in (
        ("optimizer.lr=1", r"optimizer.lr@adamw=1 is outside the space"),
        ("augment.cutmix=0.3", "augment.cutmix=0.3 is outside the space: 0 to 1, step 0.25"),
        ("loss.names=dice", "loss.names"),
        ("batch_size=7", "sets fields that are not searched"),
    ):
        with pytest.raises(OutsideError, match=said):
            parameters(mars.suggest, override(mars.recipes["small_unet"], [change]))
