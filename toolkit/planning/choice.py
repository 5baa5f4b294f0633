"""Which part is next, and so what a whole budget is spent on: pure functions of what is known.

Of the parts that fit, the one is next that promises most for its time: the gain of its kind so far, shrunk towards a
first guess, over the seconds that it takes.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

import numpy as np

from toolkit.outcome import counted, duration
from toolkit.planning.parts import Ended, Kind, Known, Part, larger, longer, seed_of, taught
from toolkit.recipe import Recipe, with_epochs
from toolkit.training.budget import Cost

MARGIN = 0.93  # of the time left is planned for; the rest covers a machine that slows down
WORTHWHILE = 0.4  # of its epochs, or of the first part's seconds: with less a further part isn't begun
# Updates of a network's weights from which on a recipe may be the first; with fewer a cheaper one is better. With 2 to
# 4 epochs, 70 to 140 updates, mars' Muon recipe passes 12 of AdamW (README, benchmarks/search_mars.npz).
ENOUGH = 120
# Gains by a part over the blend before it, in standard errors of the score, before any is known here: real mars tiles
# and cells gave .0 to 1 by a second and third recipe, .2 to 2.4 by 2.3 times the epochs (README). Others are guesses.
GUESS: dict[Kind, float] = {
    "recipe": 0.5,
    "longer": 0.8,
    "larger": 0.6,
    "taught": 0.6,
    "seed": 0.25,
    "search": 0.8,
}
WEIGHT = 2  # parts that a guess counts for
STRETCH = 1.5  # times its epochs a recipe gets at most, rather than leave time that nothing else fits into
FADES = 0.7  # of what the last part of a kind promised the next one does
LEAST = 0.02  # standard errors: what promises less is not worth its time
MOST: dict[Kind, int] = {"recipe": 100, "seed": 6, "longer": 3, "larger": 2, "taught": 3}
TRAININGS = 6.0  # times the first part, 16 trials of fewer epochs, a search gets,
SHORTEST = 1800.0  # and so many seconds at least,
SEARCHED = 0.3  # if that is no more than this share of the time left


def plan(known: Known) -> list[Part]:
    """All parts that the time is enough for, in their order, as it looks now: each is taken to gain what it
    promises."""
    parts: list[Part] = []
    while (part := next_part(known)) is not None:
        parts.append(part)
        known = after(known, part)
    return parts


def after(known: Known, part: Part) -> Known:
    """What would be known had the part gone as expected; nothing of its merit."""
    costs = dict(known.costs)
    if known.ended:
        like = known.best if part.kind == "taught" else known.untaught
        costs[part.recipe.name] = known.cost(part.recipe, like.part.recipe)
    best = max((one.merit for one in known.ended), default=0.0)
    better = part.kind in ("longer", "larger", "taught")  # than what they are made from
    ended = Ended(part, part.seconds, best + 1 if better else 0.0)
    return replace(known, costs=costs, left=known.left - part.seconds, ended=(*known.ended, ended))


def next_part(known: Known) -> Part | None:
    """The next one; None where nothing that is worth its time fits."""
    if not known.ended:
        return lead(known)
    best = _best(known)
    return None if best is None else _stretched(known, replace(best, why=_why(known, best)))


def _best(known: Known) -> Part | None:
    """The candidate that promises most for its time."""
    possible = [part for part in candidates(known) if promise(known, part.kind) >= LEAST]
    return max(possible, key=lambda part: _rate(known, part), default=None)


def _stretched(known: Known, part: Part) -> Part:
    """A recipe with more than all its epochs, where what they leave is too little for any further part."""
    epochs, cost = part.recipe.schedule.epochs, known.costs.get(part.recipe.name)
    if known.alone or part.kind != "recipe" or epochs < part.wanted or cost is None:
        return part
    first = known.lead.seconds if known.ended else part.seconds
    most = min(int(STRETCH * epochs), cost.epochs_within(MARGIN * known.left))
    if most == epochs or known.left - part.seconds > WORTHWHILE * first or _best(after(known, part)) is not None:
        return part
    more = with_epochs(part.recipe, most)
    return replace(part, recipe=more, seconds=cost.of(most), wanted=most)


def lead(known: Known) -> Part | None:
    """The first recipe that gets ENOUGH updates, or all its own epochs; where none does, the one that gets most."""
    fits = [(recipe, _epochs(known, recipe)) for recipe in known.recipes if recipe.name in known.costs]
    fits = [(recipe, epochs) for recipe, epochs in fits if epochs]
    if not fits:
        return None
    enough = [pair for pair in fits if pair[1] >= enough_for(pair[0], known.costs[pair[0].name])]
    recipe, epochs = enough[0] if enough else max(fits, key=lambda pair: pair[1])
    why = "the first recipe, as long as fits"
    if recipe != known.recipes[0]:
        why = f"in this time {known.recipes[0].name} would get fewer than {counted(ENOUGH, 'update')}"
    return _stretched(known, _part(known, "recipe", recipe, known.costs[recipe.name], epochs, why))


def enough_for(recipe: Recipe, cost: Cost) -> int:
    """Epochs from which on it may be the first."""
    return min(recipe.schedule.epochs, ceil(ENOUGH / max(1.0, cost.updates)))


def candidates(known: Known) -> Iterator[Part]:
    """All parts that fit and are worthwhile."""
    best = known.best.part.recipe
    others = (one for one in known.recipes if one.name not in known.names and one.name in known.costs)
    fitting = (_further(known, "recipe", recipe, known.costs[recipe.name]) for recipe in others)
    if (other := next((part for part in fitting if part is not None), None)) is not None:
        yield other
    if known.alone:
        return
    plain = known.untaught.part.recipe
    made: dict[Kind, tuple[Recipe, Recipe]] = {
        "seed": (plain, seed_of(plain, known.count("seed") + 1)),
        "longer": (plain, longer(plain, known.lead.part.wanted)),
    }
    if plain.model.name in known.resizes:
        made["larger"] = plain, larger(plain)
    if known.tests and best.schedule.freeze < 1:  # a head on stored features asks no teacher
        made["taught"] = best, taught(best)
    for kind, (like, recipe) in made.items():
        if recipe.name in known.names or known.count(kind) >= MOST[kind]:
            continue
        part = _further(known, kind, recipe, known.cost(recipe, like))
        if part is not None:
            yield part
    seconds = max(SHORTEST, TRAININGS * known.lead.seconds)
    if known.space and "search" not in known.names and seconds <= SEARCHED * known.left:
        yield Part("search", best, seconds)


def promise(known: Known, kind: Kind) -> float:
    """Standard errors that a part of the kind is expected to gain: what such parts gained, shrunk to the guess."""
    gains = [one.gain for one in known.ended[1:] if one.part.kind == kind and one.gain is not None]
    fading = FADES ** known.count(kind)
    return float((WEIGHT * GUESS[kind] * fading + sum(gains)) / (WEIGHT + len(gains)))


def _rate(known: Known, part: Part) -> float:
    """What it promises a second; less where it gets fewer epochs than it should."""
    whole = 1.0
    if part.kind != "search":
        whole = part.recipe.schedule.epochs / part.wanted
    return promise(known, part.kind) * whole / max(part.seconds, 1.0)


def _further(known: Known, kind: Kind, recipe: Recipe, cost: Cost) -> Part | None:
    """With as many epochs as fit, None where they are too few to be worth it."""
    wanted = recipe.schedule.epochs
    epochs = min(wanted, cost.epochs_within(MARGIN * known.left))
    least = ceil(WORTHWHILE * wanted)
    if epochs < 1 or (epochs < least and (kind == "longer" or cost.of(epochs) < WORTHWHILE * known.lead.seconds)):
        return None
    # with fewer epochs teachers wouldn't be the best run's networks, and another seed is only a weaker one
    if kind in ("taught", "seed") and epochs < wanted:
        return None
    if kind == "longer" and epochs <= known.untaught.part.recipe.schedule.epochs * 1.5:
        return None
    return _part(known, kind, recipe, cost, epochs, "")


def _epochs(known: Known, recipe: Recipe) -> int:
    return min(recipe.schedule.epochs, known.costs[recipe.name].epochs_within(MARGIN * known.left))


def _part(known: Known, kind: Kind, recipe: Recipe, cost: Cost, epochs: int, why: str) -> Part:
    seconds, wanted = cost.of(epochs), recipe.schedule.epochs
    return Part(kind, with_epochs(recipe, epochs), seconds, why, reserved=cost.scores, wanted=wanted)


def _why(known: Known, part: Part) -> str:
    """In words: what such parts gained so far, or that it is a guess."""
    gains = [one.gain for one in known.ended[1:] if one.part.kind == part.kind and one.gain is not None]
    if not gains:
        return "it promises most for its time"
    took = [one.seconds for one in known.ended[1:] if one.part.kind == part.kind and one.gain is not None]
    gained = f"{np.mean(gains):+.2f} standard errors of the score"
    return f"such parts gained most for their time here: {gained} in {duration(float(np.mean(took)))}"
