"""Commands to copy: what trains a run's recipe, or something near it, from where the toolkit is called now."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from toolkit.commands import command
from toolkit.data.labelled import Labelled
from toolkit.errors import UserError
from toolkit.recipe import Recipe, override, to_dict
from toolkit.runs import Run

FEW = 5  # fields in which a run differs from a recipe of the competition; of more its file is named


def compete(labelled: Labelled, verb: str, *words: str, practice: bool | None = None) -> str:
    """`compete VERB COMPETITION …` with the options that lead to this workspace; practice: None: as it is."""
    workspace, competition = labelled.workspace, labelled.competition
    if practice is False:
        workspace = replace(workspace, name=competition.name)
    return command(competition, workspace, verb, *words)


def is_practice(labelled: Labelled) -> bool:
    return labelled.workspace.name == f"{labelled.competition.name}-practice"


def train_command(run: Run, *assignments: str) -> str:
    """Trains the run's recipe, with other fields where some are given."""
    fields = dict(text.split("=", 1) for text in assignments)
    known = changed_fields(run)
    if known is None:
        words = ["--recipe", str(run.recipe_path)]
    else:
        first = next(iter(run.labelled.competition.recipes))
        words = ["--recipe", run.recipe.name] * (run.recipe.name != first)
        fields = known | fields
    return compete(run.labelled, "train", *words, *(f"{name}={value}" for name, value in fields.items()))


def changed_fields(run: Run) -> dict[str, str] | None:
    """What makes the competition's recipe of that name the run's; None where there is none, or much differs."""
    named = run.labelled.competition.recipes.get(run.recipe.name)
    if named is None:
        return None
    mine, theirs = flat(to_dict(run.recipe)), flat(to_dict(named))
    changed = {name: text_of(mine[name]) for name in mine if mine[name] != theirs.get(name) and name != "chosen"}
    if len(changed) > FEW or made_of(named, changed) != run.recipe:
        return None
    return changed


def made_of(recipe: Recipe, fields: Mapping[str, str]) -> Recipe | None:
    """The recipe with fields replaced; None where one doesn't fit."""
    try:
        return override(recipe, [f"{name}={value}" for name, value in fields.items()])
    except UserError:
        return None


def flat(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Values by dotted names."""
    made: dict[str, Any] = {}
    for name, value in recipe.items():
        made |= {f"{name}.{part}": each for part, each in value.items()} if isinstance(value, dict) else {name: value}
    return made


def text_of(value: Any) -> str:
    """As on the command line."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value).lower() if isinstance(value, bool) else str(value)
