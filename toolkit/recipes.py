"""command: the recipes of a competition, or all that one of them says, and what each field means.

    compete recipes mars
    compete recipes mars small_unet
    compete recipes mars workspace/mars/search/best.recipe

What is marked with * is not the default. Any field can be set: `compete train mars optimizer.lr=1e-3`.
"""

import argparse
from typing import TYPE_CHECKING

from toolkit.command_line import main, parser
from toolkit.project import Project

if TYPE_CHECKING:
    from toolkit.recipe_tables import RecipeList, RecipeTable


def recipes(project: Project, options: argparse.Namespace) -> "RecipeList | RecipeTable":
    from toolkit.recipe_tables import recipe_list, recipe_table

    return recipe_list(project) if options.recipe is None else recipe_table(project, options.recipe)


def add_options(made: argparse.ArgumentParser) -> None:
    text = "a recipe's name, or a file with one: all its fields are shown (default: a list of the recipes)"
    made.add_argument("recipe", nargs="?", metavar="RECIPE", help=text)


if __name__ == "__main__":
    made = parser("recipes", "The recipes of a competition, or all fields of one.", __doc__)
    add_options(made)
    main(made, recipes)
