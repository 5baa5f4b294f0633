"""The fields of a recipe in order: names as on the command line, what they take, and what is said of them."""

import ast
import inspect
import io
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, get_args, get_origin

from toolkit import recipe as recipes
from toolkit.recipe import Recipe

# first guesses, as other tools call them, and the field that is meant
GUESSES = {
    "arch": "model.name",
    "backbone": "model.encoder",
    "batch": "batch_size",
    "bs": "batch_size",
    "drop_rate": "model.dropout",
    "image_size": "images.size",
    "img_size": "images.size",
    "imgsz": "images.size",
    "learning_rate": "optimizer.lr",
    "loss": "loss.names",
    "lr0": "optimizer.lr",
    "max_epochs": "schedule.epochs",
    "max_lr": "optimizer.lr",
    "model": "model.name",
    "n_epochs": "schedule.epochs",
    "num_epochs": "schedule.epochs",
    "optimizer": "optimizer.name",
    "scheduler": "schedule.warmup",
    "wd": "optimizer.weight_decay",
}


@dataclass(frozen=True)
class RecipeField:
    """One field. takes: what its values are, in words; default: None where it has none; comment: of recipe.py."""

    name: str
    takes: str
    default: Any
    comment: str


def recipe_fields() -> list[RecipeField]:
    """All that a recipe may say, groups opened."""
    return [*_opened(Recipe, "")]


def _opened(kind: type, group: str) -> Iterator[RecipeField]:
    for one in fields(kind):
        if one.compare and isinstance(one.type, type) and is_dataclass(one.type):
            yield from _opened(one.type, f"{one.name}.")
        elif one.compare:
            default = None if one.default is MISSING else one.default
            comment = _comments().get((kind.__name__, one.name), "")
            yield RecipeField(f"{group}{one.name}", _takes(one.type), default, comment)


@lru_cache(maxsize=1)
def _comments() -> Mapping[tuple[str, str], str]:
    """What stands behind a field in its own line, by class and name."""
    source = inspect.getsource(recipes)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    return {
        (kind.name, line.target.id): said[line.end_lineno]
        for kind in ast.parse(source).body
        if isinstance(kind, ast.ClassDef)
        for line in kind.body
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.end_lineno in said
    }


def _takes(kind: Any) -> str:
    """A type in words: `adamw | lion | muon`, `0 to 1`, `true | false`."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        limits = [mark for info in marks for mark in getattr(info, "metadata", ())]
        return _limited(limits) if inner in (int, float) else _takes(inner)
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        return f"{_takes(get_args(kind)[0])}, several with commas"
    if isinstance(kind, UnionType):
        return " | ".join(_takes(one) for one in get_args(kind) if one is not NoneType)
    return {bool: "true | false", int: "a whole number", float: "a number", str: "text"}.get(kind, str(kind))


def _limited(limits: list[Any]) -> str:
    known = {name: getattr(one, name) for one in limits for name in ("ge", "gt", "le", "lt") if hasattr(one, name)}
    low = known.get("ge", known.get("gt"))
    high = known.get("le", known.get("lt"))
    if high is None:
        return "a number" if low is None else f"above {low:g}" if "gt" in known else f"from {low:g}"
    return f"{low:g} to {'below ' * ('lt' in known)}{high:g}" if low is not None else f"up to {high:g}"


def value_of(recipe: Recipe, name: str) -> Any:
    """Of a field such as `optimizer.lr`."""
    value: Any = recipe
    for part in name.split("."):
        value = getattr(value, part)
    return value


def as_text(value: Any) -> str:
    """As it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def differing(recipe: Recipe, other: Recipe) -> list[str]:
    """Fields in which one recipe differs from another, name and seed apart, as on the command line."""
    names = [one.name for one in recipe_fields() if one.name not in ("name", "seed")]
    changed = [name for name in names if value_of(recipe, name) != value_of(other, name)]
    return [f"{name}={as_text(value_of(recipe, name))}" for name in changed]


def fields_meant(guess: str) -> list[str]:
    """Those that a name such as `lr`, `learning_rate` or `optimizer.learning_rate` may mean."""
    known = [one.name for one in recipe_fields()]
    leaf = guess.rpartition(".")[2].replace("-", "_").lower()
    if guess == leaf in known:
        return [leaf]
    if leaf in GUESSES:
        return [GUESSES[leaf]]
    return [name for name in known if name.rpartition(".")[2] == leaf]
