"""What a run's folder is called: its recipe, what differs in it from the competition's of that name, and a hash.

`small_unet+lr1e-3+epochs60-0a1b2c3d`. The hash alone tells runs apart; the words before it are for people.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from toolkit.competition import Competition
from toolkit.recipe import Model, Recipe

LONGEST = 40  # characters, so that a name stands beside three scores on a screen of 80
PLAIN = ("precision", "float32")  # what `run` sets where it measures nothing, and so says nothing
NOT_SAFE = re.compile(r"[^\w.-]+")  # in a file name, wherever it is copied to


def folder_name(competition: Competition, recipe: Recipe, digits: str) -> str:
    """digits: of the hash that tells the run apart."""
    usual = competition.recipes.get(recipe.name)
    words = [] if usual is None else [_word(*one) for one in _differences(recipe, usual)]
    room = LONGEST - len(digits) - 1
    return f"{_shortened(recipe.name[:room], words, room)}-{digits}"


def _shortened(name: str, words: list[str], room: int) -> str:
    """The name with as many of the words as there is room for, and how many more there are."""
    for kept in range(len(words), -1, -1):
        more = [f"{len(words) - kept}more"] * (kept < len(words))
        joined = "+".join([name, *words[:kept], *more])
        if len(joined) <= room:
            return joined
    return name


def _differences(recipe: Recipe, usual: Recipe) -> Iterator[tuple[str, Any]]:
    ours, theirs = _flat(asdict(recipe)), _flat(asdict(usual))
    yield from (one for one in ours.items() if one[1] != theirs.get(one[0]) and one != PLAIN)


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides on the training, by names such as `optimizer.lr`."""
    found: dict[str, Any] = {}
    for group, value in values.items():
        if isinstance(value, dict) and group != "chosen":
            found |= {f"{group}.{name}": one for name, one in value.items()}
        elif group not in ("name", "chosen"):
            found[group] = value
    return found


def _word(field: str, value: Any) -> str:
    """`lr1e-3`, `encoder_resnet34`, `pretrained`, `no_pretrained`."""
    name = _short(field)
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    if isinstance(value, int | float):
        return name + _number(value)
    text = "_".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
    return NOT_SAFE.sub("_", f"{name}_{text or 'none'}")


def _number(value: float) -> str:
    """0.25, 60, and of small ones 1e-3."""
    if not 0 < abs(value) < 0.01:
        return f"{value:g}"
    digits, _, exponent = f"{value:.3e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}"


def _short(field: str) -> str:
    """A field without its group, where no other group has one of that name; the group itself for its `name`."""
    group, _, leaf = field.rpartition(".")
    if leaf in ("name", "names"):
        return group
    return leaf if _leaves()[leaf] == 1 else f"{group}_{leaf}"


@cache
def _leaves() -> Counter[str]:
    """How often a field of that name is in a recipe and its groups."""
    any_recipe = Recipe(name="any", model=Model(name="any"))
    return Counter(name.rpartition(".")[2] for name in _flat(asdict(any_recipe)))
