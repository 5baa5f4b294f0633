"""Recipes as people read them, and the fields with what is said of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from competitions.blood_cells import competition as cells
from competitions.mars import competition as mars
from tests import tiny
from tests.blending.conftest import made_runs
from toolkit.competition import Competition
from toolkit.errors import UserError
from toolkit.outcome import Table
from toolkit.project import Project
from toolkit.recipe import Model, Recipe, override
from toolkit.recipe_fields import differing, fields_meant, recipe_fields, value_of
from toolkit.recipe_tables import comments, recipe_list, recipe_table
from toolkit.saved_recipes import save_recipe

BASE = Recipe("base", Model("any"))


def test_every_field_has_what_it_takes_and_a_comment() -> None:
    found = {one.name: one for one in recipe_fields()}
    assert [name for name, one in found.items() if not one.takes or not one.comment] == []
    assert found["optimizer.name"].takes == "adamw | lion | muon" and found["optimizer.lr"].takes == "above 0"
    assert found["augment.rotate"].takes == "0 to 180" and found["augment.rotate"].comment == "degrees, either way"
    assert found["schedule.epochs"].default == 30 and found["model.name"].default is None
    assert all(value_of(BASE, name) == one.default for name, one in found.items() if one.default is not None)
    assert not any(name.startswith("chosen") for name in found)


def test_what_differs_is_written_as_on_the_command_line() -> None:
    other = override(BASE, ["optimizer.lr=2e-3", "loss.names=focal,dice", "seed=3", "model.pretrained=true"])
    fields = differing(other, BASE)
    assert fields == ["model.pretrained=true", "loss.names=focal,dice", "optimizer.lr=0.002"]
    assert override(BASE, [*fields, "seed=3"]) == other


@pytest.mark.parametrize(
    ("guess", "meant"),
    [
        ("epochs", ["schedule.epochs"]),
        ("learning_rate", ["optimizer.lr"]),
        ("optimizer.learning-rate", ["optimizer.lr"]),
        ("augmentation.flip", ["augment.flip"]),
        ("share", ["pseudo.share", "distil.share"]),
        ("seed", ["seed"]),
        ("nothing", []),
    ],
)
def test_a_guess_leads_to_a_field(guess: str, meant: list[str]) -> None:
    assert fields_meant(guess) == meant
    if meant and guess != "seed":
        with pytest.raises(UserError, match=f"has no field '{guess}'; did you mean {' or '.join(meant)}"):
            override(BASE, [f"{guess}=1"])


@pytest.mark.parametrize("competition", [mars, cells], ids=["mars", "cells"])
def test_every_shipped_recipe_says_what_it_is(competition: Competition) -> None:
    said = comments(competition.folder)
    assert [name for name in competition.recipes if not said.get(name)] == []


def test_recipes_are_listed_with_the_score_of_their_best_run(tmp_path: Path) -> None:
    project = made_runs(tmp_path, {"a": 2, "b": 1})
    found = recipe_list(project)
    (table,) = found.told()
    assert isinstance(table, Table) and table.columns == ["recipe", "epochs", "CV", "what it is"]
    best = f"{max(run.score for run in project.runs()):.4f}"
    assert table.rows[0] == ["first", "4", best, "tiny, adamw 0.001"]
    assert table.rows[1][0] == "second" and table.rows[1][2] == "-" and "=" in table.rows[1][3]
    assert found.next[1] == ("compete train … --recipe second", "trains it")


def test_one_recipe_shows_all_fields_and_marks_what_is_not_the_default(tmp_path: Path) -> None:
    (table,) = recipe_table(Project(mars, workspace=tmp_path), "small_unet_muon").told()
    assert isinstance(table, Table)
    rows = {row[0]: row[1:] for row in table.rows}
    assert len(rows) == len(recipe_fields())
    assert rows["optimizer.lr"][0] == "0.002 *" and rows["augment.flip"][0] == "horizontal"
    assert rows["augment.rotate"] == ["0", "degrees, either way (0 to 180)"]
    with pytest.raises(
        UserError, match="has no recipe 'small_unet_muo', nor is it a file; did you mean small_unet_muon"
    ):
        recipe_table(Project(mars, workspace=tmp_path), "small_unet_muo")


def test_without_runs_there_is_no_column_of_scores(tmp_path: Path) -> None:
    of = replace(tiny.competition, folder=tmp_path / "tiny")
    (table,) = recipe_list(tiny.project(tmp_path, of)).told()
    assert isinstance(table, Table) and table.columns == ["recipe", "epochs", "what it is"]
    assert not list(tmp_path.iterdir())
    save_recipe(of, override(tiny.FIRST, ["batch_size=4"]), "mine")
    (table,) = recipe_list(tiny.project(tmp_path, of)).told()
    assert isinstance(table, Table) and table.rows[-1] == ["mine", "4", "saved: batch_size=4"]
