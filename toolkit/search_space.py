"""The words of a search space: what a trial suggests, and what it would have suggested to make a given recipe.

A competition's `suggest(trial) -> Recipe` is written in Optuna's own define-by-run words. Parameters are named by the
recipe's fields, such as `optimizer.lr`. One that exists for a part of the space only, or has another range there, says
so behind an @: `optimizer.lr@lion`. Then a recipe can be read backwards into parameters, with no second description
of the space that could disagree with the first.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from toolkit.errors import UserError
from toolkit.recipe import Recipe, override

Value = TypeVar("Value")


class Suggesting(Protocol):
    """What `suggest` needs of Optuna's Trial and FixedTrial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float: ...

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...


class OutsideError(Exception):
    """A recipe that the space can't make."""


class Fixed:
    """A trial in which some fields are given, as on the command line: they are not suggested.

    assignments: such as `model.name=unet`, of any fields; those of no parameter change nothing here.
    """

    def __init__(self, trial: Suggesting, assignments: Iterable[str]) -> None:
        self.trial = trial
        self.given = {name: value for name, _, value in (text.partition("=") for text in assignments)}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        given = self.given.get(_field(name))
        if given is None:
            return self.trial.suggest_float(name, low, high, step=step, log=log)
        try:
            return float(given)
        except ValueError:
            raise UserError(f"recipe field {_field(name)} is a number, got {given!r}") from None

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        given = self.given.get(_field(name))
        if given is None:
            return self.trial.suggest_categorical(name, choices)
        return _chosen(name, given, choices)


def choose(trial: Suggesting, name: str, choices: Mapping[str, Value]) -> Value:
    """One of several values for a field, by the name that stands for it in the study."""
    if isinstance(trial, Fixed):
        given = trial.given.get(_field(name))
        if given is not None:
            return choices[_chosen(name, given, list(choices))]
        trial = trial.trial
    if isinstance(trial, _Reader):
        return trial.find(name, choices)
    return choices[trial.suggest_categorical(name, list(choices))]


def strength(
    trial: Suggesting, name: str, make: Callable[[float], Value], low: float, high: float, step: float
) -> Value:
    """`make` of a number on an even scale, for a field that several numbers of a recipe follow from."""
    if isinstance(trial, Fixed):
        trial = trial.trial
    if isinstance(trial, _Reader):
        scale = [low + step * at for at in range(round((high - low) / step) + 1)]
        key = trial.key_of(name, {number: make(number) for number in scale})
        return make(trial.keep(name, key))
    return make(trial.suggest_float(name, low, high, step=step))


def parameters(
    suggest: Callable[[Suggesting], Recipe], recipe: Recipe, assignments: Sequence[str] = ()
) -> dict[str, Any]:
    """The parameters with which `suggest` makes the recipe, up to its name, seed and epochs.

    assignments: fields that are given, in the recipe and in what is suggested. Raises OutsideError, saying why,
    where no parameters make it.
    """
    reader = _Reader(recipe)
    made = suggest(Fixed(reader, assignments))
    schedule = replace(made.schedule, epochs=recipe.schedule.epochs)
    made = replace(made, name=recipe.name, seed=recipe.seed, schedule=schedule)
    if override(made, assignments) != override(recipe, assignments):
        raise OutsideError(f"recipe {recipe.name} sets fields that are not searched")
    return reader.values


def drawn(suggest: Callable[[Suggesting], Recipe], assignments: Sequence[str], number: int) -> list[Recipe]:
    """So many recipes of the space at random, the same ones each time."""
    import optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    return [suggest(Fixed(study.ask(), assignments)) for _ in range(number)]


def _field(name: str) -> str:
    return name.partition("@")[0]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _chosen(name: str, given: str, choices: Sequence[Any]) -> Any:
    for choice in choices:
        if given == str(choice) or (isinstance(choice, float) and _number(given) == choice):
            return choice
    known = ", ".join(map(str, choices))
    raise UserError(f"{_field(name)}={given} is outside the search space, which has {known}")


class _Reader:
    """A trial whose suggestions are a recipe's fields."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.values: dict[str, Any] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        value = float(self._field(name))
        off = step is not None and abs((value - low) / step - round((value - low) / step)) > 1e-6
        if not low <= value <= high or off:
            raise OutsideError(f"{name}={value:g} is outside the space: {low:g} to {high:g}, step {step}")
        return self.keep(name, value)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        value = self._field(name)
        if value not in choices:
            raise OutsideError(f"{name}={value} is outside the space: {', '.join(map(str, choices))}")
        return self.keep(name, value)

    def find(self, name: str, choices: Mapping[str, Value]) -> Value:
        return choices[self.keep(name, self.key_of(name, choices))]

    def key_of(self, name: str, choices: Mapping[Any, Any]) -> Any:
        value = self._field(name)
        for key, option in choices.items():
            if option == value:
                return key
        raise OutsideError(f"{name}={value} is outside the space: {', '.join(map(str, choices))}")

    def keep(self, name: str, value: Any) -> Any:
        self.values[name] = value
        return value

    def _field(self, name: str) -> Any:
        part: Any = self.recipe
        for field in _field(name).split("."):
            part = getattr(part, field)
        return part
