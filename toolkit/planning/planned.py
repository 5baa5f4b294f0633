"""What a budget would be spent on, shown before anything is trained; what it was spent on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.outcome import Outcome, Table, duration
from toolkit.planning.parts import WORDS, Part
from toolkit.runs import Run


@dataclass(frozen=True, repr=False)
class Planned(Outcome):
    """What a budget would be spent on, as it looks now. left: seconds for training; unknown: recipes that weren't
    measured; done: names of the parts that an earlier call, which asked for the same, has done.
    """

    parts: list[Part]
    budget: float
    left: float
    unknown: list[str]
    done: list[str]

    def told(self) -> list[str | Table]:
        rows, left = [], self.left
        for part in self.parts:
            left -= part.seconds
            epochs = "" if part.kind == "search" else f"{part.recipe.schedule.epochs}"
            rows.append([WORDS[part.kind], part.name, epochs, duration(part.seconds), duration(left), part.why])
        columns = ["part", "", "epochs", "about", "left then", "why"]
        told: list[str | Table] = [Table(f"a budget of {duration(self.budget)}", columns, rows)] if rows else []
        if self.done:
            told.append(f"done already, by a call that asked for the same: {', '.join(self.done)}")
        if not rows:
            return [*told, f"nothing more is trained in {duration(self.budget)}; a longer budget begins a new plan"]
        if self.unknown:
            told.append(f"not measured, and so not in the plan: {', '.join(self.unknown)}")
        return [*told, "after each part it is looked at again: what gained most for its time, and what still fits"]

    @property
    def next(self) -> list[tuple[str, str]]:
        return [(f"compete run … --budget {round(self.budget)}s", "trains all of it")] if self.parts else []

    def as_json(self) -> dict[str, Any]:
        return {
            "budget": self.budget,
            "left": self.left,
            "parts": [
                {
                    "kind": one.kind,
                    "name": one.name,
                    "epochs": one.recipe.schedule.epochs,
                    "seconds": one.seconds,
                    "why": one.why,
                }
                for one in self.parts
            ],
            "unknown": self.unknown,
            "done": self.done,
        }


@dataclass(frozen=True)
class Spent:
    """The runs to blend, and what there is time for: test-time views, adapting to the test images."""

    runs: list[Run]
    views: Sequence[str]
    adapt: str
