"""What a budget can be spent on, part by part, and what is known when the next one is chosen. Nothing is trained here.

A part is one training of all folds, or a search. What a kind of part is worth is guessed at first and then taken from
what such parts gained here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from toolkit.recipe import Recipe, with_epochs
from toolkit.training.budget import Cost

Kind = Literal["recipe", "seed", "longer", "larger", "taught", "search"]
WORDS: dict[Kind, str] = {
    "recipe": "a recipe",
    "seed": "another seed",
    "longer": "more epochs",
    "larger": "larger images",
    "taught": "test images with pseudo-labels",
    "search": "a search",
}
ENDINGS: dict[Kind, str] = {
    "seed": r"-seed\d+",
    "longer": r"-\d+epochs",
    "larger": r"-x[\d_]+",
    "taught": r"-taught\d+",
}
LONGER, LARGER = 2.0, 1.5  # times the epochs, times the side of an image


@dataclass(frozen=True)
class Part:
    """recipe: with its epochs; of a search, the one that it is compared with. seconds: what it is expected to take,
    with its scores; why: it, in words. fixed: are its epochs final? begun: seconds of the budget before it; reserved:
    seconds that its scores are kept.
    """

    kind: Kind
    recipe: Recipe
    seconds: float
    why: str = ""
    fixed: bool = False
    begun: float = 0.0
    reserved: float = 0.0
    wanted: int = 0

    @property
    def name(self) -> str:
        return "search" if self.kind == "search" else self.recipe.name


@dataclass(frozen=True)
class Ended:
    """A part that is done. seconds: what it took; merit: `merit_on_tests` of its run; gain: by how much the
    cross-fitted score of the blend of all runs rose by it, and noise: the standard error of that, both in standard
    errors of the score; None where it was not blended.
    """

    part: Part
    seconds: float
    merit: float
    gain: float | None = None
    noise: float | None = None


@dataclass(frozen=True)
class Known:
    """What the next part is chosen from. recipes: in their order; costs: measured, by the recipe's name, others are
    not known yet; left: seconds for training; resizes: names of models that obey `model.input_scale`;
    tests: may be learnt from test images? space: is there a search space? skipped: names of parts that can't be had;
    alone: is nothing but the recipes wanted?
    """

    recipes: tuple[Recipe, ...]
    costs: Mapping[str, Cost]
    left: float
    ended: tuple[Ended, ...] = ()
    skipped: frozenset[str] = frozenset()
    resizes: frozenset[str] = frozenset()
    tests: bool = False
    space: bool = False
    alone: bool = False

    @property
    def names(self) -> set[str]:
        """Of all that is done or can't be."""
        return {one.part.name for one in self.ended} | self.skipped

    @property
    def best(self) -> Ended:
        return max(self.ended, key=lambda one: one.merit)

    @property
    def untaught(self) -> Ended:
        """The best without pseudo-labels: what is made from it has no teacher that would be trained anew."""
        plain = [one for one in self.ended if not one.part.recipe.pseudo.rounds]
        return max(plain or self.ended, key=lambda one: one.merit)

    @property
    def lead(self) -> Ended:
        """The first part, by which others are measured."""
        return self.ended[0]

    def count(self, kind: Kind) -> int:
        return sum(one.part.kind == kind for one in self.ended)

    def cost(self, recipe: Recipe, like: Recipe) -> Cost:
        """Of a recipe made from another one: measured, or as the pixels and the images of an epoch have it."""
        known = self.costs.get(recipe.name)
        if known is not None:
            return known
        cost = self.costs[like.name]
        pixels = (recipe.model.input_scale / like.model.input_scale) ** 2
        rounds = recipe.pseudo.rounds - like.pseudo.rounds
        taught = rounds / (1 - recipe.pseudo.share) if rounds else 1.0
        times = pixels * taught
        return replace(
            cost,
            epoch=cost.epoch * times,
            once=cost.once * pixels * max(1, rounds),
            head=cost.head * taught,
            step=cost.step * pixels,
            image=cost.image * pixels,
        )


def seed_of(best: Recipe, number: int) -> Recipe:
    """The recipe with another seed; number: how many there were already, and one."""
    seed = best.seed + number
    return replace(best, name=_named(best.name, "seed", f"seed{seed}"), seed=seed)


def longer(best: Recipe, least: int) -> Recipe:
    """So many times the epochs, and no fewer than `least`."""
    epochs = max(least, round(LONGER * best.schedule.epochs))
    return with_epochs(replace(best, name=_named(best.name, "longer", f"{epochs}epochs")), epochs)


def larger(best: Recipe) -> Recipe:
    scale = round(LARGER * best.model.input_scale, 2)
    name = _named(best.name, "larger", f"x{scale:g}".replace(".", "_"))
    return replace(best, name=name, model=replace(best.model, input_scale=scale))


def taught(best: Recipe) -> Recipe:
    """Taught by the best recipe's own networks, once more."""
    rounds = best.pseudo.rounds + 1
    name = _named(best.name, "taught", f"taught{rounds}")
    return replace(best, name=name, pseudo=replace(best.pseudo, rounds=rounds))


def _named(name: str, kind: Kind, ending: str) -> str:
    """With an ending in place of one of its kind."""
    return f"{re.sub(ENDINGS[kind], '', name)}-{ending}"
