"""The recipes of a competition as a list, and all fields of one, with what its author says of it."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.competition import named_recipe
from toolkit.errors import UserError
from toolkit.outcome import Outcome, Table, counted, number
from toolkit.recipe import Recipe, read_recipe
from toolkit.recipe_fields import RecipeField, as_text, differing, recipe_fields, value_of
from toolkit.saved_recipes import saved_recipes

if TYPE_CHECKING:
    from toolkit.project import Project
    from toolkit.runs import Run

NAMED = 4  # fields by which a recipe without a comment is told


@dataclass(frozen=True, repr=False)
class RecipeList(Outcome):
    """Recipes by name, what is said of each, and the CV score of its best run."""

    competition: str
    metric: str
    recipes: Mapping[str, Recipe]
    said: Mapping[str, str]
    scores: Mapping[str, float]

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        first = next(iter(self.recipes))
        plain = (name for name, recipe in self.recipes.items() if not recipe.model.pretrained)  # no weights to fetch
        untried = next((name for name in plain if name not in self.scores), first)
        return [
            (f"compete recipes … {first}", "shows all its fields"),
            (f"compete train … --recipe {untried}", "trains it"),
        ]

    def told(self) -> Sequence[str | Table]:
        head = ["recipe", "epochs", *(["CV"] if self.scores else []), "what it is"]
        rows = []
        for name, recipe in self.recipes.items():
            scores = [number(self.scores[name]) if name in self.scores else "-"] if self.scores else []
            rows.append([name, str(recipe.schedule.epochs), *scores, self.said[name]])
        title = f"{self.competition}: {counted(len(rows), 'recipe')}, the first is the default"
        return [Table(title, head, rows, text=True)]

    def as_json(self) -> dict[str, Any]:
        return {
            name: {"epochs": recipe.schedule.epochs, "best_cv": self.scores.get(name), "about": self.said[name]}
            for name, recipe in self.recipes.items()
        }


@dataclass(frozen=True, repr=False)
class RecipeTable(Outcome):
    """All fields of one recipe."""

    recipe: Recipe
    said: str

    @property
    def next(self) -> Sequence[tuple[str, str]]:
        lr = as_text(self.recipe.optimizer.lr / 2)
        name = self.recipe.name
        return [(f"compete train … --recipe {name} optimizer.lr={lr}", "trains it with half its learning rate")]

    def told(self) -> Sequence[str | Table]:
        groups: dict[str, list[list[str]]] = {}
        for one in recipe_fields():
            value = value_of(self.recipe, one.name)
            mark = " *" if value != one.default and one.name not in ("name", "model.name") else ""
            group = one.name.rpartition(".")[0]
            groups.setdefault(group, []).append([one.name, as_text(value) + mark, _means(one)])
        rows = [row for group in groups.values() for row in group]
        title = f"{self.recipe.name}{': ' * bool(self.said)}{self.said}\n* is not the default"
        return [Table(title, ["field", "value", "what it means"], rows, text=True)]

    def as_json(self) -> dict[str, Any]:
        fields = {
            one.name: {
                "value": value_of(self.recipe, one.name),
                "default": one.default,
                "takes": one.takes,
                "comment": one.comment,
            }
            for one in recipe_fields()
        }
        return {"recipe": self.recipe.name, "about": self.said, "fields": fields}


def _means(one: RecipeField) -> str:
    return f"{one.comment} ({one.takes})" if one.comment else one.takes


def recipe_list(project: "Project") -> RecipeList:
    """Those of the competition, the default first, and those that were saved."""
    competition = project.competition
    first, said = next(iter(competition.recipes.values())), comments(competition.folder)
    saved = {name: read_recipe(path) for name, path in saved_recipes(project).items()}
    recipes = {**competition.recipes, **saved}
    about = {name: said.get(name) or _against(recipe, first) for name, recipe in recipes.items()}
    about |= {name: f"saved: {_against(recipe, first)}" for name, recipe in saved.items()}
    scores = {name: run.score for name, run in _best(project).items()}
    return RecipeList(competition.name, competition.metric.name, recipes, about, scores)


def recipe_table(project: "Project", name: str) -> RecipeTable:
    """One by its name, or in a file; UserError for neither."""
    recipe = named_recipe(project.competition, name)
    return RecipeTable(recipe, comments(project.competition.folder).get(recipe.name, ""))


def _against(recipe: Recipe, first: Recipe) -> str:
    """Which fields differ from the first recipe."""
    if recipe == first:
        return f"{recipe.model.name}, {recipe.optimizer.name} {as_text(recipe.optimizer.lr)}"
    changed = differing(recipe, first)
    return ", ".join(changed[:NAMED]) + (f" and {len(changed) - NAMED} more" if len(changed) > NAMED else "")


def _best(project: "Project") -> "dict[str, Run]":
    """The best run of each recipe on the present data and folds; none where nothing can be read."""
    if not project.workspace.train.is_dir() or not project.workspace.folds.exists():
        return {}
    from toolkit.data.labelled import open_labelled
    from toolkit.runs import current_runs

    try:
        runs = current_runs(open_labelled(project.competition, project.workspace))
    except UserError:
        return {}
    return {run.recipe.name: run for run in sorted(runs, key=lambda run: run.merit)}


def comments(folder: Path) -> dict[str, str]:
    """What stands as a comment above `X = Recipe(name="x", …)` or `replace(…, name="x")` in a competition's files, by
    the recipe's name.
    """
    return {name: said for file in sorted(folder.glob("*.py")) for name, said in _comments_in(file)}


def _comments_in(file: Path) -> Iterator[tuple[str, str]]:
    lines = file.read_text(encoding="utf-8").splitlines()
    for line in ast.parse("\n".join(lines)).body:
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Call):
            named = [word.value for word in line.value.keywords if word.arg == "name"]
            above = [*takewhile(lambda text: text.startswith("#"), reversed(lines[: line.lineno - 1]))]
            for name in named:
                if isinstance(name, ast.Constant) and above:
                    yield str(name.value), " ".join(text.lstrip("# ") for text in reversed(above)).rstrip(".")
