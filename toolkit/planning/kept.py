"""What `run` chose, in the workspace's `plan.json`: a call that was killed goes on with the same parts."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import Any

from toolkit.errors import UserError
from toolkit.planning.parts import Ended, Part
from toolkit.recipe import from_dict, to_dict
from toolkit.store import read_json, write_json
from toolkit.training.budget import Cost

REST = ("skipped", "views", "adapt", "over", "precisions", "spent")
PART = ("kind", "seconds", "why", "fixed", "begun", "reserved", "wanted")


@dataclass
class Kept:
    """asked: what a call has to ask for to go on with it; parts: in their order, those that are done `Ended`; costs,
    precisions: as measured, by the recipe's name; skipped: names of what can't be had; views, adapt: what the blend is
    given; over: nothing more is begun; spent: seconds of the budget when it was last stored, by `elapsed`; shown: it
    is only looked at, and not stored.
    """

    path: Path
    asked: dict[str, Any]
    parts: list[Part | Ended] = field(default_factory=list)
    costs: dict[str, Cost] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    views: list[str] | None = None
    adapt: str = "none"
    over: bool = False
    precisions: dict[str, Any] = field(default_factory=dict)
    spent: float = 0.0
    elapsed: Callable[[], float] | None = None
    shown: bool = False
    lock: Lock = field(default_factory=Lock)

    @property
    def ended(self) -> tuple[Ended, ...]:
        return tuple(one for one in self.parts if isinstance(one, Ended))

    def put(self, part: Part | Ended) -> None:
        """In place of the last part where that isn't done, else after it."""
        open_part = bool(self.parts) and isinstance(self.parts[-1], Part)
        self.parts = [*(self.parts[:-1] if open_part else self.parts), part]
        self.store()

    def put_again(self, ended: Ended) -> None:
        """In place of the last one, of which less was known."""
        self.parts = [*self.parts[:-1], ended]
        self.store()

    def drop(self, name: str) -> None:
        """A part that can't be had."""
        self.parts = [one for one in self.parts if isinstance(one, Ended) or one.name != name]
        self.skipped.append(name)
        self.store()

    def store(self) -> None:
        if self.shown:
            return
        with self.lock:
            self.spent = self.spent if self.elapsed is None else self.elapsed()
            write_json(
                self.path,
                {
                    "asked": self.asked,
                    "parts": [_written(one) for one in self.parts],
                    "costs": {name: asdict(cost) for name, cost in dict(self.costs).items()},
                    **{name: getattr(self, name) for name in REST},
                },
            )


def kept(path: Path, asked: dict[str, Any]) -> Kept:
    """What an earlier call left that asked for the same; else nothing yet."""
    new = Kept(path, asked)
    if not path.exists():
        return new
    found = read_json(path, "asked")
    if found["asked"] != asked:
        return new
    found = read_json(path, "asked", "parts", "costs", *REST)
    try:
        costs = {name: _cost(values) for name, values in found["costs"].items()}
        parts = [_read(values) for values in found["parts"]]
    except (AttributeError, KeyError, TypeError):
        raise UserError(
            f"{path} holds no plan that this version can read; remove it and run the command again: what is trained "
            "stays, and its time counts anew"
        ) from None
    rest: dict[str, Any] = {name: found[name] for name in REST}
    return replace(new, parts=parts, costs=costs, **rest)


def _written(one: Part | Ended) -> dict[str, Any]:
    part = one.part if isinstance(one, Ended) else one
    values = {name: getattr(part, name) for name in PART} | {"recipe": to_dict(part.recipe), "ended": None}
    if isinstance(one, Ended):
        values["ended"] = {name: getattr(one, name) for name in ("seconds", "merit", "gain", "noise")}
    return values


def _read(values: dict[str, Any]) -> Part | Ended:
    part = Part(recipe=from_dict(values["recipe"]), **{name: values[name] for name in PART})
    return part if values["ended"] is None else Ended(part, **values["ended"])


def _cost(values: dict[str, Any]) -> Cost:
    return Cost(**(values | {"whole": tuple(values["whole"])}))
