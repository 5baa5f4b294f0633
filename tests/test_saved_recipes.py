"""A recipe that is kept by a name is found by it, and is a file that a person may edit."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests import tiny
from toolkit.competition import named_recipe
from toolkit.errors import UserError
from toolkit.project import Project
from toolkit.saved_recipes import saved_recipes


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With a folder of its own, in which recipes may be left."""
    return tiny.project(tmp_path, replace(tiny.competition, folder=tmp_path / "competition"))


def test_it_is_found_by_its_name_and_may_be_edited(project: Project) -> None:
    assert saved_recipes(project) == {}
    kept = project.save_recipe("second", "mine", optimizer__lr=0.25)
    assert kept.name == "mine" and project.recipe("mine") == kept and kept.hash == project.recipe("mine").hash
    path = saved_recipes(project)["mine"]
    path.write_text(path.read_text().replace("0.25", "0.5"))
    assert project.recipe("mine").optimizer.lr == 0.5 and "seal" not in json.loads(path.read_text())


def test_another_one_of_that_name_is_not_lost(project: Project) -> None:
    project.save_recipe(None, "mine")
    assert project.save_recipe(None, "mine").name == "mine"
    with pytest.raises(UserError, match=r"recipes/mine\.json holds another recipe; choose another name"):
        project.save_recipe("second", "mine")
    with pytest.raises(UserError, match="tiny has a recipe 'first' of its own"):
        project.save_recipe(None, "first")
    with pytest.raises(UserError, match=r"'\.\./a' is no name of a recipe"):
        project.save_recipe(None, "../a")


def test_a_name_that_is_none_says_which_there_are(project: Project) -> None:
    project.save_recipe(None, "mine")
    with pytest.raises(UserError, match="has no recipe 'yours', nor is it a file; there are first, second, mine"):
        named_recipe(project.competition, "yours")
