"""A recipe is checked when made, overridden by dotted names, and named by everything but its name."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import Augment, Loss, Model, Optimizer, Recipe, Schedule
from toolkit.errors import UserError
from toolkit.recipe import Chosen, from_dict, override, to_dict, with_epochs

BASE = Recipe(name="base", model=Model(name="small_unet"))
NAMES = st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True)
SHARES = st.floats(0, 1)
LOSSES = st.lists(st.sampled_from(["cross_entropy", "focal", "dice", "lovasz"]), min_size=1, max_size=3)
RECIPES = st.builds(
    Recipe,
    name=NAMES,
    model=st.builds(
        Model,
        name=st.sampled_from(["small_unet", "unet"]),
        attention=st.sampled_from(["none", "scse"]),
        dropout=SHARES,
        pretrained=st.booleans(),
        input_scale=st.floats(0.25, 8),
    ),
    augment=st.builds(Augment, flip=st.sampled_from(["none", "horizontal", "both"]), mixup=SHARES, cutmix=SHARES),
    loss=st.builds(Loss, names=LOSSES.map(tuple), gamma=st.floats(0, 10), balance=SHARES),
    optimizer=st.builds(Optimizer, lr=st.floats(1e-9, 1e3), clip=st.floats(0, 1e3)),
    schedule=st.builds(Schedule, epochs=st.integers(1, 1000), patience=st.integers(0, 100), freeze=SHARES),
    batch_size=st.integers(2, 4096),
    seed=st.integers(0, 2**31),
)

# for every field a value that isn't the default
FIELDS = """
name=other model.name=unet model.encoder=resnet34 model.attention=scse model.head=mlp model.dropout=0.5
model.pretrained=true model.input_scale=2 augment.flip=both augment.rotate=15 augment.scale=0.2 augment.shift=0.1
augment.shear=5 augment.colour=0.3 augment.degrade=0.3 augment.erase=0.3 augment.randaugment=2 augment.magnitude=0.3
augment.augmix=0.3 augment.mixup=0.3 augment.cutmix=0.3 augment.copy_paste=0.3 augment.leave_out=noise
loss.names=focal,dice loss.label_smoothing=0.1 loss.gamma=0.5 loss.balance=0.3 optimizer.name=lion optimizer.lr=1e-4
optimizer.layer_decay=0.8 optimizer.accumulate=2 optimizer.backbone_factor=0.1 optimizer.weight_decay=0
optimizer.clip=0 schedule.epochs=3 schedule.warmup=0 schedule.freeze=0.3 schedule.unfreeze=gradual
schedule.freeze_norm=true schedule.average=soup pseudo.rounds=2 pseudo.share=0.2 pseudo.confidence=0.9 sampling=0.5
schedule.ema=0 schedule.patience=5 batch_size=8 precision=float32 seed=1 images.size=48 images.fit=crop images.grow=0.5
"""
OTHER = dict(field.split("=") for field in FIELDS.split())


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def test_every_field_is_among_them() -> None:
    assert set(OTHER) == {name for name, _ in leaves(to_dict(override(BASE, ["images.size=48"])))}


@pytest.mark.parametrize("field", [name for name in OTHER if name != "name"])
def test_every_field_but_the_name_changes_the_hash(field: str) -> None:
    assert override(BASE, [f"{field}={OTHER[field]}"]).hash != BASE.hash


@given(RECIPES, NAMES)
def test_the_name_does_not_change_the_hash(recipe: Recipe, name: str) -> None:
    assert replace(recipe, name=name).hash == recipe.hash


@given(RECIPES, RECIPES)
def test_two_recipes_share_a_hash_only_where_they_agree(a: Recipe, b: Recipe) -> None:
    assert (a.hash == b.hash) == (replace(a, name=b.name) == b)


def test_whole_numbers_and_floats_name_the_same_training() -> None:
    whole, decimal = (replace(BASE, augment=Augment(rotate=angle)) for angle in (5, 5.0))
    assert whole == decimal and whole.hash == decimal.hash


@given(RECIPES)
def test_a_recipe_comes_back_from_json_with_the_same_hash(recipe: Recipe) -> None:
    back = from_dict(json.loads(json.dumps(to_dict(recipe))))
    assert back == recipe and back.hash == recipe.hash


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "x"}, "recipe field model: Field required"),
        ({"name": "x", "model": {"name": "y", "depth": 1}}, "recipe has no field model.depth; remove it"),
        ({"name": "x", "deep": 1, "model": {"depth": 1}}, "recipe has no field model.depth or deep; remove them"),
        ({"name": "x", "model": {"name": "y"}, "seed": -1}, "recipe field seed: "),
    ],
)
def test_a_dictionary_that_does_not_fit_is_refused_by_field(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError) as caught:
        from_dict(values)
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("field", OTHER)
def test_an_override_sets_that_field_and_no_other(field: str) -> None:
    before, after = dict(leaves(asdict(BASE))), dict(leaves(asdict(override(BASE, [f"{field}={OTHER[field]}"]))))
    assert {name for name in before if before[name] != after[name]} == {field}


def test_overrides_arrive_in_the_type_of_the_field() -> None:
    assignments = ["optimizer.lr=1e-4", "schedule.epochs=3", "model.pretrained=true", "loss.names=focal,dice"]
    recipe = override(BASE, assignments)
    assert recipe.optimizer.lr == 1e-4 and recipe.schedule.epochs == 3 and recipe.model.pretrained is True
    assert recipe.loss.names == ("focal", "dice")


def test_one_loss_needs_no_comma_and_the_last_override_of_a_field_wins() -> None:
    assert override(BASE, ["loss.names=focal,dice", "loss.names=lovasz"]).loss.names == ("lovasz",)
    assert override(BASE, []) == BASE


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("optimiser.lr=1", "no field 'optimiser.lr'; did you mean optimizer.lr?"),
        ("optimizer.rate=1", "no field 'optimizer.rate'; there are name, lr, backbone_factor, layer_decay"),
        ("optimizer.lr.x=1", "no field 'optimizer.lr.x'; there is none"),
        ("model.__class__=1", "no field 'model.__class__'; there are name, encoder"),
        ("=1", "no field ''; there are name"),
        ("optimizer.lr", "'optimizer.lr' is not an override; write recipe.field=value"),
        ("optimizer=adam", "recipe field optimizer is a group; set one of optimizer.name, optimizer.lr"),
    ],
)
def test_a_wrong_name_says_what_exists(assignment: str, said: str) -> None:
    with pytest.raises(UserError) as caught:
        override(BASE, [assignment])
    assert said in str(caught.value) and "\n" not in str(caught.value)


# the name is part of a folder's
WRONG = """
name=a/b batch_size=many batch_size=1 batch_size=2.5 optimizer.lr=0 optimizer.lr=nan optimizer.lr=inf optimizer.lr=
augment.scale=1 augment.flip=up model.pretrained=perhaps model.input_scale=9 schedule.ema=1 schedule.epochs=0
loss.names=focal,cubic loss.names= loss.gamma=inf seed=-1
"""


@pytest.mark.parametrize("assignment", WRONG.split())
def test_a_wrong_value_names_the_field(assignment: str) -> None:
    field, _, value = assignment.partition("=")
    with pytest.raises(UserError, match=f"recipe field {field}") as caught:
        override(BASE, [assignment])
    assert repr(value.split(",")[-1]) in str(caught.value) and "\n" not in str(caught.value)


def test_epochs_are_replaced_and_nothing_else() -> None:
    assert with_epochs(BASE, 7) == override(BASE, ["schedule.epochs=7"])


def test_a_field_without_its_group_is_found() -> None:
    for field, meant in (("epochs=2", "schedule.epochs"), ("lr=1e-3", "optimizer.lr"), ("encoder=a", "model.encoder")):
        with pytest.raises(UserError, match=f"did you mean {meant}"):
            override(BASE, [field])


def test_where_a_recipe_comes_from_is_kept_and_changes_nothing_of_it() -> None:
    found = replace(BASE, chosen=Chosen("study", 60, "clean"))
    assert found == BASE and found.hash == BASE.hash and "chosen" not in to_dict(BASE)
    changed = override(from_dict(json.loads(json.dumps(to_dict(found)))), ["seed=3"])
    assert changed.chosen == Chosen("study", 60, "clean") and changed.chosen.words == "chosen among 60 trials"
    for field in ("chosen=none", "chosen.trials=1"):
        with pytest.raises(UserError, match=f"recipe has no field '{field.partition('=')[0]}'"):
            override(found, [field])
