"""What was decided between values and labels: thresholds, cuts, smallest regions, the unknown."""

from collections.abc import Sequence
from itertools import pairwise

from toolkit.decisions.decide import PLAIN, Decisions
from toolkit.pages.html import Table
from toolkit.task import Task


def decision_table(task: Task, found: Sequence[Decisions]) -> Table | None:
    """As each fold has them, fitted on the others; None where nothing is decided."""
    if all(one == PLAIN for one in found):
        return None
    rows = [
        [name, *(_shown(value) for value in values)]
        for name, values in _settings(task, found)
        if any(value is not None for value in values)
    ]
    columns = ("", *(f"fold {k}" for k in range(len(found))))
    return Table("Decisions", columns, rows, "Each fold's are fitted on the other folds.") if rows else None


def _settings(task: Task, found: Sequence[Decisions]) -> list[tuple[str, list[float | int | None]]]:
    names = task.classes
    made = [(f"threshold of {name}", [_at(one.thresholds, at) for one in found]) for at, name in enumerate(names)]
    made += [
        (f"cut between {low} and {high}", [_at(one.cuts, at) for one in found])
        for at, (low, high) in enumerate(pairwise(names))
    ]
    made += [(f"smallest {name}, pixels", [_at(one.smallest, at) for one in found]) for at, name in enumerate(names)]
    return [*made, ("probability that none of them counts as", [one.unknown for one in found])]


def _at(values: Sequence[float] | None, at: int) -> float | None:
    return None if values is None or at >= len(values) else values[at]


def _shown(value: float | int | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"
