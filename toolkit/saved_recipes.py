"""Recipes that a person keeps by a name: a JSON file each in the competition's folder, for `--recipe NAME`.

They lie beside the code, not in the workspace, as they are worth keeping when that is removed. They have no seal: edit
them.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.competition_folders import own_folder
from toolkit.errors import UserError
from toolkit.recipe import Recipe, read_recipe, to_dict
from toolkit.store import write_others_json

if TYPE_CHECKING:
    from toolkit.competition import Competition
    from toolkit.opened import Opened

FOLDER = "recipes"  # in the competition's


def saved_recipes(project: "Opened") -> dict[str, Path]:
    """The files of the recipes that were saved, by name."""
    return saved_in(project.competition.folder)


def saved_in(folder: Path) -> dict[str, Path]:
    """The same of a competition's folder."""
    return {path.stem: path for path in sorted((own_folder(folder) / FOLDER).glob("[!.]*.json"))}


def save_recipe(competition: "Competition", recipe: Recipe, name: str) -> Recipe:
    """Keep a recipe under a name, which it bears from then on. UserError where another one has that name already."""
    if not re.fullmatch(r"[\w-]+", name):
        raise UserError(f"{name!r} is no name of a recipe: letters, digits, - and _ alone")
    if name in competition.recipes:
        raise UserError(f"{competition.name} has a recipe {name!r} of its own; choose another name")
    path, named = own_folder(competition.folder) / FOLDER / f"{name}.json", replace(recipe, name=name)
    if path.exists() and to_dict(read_recipe(path)) != to_dict(named):
        raise UserError(f"{path} holds another recipe; choose another name, or remove it")
    write_others_json(path, to_dict(named))
    return named
