"""What a tracker was told of a run, so that a run that is resumed, or trained already, is logged once."""

import re
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.errors import UserError
from toolkit.events import Epoch, Scores
from toolkit.store import read_json, write_json


@dataclass
class Record:
    """Of one run in one tracker, in a file that lies with what was logged. name: what the tracker calls the run."""

    path: Path
    name: str = ""
    epochs: dict[str, int] = field(default_factory=dict)  # by fold, how many
    scores: dict[str, float] = field(default_factory=dict)

    @classmethod
    def opened(cls, path: Path) -> "Record":
        """As it was left; empty where there is none, or it is damaged."""
        found: dict[str, Any] = {}
        with suppress(UserError):
            found = read_json(path, "name", "epochs", "scores") if path.exists() else {}
        return cls(path, **{name: found[name] for name in ("name", "epochs", "scores") if name in found})

    def is_new(self, event: Epoch | Scores) -> bool:
        if isinstance(event, Scores):
            return dict(event.scores) != self.scores
        return event.epoch > self.epochs.get(str(event.fold), 0)

    def keep(self, event: Epoch | Scores) -> None:
        """It was logged."""
        if isinstance(event, Scores):
            self.scores = dict(event.scores)
        else:
            self.epochs[str(event.fold)] = event.epoch
        self.store()

    def store(self) -> None:
        write_json(self.path, {"name": self.name, "epochs": self.epochs, "scores": self.scores})


def recipe_fields(folder: Path, run: str) -> dict[str, Any]:
    """What a run was trained with, `optimizer.lr` and so on; folder: the workspace's. Empty where it can't be read."""
    found: dict[str, Any] = {}
    for name in ("recipe.json", "boosted.json"):
        with suppress(UserError, OSError):
            found = read_json(folder / "train" / run / name)
            break
    return dict(_flat(found))


def _flat(fields: dict[str, Any], before: str = "") -> list[tuple[str, Any]]:
    made: list[tuple[str, Any]] = []
    for name, value in fields.items():
        made += _flat(value, f"{before}{name}.") if isinstance(value, dict) else [(before + name, value)]
    return made


def without_password(text: str) -> str:
    """A text whose addresses say no user and no password, as they are shown and kept in logs."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)
