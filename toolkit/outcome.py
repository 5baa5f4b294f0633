"""What a step gives back: its numbers, and what is said of them on a screen and in a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any


@dataclass(frozen=True)
class Table:
    """The first column is text, the others numbers. `total`: the last row sums up the others."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    total: bool = False


@dataclass(frozen=True)
class Warned:
    """A sentence that asks for a look."""

    text: str


class Outcome:
    """Base of what steps return: `told` is shown by a terminal and by a notebook, `as_json` printed by --json."""

    def told(self) -> Sequence[str | Warned | Table]:
        """What there is to say, in order."""
        raise NotImplementedError

    def as_json(self) -> dict[str, Any]:
        raise NotImplementedError

    def _repr_html_(self) -> str:
        return "\n".join(_html(part) for part in self.told())


def _html(part: str | Warned | Table) -> str:
    if isinstance(part, str):
        return f"<p>{escape(part)}</p>"
    if isinstance(part, Warned):
        return f"<p><b>{escape(part.text)}</b></p>"
    head = "".join(f"<th>{escape(name)}</th>" for name in part.columns)
    rows = ["".join(f"<td>{_cell(cell)}</td>" for cell in row) for row in part.rows]
    if part.total:
        rows[-1] = f"<b>{rows[-1]}</b>"
    body = "".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table><caption>{escape(part.title)}</caption><tr>{head}</tr>{body}</table>"


def _cell(text: str) -> str:
    return escape(text).replace("\n", "<br>")


def interval(score: dict[str, Any]) -> str:
    """A score with its 95 % interval, as text."""
    return f"{score['score']:.4f} ({score['low']:.4f} to {score['high']:.4f})"


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
