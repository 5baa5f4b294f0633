"""What a search is asked for: how long, from where, and what it climbs."""

from dataclasses import dataclass
from typing import Literal

from toolkit.competition import Competition, named_recipe
from toolkit.errors import UserError
from toolkit.metrics.metric import Metric
from toolkit.recipe import Recipe, override

TRIALS = 30  # where neither a number nor a budget is given
UNPRUNED = 16  # trials without pruning that a budget's epochs are chosen for, where no number is given
FINALISTS, REPEATED = 3, 2  # of the best trials: finished, and repeated with other seeds
Direction = Literal["minimize", "maximize"]


@dataclass(frozen=True)
class Objective:
    """What a search climbs. `metric`: its key in metrics.json; `judged`: what a fold is pruned by."""

    name: str
    metric: str | None
    judged: str | None

    def sign(self, metric: Metric) -> int:
        """By which its values are multiplied so that more is better."""
        return -1 if self.metric is None else metric.sign

    def direction(self, metric: Metric) -> Direction:
        """The study climbs or descends the official scores, as they are."""
        return "maximize" if self.sign(metric) > 0 else "minimize"


CLEAN = Objective("clean", "clean", "clean")
OBJECTIVES = {
    one.name: one
    for one in (
        CLEAN,
        Objective("stress", "stress", "stress"),
        Objective("test-matched", "matched", "stress"),
        Objective("seconds", None, None),
    )
}


def read_objectives(text: str) -> tuple[Objective, ...]:
    """`clean`, `stress`, `test-matched`, or two such as `clean,seconds`. UserError for others."""
    names = text.split(",")
    for name in names:
        if name not in OBJECTIVES:
            raise UserError(f"there is no objective {name!r}; there are {', '.join(OBJECTIVES)}, or two with a comma")
    if len(names) > 2 or len(set(names)) < len(names):
        raise UserError(f"objective takes one or two different ones, got {text}")
    if names[0] == "seconds":
        raise UserError("objective names a score first, such as clean,seconds: nothing is fastest")
    return tuple(OBJECTIVES[name] for name in names)


@dataclass(frozen=True)
class SearchSettings:
    """`Project.search` says what each is. budget: seconds; fields: as on the command line, `optimizer.lr=1e-3`.

    Raises UserError for what can't be searched.
    """

    trials: int | None = None
    budget: float | None = None
    recipe: Recipe | str | None = None
    objective: str = "clean"
    stress: str = "auto"
    sampler: str = "auto"
    storage: str = "sqlite"
    repeats: int = 1
    until_no_gain: int | None = None
    fields: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        for name, value in (("trials", self.trials), ("until_no_gain", self.until_no_gain)):
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, got {value}")
        if self.repeats < 0:
            raise UserError(f"repeats must not be negative, got {self.repeats}")
        if "," in self.device:
            text = f"start one search for each of {self.device}, they share it"
            raise UserError(f"a search trains on one device; {text}")
        if self.stress == "none" and any(one.metric in ("stress", "matched") for one in self.objectives):
            text = f"objective {self.objective} needs the scores under corruptions"
            raise UserError(f"{text}; leave out stress=none")
        if any(text.startswith(("seed=", "name=")) for text in self.fields):
            raise UserError("seed and name of a trial are not overridden; give a seed to all")

    @property
    def objectives(self) -> tuple[Objective, ...]:
        return read_objectives(self.objective)

    @property
    def most_trials(self) -> int | None:
        """Of the study; None: as many as the budget allows."""
        return TRIALS if self.trials is None and self.budget is None else self.trials

    @property
    def expected_trials(self) -> int:
        return self.most_trials or UNPRUNED

    @property
    def budget_for_epochs(self) -> float | None:
        """The budget where it decides on a trial's epochs."""
        given = any(text.startswith("schedule.epochs=") for text in self.fields)
        return None if given else self.budget

    def check(self, competition: Competition) -> None:
        """UserError for what can't be searched in this competition."""
        if competition.suggest is None:
            raise UserError(f"{competition.name} has no search space; give its Competition a suggest(trial) -> Recipe")
        if self.example(competition).pseudo.rounds:
            text = "leave out pseudo.rounds and train the winner with it"
            raise UserError(f"a search trains without pseudo-labels; {text}")
        if self.example(competition).distil.blend:
            raise UserError("a search trains without a teacher; leave out distil.blend and train the winner with it")

    def example(self, competition: Competition) -> Recipe:
        """The competition's first recipe, with the fields that are given."""
        return override(named_recipe(competition, None), self.fields)

    def recipes_to_try(self, competition: Competition) -> list[Recipe]:
        """The first ones, with the fields that are given; UserError as of `check`."""
        self.check(competition)
        return [override(one, self.fields) for one in self.first_recipes(competition)]

    def first_recipes(self, competition: Competition) -> tuple[Recipe, ...]:
        """What is tried first, where the space makes it."""
        if self.recipe is None:
            return competition.first_trials or tuple(competition.recipes.values())
        return (self.recipe if isinstance(self.recipe, Recipe) else named_recipe(competition, self.recipe),)
